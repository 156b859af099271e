/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap spend: who spent what, grouped by any recorded fact, with the exact total. */
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "agent/cli/spend_columns.h"
#include "exporter/calendar.h"

#include <errno.h>

#define DEFAULT_BY "model"

/* The facts as an indented block of short lines. */
static void print_facts(void)
{
	char known[1024], *rest = known, *name;
	size_t column = 0;

	query_key_list(known, sizeof(known));
	while ((name = strsep(&rest, " "))) {
		if (column == 0 || column + strlen(name) > 60) {
			printf("\n                ");
			column = 0;
		}
		column += (size_t)printf(" %s", name);
	}
	printf(" tag:NAME\n");
}

static void help(void)
{
	printf("usage: tolltap spend [--by=FACT,FACT...] [--period=UNIT] [flags]\n\n"
	       "Sums the recorded calls by facts (default: " DEFAULT_BY "), dearest first, with "
	       "the total\nas last row. \"at least\": some calls cost more than is known; "
	       "\"about\": "
	       "some cost is\nestimated. Calls of a subscription cost 0; their list price is shown "
	       "beside, in no sum.\n\n"
	       "flags:\n"
	       "  --by=FACTS     at most %d of:",
	       QUERY_KEYS_MAX);
	print_facts();
	printf("  --period=UNIT  by hour, day, week or month first, in order of time; without\n"
	       "                 --by only by it\n"
	       "  --efficiency   averages, what caching saved, and the cost of answers that were\n"
	       "                 cut, failed or were asked for again; reads every call of the "
	       "time\n" QUERY_FLAGS_HELP QUERY_LEDGER_HELP);
	config_help("spend");
}

/* ---- printing ---------------------------------------------------------------------------- */

static void print_notes(const struct spend_print *p, const struct query_losses *lost, bool periods)
{
	if (p->form != OUTPUT_TABLE)
		return;
	if (lost->occasions)
		printf("at least: %lld calls were lost and %lld s not metered in this time "
		       "(tolltap doctor)\n",
		       (long long)lost->calls, (long long)lost->unmetered_seconds);
	if (periods && strcmp(calendar_zone(), CALENDAR_UTC) != 0)
		printf("time zone: %s\n", calendar_zone());
}

static int print_rows(struct spend_print *p, const struct spend *rows, size_t count,
		      const struct query_losses *lost, bool periods)
{
	struct spend total = {.calls_lost = lost->occasions > 0};
	struct output *o;
	int r;

	spend_print_choose(p);
	if (output_new(&o, stdout, p->form, p->heads, p->head_count))
		return cli_fail(EXIT_FAILED, "spend", "no memory");
	for (size_t i = 0; i < count; i++) {
		if (p->keys.count) /* without facts the total is the only row */
			spend_print_row(p, o, &rows[i], false);
		spend_add(&total, &rows[i]);
	}
	spend_print_row(p, o, &total, true);
	r = output_end(o);
	print_notes(p, lost, periods);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "spend", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

static int spend(struct query *q, const struct query_filter *filter, struct spend_print *p,
		 bool periods)
{
	const struct query_key *keys = p->keys.item;
	struct query_losses lost;
	struct spend *rows = NULL;
	size_t count = 0;
	int rc = EXIT_OK, r;

	query_flags_watch(q);
	r = query_spend(q, filter, keys, p->keys.count, &rows, &count);
	if (r == 0 && p->efficiency)
		r = query_spend_retried(q, filter, keys, p->keys.count, rows, count);
	if (r == 0)
		r = query_losses(q, filter->since_us, filter->until_us, &lost);
	progress_end();
	if (r)
		rc = cli_fail(EXIT_STORAGE, "spend", "%s", query_error(q));
	p->knows_savings = query_knows_savings(q);
	if (periods)
		query_spend_by_time(rows, count);
	if (rc == EXIT_OK)
		rc = print_rows(p, rows, count, &lost, periods);
	query_spend_free(rows, count);
	return rc;
}

/* The period stands before the facts. */
static int parse_keys(const char *period, const char *by, struct query_keys *keys)
{
	enum calendar_unit unit;
	int rc = EXIT_OK;

	if (period && !calendar_unit_parse(slice_of(period), &unit))
		return cli_fail(EXIT_USAGE, "spend", "--period: hour, day, week or month");
	if (period)
		rc = query_flags_by("spend", "period", period, keys);
	if (rc != EXIT_OK || (period && !by))
		return rc;
	return query_flags_by("spend", "by", by ? by : DEFAULT_BY, keys);
}

int cmd_spend(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	struct spend_print print = {0};
	const char *by = NULL, *period = NULL;
	const struct cli_flag own[] = {
		{.name = "by", .text = &by},
		{.name = "period", .text = &period},
		{.name = "efficiency", .boolean = &print.efficiency},
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "where", .text = &shared.where},
		{.name = "ledger", .list = &shared.ledgers},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "spend", "takes no operand '%.60s'", argv[1]);
	if (!output_form_parse(config.output, &print.form))
		return cli_fail(EXIT_USAGE, "spend", "--output: table, json or csv");
	rc = query_flags_zone(&shared, "spend", &config);
	if (rc == EXIT_OK)
		rc = parse_keys(period, by, &print.keys);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "spend", &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, "spend", &shared, &filter, config.storage_path);
	return rc == EXIT_OK ? spend(q, &filter, &print, period != NULL) : rc;
}
