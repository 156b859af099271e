/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/bill_scope.h"

#include "exporter/text.h"

#include <stdio.h>

#define SCOPE_MAX_BYTES (64u << 10)

/*
 * The ledger is of all hosts, or the bill is of a part that the operator chose for these hosts:
 * projects, or keys whose calls the ledger can tell from others.
 */
static bool is_same_part(const struct bill_scope *s)
{
	bool narrowed = *s->asked.projects || s->ledger->by_keys;

	return narrowed || (s->all_hosts && !*s->asked.where);
}

bool bill_scope_covers(const struct bill_scope *s, int64_t day)
{
	return is_same_part(s) && recon_uptime_has(s->uptime, day);
}

static size_t covered_days(const struct bill_scope *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->uptime->days; i++)
		n += bill_scope_covers(s, s->uptime->first_day + (int64_t)i);
	return n;
}

/* "12.5": hours with one digit, of seconds. */
static void put_hours(struct text *out, int64_t seconds)
{
	text_printf(out, "%lld.%lld", (long long)(seconds / 3600),
		    (long long)(seconds % 3600 / 360));
}

/* ---- as lines ---------------------------------------------------------------------------- */

static void put_bill(struct text *out, const struct bill_scope *s)
{
	char from[BILL_DAY_TEXT_MAX], to[BILL_DAY_TEXT_MAX];

	text_printf(out, "scope: the bill of %s up to but without %s (UTC days), in %s",
		    bill_day_text(from, bill_day(s->asked.from_s)),
		    bill_day_text(to, bill_day(s->asked.to_s)), s->bills_path);
	if (*s->asked.account)
		text_printf(out, "; account %s", s->asked.account);
	text_printf(out, "; projects: %s; keys: %s\n",
		    *s->asked.projects ? s->asked.projects : "all",
		    *s->asked.keys ? s->asked.keys : "all");
	if (s->billed->left_out)
		text_printf(out,
			    "scope: %lld imported rows are left out: the costs of their days were "
			    "pulled\n",
			    (long long)s->billed->left_out);
	if (*s->billed->filters)
		text_printf(out, "scope: pulls of these days were narrowed: %s\n",
			    s->billed->filters);
	if (s->billed->parts)
		text_printf(out,
			    "scope: %lld pulled rows are left out: they are of a part of what is "
			    "compared, and the rest of their days was not pulled\n",
			    (long long)s->billed->parts);
	if (s->billed->early)
		text_printf(out,
			    "scope: %lld bills were fetched before their last day was over: pull "
			    "them again\n",
			    (long long)s->billed->early);
}

static void put_ledger(struct text *out, const struct bill_scope *s)
{
	const struct recon_uptime *up = s->uptime;

	text_printf(out, "scope: the ledger's %lld calls", (long long)s->ledger->calls);
	if (*s->asked.where)
		text_printf(out, " where %s", s->asked.where);
	if (s->ledger->by_keys)
		text_printf(out, " of the fingerprints of %s", s->asked.keys);
	if (!up->known) {
		text_puts(out, "; when its agent ran is not known (an older version wrote it)\n");
	} else {
		text_printf(out, "; %zu host%s%s%s%s, ", up->hosts, up->hosts == 1 ? "" : "s",
			    up->hosts ? " (" : "", up->host_names, up->hosts ? ")" : "");
		put_hours(out, up->seconds);
		text_puts(out, " hours of agent uptime of ");
		put_hours(out, (int64_t)up->days * SECONDS_PER_DAY * (int64_t)up->hosts);
		text_printf(out, ", %lld s of them not metered\n",
			    (long long)up->unmetered_seconds);
	}
	if (*s->asked.keys && !s->ledger->by_keys)
		text_puts(out,
			  "scope: these are the calls of all keys: the configuration's keys name "
			  "no fingerprint for each key_id\n");
	if (s->ledger->foreign_calls)
		text_printf(out,
			    "scope: %lld calls are left out: self-hosted, or at hosts of no known "
			    "role\n",
			    (long long)s->ledger->foreign_calls);
}

static bool has_bill(const struct bill_scope *s, const char *provider)
{
	for (size_t i = 0; i < s->billed->days; i++) {
		if (!strcmp(s->billed->day[i].provider, provider))
			return true;
	}
	return false;
}

/* Providers in the ledger that none of the bills is of; sums stand together by provider. */
static void put_unbilled(struct text *out, const struct bill_scope *s)
{
	const char *last = "";

	for (size_t i = 0; i < s->ledger->count; i++) {
		const char *provider = s->ledger->sum[i].key.provider;

		if (!strcmp(provider, last) || has_bill(s, provider))
			continue;
		text_printf(out, "%s%s", *last ? ", " : "scope: no bill is stored of ", provider);
		last = provider;
	}
	if (*last)
		text_puts(out, ", so their calls are left out\n");
}

static void put_cover(struct text *out, const struct bill_scope *s)
{
	size_t days = covered_days(s);

	if (days == s->uptime->days)
		return;
	if (is_same_part(s))
		text_printf(out,
			    "scope: on %zu of %zu days an agent was away, so what was billed and "
			    "not seen is \"not covered by these ledgers\" there\n",
			    s->uptime->days - days, s->uptime->days);
	else
		text_puts(out,
			  "scope: the bill may be of more than these hosts, so what was billed and "
			  "not seen is \"not covered by these ledgers\"; narrow the bill with "
			  "--project, or --key-id and the configuration's keys, or say "
			  "--all-hosts\n");
}

/* ---- as JSON ----------------------------------------------------------------------------- */

static void put_json_text(struct text *out, const char *key, const char *value)
{
	text_printf(out, "\"%s\":", key);
	if (*value)
		text_json_string(out, slice_of(value));
	else
		text_puts(out, "null");
	text_puts(out, ",");
}

static void put_json(struct text *out, const struct bill_scope *s)
{
	char day[BILL_DAY_TEXT_MAX];
	const struct recon_uptime *up = s->uptime;

	text_puts(out, "{\"scope\":{");
	put_json_text(out, "from", bill_day_text(day, bill_day(s->asked.from_s)));
	put_json_text(out, "to", bill_day_text(day, bill_day(s->asked.to_s)));
	put_json_text(out, "bills", s->bills_path);
	put_json_text(out, "account", s->asked.account);
	put_json_text(out, "projects", s->asked.projects);
	put_json_text(out, "keys", s->asked.keys);
	put_json_text(out, "where", s->asked.where);
	put_json_text(out, "pulled_filters", s->billed->filters);
	text_printf(out,
		    "\"imported_rows_left_out\":%lld,\"pulled_rows_left_out\":%lld,"
		    "\"bills_fetched_early\":%lld,",
		    (long long)s->billed->left_out, (long long)s->billed->parts,
		    (long long)s->billed->early);
	text_printf(out, "\"calls\":%lld,\"calls_by_keys\":%s,\"foreign_calls\":%lld,",
		    (long long)s->ledger->calls, s->ledger->by_keys ? "true" : "false",
		    (long long)s->ledger->foreign_calls);
	put_json_text(out, "host_names", up->host_names);
	if (up->known)
		text_printf(out,
			    "\"hosts\":%zu,\"uptime_seconds\":%lld,\"unmetered_seconds\":%lld,",
			    up->hosts, (long long)up->seconds, (long long)up->unmetered_seconds);
	else
		text_puts(out,
			  "\"hosts\":null,\"uptime_seconds\":null,\"unmetered_seconds\":null,");
	text_printf(out, "\"days\":%zu,\"days_covered\":%zu}}\n", up->days, covered_days(s));
}

void bill_scope_print(const struct bill_scope *scope, enum output_form form)
{
	struct text out = TEXT_INIT(SCOPE_MAX_BYTES);

	if (form == OUTPUT_JSON) {
		put_json(&out, scope);
	} else {
		put_bill(&out, scope);
		put_ledger(&out, scope);
		put_unbilled(&out, scope);
		put_cover(&out, scope);
	}
	if (text_cstr(&out))
		fputs(out.ptr, form == OUTPUT_CSV ? stderr : stdout);
	text_free(&out);
}
