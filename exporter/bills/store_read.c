/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/store_parts.h"

#include "exporter/sql.h"

#include <sqlite3.h>
#include <stdio.h>

#define HEAD_COLUMNS                                                                      \
	"b.id,b.is_pull,b.provider,b.report,b.account,b.projects,b.keys,b.name,b.sha256," \
	"b.from_s,b.to_s,b.is_money,b.is_usage"
#define HEAD_COUNT 13

static void column_text(sqlite3_stmt *stmt, int column, char *dst, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	snprintf(dst, size, "%s", text ? text : "");
}

static void load_head(sqlite3_stmt *stmt, int at, struct bill_head *h)
{
	h->id = sqlite3_column_int64(stmt, at);
	h->is_pull = sqlite3_column_int(stmt, at + 1);
	column_text(stmt, at + 2, h->provider, sizeof(h->provider));
	column_text(stmt, at + 3, h->report, sizeof(h->report));
	column_text(stmt, at + 4, h->account, sizeof(h->account));
	column_text(stmt, at + 5, h->projects, sizeof(h->projects));
	column_text(stmt, at + 6, h->keys, sizeof(h->keys));
	column_text(stmt, at + 7, h->name, sizeof(h->name));
	column_text(stmt, at + 8, h->sha256, sizeof(h->sha256));
	h->from_s = sqlite3_column_int64(stmt, at + 9);
	h->to_s = sqlite3_column_int64(stmt, at + 10);
	h->is_money = sqlite3_column_int(stmt, at + 11);
	h->is_usage = sqlite3_column_int(stmt, at + 12);
}

/* What a loop over rows comes to, which SQLite's rc or a caller's r ended. */
static int ended(struct bill_store *s, sqlite3_stmt *stmt, int r, int rc)
{
	if (r == 0 && rc != SQLITE_DONE)
		r = bill_store_fail(s);
	sqlite3_finalize(stmt);
	return r;
}

static void load_listed(sqlite3_stmt *stmt, struct bill_listed *l)
{
	load_head(stmt, 0, &l->head);
	l->done = sqlite3_column_int(stmt, HEAD_COUNT);
	l->pages = sqlite3_column_int64(stmt, HEAD_COUNT + 1);
	l->fetched_us = sqlite3_column_int64(stmt, HEAD_COUNT + 2);
	column_text(stmt, HEAD_COUNT + 3, l->currency, sizeof(l->currency));
	l->rows = sqlite3_column_int64(stmt, HEAD_COUNT + 4);
	l->amount = sql_money(stmt, HEAD_COUNT + 5);
}

int bill_store_list(struct bill_store *s, int (*each)(void *user, const struct bill_listed *bill),
		    void *user)
{
	struct bill_listed listed;
	sqlite3_stmt *stmt;
	/* Amounts are summed in halves, as the ledger does: no sum leaves 64 bits. */
	int r = bill_store_checked(
		s,
		sql_prepare(s->db, &stmt,
			    "SELECT " HEAD_COLUMNS
			    ",b.done,b.pages,b.fetched_us,ifnull(r.currency,''),"
			    "count(r.bill),sum(ifnull(r.amount,0)>>32),"
			    "sum(ifnull(r.amount,0)&4294967295) FROM bills b LEFT JOIN rows r ON "
			    "r.bill=b.id GROUP BY b.id,r.currency ORDER BY b.id,r.currency",
			    ""));
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&listed, 0, sizeof(listed));
		load_listed(stmt, &listed);
		r = each(user, &listed);
	}
	return ended(s, stmt, r, rc);
}

int bill_store_heads(struct bill_store *s, int64_t from_s, int64_t to_s,
		     int (*each)(void *user, const struct bill_head *head, int64_t fetched_us),
		     void *user)
{
	struct bill_head head;
	sqlite3_stmt *stmt;
	int r = bill_store_checked(s, sql_prepare(s->db, &stmt,
						  "SELECT " HEAD_COLUMNS
						  ",b.fetched_us FROM bills b WHERE b.done=1 AND "
						  "b.from_s<? AND b.to_s>? ORDER BY b.id",
						  "ii", to_s, from_s));
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&head, 0, sizeof(head));
		load_head(stmt, 0, &head);
		r = each(user, &head, sqlite3_column_int64(stmt, HEAD_COUNT));
	}
	return ended(s, stmt, r, rc);
}

int bill_store_spans(struct bill_store *s,
		     int (*each)(void *user, const struct bill_head *head, const char *provider,
				 int64_t first_s, int64_t last_s),
		     void *user)
{
	struct bill_head head;
	sqlite3_stmt *stmt;
	int r = bill_store_checked(
		s,
		sql_prepare(s->db, &stmt,
			    "SELECT " HEAD_COLUMNS
			    ",r.provider,min(r.from_s),max(r.from_s) FROM bills "
			    "b JOIN rows r ON r.bill=b.id WHERE b.is_pull=0 AND b.done=1 GROUP BY "
			    "b.id,r.provider",
			    ""));
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&head, 0, sizeof(head));
		load_head(stmt, 0, &head);
		r = each(user, &head, (const char *)sqlite3_column_text(stmt, HEAD_COUNT),
			 sqlite3_column_int64(stmt, HEAD_COUNT + 1),
			 sqlite3_column_int64(stmt, HEAD_COUNT + 2));
	}
	return ended(s, stmt, r, rc);
}

static enum bill_class class_named(const char *name)
{
	for (int i = 0; i < BILL_CLASSES; i++) {
		if (name && !strcmp(bill_class_names[i], name))
			return (enum bill_class)i;
	}
	return BILL_OTHER;
}

static void load_row(sqlite3_stmt *stmt, int at, struct bill_row *row)
{
	column_text(stmt, at, row->provider, sizeof(row->provider));
	row->from_s = sqlite3_column_int64(stmt, at + 1);
	row->to_s = sqlite3_column_int64(stmt, at + 2);
	column_text(stmt, at + 3, row->model, sizeof(row->model));
	row->class = class_named((const char *)sqlite3_column_text(stmt, at + 4));
	column_text(stmt, at + 5, row->tier, sizeof(row->tier));
	column_text(stmt, at + 6, row->window, sizeof(row->window));
	column_text(stmt, at + 7, row->project, sizeof(row->project));
	column_text(stmt, at + 8, row->key, sizeof(row->key));
	column_text(stmt, at + 9, row->item, sizeof(row->item));
	row->has_quantity = sqlite3_column_type(stmt, at + 10) != SQLITE_NULL;
	row->quantity = sqlite3_column_int64(stmt, at + 10);
	row->has_amount = sqlite3_column_type(stmt, at + 11) != SQLITE_NULL;
	row->amount = sqlite3_column_int64(stmt, at + 11);
	row->slack = sqlite3_column_int64(stmt, at + 12);
	column_text(stmt, at + 13, row->currency, sizeof(row->currency));
}

int bill_store_rows(struct bill_store *s, int64_t from_s, int64_t to_s,
		    int (*each)(void *user, const struct bill_head *head,
				const struct bill_row *row),
		    void *user)
{
	struct bill_head head;
	struct bill_row row;
	sqlite3_stmt *stmt;
	int r = bill_store_checked(
		s,
		sql_prepare(
			s->db, &stmt,
			"SELECT " HEAD_COLUMNS ",r.provider,r.from_s,r.to_s,r.model,r.class,r.tier,"
			"r.window,r.project,r.key,r.item,r.quantity,r.amount,r.slack,r.currency "
			"FROM rows r JOIN bills b ON b.id=r.bill WHERE b.done=1 AND r.from_s>=? "
			"AND r.from_s<? ORDER BY "
			"r.provider,r.from_s/86400,r.model,r.class,r.tier,r.window,"
			"r.project,r.currency",
			"ii", from_s, to_s));
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&head, 0, sizeof(head));
		memset(&row, 0, sizeof(row));
		load_head(stmt, 0, &head);
		load_row(stmt, HEAD_COUNT, &row);
		r = each(user, &head, &row);
	}
	return ended(s, stmt, r, rc);
}
