/* SPDX-License-Identifier: Apache-2.0 */
/* tolltap period: months that are closed keep their totals; what changes after is a correction. */
#include "agent/base/clock.h"
#include "agent/cli/flags.h"
#include "agent/cli/output.h"
#include "agent/cli/query_flags.h"
#include "exporter/amend.h"
#include "exporter/periods.h"

#include <errno.h>
#include <time.h>

static void help(void)
{
	printf("usage: tolltap period list\n"
	       "       tolltap period close|reopen YYYY-MM\n\n"
	       "Closing a month (UTC) that is over freezes its totals, with a hash of its calls\n"
	       "and of their prices. A call that comes late is still recorded, and a reprice\n"
	       "leaves the month alone unless told --closed; either is then a dated correction:\n"
	       "frozen + corrections = what the calls come to now, to the picodollar\n"
	       "(tolltap ledger verify). Only calls of closed months go by retention.\n\n"
	       "flags:\n");
	config_help("period");
}

static const struct output_column columns[] = {
	{"month", OUTPUT_LEFT},
	{"state", OUTPUT_LEFT},
	{"closed_at", OUTPUT_LEFT},
	{"closed_by", OUTPUT_LEFT},
	{"calls", OUTPUT_RIGHT},
	{"cost_usd", OUTPUT_RIGHT},
	{"corrections", OUTPUT_RIGHT},
	{"corrections_usd", OUTPUT_RIGHT},
	{"calls_now", OUTPUT_RIGHT},
	{"cost_now_usd", OUTPUT_RIGHT},
	{"late_calls", OUTPUT_RIGHT},
	{"list_cost_usd", OUTPUT_RIGHT},
	{"list_corrections_usd", OUTPUT_RIGHT},
	{"list_cost_now_usd", OUTPUT_RIGHT},
	{"reopened_at", OUTPUT_LEFT},
	{"reopened_by", OUTPUT_LEFT},
	{"rows_sha256", OUTPUT_LEFT},
	{"prices_sha256", OUTPUT_LEFT},
};

#define TABLE_COLUMNS 10 /* a table has the first ones */

static void put_money(struct output *o, bool known, pusd_sum amount)
{
	char usd[PUSD_TEXT_MAX];

	output_text(o, known ? pusd_format(usd, amount) : NULL);
}

static void put_count(struct output *o, bool known, int64_t n)
{
	if (known)
		output_int(o, n);
	else
		output_null(o);
}

static void put_time(struct output *o, int64_t us)
{
	char text[CLOCK_TEXT_MAX];

	output_text(o, us ? clock_format_us(text, us) : NULL);
}

static const char *state_of(const struct period *p)
{
	if (!p->id)
		return "open";
	return p->closed ? "closed" : "reopened";
}

/* A reopened month's calls are told by the row of the month as it stands. */
struct list {
	struct output *out;
	enum output_form form;
};

static int print_period(void *user, const struct period *p)
{
	const struct list *l = user;
	bool frozen = p->id != 0, now = !p->id || p->closed;

	output_text(l->out, p->month);
	output_text(l->out, state_of(p));
	put_time(l->out, p->closed_at_us);
	output_text(l->out, p->closed_by);
	put_count(l->out, frozen, p->frozen.calls);
	put_money(l->out, frozen, p->frozen.cost);
	put_count(l->out, frozen, p->correction_count);
	put_money(l->out, frozen, p->corrections.cost);
	put_count(l->out, now, p->now.calls);
	put_money(l->out, now, p->now.cost);
	if (l->form != OUTPUT_TABLE) {
		put_count(l->out, frozen, p->late_count);
		put_money(l->out, frozen, p->frozen.list);
		put_money(l->out, frozen, p->corrections.list);
		put_money(l->out, now, p->now.list);
		put_time(l->out, p->reopened_at_us);
		output_text(l->out, p->reopened_by);
		output_text(l->out, p->rows_sha256);
		output_text(l->out, p->prices_sha256);
	}
	output_row(l->out);
	return 0;
}

static int period_list(const struct config *config)
{
	_cleanup_(query_closep) struct query *q = NULL;
	struct list list;
	int r, written, rc;

	if (!output_form_parse(config->output, &list.form))
		return cli_fail(EXIT_USAGE, "period", "--output: table, json or csv");
	rc = query_flags_open(&q, "period", config->storage_path);
	if (rc != EXIT_OK)
		return rc;
	if (output_new(&list.out, stdout, list.form, columns,
		       list.form == OUTPUT_TABLE ? TABLE_COLUMNS : ARRAY_LEN(columns)))
		return cli_fail(EXIT_FAILED, "period", "no memory");
	r = query_periods(q, print_period, &list);
	written = output_end(list.out);
	if (r)
		return cli_fail(EXIT_STORAGE, "period", "%s", query_error(q));
	if (written && written != -EPIPE)
		return cli_fail(EXIT_FAILED, "period", "cannot write: %s", strerror(-written));
	return EXIT_OK;
}

static int code_of(int r)
{
	if (r == -EACCES || r == -EPERM)
		return EXIT_PRIVILEGE;
	return r == -EINVAL || r == -EEXIST ? EXIT_USAGE : EXIT_STORAGE;
}

static int period_change(const struct config *config, const char *month, bool close)
{
	int64_t now_us = clock_wall_ns() / 1000;
	char err[QUERY_ERROR_MAX], by[PERIOD_BY_MAX];
	struct sqlite3 *db = NULL;
	int r = amend_open(&db, config->storage_path, err, sizeof(err));

	if (r == 0) {
		amend_by(by, sizeof(by));
		r = close ? period_close(db, month, by, now_us, err, sizeof(err))
			  : period_reopen(db, month, by, now_us, err, sizeof(err));
		amend_close(db);
	}
	if (r)
		return cli_fail(code_of(r), "period", "%s", err);
	printf("%s is %s\n", month, close ? "closed" : "open again");
	return EXIT_OK;
}

int cmd_period(int argc, char **argv)
{
	_cleanup_(config_free) struct config config = {0};
	int rc = cli_begin(&config, &argc, argv, NULL, help);
	const char *what;

	if (rc != CLI_GO_ON)
		return rc;
	what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "list") && argc == 2)
		return period_list(&config);
	if ((!strcmp(what, "close") || !strcmp(what, "reopen")) && argc == 3)
		return period_change(&config, argv[2], !strcmp(what, "close"));
	return cli_fail(EXIT_USAGE, "period",
			"write: tolltap period list | close YYYY-MM | reopen YYYY-MM");
}
