/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap whatif: what recorded calls of one model would have cost at another. */
#include "agent/base/hash.h"
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "exporter/calendar.h"
#include "exporter/text.h"
#include "pricing/whatif.h"

#include <errno.h>

static void help(void)
{
	printf("usage: tolltap whatif --from=MODEL --to=MODEL [flags]\n\n"
	       "Prices every recorded call of one model at another's prices, with the tokens that\n"
	       "it had: another model would count the same text in other tokens, and answer at\n"
	       "another length. Calls that have no price now or would have none are counted and\n"
	       "left out of both sums. Nothing is changed.\n\n"
	       "flags:\n"
	       "  --from=MODEL   as recorded, or as the price table names it\n"
	       "  --to=MODEL     a name the price table knows\n"
	       "  --to-provider=P  whose model it is, where several have one of that name and\n"
	       "                 the calls' own provider has not\n"
	       "  --at=TIME      prices of that time (0s: now); else of each call's time\n"
	       "  --period=UNIT  rows by hour, day (default), week or month\n" QUERY_FLAGS_HELP
		       QUERY_LEDGER_HELP);
	config_help("whatif");
}

/* ---- rows -------------------------------------------------------------------------------- */

struct line_key {
	int64_t since_us;
	char model[CALL_NAME_MAX];
};

struct line {
	struct line_key key;
	char period[CALENDAR_LABEL_MAX];
	int64_t calls, compared, unpriced_now, unpriced_then, lower_bound;
	pusd_sum now, then; /* of the compared */
	bool in_table;
	UT_hash_handle hh;
};

/* A recorded name that is the model asked for. */
struct source {
	char provider[32];
	char model[CALL_NAME_MAX];
};

#define SOURCES_MAX 256

struct whatif {
	struct catalog *catalog;
	const char *from, *to;
	char provider[32], id[CALL_NAME_MAX]; /* what `to` is */
	int64_t at_us;
	enum calendar_unit unit;
	enum output_form form;
	struct source sources[SOURCES_MAX];
	size_t source_count;
	int64_t calls_in_all; /* for progress */
	struct query_losses lost;
	struct calendar_span span;
	struct line *lines;
	struct line total;
};

static struct line *line_of(struct whatif *w, const struct call *call)
{
	struct line_key key = {0};
	struct line *line;

	calendar_span_move(w->unit, call->started_at_us, &w->span);
	key.since_us = w->span.since_us;
	slice_copy(key.model, sizeof(key.model), slice_of(call->model));
	HASH_FIND(hh, w->lines, &key, sizeof(key), line);
	if (line || HASH_COUNT(w->lines) >= QUERY_GROUPS_MAX)
		return line;
	line = calloc(1, sizeof(*line));
	if (!line)
		return NULL;
	line->key = key;
	line->in_table = true;
	snprintf(line->period, sizeof(line->period), "%s", w->span.label);
	HASH_ADD(hh, w->lines, key, sizeof(line->key), line);
	if (!line->in_table) {
		free(line);
		return NULL;
	}
	return line;
}

static void count(struct line *line, const struct call *now, const struct call *then)
{
	int64_t cost_now = now->cost.cost_pusd, cost_then = then->cost.cost_pusd;

	line->calls++;
	line->unpriced_now += cost_now < 0;
	line->unpriced_then += cost_then < 0;
	if (cost_now < 0 || cost_then < 0)
		return;
	line->compared++;
	line->lower_bound += then->basis == BASIS_PARTIAL || then->basis == BASIS_ESTIMATED;
	line->now += cost_now;
	line->then += cost_then;
}

static int reprice(void *user, const struct event *event)
{
	struct whatif *w = user;
	struct line *line;
	struct call then;

	if (event->call.collapsed_by != COLLAPSED_NOT) /* another row is its bill */
		return 0;
	line = line_of(w, &event->call);
	if (!line)
		return HASH_COUNT(w->lines) >= QUERY_GROUPS_MAX ? -E2BIG : -ENOMEM;
	price_as_model(w->catalog, &event->call, w->provider, w->id, w->at_us, &then);
	count(line, &event->call, &then);
	count(&w->total, &event->call, &then);
	progress_show("pricing", w->total.calls, w->calls_in_all, "calls");
	return 0;
}

static void lines_free(struct whatif *w)
{
	struct line *line, *next;

	HASH_ITER (hh, w->lines, line, next) {
		HASH_DEL(w->lines, line);
		free(line);
	}
}

/* ---- which models ------------------------------------------------------------------------ */

static bool is_from(const struct whatif *w, const struct spend *row)
{
	const char *id;

	if (!row->group[0] || !row->group[1])
		return false;
	id = catalog_id_of(w->catalog, row->group[0], row->group[1]);
	return !strcmp(row->group[1], w->from) || (id && !strcmp(id, w->from));
}

/* The names under which calls of the model are recorded in the filter's time. */
static int find_sources(struct whatif *w, struct query *q, const struct query_filter *filter)
{
	struct query_keys keys = {0};
	struct spend *rows = NULL;
	size_t row_count = 0;
	int rc = query_flags_by("whatif", "from", "provider,model", &keys);

	if (rc != EXIT_OK)
		return rc;
	if (query_check_calls(q, filter) ||
	    query_spend(q, filter, keys.item, keys.count, &rows, &row_count))
		return cli_fail(EXIT_STORAGE, "whatif", "%s", query_error(q));
	for (size_t i = 0; i < row_count; i++) {
		struct source *source = &w->sources[w->source_count];

		if (!is_from(w, &rows[i]) || w->source_count == SOURCES_MAX)
			continue;
		slice_copy(source->provider, sizeof(source->provider), slice_of(rows[i].group[0]));
		slice_copy(source->model, sizeof(source->model), slice_of(rows[i].group[1]));
		w->calls_in_all += rows[i].calls;
		w->source_count++;
	}
	query_spend_free(rows, row_count);
	if (w->source_count == SOURCES_MAX)
		return cli_fail(EXIT_FAILED, "whatif",
				"'%.60s' has %d recorded names or more; give "
				"one of them",
				w->from, SOURCES_MAX);
	if (w->source_count == 0)
		return cli_fail(EXIT_FAILED, "whatif",
				"no call of '%.60s' is recorded in this time; tolltap spend lists "
				"the models",
				w->from);
	return EXIT_OK;
}

struct targets {
	const char *provider; /* asked for, or NULL */
	char found[32], id[CALL_NAME_MAX];
	struct text names;
	size_t count;
};

static void add_target(void *user, const char *provider, const char *id)
{
	struct targets *t = user;

	if (t->provider && strcmp(t->provider, provider) != 0)
		return;
	text_printf(&t->names, "%s%s", t->count++ ? " " : "", provider);
	slice_copy(t->found, sizeof(t->found), slice_of(provider));
	slice_copy(t->id, sizeof(t->id), slice_of(id));
}

/* The provider that made all the calls, or NULL. */
static const char *one_provider(const struct whatif *w)
{
	for (size_t i = 1; i < w->source_count; i++) {
		if (strcmp(w->sources[i].provider, w->sources[0].provider) != 0)
			return NULL;
	}
	return w->sources[0].provider;
}

static void look_for(const struct whatif *w, const char *provider, struct targets *t)
{
	t->provider = provider;
	catalog_each_model(w->catalog, w->to, add_target, t);
}

/*
 * Of several providers it is the calls' own, where it has one. A model of prices.d alone is in no
 * list: with its provider named it is taken at its word.
 */
static int find_target(struct whatif *w, const char *provider)
{
	struct targets all = {.names = TEXT_INIT(16384)}, own = {.names = TEXT_INIT(16384)};
	const struct targets *t = &all;
	int rc = EXIT_OK;

	look_for(w, provider, &all);
	if (all.count > 1 && one_provider(w)) {
		look_for(w, one_provider(w), &own);
		t = own.count == 1 ? &own : &all;
	}
	if (t->count > 1)
		rc = cli_fail(EXIT_USAGE, "whatif",
			      "--to: several providers have '%.60s'; choose with --to-provider: %s",
			      w->to, text_cstr(&all.names) ? all.names.ptr : "");
	else if (t->count == 0 && !provider)
		rc = cli_fail(EXIT_USAGE, "whatif",
			      "--to: no price of '%.60s'; tolltap prices list has the names",
			      w->to);
	text_free(&all.names);
	text_free(&own.names);
	if (rc != EXIT_OK)
		return rc;
	slice_copy(w->provider, sizeof(w->provider), slice_of(t->count ? t->found : provider));
	slice_copy(w->id, sizeof(w->id), slice_of(t->count ? t->id : w->to));
	return EXIT_OK;
}

/* ---- printing ---------------------------------------------------------------------------- */

static const struct output_column columns[] = {
	{"period", OUTPUT_LEFT},	  {"model", OUTPUT_LEFT},
	{"calls", OUTPUT_RIGHT},	  {"compared", OUTPUT_RIGHT},
	{"cost_usd", OUTPUT_RIGHT},	  {"whatif_usd", OUTPUT_RIGHT},
	{"difference_usd", OUTPUT_RIGHT}, {"unpriced_now", OUTPUT_RIGHT},
	{"unpriced_then", OUTPUT_RIGHT},  {"lower_bound", OUTPUT_RIGHT},
	{"to_provider", OUTPUT_LEFT},	  {"to_model", OUTPUT_LEFT},
	{"assumes", OUTPUT_LEFT},	  {"total", OUTPUT_LEFT},
};

#define TABLE_COLUMNS 10 /* a table has the first ones */

static void print_line(const struct whatif *w, struct output *o, const struct line *line,
		       bool total)
{
	char usd[PUSD_TEXT_MAX];

	output_text(o, !total ? line->period : w->form == OUTPUT_TABLE ? "TOTAL" : NULL);
	output_text(o, total ? NULL : line->key.model);
	output_int(o, line->calls);
	output_int(o, line->compared);
	if (line->compared) {
		output_text(o, pusd_format(usd, line->now));
		output_text(o, pusd_format(usd, line->then));
		output_text(o, pusd_format(usd, line->then - line->now));
	} else {
		output_null(o);
		output_null(o);
		output_null(o);
	}
	output_int(o, line->unpriced_now);
	output_int(o, line->unpriced_then);
	output_int(o, line->lower_bound);
	if (w->form != OUTPUT_TABLE) {
		output_text(o, w->provider);
		output_text(o, w->id);
		output_text(o, "same_tokens");
		output_bool(o, total);
	}
	if (total)
		output_row_emphasis(o);
	else
		output_row(o);
}

static int by_time(const struct line *a, const struct line *b)
{
	if (a->key.since_us != b->key.since_us)
		return a->key.since_us < b->key.since_us ? -1 : 1;
	return strcmp(a->key.model, b->key.model);
}

static void print_notes(const struct whatif *w)
{
	printf("the same tokens at the prices of %s/%s; another model would count and write other "
	       "ones\n",
	       w->provider, w->id);
	if (w->total.calls > w->total.compared)
		printf("%lld calls without a price, now or then, are in neither sum\n",
		       (long long)(w->total.calls - w->total.compared));
	if (w->total.lower_bound)
		printf("at least: %lld of the calls in the sums may have cost more than is known\n",
		       (long long)w->total.lower_bound);
	if (w->lost.occasions)
		printf("%lld calls were lost and %lld s not metered in this time (tolltap "
		       "doctor)\n",
		       (long long)w->lost.calls, (long long)w->lost.unmetered_seconds);
	if (strcmp(calendar_zone(), CALENDAR_UTC) != 0)
		printf("time zone: %s\n", calendar_zone());
}

static int print_lines(struct whatif *w)
{
	size_t shown = w->form == OUTPUT_TABLE ? TABLE_COLUMNS : ARRAY_LEN(columns);
	struct output *o;
	int r;

	HASH_SORT(w->lines, by_time);
	if (output_new(&o, stdout, w->form, columns, shown))
		return cli_fail(EXIT_FAILED, "whatif", "no memory");
	for (struct line *line = w->lines; line; line = line->hh.next)
		print_line(w, o, line, false);
	print_line(w, o, &w->total, true);
	r = output_end(o);
	if (w->form == OUTPUT_TABLE)
		print_notes(w);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "whatif", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

/* ---- the command ------------------------------------------------------------------------- */

/* One reading of the ledger for each name, which mostly is one. */
static int run(struct whatif *w, struct query *q, const struct query_filter *filter,
	       const char *provider)
{
	int rc = find_sources(w, q, filter), r = 0;

	if (rc == EXIT_OK)
		rc = find_target(w, provider);

	for (size_t i = 0; rc == EXIT_OK && r == 0 && i < w->source_count; i++) {
		struct query_filter part = *filter;
		char condition[CALL_NAME_MAX + 16];

		snprintf(condition, sizeof(condition), "provider=%s", w->sources[i].provider);
		r = query_filter_where(&part, condition);
		snprintf(condition, sizeof(condition), "model=%s", w->sources[i].model);
		if (r == 0)
			r = query_filter_where(&part, condition);
		if (r)
			return cli_fail(EXIT_USAGE, "whatif", "--where: at most %d conditions",
					QUERY_WHERE_MAX - 2);
		r = query_events(q, &part, 0, 0, reprice, w);
	}
	if (rc == EXIT_OK && r == 0)
		r = query_losses(q, filter->since_us, filter->until_us, &w->lost);
	progress_end();
	if (r == -E2BIG)
		return cli_fail(EXIT_FAILED, "whatif",
				"more than %d rows; take a longer --period or a later --since",
				QUERY_GROUPS_MAX);
	if (r)
		return cli_fail(r == -ENOMEM ? EXIT_FAILED : EXIT_STORAGE, "whatif", "%s",
				r == -ENOMEM ? "no memory" : query_error(q));
	return rc == EXIT_OK ? print_lines(w) : rc;
}

static int load_prices(struct whatif *w, const struct config *config)
{
	char err[CATALOG_ERROR_MAX];

	if (catalog_load(&w->catalog, config->prices_file, config->prices_dir, err, sizeof(err)))
		return cli_fail(EXIT_CONFIG, "whatif", "%s", err);
	return EXIT_OK;
}

int cmd_whatif(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	struct whatif w = {.unit = CALENDAR_DAY};
	const char *provider = NULL, *period = "day", *at = NULL;
	const struct cli_flag own[] = {
		{.name = "from", .text = &w.from},
		{.name = "to", .text = &w.to},
		{.name = "to-provider", .text = &provider},
		{.name = "at", .text = &at},
		{.name = "period", .text = &period},
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
		return cli_fail(EXIT_USAGE, "whatif", "takes no operand '%.60s'", argv[1]);
	if (!w.from || !w.to)
		return cli_fail(EXIT_USAGE, "whatif", "--from=MODEL and --to=MODEL are needed");
	if (!calendar_unit_parse(slice_of(period), &w.unit))
		return cli_fail(EXIT_USAGE, "whatif", "--period: hour, day, week or month");
	if (!output_form_parse(config.output, &w.form))
		return cli_fail(EXIT_USAGE, "whatif", "--output: table, json or csv");
	rc = query_flags_zone(&shared, "whatif", &config);
	if (rc == EXIT_OK)
		rc = query_flags_time("whatif", "at", at, &w.at_us);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "whatif", &filter);
	if (rc == EXIT_OK)
		rc = load_prices(&w, &config);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, "whatif", &shared, &filter, config.storage_path);
	if (rc == EXIT_OK)
		rc = run(&w, q, &filter, provider);
	lines_free(&w);
	catalog_free(w.catalog);
	return rc;
}
