/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap forecast: what the month will come to, by the days before. */
#include "agent/base/clock.h"
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/progress.h"
#include "agent/cli/query_flags.h"
#include "exporter/calendar.h"
#include "exporter/forecast.h"

#include <errno.h>

#define DAYS_DEFAULT   28
#define SERIES_MAX     1000 /* groups that are forecast */
#define MONTH_DAYS_MAX 32
#define SPANS_MAX      (FORECAST_DAYS_MAX + MONTH_DAYS_MAX)
#define SHOWN_DECIMALS 6 /* of what is estimated */

static void help(void)
{
	printf("usage: tolltap forecast [--by=FACT,FACT...] [--days=N] [flags]\n\n"
	       "What the month will come to: its cost so far and, for the days that are left, a\n"
	       "straight line with a weekly pattern through the whole days before (least squares;\n"
	       "without the pattern below two days of each weekday). The ranges hold the month's\n"
	       "cost 80 and 95 times of 100 if days scatter around it as they did, independently.\n"
	       "An estimate: what was lost or not metered is not in it.\n\n"
	       "flags:\n"
	       "  --by=FACTS     a forecast for each group of these facts, as of spend\n"
	       "  --days=N       whole days to look back, %d to %d (default %d)\n"
	       "  --at=TIME      as if it were then (default: now)\n"
	       "  --timezone=Z   zone of days and months, like Europe/Berlin (default: the option\n"
	       "                 report.timezone, else UTC)\n"
	       "  --where=K=V    only calls with this fact; several joined by commas; V may be\n"
	       "                 (none)\n" QUERY_LEDGER_HELP,
	       FORECAST_DAYS_MIN, FORECAST_DAYS_MAX, DAYS_DEFAULT);
	config_help("forecast");
}

/* ---- days -------------------------------------------------------------------------------- */

/*
 * The days a forecast is of, in order of time: from the beginning of the month or of the history,
 * whichever is first, to today. Days are counted from the first day of the history.
 */
struct days {
	int64_t at_us;
	struct calendar_span month;
	int64_t since_us[SPANS_MAX]; /* of each day; the last one is today */
	size_t count;
	size_t history; /* index of its first day */
	size_t left;	/* days of the month from today on */
	bool known[SPANS_MAX];
	size_t not_metered, with_losses;
};

static size_t days_before_today(const struct days *d)
{
	return d->count - 1 - d->history;
}

/* Fills since_us back to where the history or the month begins. */
static void find_days(struct days *d, size_t wanted, int64_t first_us)
{
	struct calendar_span day, first = {.since_us = INT64_MAX};
	int64_t back[SPANS_MAX];
	size_t n = 0, whole = 0;

	calendar_span_at(CALENDAR_MONTH, d->at_us, &d->month);
	calendar_span_at(CALENDAR_DAY, d->at_us, &day);
	if (first_us < d->at_us) /* that day is not whole */
		calendar_span_at(CALENDAR_DAY, first_us, &first);
	back[n++] = day.since_us;
	while (n < SPANS_MAX) {
		calendar_span_at(CALENDAR_DAY, back[n - 1] - 1, &day);
		if (whole == n - 1 && whole < wanted && day.since_us > first.since_us)
			whole++;
		else if (day.since_us < d->month.since_us)
			break;
		back[n++] = day.since_us;
	}
	for (size_t i = 0; i < n; i++)
		d->since_us[i] = back[n - 1 - i];
	d->count = n;
	d->history = n - 1 - whole;
	for (calendar_span_at(CALENDAR_DAY, d->at_us, &day); day.since_us < d->month.until_us;
	     calendar_span_next(CALENDAR_DAY, &day))
		d->left++;
}

/* Which day a moment is in, of those that since_us lists. */
static size_t day_of(const struct days *d, int64_t at_us)
{
	size_t low = 0, high = d->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (d->since_us[middle] <= at_us)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* ---- series ------------------------------------------------------------------------------ */

struct series {
	const char *group[QUERY_KEYS_MAX]; /* borrowed from the rows */
	pusd_sum cost[SPANS_MAX];
	bool at_least, estimated;
};

struct forecast {
	struct query_keys keys; /* the day, then the facts */
	struct days days;
	enum output_form form;
	struct series *series; /* the first is the total */
	size_t series_count;
};

static bool same_series(const struct forecast *f, const struct series *s, const struct spend *row)
{
	for (size_t i = 1; i < f->keys.count; i++) {
		if (!s->group[i] != !row->group[i] ||
		    (s->group[i] && strcmp(s->group[i], row->group[i]) != 0))
			return false;
	}
	return true;
}

static struct series *series_of(struct forecast *f, const struct spend *row)
{
	struct series *s;

	for (size_t i = 1; i < f->series_count; i++) {
		if (same_series(f, &f->series[i], row))
			return &f->series[i];
	}
	if (f->series_count > SERIES_MAX)
		return NULL;
	s = &f->series[f->series_count++];
	memcpy(s->group, row->group, sizeof(s->group));
	return s;
}

static void add_row(struct forecast *f, struct series *s, const struct spend *row)
{
	size_t day = day_of(&f->days, row->first_us);

	s->cost[day] += row->cost;
	s->at_least |= spend_is_at_least(row);
	s->estimated |= row->estimated;
}

static int fill_series(struct forecast *f, const struct spend *rows, size_t count)
{
	f->series = calloc(SERIES_MAX + 1, sizeof(*f->series));
	if (!f->series)
		return cli_fail(EXIT_FAILED, "forecast", "no memory");
	f->series_count = 1;
	for (size_t i = 0; i < count; i++) {
		struct series *s = f->keys.count > 1 ? series_of(f, &rows[i]) : NULL;

		if (f->keys.count > 1 && !s)
			return cli_fail(EXIT_FAILED, "forecast",
					"more than %d groups; group by fewer facts", SERIES_MAX);
		if (s)
			add_row(f, s, &rows[i]);
		add_row(f, &f->series[0], &rows[i]);
		f->days.known[day_of(&f->days, rows[i].first_us)] = true;
	}
	return EXIT_OK;
}

/* A day without calls costs 0 when it was metered, and is not known when it was not. */
static int find_unknown(struct forecast *f, struct query *q)
{
	struct days *d = &f->days;

	for (size_t i = d->history; i + 1 < d->count; i++) {
		struct query_losses lost;
		bool metered;

		if (query_losses(q, d->since_us[i], d->since_us[i + 1], &lost) ||
		    query_was_metered(q, d->since_us[i], d->since_us[i + 1], &metered))
			return cli_fail(EXIT_STORAGE, "forecast", "%s", query_error(q));
		d->with_losses += lost.occasions > 0;
		d->known[i] |= metered;
		d->not_metered += !d->known[i];
	}
	return EXIT_OK;
}

/* ---- the month --------------------------------------------------------------------------- */

struct outlook {
	pusd_sum to_date, month, low[FORECAST_LEVELS], high[FORECAST_LEVELS];
	struct forecast_fit fit;
};

static pusd_sum larger(pusd_sum a, pusd_sum b)
{
	return a > b ? a : b;
}

/* Days cost nothing at least, and today what it has cost already; the month no less than so far. */
static int look_ahead(const struct forecast *f, const struct series *s, struct outlook *out)
{
	const struct days *d = &f->days;
	const pusd_sum *history = &s->cost[d->history];
	int64_t today = (int64_t)days_before_today(d);
	pusd_sum spent_today = s->cost[d->count - 1];
	int r = forecast_fit(&out->fit, history, &d->known[d->history], (size_t)today,
			     calendar_weekday(d->since_us[d->history]));

	if (r)
		return r;
	out->to_date = 0;
	for (size_t i = 0; i < d->count; i++)
		out->to_date += d->since_us[i] >= d->month.since_us ? s->cost[i] : 0;
	out->month =
		out->to_date - spent_today + larger(spent_today, forecast_day(&out->fit, today));
	for (int64_t t = today + 1; t < today + (int64_t)d->left; t++)
		out->month += larger(0, forecast_day(&out->fit, t));
	for (int level = 0; level < FORECAST_LEVELS; level++) {
		pusd_sum half = forecast_half(&out->fit, level, today, (int64_t)d->left);

		out->low[level] = larger(out->to_date, out->month - half);
		out->high[level] = out->month + half;
	}
	return 0;
}

/* ---- printing ---------------------------------------------------------------------------- */

static const struct output_column columns[] = {
	{"month", OUTPUT_LEFT},
	{"to_date_usd", OUTPUT_RIGHT},
	{"forecast_usd", OUTPUT_RIGHT},
	{"low_80_usd", OUTPUT_RIGHT},
	{"high_80_usd", OUTPUT_RIGHT},
	{"low_95_usd", OUTPUT_RIGHT},
	{"high_95_usd", OUTPUT_RIGHT},
	{"trend_usd_per_day", OUTPUT_RIGHT},
	{"method", OUTPUT_LEFT},
	{"days", OUTPUT_RIGHT},
	{"days_left", OUTPUT_RIGHT},
	{"days_with_losses", OUTPUT_RIGHT},
	{"days_not_metered", OUTPUT_RIGHT},
	{"at_least", OUTPUT_LEFT},
	{"estimated", OUTPUT_LEFT},
	{"total", OUTPUT_LEFT},
};

#define TABLE_COLUMNS 11 /* a table has the first ones */

static void put_rounded(struct output *o, pusd_sum amount)
{
	char usd[PUSD_TEXT_MAX];

	output_text(o, pusd_format_rounded(usd, amount, SHOWN_DECIMALS));
}

/* What was spent, as spend shows it: exact, and marked in a table where more may have been. */
static void put_to_date(const struct forecast *f, struct output *o, const struct series *s,
			pusd_sum amount)
{
	char usd[PUSD_TEXT_MAX], shown[PUSD_TEXT_MAX + 16];
	struct spend marks = {.lower_bound = s->at_least, .estimated = s->estimated};

	snprintf(shown, sizeof(shown), "%s%s", f->form == OUTPUT_TABLE ? spend_prefix(&marks) : "",
		 pusd_format(usd, amount));
	output_text(o, shown);
}

static void print_series(const struct forecast *f, struct output *o, const struct series *s,
			 bool total)
{
	const struct days *d = &f->days;
	struct outlook out;

	if (look_ahead(f, s, &out)) /* all have the same days: this one is as long as the total */
		return;
	for (size_t i = 1; i < f->keys.count; i++) {
		if (!total)
			output_text(o, s->group[i] ? s->group[i] : QUERY_NONE);
		else
			output_text(o, f->form == OUTPUT_TABLE && i == 1 ? "TOTAL" : NULL);
	}
	output_text(o, d->month.label);
	put_to_date(f, o, s, out.to_date);
	put_rounded(o, out.month);
	for (int level = 0; level < FORECAST_LEVELS; level++) {
		put_rounded(o, out.low[level]);
		put_rounded(o, out.high[level]);
	}
	put_rounded(o, forecast_slope(&out.fit));
	output_text(o, out.fit.classes > 1 ? "trend+weekday" : "trend");
	output_int(o, out.fit.days);
	output_int(o, (int64_t)d->left);
	if (f->form != OUTPUT_TABLE) {
		output_int(o, (int64_t)d->with_losses);
		output_int(o, (int64_t)d->not_metered);
		output_bool(o, s->at_least);
		output_bool(o, s->estimated);
		output_bool(o, total);
	}
	if (total)
		output_row_emphasis(o);
	else
		output_row(o);
}

static void print_notes(const struct forecast *f)
{
	const struct days *d = &f->days;

	printf("an estimate, from %zu whole days; the days left include today\n",
	       days_before_today(d) - d->not_metered);
	if (d->with_losses)
		printf("%zu of the days had losses (tolltap doctor): what was lost is not in it\n",
		       d->with_losses);
	if (d->not_metered)
		printf("%zu days on which no agent ran are left out\n", d->not_metered);
	if (strcmp(calendar_zone(), CALENDAR_UTC) != 0)
		printf("time zone: %s\n", calendar_zone());
}

static int dearer(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	pusd_sum cost_x = 0, cost_y = 0;

	for (size_t i = 0; i < SPANS_MAX; i++) {
		cost_x += x->cost[i];
		cost_y += y->cost[i];
	}
	return cost_x == cost_y ? 0 : cost_x < cost_y ? 1 : -1;
}

static int print_all(struct forecast *f)
{
	struct output_column heads[OUTPUT_COLUMNS_MAX];
	char names[QUERY_KEYS_MAX][TAG_KEY_MAX + 8];
	size_t count = 0, shown = f->form == OUTPUT_TABLE ? TABLE_COLUMNS : ARRAY_LEN(columns);
	struct output *o;
	int r;

	for (size_t i = 1; i < f->keys.count; i++) {
		query_key_name(&f->keys.item[i], names[i], sizeof(names[i]));
		heads[count++] = (struct output_column){names[i], OUTPUT_LEFT};
	}
	for (size_t i = 0; i < shown; i++)
		heads[count++] = columns[i];
	if (output_new(&o, stdout, f->form, heads, count))
		return cli_fail(EXIT_FAILED, "forecast", "no memory");
	qsort(f->series + 1, f->series_count - 1, sizeof(*f->series), dearer);
	for (size_t i = 1; i < f->series_count; i++)
		print_series(f, o, &f->series[i], false);
	print_series(f, o, &f->series[0], true);
	r = output_end(o);
	if (f->form == OUTPUT_TABLE)
		print_notes(f);
	if (r && r != -EPIPE)
		return cli_fail(EXIT_FAILED, "forecast", "cannot write: %s", strerror(-r));
	return EXIT_OK;
}

/* ---- the command ------------------------------------------------------------------------- */

static int forecast_rows(struct forecast *f, struct query *q, const struct spend *rows,
			 size_t count)
{
	size_t known = 0;
	int rc = fill_series(f, rows, count);

	if (rc == EXIT_OK)
		rc = find_unknown(f, q);
	for (size_t i = f->days.history; i + 1 < f->days.count; i++)
		known += f->days.known[i];
	if (rc == EXIT_OK && known < FORECAST_DAYS_MIN)
		rc = cli_fail(EXIT_FAILED, "forecast",
			      "%zu whole days are recorded; at least %d are needed", known,
			      FORECAST_DAYS_MIN);
	return rc == EXIT_OK ? print_all(f) : rc;
}

static int run(struct forecast *f, struct query *q, struct query_filter *filter, size_t wanted)
{
	struct spend *rows = NULL;
	size_t count = 0;
	int64_t first_us;
	int rc, r;

	if (query_first_us(q, &first_us))
		return cli_fail(EXIT_STORAGE, "forecast", "%s", query_error(q));
	find_days(&f->days, wanted, first_us);
	filter->since_us = f->days.since_us[0];
	filter->until_us = f->days.at_us;
	query_flags_watch(q);
	r = query_spend(q, filter, f->keys.item, f->keys.count, &rows, &count);
	progress_end();
	if (r)
		return cli_fail(EXIT_STORAGE, "forecast", "%s", query_error(q));
	rc = forecast_rows(f, q, rows, count);
	free(f->series);
	query_spend_free(rows, count);
	return rc;
}

/* Days come first; a group that is itself a time has no days to come. */
static int parse_keys(const char *by, struct query_keys *keys)
{
	int rc = query_flags_by("forecast", "by", "day", keys);

	if (rc == EXIT_OK)
		rc = query_flags_by("forecast", "by", by, keys);
	for (size_t i = 1; rc == EXIT_OK && i < keys->count; i++) {
		enum calendar_unit unit;
		char name[TAG_KEY_MAX + 8];

		query_key_name(&keys->item[i], name, sizeof(name));
		if (calendar_unit_parse(slice_of(name), &unit))
			rc = cli_fail(EXIT_USAGE, "forecast", "--by: not by %s", name);
	}
	return rc;
}

static int parse_days(const char *text, int64_t *days)
{
	*days = DAYS_DEFAULT;
	if (!text || (decimal_parse(slice_of(text), 0, days) && *days >= FORECAST_DAYS_MIN &&
		      *days <= FORECAST_DAYS_MAX))
		return EXIT_OK;
	return cli_fail(EXIT_USAGE, "forecast", "--days: a number from %d to %d is needed",
			FORECAST_DAYS_MIN, FORECAST_DAYS_MAX);
}

int cmd_forecast(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	_cleanup_(query_closep) struct query *q = NULL;
	_cleanup_(freep) struct forecast *f = calloc(1, sizeof(*f));
	struct query_flags shared = {0};
	struct query_filter filter = {0};
	const char *by = "", *at = NULL, *days_text = NULL;
	const struct cli_flag own[] = {
		{.name = "by", .text = &by},
		{.name = "days", .text = &days_text},
		{.name = "at", .text = &at},
		{.name = "timezone", .text = &shared.timezone},
		{.name = "where", .text = &shared.where},
		{.name = "ledger", .list = &shared.ledgers},
		{.name = NULL},
	};
	int64_t days;
	int rc;

	if (!f)
		return cli_fail(EXIT_FAILED, "forecast", "no memory");
	rc = cli_begin(&config, &argc, argv, own, help);
	if (rc != CLI_GO_ON)
		return rc;
	if (argc > 1)
		return cli_fail(EXIT_USAGE, "forecast", "takes no operand '%.60s'", argv[1]);
	if (!output_form_parse(config.output, &f->form))
		return cli_fail(EXIT_USAGE, "forecast", "--output: table, json or csv");
	f->days.at_us = (int64_t)(clock_wall_ns() / 1000);
	rc = parse_days(days_text, &days);
	if (rc == EXIT_OK)
		rc = query_flags_zone(&shared, "forecast", &config);
	if (rc == EXIT_OK)
		rc = query_flags_time("forecast", "at", at, &f->days.at_us);
	if (rc == EXIT_OK)
		rc = parse_keys(by, &f->keys);
	if (rc == EXIT_OK)
		rc = query_flags_parse(&shared, "forecast", &filter);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&q, "forecast", &shared, &filter, config.storage_path);
	return rc == EXIT_OK ? run(f, q, &filter, (size_t)days) : rc;
}
