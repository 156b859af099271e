/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/periods.h"

#include "agent/base/hex.h"
#include "exporter/amend.h"
#include "exporter/schema.h"
#include "exporter/sql.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>

/* Of the roll-up's rows of [?1, ?2): what a month came to. */
#define SUMS                                                                           \
	"ifnull(sum(s.calls),0),ifnull(sum(s.cost_pusd_hi),0),ifnull(sum(s.cost_pusd_" \
	"lo),0),ifnull(sum(s.list_cost_pusd_hi),0),ifnull(sum(s.list_cost_pusd_lo),0)"
#define OF_MONTH                                                                        \
	" FROM rollup s JOIN facets f ON f.id=s.facet WHERE s.hour>=?1/3600000000 AND " \
	"s.hour<?2/3600000000 AND f.collapsed_by IS NULL"

/* ---- months ------------------------------------------------------------------------------ */

bool period_month(const char *text, int64_t *since_us, int64_t *until_us)
{
	struct tm tm = {.tm_mday = 1};
	int year, month, end = 0;

	if (sscanf(text, "%4d-%2d%n", &year, &month, &end) != 2 || end != 7 || text[7] ||
	    text[4] != '-' || year < 1970 || month < 1 || month > 12)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	*since_us = (int64_t)timegm(&tm) * 1000000;
	tm = (struct tm){.tm_mday = 1, .tm_year = year - 1900, .tm_mon = month};
	*until_us = (int64_t)timegm(&tm) * 1000000;
	return true;
}

static void month_of(char *dst, int64_t us)
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(dst, PERIOD_MONTH_MAX, "%Y-%m", &tm);
}

/* ---- hashes ------------------------------------------------------------------------------ */

static void hash_columns(struct sha256_ctx *sha, sqlite3_stmt *stmt)
{
	int count = sqlite3_column_count(stmt);

	for (int i = 0; i < count; i++) {
		const unsigned char *text = sqlite3_column_text(stmt, i);

		if (text)
			sha256_update(sha, (size_t)sqlite3_column_bytes(stmt, i), text);
		sha256_update(sha, 1, (const uint8_t *)(text ? "\x1f" : "\x1e"));
	}
	sha256_update(sha, 1, (const uint8_t *)"\n");
}

/* Of every row that stmt yields, which is finalized. */
static int hash_rows(sqlite3_stmt *stmt, char hex[65])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha;
	int rc;

	sha256_init(&sha);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		hash_columns(&sha, stmt);
	sqlite3_finalize(stmt);
	sha256_digest(&sha, sizeof(digest), digest);
	hex_of(hex, digest, sizeof(digest));
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/*
 * What a call is, without what a reprice may change: who asked what model when, and what it used.
 * The columns are these for ever, whatever the schema has beside.
 */
int period_rows_sha256(sqlite3 *db, const struct period *p, char sha256[65])
{
	struct text sql = TEXT_INIT(8192);
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_NOMEM;

	text_puts(&sql, "SELECT hex(c.event_id),c.started_at_us,f.provider,f.model,f.billing_mode");
	for (int i = 0; i < TOKEN_KINDS; i++)
		text_printf(&sql, ",c.%s", token_kind_names[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		text_printf(&sql, ",c.tool_%s", tool_unit_names[i]);
	text_puts(&sql, " FROM calls c JOIN facets f ON f.id=c.facet AND f.collapsed_by IS NULL "
			"WHERE c.started_at_us>=? AND "
			"c.started_at_us<? AND c.seq NOT IN (SELECT seq FROM corrections WHERE "
			"period=? AND reason='late') ORDER BY c.started_at_us,c.event_id");
	if (text_cstr(&sql))
		rc = sql_prepare(db, &stmt, sql.ptr, "iii", p->since_us, p->until_us, p->id);
	text_free(&sql);
	return rc == SQLITE_OK ? hash_rows(stmt, sha256) : rc;
}

static int hash_prices(sqlite3 *db, struct period *p)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(db, &stmt,
			     "SELECT DISTINCT f.prices_sha256,f.price_id" OF_MONTH " ORDER BY 1,2",
			     "ii", p->since_us, p->until_us);

	return rc == SQLITE_OK ? hash_rows(stmt, p->prices_sha256) : rc;
}

/* ---- sums -------------------------------------------------------------------------------- */

static void load_sums(sqlite3_stmt *stmt, int column, struct period_sums *out)
{
	out->calls = sqlite3_column_int64(stmt, column);
	out->cost = sql_money(stmt, column + 1);
	out->list = sql_money(stmt, column + 3);
}

static int sums_now(sqlite3 *db, struct period *p)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(db, &stmt, "SELECT " SUMS OF_MONTH, "ii", p->since_us, p->until_us);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		load_sums(stmt, 0, &p->now);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Differences fit 64 bits each, and the sum of many may not. */
static int sum_corrections(sqlite3 *db, struct period *p)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(db, &stmt,
			     "SELECT ifnull(sum(calls),0),ifnull(sum(cost_pusd>>32),0),"
			     "ifnull(sum(cost_pusd&4294967295),0),"
			     "ifnull(sum(list_cost_pusd>>32),0),"
			     "ifnull(sum(list_cost_pusd&4294967295),0),count(*),"
			     "ifnull(sum(reason='late'),0) FROM corrections WHERE period=?",
			     "i", p->id);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		load_sums(stmt, 0, &p->corrections);
		p->correction_count = sqlite3_column_int64(stmt, 5);
		p->late_count = sqlite3_column_int64(stmt, 6);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* ---- closing ----------------------------------------------------------------------------- */

static int check_month(sqlite3 *db, const char *month, int64_t now_us, struct period *p, char *err,
		       size_t err_size)
{
	int64_t id;

	if (!period_month(month, &p->since_us, &p->until_us)) {
		snprintf(err, err_size, "'%.20s' is no month; write 2026-10", month);
		return -EINVAL;
	}
	snprintf(p->month, sizeof(p->month), "%.7s", month);
	if (p->until_us > now_us) {
		snprintf(err, err_size, "%s is not over (UTC); close it when it is", p->month);
		return -EINVAL;
	}
	if (period_closed_at(db, p->since_us, &id) != SQLITE_OK)
		return amend_fail(db, err, err_size);
	p->id = id;
	return 0;
}

/* What the month comes to, read beside the writer; last_outbox: the last change it knows of. */
static int read_month(sqlite3 *db, struct period *p, int64_t *last_outbox)
{
	int rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);

	*last_outbox = sql_integer(db, "SELECT max(id) FROM outbox", 0);
	if (rc == SQLITE_OK)
		rc = period_rows_sha256(db, p, p->rows_sha256);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	return rc;
}

static int has_changed(sqlite3 *db, const struct period *p, int64_t last_outbox, bool *changed)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(db, &stmt,
			     "SELECT 1 FROM outbox o JOIN calls c ON c.seq=o.seq WHERE o.id>? AND "
			     "c.started_at_us>=? AND c.started_at_us<? LIMIT 1",
			     "iii", last_outbox, p->since_us, p->until_us);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	*changed = rc == SQLITE_ROW;
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int insert_period(sqlite3 *db, const struct period *p, const char *by, int64_t now_us)
{
	int rc = sql_run(
		db,
		"INSERT INTO periods(month,since_us,until_us,closed_at_us,closed_by,"
		"rows_sha256,prices_sha256,calls,cost_pusd_hi,cost_pusd_lo,"
		"list_cost_pusd_hi,list_cost_pusd_lo) SELECT ?3,?1,?2,?4,?5,?6,?7," SUMS OF_MONTH,
		"iitittt", p->since_us, p->until_us, p->month, now_us, by, p->rows_sha256,
		p->prices_sha256);

	if (rc != SQLITE_OK)
		return rc;
	return sql_run(db,
		       "INSERT INTO period_totals SELECT ?3,f.provider,f.model,f.basis,"
		       "f.billing_mode," SUMS OF_MONTH " GROUP BY 2,3,4,5",
		       "iii", p->since_us, p->until_us, sqlite3_last_insert_rowid(db));
}

/* *changed: the month is not as it was read; nothing was written. */
static int freeze(sqlite3 *db, struct period *p, const char *by, int64_t now_us,
		  int64_t last_outbox, bool *changed)
{
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = has_changed(db, p, last_outbox, changed);
	if (rc == SQLITE_OK && *changed)
		return sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = hash_prices(db, p);
	if (rc == SQLITE_OK)
		rc = insert_period(db, p, by, now_us);
	return rc == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : rc;
}

int period_close(sqlite3 *db, const char *month, const char *by, int64_t now_us, char *err,
		 size_t err_size)
{
	struct period p = {0};
	bool changed = true;
	int r = check_month(db, month, now_us, &p, err, err_size);

	if (r == 0 && p.id) {
		snprintf(err, err_size, "%s is closed already; see: tolltap period list", p.month);
		return -EEXIST;
	}
	for (int i = 0; r == 0 && changed && i < PERIOD_TRIES; i++) {
		int64_t last_outbox = 0;
		int rc = read_month(db, &p, &last_outbox);

		if (rc == SQLITE_OK)
			rc = freeze(db, &p, by, now_us, last_outbox, &changed);
		if ((rc & 0xff) == SQLITE_CONSTRAINT) { /* by another at this very moment */
			amend_fail(db, err, err_size);
			snprintf(err, err_size, "%s is closed already", p.month);
			return -EEXIST;
		}
		if (rc != SQLITE_OK)
			return amend_fail(db, err, err_size);
	}
	if (r == 0 && changed) {
		snprintf(err, err_size, "%s keeps changing; try again when it is quiet", p.month);
		return -EBUSY;
	}
	return r;
}

int period_reopen(sqlite3 *db, const char *month, const char *by, int64_t now_us, char *err,
		  size_t err_size)
{
	struct period p = {0};
	int r = check_month(db, month, now_us, &p, err, err_size);

	if (r)
		return r;
	if (!p.id) {
		snprintf(err, err_size, "%s is not closed; see: tolltap period list", p.month);
		return -ENOENT;
	}
	if (sql_run(db, "UPDATE periods SET reopened_at_us=?,reopened_by=? WHERE id=?", "iti",
		    now_us, by, p.id) != SQLITE_OK)
		return amend_fail(db, err, err_size);
	return 0;
}

/* ---- looking ----------------------------------------------------------------------------- */

static void load_text(sqlite3_stmt *stmt, int column, char *dst, size_t size)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	snprintf(dst, size, "%s", text ? (const char *)text : "");
}

static void load_period(sqlite3_stmt *stmt, struct period *p)
{
	*p = (struct period){.id = sqlite3_column_int64(stmt, 0),
			     .since_us = sqlite3_column_int64(stmt, 1),
			     .until_us = sqlite3_column_int64(stmt, 2),
			     .closed_at_us = sqlite3_column_int64(stmt, 3),
			     .reopened_at_us = sqlite3_column_int64(stmt, 4)};
	p->closed = !p->reopened_at_us;
	month_of(p->month, p->since_us);
	load_text(stmt, 5, p->closed_by, sizeof(p->closed_by));
	load_text(stmt, 6, p->reopened_by, sizeof(p->reopened_by));
	load_text(stmt, 7, p->rows_sha256, sizeof(p->rows_sha256));
	load_text(stmt, 8, p->prices_sha256, sizeof(p->prices_sha256));
	load_sums(stmt, 9, &p->frozen);
}

/* The months that have calls and are not closed, between those that are told. */
static int each_open(sqlite3 *db, int64_t *from_us, int64_t to_us,
		     int (*each)(void *user, const struct period *period), void *user)
{
	int r = 0;

	while (r == 0 && *from_us < to_us) {
		struct period p = {0};

		month_of(p.month, *from_us);
		if (!period_month(p.month, &p.since_us, &p.until_us))
			return -EIO;
		*from_us = p.until_us;
		if (sums_now(db, &p) != SQLITE_OK)
			return -EIO;
		if (p.now.calls && p.since_us < to_us)
			r = each(user, &p);
	}
	return r;
}

int periods_each(sqlite3 *db, int (*each)(void *user, const struct period *period), void *user)
{
	int64_t from_us = sql_integer(db, "SELECT min(hour)*3600000000 FROM rollup", 0);
	int64_t end_us = sql_integer(db, "SELECT (max(hour)+1)*3600000000 FROM rollup", 0);
	sqlite3_stmt *stmt = NULL;
	int rc =
		sql_prepare(db, &stmt,
			    "SELECT id,since_us,until_us,closed_at_us,reopened_at_us,closed_by,"
			    "reopened_by,rows_sha256,prices_sha256,calls,cost_pusd_hi,cost_pusd_lo,"
			    "list_cost_pusd_hi,list_cost_pusd_lo FROM periods ORDER BY since_us,id",
			    "");
	int r = 0;

	while (r == 0 && rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct period p;

		load_period(stmt, &p);
		r = each_open(db, &from_us, p.since_us, each, user);
		rc = sums_now(db, &p);
		if (rc == SQLITE_OK)
			rc = sum_corrections(db, &p);
		if (r == 0 && rc == SQLITE_OK)
			r = each(user, &p);
		if (p.closed && from_us < p.until_us)
			from_us = p.until_us;
	}
	sqlite3_finalize(stmt);
	if (r == 0 && rc == SQLITE_DONE)
		r = each_open(db, &from_us, end_us, each, user);
	return r == 0 && rc != SQLITE_DONE ? -EIO : r;
}

/* ---- for writers ------------------------------------------------------------------------- */

int64_t periods_closed_until(sqlite3 *db)
{
	return sql_integer(db, "SELECT max(until_us) FROM periods WHERE reopened_at_us IS NULL", 0);
}

int period_closed_at(sqlite3 *db, int64_t at_us, int64_t *id)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sql_prepare(db, &stmt,
			     "SELECT id FROM periods WHERE since_us<=?1 AND until_us>?1 AND "
			     "reopened_at_us IS NULL",
			     "i", at_us);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	*id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int periods_late(sqlite3 *db, int64_t seq, int64_t now_us)
{
	return sql_run(db,
		       "INSERT INTO corrections(at_us,period,reason,seq,facet,calls,"
		       "list_cost_pusd,cost_pusd) SELECT ?1,p.id,'late',c.seq,c.facet,1,"
		       "ifnull(c.list_cost_pusd,0),ifnull(c.cost_pusd,0) FROM calls c "
		       "JOIN facets f ON f.id=c.facet AND f.collapsed_by IS NULL "
		       "JOIN periods p ON p.since_us<=c.started_at_us AND "
		       "p.until_us>c.started_at_us AND p.reopened_at_us IS NULL WHERE c.seq=?2",
		       "ii", now_us, seq);
}
