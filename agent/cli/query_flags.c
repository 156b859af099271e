/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/query_flags.h"

#include "agent/base/clock.h"
#include "agent/cli/progress.h"
#include "exporter/calendar.h"
#include "exporter/merge.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

int query_flags_zone(const struct query_flags *flags, const char *command,
		     const struct config *config)
{
	const char *zone = flags->timezone ? flags->timezone : config->timezone;
	char err[QUERY_ERROR_MAX];

	if (calendar_use(zone, err, sizeof(err)) == 0)
		return EXIT_OK;
	return cli_fail(flags->timezone ? EXIT_USAGE : EXIT_CONFIG, command, "%s: %s",
			flags->timezone ? "--timezone" : "report.timezone", err);
}

int query_flags_time(const char *command, const char *flag, const char *text, int64_t *us)
{
	int64_t now_us = (int64_t)time(NULL) * 1000000;

	if (!text || query_time_parse(text, now_us, us))
		return EXIT_OK;
	return cli_fail(EXIT_USAGE, command,
			"--%s: '%.60s' is no time in %s; write 2026-11-22, 2026-11-22T06:00:00Z, "
			"or 24h",
			flag, text, calendar_zone());
}

int query_flags_limit(const char *command, const char *text, int64_t *limit)
{
	if (!text || (decimal_parse(slice_of(text), 0, limit) && *limit > 0))
		return EXIT_OK;
	return cli_fail(EXIT_USAGE, command, "--limit: a number above 0 is needed");
}

int query_flags_unknown_key(const char *command, const char *flag, struct slice name)
{
	char known[1024];

	query_key_list(known, sizeof(known));
	return cli_fail(EXIT_USAGE, command, "--%s: unknown fact '%.*s'; known: %s tag:NAME", flag,
			(int)(name.len < 60 ? name.len : 60), name.ptr, known);
}

static int parse_condition(const char *command, const char *condition, struct query_filter *filter)
{
	const char *equals = strchr(condition, '=');
	int r = query_filter_where(filter, condition);

	if (r == 0)
		return EXIT_OK;
	if (r == -ERANGE)
		return cli_fail(EXIT_USAGE, command, "--where: there is no %.60s in %s", condition,
				calendar_zone());
	if (r == -E2BIG)
		return cli_fail(EXIT_USAGE, command, "--where: at most %d conditions of %d bytes",
				QUERY_WHERE_MAX, QUERY_VALUE_MAX - 1);
	if (!equals)
		return cli_fail(EXIT_USAGE, command, "--where: write KEY=VALUE, not '%.60s'",
				condition);
	return query_flags_unknown_key(command, "where",
				       (struct slice){condition, (size_t)(equals - condition)});
}

static bool has_key(const struct query_keys *keys, const struct query_key *key)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->item[i].fact == key->fact && !strcmp(keys->item[i].tag, key->tag))
			return true;
	}
	return false;
}

int query_flags_by(const char *command, const char *flag, const char *by, struct query_keys *keys)
{
	while (*by) {
		struct slice name = {by, strcspn(by, ",")};
		struct query_key key;

		if (!query_key_parse(name, &key))
			return query_flags_unknown_key(command, flag, name);
		if (!has_key(keys, &key)) {
			if (keys->count == QUERY_KEYS_MAX)
				return cli_fail(EXIT_USAGE, command, "--%s: at most %d facts", flag,
						QUERY_KEYS_MAX);
			keys->item[keys->count++] = key;
		}
		by += name.len + (by[name.len] == ',');
	}
	return EXIT_OK;
}

static int parse_where(const char *command, const char *where, struct query_filter *filter)
{
	_cleanup_(freep) char *copy = where ? strdup(where) : NULL;
	char *rest = copy, *condition;
	int rc = EXIT_OK;

	if (where && !copy)
		return cli_fail(EXIT_FAILED, command, "no memory");
	while (rc == EXIT_OK && (condition = strsep(&rest, ",")))
		rc = parse_condition(command, condition, filter);
	return rc;
}

int query_flags_parse(const struct query_flags *flags, const char *command,
		      struct query_filter *filter)
{
	int rc = query_flags_time(command, "since", flags->since, &filter->since_us);

	if (rc == EXIT_OK)
		rc = query_flags_time(command, "until", flags->until, &filter->until_us);
	return rc == EXIT_OK ? parse_where(command, flags->where, filter) : rc;
}

static int open_failed(int r, const char *command, const char *err)
{
	if (r == 0)
		return EXIT_OK;
	return cli_fail(r == -EACCES ? EXIT_PRIVILEGE : EXIT_STORAGE, command, "%s", err);
}

int query_flags_open(struct query **out, const char *command, const char *dir)
{
	char err[QUERY_ERROR_MAX] = "";

	return open_failed(query_open(out, dir, err, sizeof(err)), command, err);
}

static void tell_reading(void *user, const char *path)
{
	const uint64_t *since_ns = user;
	char what[128];

	snprintf(what, sizeof(what), "reading %s", path);
	progress_show(what, (int64_t)((clock_mono_ns() - *since_ns) / NSEC_PER_SEC), 0, "s");
}

int query_flags_open_many(struct query **out, const char *command, const struct query_flags *flags,
			  const struct query_filter *filter, const char *dir)
{
	uint64_t since_ns = clock_mono_ns();
	const struct query_sources sources = {
		.paths = flags->ledgers.count ? flags->ledgers.item : &dir,
		.count = flags->ledgers.count ? flags->ledgers.count : 1,
		.since_us = filter->since_us,
		.until_us = filter->until_us,
		.progress = tell_reading,
		.user = &since_ns,
	};
	char err[QUERY_ERROR_MAX] = "";
	int r = query_open_many(out, &sources, err, sizeof(err));

	progress_end();
	return open_failed(r, command, err);
}

static int64_t watched_since_s;

static void show_reading(void)
{
	int64_t now_s = (int64_t)(clock_mono_ns() / NSEC_PER_SEC);

	progress_show("reading the ledger", now_s - watched_since_s, 0, "s");
}

void query_flags_watch(struct query *q)
{
	watched_since_s = (int64_t)(clock_mono_ns() / NSEC_PER_SEC);
	query_watch(q, show_reading);
}

void query_closep(struct query **q)
{
	query_close(*q);
}
