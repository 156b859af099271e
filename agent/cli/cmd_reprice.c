/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap reprice: recorded calls at the prices that the table has now, shown first, journaled. */
#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "exporter/amend.h"
#include "exporter/calendar.h"
#include "exporter/periods.h"
#include "exporter/reprice.h"
#include "exporter/text.h"

#include <errno.h>
#include <unistd.h>

#define LINES_MAX 100000 /* days and models shown; beyond it the reprice is refused */

static void help(void)
{
	printf("usage: tolltap reprice --since=TIME [--until=TIME] [--where=K=V] [flags]\n\n"
	       "Prices recorded calls again with the price table as it is now: after a price was\n"
	       "corrected, or added for a model that was unpriced. Shows first what changes, by\n"
	       "day and model. Each change is a revision of its row; who made it, when, and what\n"
	       "the row cost before stay in the ledger's journal. Tokens never change.\n"
	       "Metrics count what was recorded; only tolltap_ledger_cost_usd follows.\n\n"
	       "flags:\n" QUERY_FLAGS_HELP "  --dry-run      only show what would change\n"
	       "  --closed       change closed months too, as corrections (tolltap period)\n"
	       "  --yes          do not ask\n");
	config_help("reprice");
}

/* ---- what changes, by day and model ------------------------------------------------------- */

struct line_key {
	char day[11];
	char provider[32];
	char model[CALL_NAME_MAX];
};

struct line {
	struct line_key key;
	int64_t calls, priced, unpriced; /* of calls: had no price before, have none now */
	pusd_sum before, after;
	bool in_table;
	UT_hash_handle hh;
};

struct lines {
	struct line *first; /* by key */
	struct line total;
	int64_t in_closed;	  /* not among them */
	struct calendar_span day; /* of the call before */
};

static struct line *line_of(struct lines *lines, const struct call *call)
{
	struct line_key key = {0};
	struct line *line;

	calendar_span_move(CALENDAR_DAY, call->started_at_us, &lines->day);
	snprintf(key.day, sizeof(key.day), "%.10s", lines->day.label);
	snprintf(key.provider, sizeof(key.provider), "%s", call->provider);
	snprintf(key.model, sizeof(key.model), "%s", call->model);
	HASH_FIND(hh, lines->first, &key, sizeof(key), line);
	if (line || HASH_COUNT(lines->first) >= LINES_MAX)
		return line;
	line = calloc(1, sizeof(*line));
	if (!line)
		return NULL;
	line->key = key;
	line->in_table = true;
	HASH_ADD(hh, lines->first, key, sizeof(line->key), line);
	if (line->in_table)
		return line;
	free(line);
	return NULL;
}

static void count_change(struct line *line, const struct reprice_change *change)
{
	int64_t before = change->before->cost.cost_pusd, after = change->after->cost.cost_pusd;

	line->calls++;
	line->priced += before < 0 && after >= 0;
	line->unpriced += before >= 0 && after < 0;
	line->before += before > 0 ? before : 0;
	line->after += after > 0 ? after : 0;
}

static int add_change(void *user, const struct reprice_change *change)
{
	struct lines *lines = user;
	struct line *line;

	if (change->in_closed) {
		lines->in_closed++;
		return 0;
	}
	line = line_of(lines, change->before);
	if (!line)
		return HASH_COUNT(lines->first) >= LINES_MAX ? -E2BIG : -ENOMEM;
	count_change(line, change);
	count_change(&lines->total, change);
	return 0;
}

static void lines_free(struct lines *lines)
{
	struct line *line, *next;

	HASH_ITER (hh, lines->first, line, next) {
		HASH_DEL(lines->first, line);
		free(line);
	}
}

static int by_key(struct line *a, struct line *b)
{
	int order = strcmp(a->key.day, b->key.day);

	if (order == 0)
		order = strcmp(a->key.provider, b->key.provider);
	return order ? order : strcmp(a->key.model, b->key.model);
}

/* ---- printing ---------------------------------------------------------------------------- */

static const struct output_column columns[] = {
	{"day", OUTPUT_LEFT},
	{"provider", OUTPUT_LEFT},
	{"model", OUTPUT_LEFT},
	{"calls", OUTPUT_RIGHT},
	{"before_usd", OUTPUT_RIGHT},
	{"after_usd", OUTPUT_RIGHT},
	{"difference_usd", OUTPUT_RIGHT},
	{"newly_priced", OUTPUT_RIGHT},
	{"no_longer_priced", OUTPUT_RIGHT},
};

static void print_line(struct output *o, const struct line *line, bool total)
{
	char usd[PUSD_TEXT_MAX];

	output_text(o, total ? "TOTAL" : line->key.day);
	output_text(o, line->key.provider);
	output_text(o, line->key.model);
	output_int(o, line->calls);
	output_text(o, pusd_format(usd, line->before));
	output_text(o, pusd_format(usd, line->after));
	output_text(o, pusd_format(usd, line->after - line->before));
	output_int(o, line->priced);
	output_int(o, line->unpriced);
	if (total)
		output_row_emphasis(o);
	else
		output_row(o);
}

static int print_lines(struct lines *lines, enum output_form form)
{
	struct output *o;
	int r;

	if (output_new(&o, stdout, form, columns, ARRAY_LEN(columns)))
		return cli_fail(EXIT_FAILED, "reprice", "no memory");
	HASH_SORT(lines->first, by_key);
	for (const struct line *line = lines->first; line; line = line->hh.next)
		print_line(o, line, false);
	print_line(o, &lines->total, true);
	r = output_end(o);
	if (lines->in_closed)
		fprintf(stderr,
			"%lld more calls are in closed months and stay as they are; --closed "
			"changes them, as corrections\n",
			(long long)lines->in_closed);
	return r && r != -EPIPE ? cli_fail(EXIT_FAILED, "reprice", "cannot write: %s", strerror(-r))
				: EXIT_OK;
}

/* ---- doing it ---------------------------------------------------------------------------- */

struct wanted {
	struct reprice opts;
	const char *dir;
	enum output_form form;
	bool dry_run, yes;
};

static int code_of(int r)
{
	if (r == -E2BIG)
		return EXIT_FAILED;
	return r == -EACCES ? EXIT_PRIVILEGE : EXIT_STORAGE;
}

static bool asked(const struct lines *lines)
{
	char answer[8] = "";

	fprintf(stderr, "reprice %lld calls? [y/N] ", (long long)lines->total.calls);
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

static void show_hours(int64_t done, int64_t all)
{
	progress_show("repricing", done, all, "hours");
}

static int apply(const struct wanted *w)
{
	char err[QUERY_ERROR_MAX];
	int64_t changed, id;
	int r = reprice_apply(w->dir, &w->opts, &changed, &id, show_hours, err, sizeof(err));

	progress_end();
	if (r)
		return cli_fail(code_of(r), "reprice",
				"%s; %lld calls are repriced and stay so, the same again goes on",
				err, (long long)changed);
	fprintf(stderr, "reprice %lld: %lld calls changed\n", (long long)id, (long long)changed);
	return EXIT_OK;
}

static int show_and_apply(const struct wanted *w)
{
	struct lines lines = {0};
	char err[QUERY_ERROR_MAX] = "";
	int r = reprice_preview(w->dir, &w->opts, add_change, &lines, err, sizeof(err));
	int rc;

	if (r)
		rc = cli_fail(code_of(r), "reprice", "%s",
			      r == -E2BIG ? "too many days and models; give a shorter time" : err);
	else
		rc = print_lines(&lines, w->form);
	if (rc == EXIT_OK && !w->dry_run && lines.total.calls) {
		if (w->yes || (isatty(STDIN_FILENO) && asked(&lines)))
			rc = apply(w);
		else
			rc = cli_fail(EXIT_USAGE, "reprice", "nothing changed; confirm with --yes");
	}
	lines_free(&lines);
	return rc;
}

int cmd_reprice(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	char err[CATALOG_ERROR_MAX], by[PERIOD_BY_MAX];
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	struct wanted w = {.opts.filter = &filter};
	struct catalog *catalog = NULL;
	const struct cli_flag own[] = {
		{.name = "since", .text = &shared.since},
		{.name = "until", .text = &shared.until},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "where", .text = &shared.where},
		{.name = "dry-run", .boolean = &w.dry_run},
		{.name = "closed", .boolean = &w.opts.closed},
		{.name = "yes", .boolean = &w.yes},
		{.name = NULL},
	};
	int rc = cli_begin(&config, &argc, argv, own, help);

	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "reprice", "takes no operand '%.60s'", argv[1]);
	if (!shared.since)
		return cli_fail(EXIT_USAGE, "reprice", "--since is needed: from when on?");
	if (!output_form_parse(config.output, &w.form))
		return cli_fail(EXIT_USAGE, "reprice", "--output: table, json or csv");
	rc = query_flags_zone(&shared, "reprice", &config);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "reprice", &filter);
	if (rc != EXIT_OK)
		return rc;
	if (catalog_load(&catalog, config.prices_file, config.prices_dir, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "reprice", "%s", err);
	w.dir = config.storage_path;
	w.opts.catalog = catalog;
	w.opts.filter_text = shared.where ? shared.where : "";
	w.opts.by = amend_by(by, sizeof(by));
	w.opts.now_us = clock_wall_ns() / 1000;
	rc = show_and_apply(&w);
	catalog_free(catalog);
	return rc;
}
