/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/charges.h"

#include "agent/base/array.h"
#include "exporter/query_parts.h"
#include "exporter/schema.h"
#include "exporter/sql.h"

#include <errno.h>
#include <sqlite3.h>

#define CORRECTIONS_SINCE 4 /* the version of the schema that brought them */

/* Runs what was put together and calls take() per row; the SQL is freed. */
static int read_rows(struct query *q, struct sql *sql, int (*take)(void *user, sqlite3_stmt *row),
		     void *user)
{
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_ROW, r = query_prepare(q, sql, &stmt);

	text_free(&sql->text);
	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		r = take(user, stmt);
	if (r == -ENOMEM)
		r = query_fail(q, SQLITE_NOMEM);
	if (r == 0 && rc != SQLITE_DONE)
		r = query_fail(q, rc);
	sqlite3_finalize(stmt);
	return r;
}

/* ---- hours ------------------------------------------------------------------------------- */

struct hours {
	int64_t *hour;
	size_t count, cap;
};

static int take_hour(void *user, sqlite3_stmt *row)
{
	struct hours *hours = user;

	if (!array_room((void **)&hours->hour, &hours->cap, hours->count, sizeof(*hours->hour)))
		return -ENOMEM;
	hours->hour[hours->count++] = sqlite3_column_int64(row, 0);
	return 0;
}

int query_summed_hours(struct query *q, const struct query_filter *filter, int64_t **hours,
		       size_t *count)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	struct hours found = {0};
	int r;

	*hours = NULL;
	*count = 0;
	if (filter_asks_of_calls(filter))
		return query_check_calls(q, filter);
	text_printf(&sql.text, "SELECT DISTINCT s.hour FROM %s s WHERE ",
		    q->merged ? "sums" : "rollup");
	text_puts(&sql.text, q->merged ? "true" : QUERY_SUMS_ONLY);
	text_puts(&sql.text, " AND s.hour*3600000000>=? AND (s.hour+1)*3600000000<=? ORDER BY 1");
	sql_number(&sql, filter->since_us);
	sql_number(&sql, filter_until(filter));
	r = read_rows(q, &sql, take_hour, &found);
	if (r) {
		free(found.hour);
		return r;
	}
	*hours = found.hour;
	*count = found.count;
	return 0;
}

/* ---- sums -------------------------------------------------------------------------------- */

/* A merge leaves out the calls whose hour it takes from sums. */
bool query_sums_have_all(const struct query *q)
{
	return !q->merged;
}

struct sums {
	struct call call;
	int (*each)(void *user, const struct charge_sum *sum);
	void *user;
	int64_t hour;
};

/* Columns: calls, cost and list in halves, tokens, tool units, then the facet's. */
static int take_sum(void *user, sqlite3_stmt *row)
{
	struct sums *s = user;
	struct charge_sum sum = {.call = &s->call};
	int column = 5;

	memset(&s->call, 0, sizeof(s->call));
	sum.calls = sqlite3_column_int64(row, 0);
	sum.cost = sql_money(row, 1);
	sum.list = sql_money(row, 3);
	for (int i = 0; i < TOKEN_KINDS; i++) {
		s->call.usage.tokens[i] = sqlite3_column_int64(row, column++);
		s->call.usage.known |= s->call.usage.tokens[i] > 0;
	}
	for (int i = 0; i < TOOL_UNITS; i++)
		s->call.usage.tool_units[i] = sqlite3_column_int64(row, column++);
	schema_load(row, column, SCHEMA_FACETS, &s->call);
	s->call.started_at_us = s->hour * SCHEMA_US_PER_HOUR;
	s->call.usage.provider_cost_pusd = -1;
	s->call.summed = true;
	return s->each(s->user, &sum);
}

static void put_sums(struct sql *sql, const struct query *q, const struct query_filter *filter,
		     int64_t hour)
{
	text_puts(&sql->text, "SELECT s.calls,s.cost_pusd_hi,s.cost_pusd_lo,s.list_cost_pusd_hi,"
			      "s.list_cost_pusd_lo");
	for (int i = 0; i < TOKEN_KINDS; i++)
		text_printf(&sql->text, ",s.%s", token_kind_names[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		text_printf(&sql->text, ",s.tool_%s", tool_unit_names[i]);
	schema_list_sql(&sql->text, SCHEMA_FACETS, ",f.", sql->version);
	text_printf(&sql->text,
		    " FROM (SELECT *,hour*3600000000 AS at_us FROM %s) s JOIN facets f ON "
		    "f.id=s.facet WHERE s.hour=?",
		    q->merged ? "sums" : "rollup");
	sql_number(sql, hour);
	if (sql->version >= QUERY_PAYER_SINCE)
		text_puts(&sql->text, " AND f.collapsed_by IS NULL");
	sql_where(sql, filter);
}

int query_sums(struct query *q, const struct query_filter *filter, int64_t hour,
	       int (*each)(void *user, const struct charge_sum *sum), void *user)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	struct sums sums = {.each = each, .user = user, .hour = hour};
	int r = query_check_facts(q, filter, NULL, 0);

	if (r)
		return r;
	put_sums(&sql, q, filter, hour);
	return read_rows(q, &sql, take_sum, &sums);
}

/* ---- corrections ------------------------------------------------------------------------- */

struct corrections {
	struct charge_correction *item;
	size_t count, cap;
};

static int take_correction(void *user, sqlite3_stmt *row)
{
	struct corrections *c = user;

	if (!array_room((void **)&c->item, &c->cap, c->count, sizeof(*c->item)))
		return -ENOMEM;
	c->item[c->count++] = (struct charge_correction){
		.seq = sqlite3_column_int64(row, 0),
		.at_us = sqlite3_column_int64(row, 1),
		.late = sqlite3_column_int64(row, 2) > 0,
		.list_pusd = sqlite3_column_int64(row, 3),
		.cost_pusd = sqlite3_column_int64(row, 4),
	};
	return 0;
}

int query_corrections(struct query *q, const struct query_filter *filter,
		      struct charge_correction **corrections, size_t *count)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	struct corrections found = {0};
	int r;

	*corrections = NULL;
	*count = 0;
	if (q->version < CORRECTIONS_SINCE)
		return 0;
	text_puts(&sql.text,
		  "SELECT x.seq,x.at_us,x.calls,x.list_cost_pusd,x.cost_pusd FROM corrections x "
		  "JOIN periods p ON p.id=x.period AND p.reopened_at_us IS NULL JOIN calls c ON "
		  "c.seq=x.seq WHERE c.started_at_us>=? AND c.started_at_us<? ORDER BY x.seq,x.id");
	sql_number(&sql, filter->since_us);
	sql_number(&sql, filter_until(filter));
	r = read_rows(q, &sql, take_correction, &found);
	if (r) {
		free(found.item);
		return r;
	}
	*corrections = found.item;
	*count = found.count;
	return 0;
}
