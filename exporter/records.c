/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/records.h"

#include "exporter/query_parts.h"
#include "exporter/schema.h"

#include <errno.h>
#include <sqlite3.h>

const char *const record_names[RECORD_KINDS] = {
	[RECORD_CALL] = "call",
	[RECORD_SUM] = "sum",
	[RECORD_LOSS] = "loss",
	[RECORD_RUN] = "run",
	[RECORD_CORRECTION] = "correction",
};

static const struct record_table tables[RECORD_KINDS] = {
	[RECORD_LOSS] = {"losses", "since_us,at_us,reason,calls,rows,unmetered_seconds,times",
			 "reason", "times", "x.at_us>=? AND x.since_us<?", 2},
	[RECORD_RUN] = {"runs", "host,started_us,ended_us", "host", "ended_us",
			"x.ended_us>=? AND x.started_us<?", 4},
	[RECORD_CORRECTION] = {"corrections",
			       "event_id,at_us,reason,calls,list_cost_pusd,cost_pusd", "reason",
			       "at_us", NULL, 4},
};

const struct record_table *record_table(enum record_kind kind)
{
	return tables[kind].table ? &tables[kind] : NULL;
}

void record_each_name(const char *list, void (*each)(void *user, struct slice name), void *user)
{
	while (*list) {
		struct slice name = {list, strcspn(list, ",")};

		each(user, name);
		list += name.len + (list[name.len] == ',');
	}
}

struct records {
	struct query *q;
	sqlite3_stmt *stmt; /* NULL: there are none */
	const char *names[RECORD_COLUMNS_MAX];
	struct record_cell cells[RECORD_COLUMNS_MAX];
	size_t count;
};

/* ---- SQL --------------------------------------------------------------------------------- */

/* What every line begins with. row has the column `ledger` where the ledgers are several. */
static void put_head(struct sql *sql, const struct query *q, enum record_kind kind, const char *row)
{
	text_printf(&sql->text, "SELECT '%s' AS record,%d AS schema,", record_names[kind],
		    SCHEMA_VERSION);
	if (q->merged)
		text_printf(&sql->text, "%s.ledger", row);
	else
		text_puts(&sql->text, "(SELECT value FROM meta WHERE key='install_id') AS ledger");
}

static void put_times(struct sql *sql, const struct query_filter *filter, const char *condition)
{
	text_printf(&sql->text, " AND %s", condition);
	sql_number(sql, filter->since_us);
	sql_number(sql, filter_until(filter));
}

/* Facts of time are asked of s.at_us. */
#define OF_CALL_TIME \
	" JOIN (SELECT seq,started_at_us AS at_us FROM calls) s ON s.seq=c.seq WHERE true"

static void put_calls(struct sql *sql, const struct query *q, const struct query_filter *filter)
{
	put_head(sql, q, RECORD_CALL, "c");
	text_puts(&sql->text, ",lower(hex(c.event_id)) AS event_id,c.revision");
	schema_list_sql(&sql->text, SCHEMA_FACETS, ",f.", q->version);
	schema_list_sql(&sql->text, SCHEMA_CALLS, ",c.", q->version);
	text_puts(&sql->text, " FROM calls c JOIN facets f ON f.id=c.facet" OF_CALL_TIME);
	put_times(sql, filter, "c.started_at_us>=? AND c.started_at_us<?");
	sql_where(sql, filter);
	text_puts(&sql->text, " ORDER BY c.started_at_us,c.seq");
}

/* Hours whose calls are gone; in a merged ledger they have a table of their own. */
static void put_sums(struct sql *sql, const struct query *q, const struct query_filter *filter)
{
	put_head(sql, q, RECORD_SUM, "s");
	schema_list_sql(&sql->text, SCHEMA_FACETS, ",f.", q->version);
	text_puts(&sql->text, ",");
	schema_rollup_list_sql(&sql->text, "s.", false, q->version);
	/* Behind a name that is taken SQLite gives a column another: s.facet is the first. */
	text_puts(&sql->text,
		  q->merged
			  ? " FROM (SELECT origin AS facet,facet AS id,*,hour*3600000000 AS at_us "
			    "FROM sums) s JOIN facets f ON f.id=s.id WHERE true"
			  : " FROM (SELECT *,hour*3600000000 AS at_us FROM rollup) s JOIN facets "
			    "f ON f.id=s.facet WHERE " QUERY_SUMS_ONLY);
	put_times(sql, filter, "s.at_us>=? AND s.at_us+3600000000<=?");
	sql_where(sql, filter);
	text_puts(&sql->text, " ORDER BY s.hour,s.facet");
}

static void put_column(void *user, struct slice name)
{
	struct sql *sql = user;

	if (slice_eq(name, SLICE("event_id")))
		text_puts(&sql->text, ",lower(hex(c.event_id)) AS event_id");
	else
		text_printf(&sql->text, ",x.%.*s", SLICE_FMT(name));
}

static void put_table(struct sql *sql, const struct query *q, const struct query_filter *filter,
		      enum record_kind kind)
{
	const struct record_table *t = &tables[kind];

	put_head(sql, q, kind, "x");
	text_puts(&sql->text, q->merged ? ",x.origin AS id" : ",x.id");
	record_each_name(t->columns, put_column, sql);
	text_printf(&sql->text, " FROM %s x", t->table);
	if (t->overlaps) {
		text_puts(&sql->text, " WHERE true");
		put_times(sql, filter, t->overlaps);
	} else {
		text_puts(
			&sql->text,
			" JOIN periods p ON p.id=x.period AND p.reopened_at_us IS NULL JOIN calls "
			"c ON c.seq=x.seq JOIN facets f ON f.id=c.facet" OF_CALL_TIME);
		put_times(sql, filter, "c.started_at_us>=? AND c.started_at_us<?");
		sql_where(sql, filter);
	}
	text_puts(&sql->text, " ORDER BY x.id");
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Some kinds an older ledger does not have, or a condition cannot find. */
static bool has_none(const struct query *q, const struct query_filter *filter,
		     enum record_kind kind)
{
	if (kind == RECORD_SUM)
		return filter_asks_of_calls(filter);
	return tables[kind].since > q->version;
}

static bool column_is_json(const char *name)
{
	enum schema_kind kind;

	for (size_t i = 0; i < schema_column_count[SCHEMA_CALLS]; i++) {
		if (!strcmp(schema_column_name(SCHEMA_CALLS, i, &kind), name))
			return kind == SCHEMA_JSON;
	}
	return false;
}

static int prepare(struct records *r, const struct query_filter *filter, enum record_kind kind)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = r->q->version};
	int rc;

	if (kind == RECORD_CALL)
		put_calls(&sql, r->q, filter);
	else if (kind == RECORD_SUM)
		put_sums(&sql, r->q, filter);
	else
		put_table(&sql, r->q, filter, kind);
	rc = query_prepare(r->q, &sql, &r->stmt);
	text_free(&sql.text);
	if (rc)
		return rc;
	r->count = (size_t)sqlite3_column_count(r->stmt);
	if (r->count > RECORD_COLUMNS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < r->count; i++) {
		r->names[i] = sqlite3_column_name(r->stmt, (int)i);
		if (!r->names[i])
			return query_fail(r->q, SQLITE_NOMEM);
		r->cells[i].is_json = column_is_json(r->names[i]);
	}
	return 0;
}

int records_open(struct records **out, struct query *q, const struct query_filter *filter,
		 enum record_kind kind)
{
	struct records *r = calloc(1, sizeof(*r));
	int result;

	if (!r)
		return query_fail(q, SQLITE_NOMEM);
	r->q = q;
	result = query_check_facts(q, filter, NULL, 0);
	if (result == 0 && !has_none(q, filter, kind))
		result = prepare(r, filter, kind);
	if (result)
		records_close(r);
	else
		*out = r;
	return result;
}

size_t records_columns(const struct records *r, const char *const **names)
{
	*names = r->names;
	return r->count;
}

int records_next(struct records *r, const struct record_cell **cells)
{
	int rc = r->stmt ? sqlite3_step(r->stmt) : SQLITE_DONE;

	if (rc == SQLITE_DONE)
		return 0;
	if (rc != SQLITE_ROW)
		return query_fail(r->q, rc);
	for (size_t i = 0; i < r->count; i++) {
		struct record_cell *cell = &r->cells[i];

		cell->is_number = sqlite3_column_type(r->stmt, (int)i) == SQLITE_INTEGER;
		cell->number = cell->is_number ? sqlite3_column_int64(r->stmt, (int)i) : 0;
		cell->text =
			cell->is_number ? NULL : (const char *)sqlite3_column_text(r->stmt, (int)i);
	}
	*cells = r->cells;
	return 1;
}

void records_close(struct records *r)
{
	if (!r)
		return;
	sqlite3_finalize(r->stmt);
	free(r);
}
