/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/query_parts.h"

#include "exporter/key_functions.h"
#include "exporter/ledger.h"
#include "exporter/periods.h"
#include "exporter/schema.h"
#include "exporter/storage.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ----------------------------------------------------------------------------- */

const char *query_error(const struct query *q)
{
	return q->error;
}

static int no_access(const char *dir, char *err, size_t err_size)
{
	struct group entry, *found = NULL;
	char buf[4096];
	int unknown = getgrnam_r(LEDGER_GROUP, &entry, buf, sizeof(buf), &found) || !found;

	snprintf(err, err_size,
		 "not allowed to read the ledger in %s; run with sudo, or join group %s: %ssudo "
		 "usermod -aG %s $USER; %sthen log in again",
		 dir, LEDGER_GROUP, unknown ? "sudo groupadd --system " LEDGER_GROUP " && " : "",
		 LEDGER_GROUP, unknown ? "restart the agent, " : "");
	return -EACCES;
}

static int no_ledger(const char *dir, char *err, size_t err_size)
{
	snprintf(err, err_size,
		 "no ledger in %s; start `tolltap run`, or name its directory with --storage.path",
		 dir);
	return -ENOENT;
}

static int first_read(struct query *q, int64_t *version, int64_t *application)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(q->db,
				    "SELECT user_version,application_id "
				    "FROM pragma_user_version,pragma_application_id",
				    -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*version = sqlite3_column_int64(stmt, 0);
		*application = sqlite3_column_int64(stmt, 1);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

void query_uri(const struct query *q, struct text *uri)
{
	storage_uri(uri, q->path, q->at_rest ? "?mode=ro&immutable=1" : "?mode=ro");
}

static int open_uri(struct query *q)
{
	struct text uri = TEXT_INIT(4 * PATH_MAX);
	int rc = SQLITE_NOMEM;

	query_uri(q, &uri);
	if (text_cstr(&uri))
		rc = sqlite3_open_v2(uri.ptr, &q->db,
				     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
				     NULL);
	text_free(&uri);
	if (rc == SQLITE_OK)
		sqlite3_busy_timeout(q->db, QUERY_BUSY_MS);
	return rc;
}

/*
 * A copied ledger without its -wal file in a directory the reader may not write: nothing can be in
 * flight, so it is read as it stands.
 */
static bool is_at_rest(const struct query *q)
{
	char wal[PATH_MAX];
	struct stat st;
	int n = snprintf(wal, sizeof(wal), "%s-wal", q->path);

	return n > 0 && (size_t)n < sizeof(wal) && (stat(wal, &st) < 0 || st.st_size == 0);
}

static int connect_ledger(struct query *q, int64_t *version, int64_t *application)
{
	int rc = open_uri(q);

	if (rc == SQLITE_OK)
		rc = first_read(q, version, application);
	if ((rc & 0xff) != SQLITE_CANTOPEN && (rc & 0xff) != SQLITE_READONLY)
		return rc;
	if (!is_at_rest(q))
		return rc;
	sqlite3_close(q->db);
	q->db = NULL;
	q->at_rest = true;
	rc = open_uri(q);
	return rc == SQLITE_OK ? first_read(q, version, application) : rc;
}

static int check_access(const struct query *q, const char *dir, char *err, size_t err_size)
{
	if (access(q->path, R_OK) == 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return no_access(dir, err, err_size);
	return no_ledger(dir, err, err_size);
}

/* What its statements call. */
static int add_functions(sqlite3 *db)
{
	int r = schema_functions(db);

	if (r == 0)
		r = query_calendar_functions(db);
	return r ? r : key_functions(db);
}

static int open_checked(struct query *q, const char *dir, char *err, size_t err_size)
{
	int64_t version = -1, application = -1;
	int r = check_access(q, dir, err, err_size);
	int rc;

	if (r)
		return r;
	rc = connect_ledger(q, &version, &application);
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY)
		return no_access(dir, err, err_size);
	if (rc == SQLITE_OK && version == 0)
		return no_ledger(dir, err, err_size);
	if (rc == SQLITE_OK && application == SCHEMA_APPLICATION_ID && version > SCHEMA_VERSION) {
		snprintf(err, err_size, "%s is from a newer Tolltap; use that version", q->path);
		return -ENOTSUP;
	}
	if (rc != SQLITE_OK || application != SCHEMA_APPLICATION_ID) {
		snprintf(err, err_size, "cannot read %s: %s", q->path,
			 rc == SQLITE_OK ? "it is not a Tolltap ledger" : sqlite3_errmsg(q->db));
		return (rc & 0xff) == SQLITE_BUSY ? -EBUSY : -EBADMSG;
	}
	q->version = version;
	r = add_functions(q->db);
	if (r)
		snprintf(err, err_size, "no memory to open the ledger");
	return r;
}

int query_borrow(struct query **out, sqlite3 *db)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q || query_calendar_functions(db)) {
		free(q);
		return -ENOMEM;
	}
	q->db = db;
	q->version = SCHEMA_VERSION;
	q->borrowed = true;
	*out = q;
	return 0;
}

/* A directory that holds a ledger, or its file by name: a copy, a backup. */
static bool find_ledger(struct query *q, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		return (size_t)snprintf(q->path, sizeof(q->path), "%s", path) < sizeof(q->path);
	return storage_path(q->path, sizeof(q->path), path, LEDGER_FILE);
}

int query_open(struct query **out, const char *dir, char *err, size_t err_size)
{
	struct query *q = calloc(1, sizeof(*q));
	int r = -ENAMETOOLONG;

	if (!q) {
		snprintf(err, err_size, "no memory to open the ledger");
		return -ENOMEM;
	}
	if (find_ledger(q, dir))
		r = open_checked(q, dir, err, err_size);
	else
		snprintf(err, err_size, "the path of %s is too long", dir);
	if (r) {
		query_close(q);
		return r;
	}
	*out = q;
	return 0;
}

int query_adopt(struct query **out, sqlite3 *db)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	if (add_functions(db)) {
		free(q);
		return -ENOMEM;
	}
	q->db = db;
	q->version = SCHEMA_VERSION;
	q->merged = true;
	*out = q;
	return 0;
}

int query_hold(struct query *q)
{
	int rc = sqlite3_exec(q->db, "BEGIN", NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : query_fail(q, rc);
}

void query_close(struct query *q)
{
	if (!q)
		return;
	if (!q->borrowed)
		sqlite3_close(q->db);
	free(q);
}

/* Steps of SQLite's machine between ticks. */
#define TICK_STEPS 1000000

static int on_progress(void *user)
{
	const struct query *q = user;

	q->tick();
	return 0;
}

void query_watch(struct query *q, void (*tick)(void))
{
	q->tick = tick;
	sqlite3_progress_handler(q->db, tick ? TICK_STEPS : 0, tick ? on_progress : NULL, q);
}

/* ---- SQL --------------------------------------------------------------------------------- */

void sql_number(struct sql *sql, int64_t number)
{
	sql->values[sql->count].is_text = false;
	sql->values[sql->count++].number = number;
}

void sql_text(struct sql *sql, const char *text)
{
	sql->values[sql->count].is_text = true;
	sql->values[sql->count++].text = text;
}

void sql_key(struct sql *sql, const struct query_key *key)
{
	const struct query_fact *fact = key->fact;
	bool before = sql->version < QUERY_PAYER_SINCE && fact->sql_before;

	text_puts(&sql->text, before ? fact->sql_before : fact->sql);
	if (key->fact->place == FACT_TAG)
		sql_text(sql, key->tag);
}

void sql_where(struct sql *sql, const struct query_filter *filter)
{
	for (size_t i = 0; i < filter->where_count; i++) {
		const char *value = filter->where[i].value;
		bool none = !strcmp(value, QUERY_NONE);

		text_puts(&sql->text, none ? " AND " : " AND CAST(");
		sql_key(sql, &filter->where[i].key);
		text_puts(&sql->text, none ? " IS NULL" : " AS TEXT)=?");
		if (!none)
			sql_text(sql, value);
	}
}

/* A ledger that no agent of this version has opened yet lacks what came since. */
static int check_fact(struct query *q, const struct query_key *key)
{
	if (key->fact->since <= q->version)
		return 0;
	snprintf(q->error, sizeof(q->error),
		 "this ledger is from an older Tolltap, which knew no %s; start this version's "
		 "agent once",
		 key->fact->name);
	return -ENOTSUP;
}

int query_check_facts(struct query *q, const struct query_filter *filter,
		      const struct query_key *keys, size_t key_count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < key_count; i++)
		r = check_fact(q, &keys[i]);
	for (size_t i = 0; r == 0 && i < filter->where_count; i++)
		r = check_fact(q, &filter->where[i].key);
	return r;
}

int query_fail(struct query *q, int rc)
{
	if (rc == SQLITE_NOMEM) {
		snprintf(q->error, sizeof(q->error), "no memory for the query");
		return -ENOMEM;
	}
	snprintf(q->error, sizeof(q->error), "reading the ledger failed: %s",
		 sqlite3_errmsg(q->db));
	return rc == SQLITE_BUSY ? -EBUSY : -EIO;
}

int query_prepare(struct query *q, struct sql *sql, sqlite3_stmt **out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_NOMEM;

	if (text_cstr(&sql->text))
		rc = sqlite3_prepare_v2(q->db, sql->text.ptr, -1, &stmt, NULL);
	for (int i = 0; rc == SQLITE_OK && i < sql->count; i++) {
		if (sql->values[i].is_text)
			rc = sqlite3_bind_text(stmt, i + 1, sql->values[i].text, -1, SQLITE_STATIC);
		else
			rc = sqlite3_bind_int64(stmt, i + 1, sql->values[i].number);
	}
	if (rc != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return query_fail(q, rc);
	}
	*out = stmt;
	return 0;
}

/* ---- events ------------------------------------------------------------------------------ */

static void put_events(struct sql *sql, const struct query_filter *filter, bool by_time,
		       int64_t after_seq, int64_t limit)
{
	text_puts(&sql->text, "SELECT c.seq,c.revision,c.event_id");
	schema_list_sql(&sql->text, SCHEMA_FACETS, ",f.", sql->version);
	schema_list_sql(&sql->text, SCHEMA_CALLS, ",c.", sql->version);
	/* By time the index on it is to be used, not that on seq. */
	text_printf(&sql->text,
		    " FROM calls c JOIN facets f ON f.id=c.facet"
		    " JOIN (SELECT seq,started_at_us AS at_us FROM calls) s"
		    " ON s.seq=c.seq WHERE %sc.seq>?",
		    by_time ? "+" : "");
	sql_number(sql, after_seq);
	if (filter->since_us || filter->until_us) {
		text_puts(&sql->text, " AND c.started_at_us>=? AND c.started_at_us<?");
		sql_number(sql, filter->since_us);
		sql_number(sql, filter_until(filter));
	}
	sql_where(sql, filter);
	text_puts(&sql->text, " ORDER BY ");
	if (limit > 0) {
		text_puts(&sql->text, by_time ? "c.started_at_us DESC," : "");
		text_puts(&sql->text, "c.seq DESC LIMIT ?");
		sql_number(sql, limit);
	} else {
		text_puts(&sql->text, by_time ? "c.started_at_us,c.seq" : "c.seq");
	}
}

static void load_event(sqlite3_stmt *stmt, struct event *event)
{
	const void *id = sqlite3_column_blob(stmt, 2);

	memset(event, 0, sizeof(*event));
	event->seq = sqlite3_column_int64(stmt, 0);
	event->revision = sqlite3_column_int64(stmt, 1);
	if (id && sqlite3_column_bytes(stmt, 2) == (int)sizeof(event->call.event_id))
		memcpy(event->call.event_id, id, sizeof(event->call.event_id));
	schema_load(stmt, 3, SCHEMA_FACETS, &event->call);
	schema_load(stmt, 3 + (int)schema_column_count[SCHEMA_FACETS], SCHEMA_CALLS, &event->call);
}

static int read_events(struct query *q, struct sql *sql,
		       int (*each)(void *user, const struct event *event), void *user)
{
	sqlite3_stmt *stmt = NULL;
	struct event event;
	int rc = SQLITE_ROW, r = query_prepare(q, sql, &stmt);

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		load_event(stmt, &event);
		r = each(user, &event);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = query_fail(q, rc);
	sqlite3_finalize(stmt);
	text_free(&sql->text);
	return r;
}

int query_events(struct query *q, const struct query_filter *filter, int64_t after_seq,
		 int64_t limit, int (*each)(void *user, const struct event *event), void *user)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	int r = query_check_facts(q, filter, NULL, 0);

	if (r)
		return r;
	if (limit > 0)
		text_puts(&sql.text, "SELECT * FROM (");
	put_events(&sql, filter, q->merged, after_seq, limit);
	if (limit > 0)
		text_puts(&sql.text, q->merged ? ") ORDER BY started_at_us,seq" : ") ORDER BY seq");
	return read_events(q, &sql, each, user);
}

int query_events_by_time(struct query *q, const struct query_filter *filter,
			 int (*each)(void *user, const struct event *event), void *user)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	int r = query_check_facts(q, filter, NULL, 0);

	if (r)
		return r;
	put_events(&sql, filter, true, 0, 0);
	return read_events(q, &sql, each, user);
}

/* ---- losses ------------------------------------------------------------------------------ */

/* A ledger that no agent of this version has opened yet has no such table. */
#define LOSSES_SINCE_VERSION 2

int query_losses(struct query *q, int64_t since_us, int64_t until_us, struct query_losses *out)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	struct query_losses found = {0};
	sqlite3_stmt *stmt = NULL;
	const char *reason;
	int r, rc;

	*out = found;
	if (q->version < LOSSES_SINCE_VERSION)
		return 0;
	text_puts(&sql.text,
		  "SELECT ifnull(sum(times),0),sum(calls),sum(rows),sum(unmetered_seconds),"
		  "max(at_us),reason FROM losses WHERE at_us>=? AND since_us<?");
	sql_number(&sql, since_us);
	sql_number(&sql, until_us ? until_us : INT64_MAX);
	r = query_prepare(q, &sql, &stmt);
	text_free(&sql.text);
	if (r)
		return r;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		found.occasions = sqlite3_column_int64(stmt, 0);
		found.calls = sqlite3_column_int64(stmt, 1);
		found.rows = sqlite3_column_int64(stmt, 2);
		found.unmetered_seconds = sqlite3_column_int64(stmt, 3);
		found.last_at_us = sqlite3_column_int64(stmt, 4);
		reason = (const char *)sqlite3_column_text(stmt, 5); /* of the row of max() */
		slice_copy(found.last_reason, sizeof(found.last_reason), slice_of(reason));
	} else {
		r = query_fail(q, rc);
	}
	sqlite3_finalize(stmt);
	if (r == 0)
		*out = found;
	return r;
}

/* ---- what there is to sum ---------------------------------------------------------------- */

int query_integer(struct query *q, struct sql *sql, int64_t *value)
{
	sqlite3_stmt *stmt = NULL;
	int r = query_prepare(q, sql, &stmt), rc;

	text_free(&sql->text);
	if (r)
		return r;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*value = sqlite3_column_int64(stmt, 0);
	else
		r = query_fail(q, rc);
	sqlite3_finalize(stmt);
	return r;
}

int query_first_us(struct query *q, int64_t *first_us)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};

	text_printf(&sql.text, "SELECT ifnull(min(hour)*%lld,%lld) FROM rollup", SCHEMA_US_PER_HOUR,
		    (long long)INT64_MAX);
	return query_integer(q, &sql, first_us);
}

int query_was_metered(struct query *q, int64_t since_us, int64_t until_us, bool *metered)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	int64_t found = 1;
	int r;

	*metered = true;
	if (q->version < QUERY_RUNS_SINCE)
		return 0;
	text_puts(&sql.text, "SELECT NOT EXISTS(SELECT 1 FROM runs WHERE started_us<?) OR "
			     "EXISTS(SELECT 1 FROM runs WHERE started_us<? AND ended_us>=?)");
	sql_number(&sql, since_us);
	sql_number(&sql, until_us);
	sql_number(&sql, since_us);
	r = query_integer(q, &sql, &found);
	*metered = found != 0;
	return r;
}

/* ---- months ------------------------------------------------------------------------------ */

/* A ledger that no agent of this version has opened yet has no closed ones. */
#define PERIODS_SINCE_VERSION 4

int query_periods(struct query *q, int (*each)(void *user, const struct period *period), void *user)
{
	int r = q->version < PERIODS_SINCE_VERSION ? 0 : periods_each(q->db, each, user);

	return r == -EIO ? query_fail(q, sqlite3_errcode(q->db)) : r;
}
