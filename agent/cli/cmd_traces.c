/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap traces: the runs of agents that the ledger's calls tell of. */
#include "agent/cli/flags.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "agent/cli/spend_columns.h"

#include <errno.h>

#define LIMIT 50

static void help(void)
{
	printf("usage: tolltap traces [flags]\n\n"
	       "The runs of agents, the newest last. Calls with the same trace id (header\n"
	       "traceparent) are one, calls without one by the session id that a coding agent or\n"
	       "a gateway's client sends. A call that tells neither is joined to the run of the\n"
	       "answer, conversation or tool call that it goes on from. joined_by is the least\n"
	       "sure of what joined a run's calls. Calls that nothing joins are the row (none).\n"
	       "elapsed_ms is from the first call's beginning to the end of the last, call_ms the\n"
	       "time of the calls one by one.\n\n"
	       "flags:\n"
	       "  --limit=N      only the newest N (default: %d); the sum of those before is the\n"
	       "                 row (older)\n" QUERY_FLAGS_HELP QUERY_LEDGER_HELP "\nexamples:\n"
	       "  tolltap traces --since=24h\n"
	       "  tolltap traces --where=session=SESSION      the traces of one session\n"
	       "  tolltap trace ID                            one of them as a tree\n",
	       LIMIT);
	config_help("traces");
}

/* ---- runs -------------------------------------------------------------------------------- */

/* The later, the less sure; 0 for the first call of a run, or the only one. */
static int weakness(const char *joined_by)
{
	for (int i = RUN_ALONE + 1; joined_by && i < RUN_SOURCES; i++) {
		if (strcmp(joined_by, run_source_names[i]) == 0)
			return i;
	}
	return RUN_ALONE;
}

static int by_run(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;

	if (!x->group[0] || !y->group[0])
		return (x->group[0] != NULL) - (y->group[0] != NULL);
	return strcmp(x->group[0], y->group[0]);
}

static void swap(struct spend *a, struct spend *b)
{
	struct spend kept = *a;

	*a = *b;
	*b = kept;
}

/* One row for each run, with its weakest source; rows behind them are of no use but to be freed. */
static size_t merge_runs(struct spend *rows, size_t count)
{
	size_t runs = 0;

	if (count)
		qsort(rows, count, sizeof(*rows), by_run);
	for (size_t i = 0; i < count; i++) {
		struct spend *last = runs ? &rows[runs - 1] : NULL;

		if (!last || by_run(last, &rows[i]) != 0) {
			swap(&rows[runs++], &rows[i]);
			continue;
		}
		spend_add(last, &rows[i]);
		if (weakness(rows[i].group[1]) > weakness(last->group[1])) {
			const char *kept = last->group[1];

			last->group[1] = rows[i].group[1];
			rows[i].group[1] = kept;
		}
	}
	return runs;
}

/* Nothing joins its call to another. */
static bool is_single(const struct spend *run)
{
	return !run->group[1];
}

/* Single calls first, then by beginning. */
static int by_beginning(const void *a, const void *b)
{
	const struct spend *x = a, *y = b;

	if (is_single(x) != is_single(y))
		return is_single(x) ? -1 : 1;
	if (x->first_us != y->first_us)
		return x->first_us < y->first_us ? -1 : 1;
	return by_run(x, y);
}

/* ---- printing ---------------------------------------------------------------------------- */

static void print_sum(const struct spend_print *p, struct output *o, const char *what,
		      const struct spend *sum, bool total)
{
	output_text(o, what);
	output_null(o);
	spend_print_cells(p, o, sum, total);
	if (total)
		output_row_emphasis(o);
	else
		output_row(o);
}

/* Runs in order, of which the first `older` are only summed. */
static void print_runs(const struct spend_print *p, struct output *o, const struct spend *runs,
		       size_t count, size_t older)
{
	struct spend before = {0};

	for (size_t i = 0; i < older; i++)
		spend_add(&before, &runs[i]);
	if (older)
		print_sum(p, o, "(older)", &before, false);
	for (size_t i = older; i < count; i++) {
		output_text(o, runs[i].group[0]);
		output_text(o, runs[i].group[1]);
		spend_print_cells(p, o, &runs[i], false);
		output_row(o);
	}
}

static int print(struct spend_print *p, const struct spend *rows, size_t count, size_t limit)
{
	struct spend total = {0}, none = {0};
	struct output *o;
	size_t singles = 0;
	int r;

	p->heads[p->head_count++] = (struct output_column){"id", OUTPUT_LEFT};
	p->heads[p->head_count++] = (struct output_column){"joined_by", OUTPUT_LEFT};
	p->times = true;
	spend_print_choose(p);
	if (output_new(&o, stdout, p->form, p->heads, p->head_count))
		return cli_fail(EXIT_FAILED, "traces", "no memory");
	for (; singles < count && is_single(&rows[singles]); singles++)
		spend_add(&none, &rows[singles]);
	for (size_t i = 0; i < count; i++)
		spend_add(&total, &rows[i]);
	print_runs(p, o, rows + singles, count - singles,
		   count - singles > limit ? count - singles - limit : 0);
	if (singles)
		print_sum(p, o, QUERY_NONE, &none, false);
	print_sum(p, o, p->form == OUTPUT_TABLE ? "TOTAL" : NULL, &total, true);
	r = output_end(o);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "traces", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

static int traces(struct query *q, const struct query_filter *filter, struct spend_print *p,
		  int64_t limit)
{
	struct query_keys keys = {0};
	struct spend *rows = NULL;
	size_t count = 0, runs;
	int rc = query_flags_by("traces", "by", "run,joined_by", &keys), r;

	if (rc != EXIT_OK)
		return rc;
	query_flags_watch(q);
	r = query_spend(q, filter, keys.item, keys.count, &rows, &count);
	progress_end();
	if (r)
		return cli_fail(EXIT_STORAGE, "traces", "%s", query_error(q));
	runs = merge_runs(rows, count);
	if (runs)
		qsort(rows, runs, sizeof(*rows), by_beginning);
	rc = print(p, rows, runs, (size_t)limit);
	query_spend_free(rows, count);
	return rc;
}

int cmd_traces(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	struct spend_print print = {0};
	const char *limit_text = NULL;
	const struct cli_flag own[] = {
		{.name = "limit", .text = &limit_text},
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "where", .text = &shared.where},
		{.name = "ledger", .list = &shared.ledgers},
		{.name = NULL},
	};
	int64_t limit = LIMIT;
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "traces", "takes no operand; tolltap trace %.60s",
				argv[1]);
	if (!output_form_parse(config.output, &print.form))
		return cli_fail(EXIT_USAGE, "traces", "--output: table, json or csv");
	rc = query_flags_limit("traces", limit_text, &limit);
	if (rc == EXIT_OK)
		rc = query_flags_zone(&shared, "traces", &config);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "traces", &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, "traces", &shared, &filter, config.storage_path);
	return rc == EXIT_OK ? traces(q, &filter, &print, limit) : rc;
}
