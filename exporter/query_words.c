/* SPDX-License-Identifier: Apache-2.0 */
/* What people write of facts, conditions and times. */
#include "exporter/calendar.h"
#include "exporter/query_parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

/* ---- facts ------------------------------------------------------------------------------- */

/* Of the workload whose spend it is: that on whose behalf a gateway made the call. */
#define PAYER_SINCE(name, column, since)                                                         \
	{                                                                                        \
		name,                                                                            \
			"CASE WHEN f.on_behalf_of THEN f.on_behalf_of_" column " ELSE f." column \
			" END",                                                                  \
			FACT_FACET, since, "f." column                                           \
	}
#define PAYER(name, column) PAYER_SINCE(name, column, 0)

/* Of the calendar in force (exporter/calendar.h). */
#define PERIOD(unit)                                                             \
	{                                                                        \
		unit, "calendar_label('" unit "',s.at_us)", FACT_PERIOD, 0, NULL \
	}

static const struct query_fact facts[] = {
	{"provider", "f.provider", FACT_FACET, 0, NULL},
	{"model", "f.model", FACT_FACET, 0, NULL},
	{"model_requested", "f.model_requested", FACT_FACET, 0, NULL},
	{"host", "f.host", FACT_FACET, 0, NULL},
	{"host_role", "f.host_role", FACT_FACET, 0, NULL},
	{"operation", "f.operation", FACT_FACET, 0, NULL},
	{"api", "f.api", FACT_FACET, 0, NULL},
	{"status", "f.status", FACT_FACET, 0, NULL},
	{"outcome", "f.outcome", FACT_FACET, 0, NULL},
	{"basis", "f.basis", FACT_FACET, 0, NULL},
	{"estimated_by", "f.estimated_by", FACT_FACET, 3, NULL},
	{"usage_missing", "f.usage_missing", FACT_FACET, 3, NULL},
	{"error_class", "f.error_class", FACT_FACET, 0, NULL},
	{"service_tier", "f.service_tier", FACT_FACET, 0, NULL},
	{"billing_mode", "f.billing_mode", FACT_FACET, 0, NULL},
	{"billed_by", "f.billed_by", FACT_FACET, 0, NULL},
	{"collapsed_by", "f.collapsed_by", FACT_FACET, 3, NULL},
	{"price_id", "f.price_id", FACT_FACET, 0, NULL},
	{"key_fingerprint", "f.key_fingerprint", FACT_FACET, 0, NULL},
	{"key", "key_name(f.key_fingerprint)", FACT_FACET, 0, NULL},
	{"key_owner", "key_owner(f.key_fingerprint)", FACT_FACET, 0, NULL},
	PAYER("uid", "uid"),
	PAYER("user", "user_name"),
	PAYER("comm", "comm"),
	PAYER("exe", "exe"),
	PAYER("cgroup", "cgroup"),
	PAYER("unit", "unit"),
	PAYER_SINCE("slice", "slice", 5),
	PAYER_SINCE("login", "login", 5),
	PAYER_SINCE("login_session", "login_session", 5),
	PAYER_SINCE("started_by", "started_by", 5),
	PAYER_SINCE("argv", "argv", 5),
	PAYER("namespace", "namespace"),
	PAYER("pod", "pod"),
	PAYER_SINCE("pod_uid", "pod_uid", 5),
	PAYER("container", "container"),
	PAYER("container_id", "container_id"),
	PAYER("node", "node"),
	PERIOD("hour"),
	PERIOD("day"),
	PERIOD("week"),
	PERIOD("month"),
	{"pid", "CASE WHEN f.on_behalf_of THEN c.on_behalf_of_pid ELSE c.pid END", FACT_CALL, 0,
	 "c.pid"},
	{"session_id", "c.session_id", FACT_CALL, 0, NULL},
	{"session", "c.session_id", FACT_CALL, 0, NULL},
	{"trace_id", "c.trace_id", FACT_CALL, 0, NULL},
	{"trace", "c.trace_id", FACT_CALL, 0, NULL},
	{"span_id", "c.span_id", FACT_CALL, 0, NULL},
	/*
	 * A call that nothing went on from is in no run: else each would be a group of its own.
	 * Calls of versions before tell their trace or session only.
	 */
	{"run",
	 "CASE WHEN c.joined_by IS NOT NULL OR c.run_id IN (SELECT run_id FROM calls WHERE "
	 "joined_by IN ('response_id','conversation_id','tool_call_id')) THEN c.run_id "
	 "WHEN c.run_id IS NULL THEN ifnull(c.trace_id,c.session_id) END",
	 FACT_CALL, 5, NULL},
	{"joined_by",
	 "ifnull(c.joined_by,CASE WHEN c.run_id IS NOT NULL THEN NULL WHEN c.trace_id IS NOT NULL "
	 "THEN 'trace_id' WHEN c.session_id IS NOT NULL THEN 'session_id' END)",
	 FACT_CALL, 5, NULL},
	{"operation_id", "c.operation_id", FACT_CALL, 0, NULL},
	{"response_id", "c.response_id", FACT_CALL, 0, NULL},
	{"request_id", "c.request_id", FACT_CALL, 0, NULL},
};

static const struct query_fact tag_fact = {
	"tag", "(SELECT json_extract(value,'$[0]') FROM json_each(c.tags) WHERE key=?)", FACT_TAG,
	0, NULL};

bool query_key_parse(struct slice name, struct query_key *out)
{
	struct query_key key = {0};

	if (slice_starts(name, SLICE("tag:"))) {
		struct slice tag = {name.ptr + 4, name.len - 4};

		key.fact = &tag_fact;
		if (tag.len == 0 || !slice_copy(key.tag, sizeof(key.tag), tag))
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		if (slice_eq(name, slice_of(facts[i].name)))
			key.fact = &facts[i];
	}
	if (!key.fact)
		return false;
	*out = key;
	return true;
}

const char *query_key_name(const struct query_key *key, char *dst, size_t size)
{
	snprintf(dst, size, "%s%s%s", key->fact->name, *key->tag ? ":" : "", key->tag);
	return dst;
}

void query_key_list(char *dst, size_t size)
{
	size_t len = 0;

	*dst = '\0';
	for (size_t i = 0; i < ARRAY_LEN(facts) && len < size; i++)
		len += (size_t)snprintf(dst + len, size - len, "%s%s", i ? " " : "", facts[i].name);
}

int query_filter_where(struct query_filter *filter, const char *condition)
{
	const char *equals = strchr(condition, '=');
	struct calendar_span span;
	struct query_key key;

	if (!equals ||
	    !query_key_parse((struct slice){condition, (size_t)(equals - condition)}, &key))
		return -EINVAL;
	if (filter->where_count == QUERY_WHERE_MAX || strlen(equals + 1) >= QUERY_VALUE_MAX)
		return -E2BIG;
	if (key.fact->place == FACT_PERIOD && !calendar_label(equals + 1, &span))
		return -ERANGE;
	filter->where[filter->where_count].key = key;
	snprintf(filter->where[filter->where_count].value, QUERY_VALUE_MAX, "%s", equals + 1);
	filter->where_count++;
	return 0;
}

/* ---- time -------------------------------------------------------------------------------- */

bool query_time_parse(const char *text, int64_t now_us, int64_t *us)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	int64_t number = 0;
	const char *p = text;

	if (calendar_time(text, us))
		return true;
	for (; isdigit((unsigned char)*p); p++) {
		if (number > 100000000000) /* Unix seconds of the year 5138 */
			return false;
		number = number * 10 + (*p - '0');
	}
	if (p == text)
		return false;
	if (*p == '\0') {
		*us = number * 1000000;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(units) && p[1] == '\0'; i++) {
		if (*p == units[i].unit && number <= now_us / 1000000 / units[i].seconds) {
			*us = now_us - number * units[i].seconds * 1000000;
			return true;
		}
	}
	return false;
}
