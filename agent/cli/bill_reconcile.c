/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap bill reconcile: billed minus recorded, and why. */
#include "agent/cli/bill.h"

#include "agent/cli/bill_scope.h"
#include "agent/cli/output.h"
#include "agent/cli/query_flags.h"

#include <errno.h>
#include <stdio.h>

/* ---- which facts rows are told apart by -------------------------------------------------- */

enum { BY_DAY = 1, BY_PROVIDER = 2, BY_MODEL = 4, BY_CLASS = 8, BY_ALL = 15 };

static const char *const by_names[] = {"day", "provider", "model", "class"};

static int parse_by(const char *by, unsigned *out)
{
	*out = by ? 0 : BY_ALL;
	while (by && *by) {
		struct slice name = {by, strcspn(by, ",")};
		size_t i = 0;

		while (i < ARRAY_LEN(by_names) && !slice_eq(name, slice_of(by_names[i])))
			i++;
		if (i == ARRAY_LEN(by_names))
			return cli_fail(EXIT_USAGE, "bill",
					"--by: some of day, provider, model, class, joined by "
					"commas; not '%.*s'",
					(int)(name.len < 60 ? name.len : 60), name.ptr);
		*out |= 1u << i;
		by += name.len + (by[name.len] == ',');
	}
	return EXIT_OK;
}

/* Makes what is not told apart equal, so that such rows are of one key. */
static void blur(struct recon_row *row, unsigned by)
{
	if (!(by & BY_DAY))
		row->key.day = 0;
	if (!(by & BY_PROVIDER))
		memset(row->key.provider, 0, sizeof(row->key.provider));
	if (!(by & BY_MODEL))
		memset(row->key.model, 0, sizeof(row->key.model));
	if (by & BY_CLASS)
		return;
	row->key.class = BILL_ALL;
	memset(row->key.tier, 0, sizeof(row->key.tier));
	row->has_billed_quantity = row->has_ledger_quantity = false;
}

static int compare_rows(const void *a, const void *b)
{
	const struct recon_row *x = a, *y = b;
	int order = strcmp(x->key.provider, y->key.provider);

	if (!order)
		order = x->key.day < y->key.day ? -1 : x->key.day > y->key.day;
	if (!order)
		order = strcmp(x->key.model, y->key.model);
	if (!order)
		order = strcmp(x->key.tier, y->key.tier);
	if (!order)
		order = (int)x->key.class - (int)y->key.class;
	if (!order)
		order = strcmp(x->currency, y->currency);
	return order ? order : (int)x->state - (int)y->state;
}

static void add_row(struct recon_row *to, const struct recon_row *row)
{
	to->has_billed_quantity &= row->has_billed_quantity;
	to->has_ledger_quantity &= row->has_ledger_quantity;
	to->has_drift |= row->has_drift;
	to->billed_quantity += row->billed_quantity;
	to->ledger_quantity += row->ledger_quantity;
	to->billed += row->billed;
	to->ledger += row->ledger;
	to->drift += row->drift;
	for (int i = 0; i < RECON_CAUSES; i++)
		to->cause[i] += row->cause[i];
}

static void sum_rows(struct recon_rows *rows, unsigned by)
{
	size_t kept = 0;

	for (size_t i = 0; i < rows->count; i++)
		blur(&rows->row[i], by);
	if (rows->count)
		qsort(rows->row, rows->count, sizeof(*rows->row), compare_rows);
	for (size_t i = 0; i < rows->count; i++) {
		if (kept && !compare_rows(&rows->row[kept - 1], &rows->row[i]))
			add_row(&rows->row[kept - 1], &rows->row[i]);
		else
			rows->row[kept++] = rows->row[i];
	}
	rows->count = kept;
}

/* ---- printing ---------------------------------------------------------------------------- */

/* A column is there when its facts are told apart. A table says TOTAL instead of the last one. */
static const struct {
	struct output_column column;
	unsigned by;
} columns[] = {
	{{"day", OUTPUT_LEFT}, BY_DAY},
	{{"provider", OUTPUT_LEFT}, BY_PROVIDER},
	{{"model", OUTPUT_LEFT}, BY_MODEL},
	{{"class", OUTPUT_LEFT}, BY_CLASS},
	{{"tier", OUTPUT_LEFT}, BY_CLASS},
	{{"state", OUTPUT_LEFT}, 0},
	{{"billed_units", OUTPUT_RIGHT}, BY_CLASS},
	{{"ledger_units", OUTPUT_RIGHT}, BY_CLASS},
	{{"billed", OUTPUT_RIGHT}, 0},
	{{"currency", OUTPUT_LEFT}, 0},
	{{"ledger_usd", OUTPUT_RIGHT}, 0},
	{{"drift", OUTPUT_RIGHT}, 0},
	{{"by_price", OUTPUT_RIGHT}, 0},
	{{"by_class", OUTPUT_RIGHT}, 0},
	{{"by_coverage", OUTPUT_RIGHT}, 0},
	{{"by_estimated", OUTPUT_RIGHT}, 0},
	{{"unexplained", OUTPUT_RIGHT}, 0},
	{{"total", OUTPUT_LEFT}, 0},
};

struct printing {
	struct output *out;
	enum output_form form;
	unsigned by;
};

static const char *state_text(const struct printing *p, enum recon_state state)
{
	static const char *const words[RECON_STATES] = {
		[RECON_BOTH] = "billed and seen",
		[RECON_UNTRACKED] = "untracked",
		[RECON_NOT_COVERED] = "not covered by these ledgers",
		[RECON_NOT_BILLED] = "seen, not billed",
		[RECON_NO_AMOUNT] = "no amount in the bill",
		[RECON_OTHER_CURRENCY] = "another currency",
	};

	return p->form == OUTPUT_TABLE ? words[state] : recon_state_names[state];
}

static void put_units(struct printing *p, bool known, bill_sum units)
{
	if (!known || units > INT64_MAX)
		output_null(p->out);
	else
		output_int(p->out, (int64_t)units);
}

static void put_money(struct printing *p, bool known, bill_sum amount)
{
	char text[PUSD_TEXT_MAX];

	output_text(p->out, known ? pusd_format(text, amount) : NULL);
}

static void put_key(struct printing *p, const struct recon_row *row, bool total)
{
	char day[BILL_DAY_TEXT_MAX];
	const struct {
		unsigned by;
		const char *text;
	} facts[] = {
		{BY_DAY, bill_day_text(day, row->key.day)},
		{BY_PROVIDER, row->key.provider},
		{BY_MODEL, row->key.model},
		{BY_CLASS, bill_class_names[row->key.class]},
		{BY_CLASS, row->key.tier},
		{BY_ALL, state_text(p, row->state)},
	};
	const char *label = p->form == OUTPUT_TABLE ? "TOTAL" : NULL;

	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		if (facts[i].by != BY_ALL && !(p->by & facts[i].by))
			continue;
		output_text(p->out, total ? label : facts[i].text);
		label = NULL;
	}
}

static void put_row(struct printing *p, const struct recon_row *row, bool total)
{
	bool has_money = row->state != RECON_NO_AMOUNT;

	put_key(p, row, total);
	if (p->by & BY_CLASS) {
		put_units(p, row->has_billed_quantity && !total, row->billed_quantity);
		put_units(p, row->has_ledger_quantity && !total, row->ledger_quantity);
	}
	put_money(p, has_money, row->billed);
	output_text(p->out, has_money ? row->currency : NULL);
	put_money(p, true, row->ledger);
	put_money(p, row->has_drift, row->drift);
	for (int i = 0; i < RECON_CAUSES; i++)
		put_money(p, row->has_drift, row->cause[i]);
	if (p->form != OUTPUT_TABLE)
		output_bool(p->out, total);
	if (total)
		output_row_emphasis(p->out);
	else
		output_row(p->out);
}

/* Of what is compared, in dollars; of each other currency what is billed. */
static void put_totals(struct printing *p, const struct recon_rows *rows)
{
	const char *done = "";

	for (;;) {
		struct recon_row total = {.state = RECON_BOTH};
		const char *currency = NULL;

		for (size_t i = 0; i < rows->count; i++) {
			const char *c = rows->row[i].currency;

			if (strcmp(c, done) > 0 && (!currency || strcmp(c, currency) < 0))
				currency = c;
		}
		if (!currency)
			return;
		for (size_t i = 0; i < rows->count; i++) {
			const struct recon_row *row = &rows->row[i];

			if (row->state != RECON_NO_AMOUNT && !strcmp(row->currency, currency))
				add_row(&total, row);
		}
		memcpy(total.currency, currency, sizeof(total.currency));
		put_row(p, &total, true);
		done = currency;
	}
}

static bool agrees(const struct recon_row *row)
{
	bool units = !row->has_billed_quantity || !row->has_ledger_quantity ||
		     row->billed_quantity == row->ledger_quantity;

	return row->has_drift && row->drift == 0 && units;
}

static int print_rows(const struct config *config, const struct recon_rows *rows, unsigned by,
		      bool drift_only)
{
	struct printing p = {.form = bill_form(config), .by = by};
	struct output_column heads[ARRAY_LEN(columns)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		bool last = i == ARRAY_LEN(columns) - 1;

		if ((columns[i].by & ~by) == 0 && !(last && p.form == OUTPUT_TABLE))
			heads[count++] = columns[i].column;
	}
	if (output_new(&p.out, stdout, p.form, heads, count))
		return cli_fail(EXIT_FAILED, "bill", "no memory");
	for (size_t i = 0; i < rows->count; i++) {
		if (!drift_only || !agrees(&rows->row[i]))
			put_row(&p, &rows->row[i], false);
	}
	put_totals(&p, rows);
	return bill_end(p.out);
}

/* ---- the work ---------------------------------------------------------------------------- */

struct work {
	struct bill_store *store;
	struct query *query;
	struct catalog *catalog;
	struct query_filter filter;
	struct recon_scope scope;
	struct billed_side billed;
	struct ledger_side ledger;
	struct recon_uptime uptime;
	struct recon_rows rows;
};

static void work_free(struct work *w)
{
	recon_rows_free(&w->rows);
	recon_uptime_free(&w->uptime);
	ledger_side_free(&w->ledger);
	billed_side_free(&w->billed);
	catalog_free(w->catalog);
	query_close(w->query);
	bill_store_close(w->store);
}

static int open_all(const struct config *config, const struct bill_flags *flags, struct work *w)
{
	const struct query_flags shared = {.where = flags->where, .ledgers = flags->ledgers};
	char err[CATALOG_ERROR_MAX];
	int rc = query_flags_parse(&shared, "bill", &w->filter);

	w->filter.since_us = w->scope.from_s * 1000000;
	w->filter.until_us = w->scope.to_s * 1000000;
	if (rc == EXIT_OK)
		rc = bill_open(&w->store, config, flags, false);
	if (rc == EXIT_OK)
		rc = query_flags_open_many(&w->query, "bill", &shared, &w->filter,
					   config->storage_path);
	if (rc == EXIT_OK && config->prices_file &&
	    catalog_load(&w->catalog, config->prices_file, config->prices_dir, err, sizeof(err)))
		rc = cli_fail(EXIT_CONFIG, "bill", "%s", err);
	return rc;
}

static int load_failed(const struct work *w, int r, bool of_store)
{
	if (r == -ENOMEM)
		return cli_fail(EXIT_FAILED, "bill", "no memory");
	if (r == -E2BIG)
		return cli_fail(EXIT_FAILED, "bill",
				"more than %d sums to compare; ask for fewer days", RECON_SUMS_MAX);
	return cli_fail(EXIT_STORAGE, "bill", "%s",
			of_store ? bill_store_error(w->store) : query_error(w->query));
}

static int load_sides(struct work *w)
{
	int r = billed_side_load(w->store, &w->scope, w->catalog, &w->billed);

	if (r)
		return load_failed(w, r, true);
	r = ledger_side_load(w->query, &w->scope, &w->filter, w->catalog, &w->ledger);
	if (r == 0)
		r = recon_uptime_load(w->query, &w->scope, &w->uptime);
	if (r)
		return load_failed(w, r, false);
	if (!w->billed.days && *w->billed.filters)
		return cli_fail(EXIT_FAILED, "bill",
				"of these days only a part was pulled (%s); reconcile that part "
				"with --project or --key-id, or pull what is to be compared",
				w->billed.filters);
	if (!w->billed.days)
		return cli_fail(EXIT_FAILED, "bill",
				"no bill of these days is stored; see tolltap bill list");
	r = reconcile(w->billed.bill, w->billed.count, w->ledger.sum, w->ledger.count,
		      w->billed.day, w->billed.days, &w->rows);
	return r ? load_failed(w, r, true) : EXIT_OK;
}

static int compare_and_print(const struct config *config, const struct bill_flags *flags,
			     struct work *w, unsigned by)
{
	const struct bill_scope scope = {
		.asked = w->scope,
		.billed = &w->billed,
		.ledger = &w->ledger,
		.uptime = &w->uptime,
		.bills_path = bill_store_path(w->store),
		.all_hosts = flags->all_hosts,
	};

	for (size_t i = 0; i < w->rows.count; i++) {
		struct recon_row *row = &w->rows.row[i];

		if (row->state == RECON_UNTRACKED && !bill_scope_covers(&scope, row->key.day))
			row->state = RECON_NOT_COVERED;
	}
	bill_scope_print(&scope, bill_form(config));
	sum_rows(&w->rows, by);
	return print_rows(config, &w->rows, by, flags->drift);
}

int bill_cmd_reconcile(const struct config *config, const struct bill_flags *flags, int argc,
		       char **argv)
{
	_cleanup_(work_free) struct work w = {
		.scope = {.account = flags->account ? flags->account : "",
			  .projects = flags->projects ? flags->projects : "",
			  .keys = flags->keys ? flags->keys : "",
			  .where = flags->where ? flags->where : ""}};
	unsigned by;
	int rc;

	if (argc != 1)
		return cli_fail(EXIT_USAGE, "bill", "reconcile takes no operand '%.60s'", argv[1]);
	rc = parse_by(flags->by, &by);
	if (rc == EXIT_OK)
		rc = bill_days(flags, &w.scope.from_s, &w.scope.to_s);
	if (rc == EXIT_OK)
		rc = open_all(config, flags, &w);
	if (rc == EXIT_OK)
		rc = load_sides(&w);
	return rc == EXIT_OK ? compare_and_print(config, flags, &w, by) : rc;
}
