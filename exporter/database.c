/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/database.h"

#include "agent/base/clock.h"
#include "agent/base/hex.h"
#include "agent/base/log.h"
#include "exporter/checker.h"
#include "exporter/inflight.h"
#include "exporter/ledger.h"
#include "exporter/relative.h"
#include "exporter/runs.h"
#include "exporter/salvage.h"
#include "exporter/schema.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- causes ------------------------------------------------------------------------------ */

int database_errno(sqlite3 *db, int rc)
{
	int system = db ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return EBADMSG;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return system ? system : EACCES;
	}
	return system ? system : EIO;
}

void database_explain(char *dst, size_t size, int err)
{
	snprintf(dst, size, "%s; %s", err == EBADMSG ? "it is damaged" : strerror(err),
		 err == EBUSY ? "another program holds it locked: end that one"
			      : storage_advice(err));
}

struct opening {
	sqlite3 *db;
	char path[PATH_MAX];
	bool damaged; /* and ours */
	char *err;
	size_t err_size;
};

static int refuse(const struct opening *o, int code, const char *why)
{
	snprintf(o->err, o->err_size, "cannot use %s: %s", o->path, why);
	return code;
}

static int refuse_sqlite(const struct opening *o, int rc)
{
	int err = database_errno(o->db, rc);
	char why[256];

	database_explain(why, sizeof(why), err);
	return refuse(o, -err, why);
}

/* ---- the file ---------------------------------------------------------------------------- */

int database_create(sqlite3 *db)
{
	struct text sql = TEXT_INIT(64u << 10);
	char hex[2 * 16 + 1];
	uint8_t id[16];

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return SQLITE_IOERR;
	text_puts(&sql, "BEGIN IMMEDIATE;");
	schema_create_sql(&sql);
	hex_of(hex, id, sizeof(id));
	text_printf(&sql, "INSERT INTO meta VALUES('install_id','%s');COMMIT", hex);
	return sql_script(db, &sql);
}

static int migrate(sqlite3 *db, int64_t version)
{
	struct text sql = TEXT_INIT(64u << 10);

	if (version == SCHEMA_VERSION)
		return SQLITE_OK;
	text_puts(&sql, "BEGIN IMMEDIATE;");
	schema_migrate_sql(&sql, version);
	text_puts(&sql, "COMMIT");
	return sql_script(db, &sql);
}

static bool is_damaged(const struct opening *o)
{
	struct stat st;

	return stat(o->path, &st) == 0 && st.st_size <= LEDGER_CHECK_MAX_BYTES &&
	       checker_finds_damage(o->db, NULL);
}

/* Refuses what this version must not touch. *version 0: a file just made. */
static int inspect(struct opening *o, int64_t *version)
{
	int64_t tables = sql_integer(o->db, "SELECT count(*) FROM sqlite_schema", -1);

	*version = tables < 0 ? -1 : sql_integer(o->db, "PRAGMA user_version", -1);
	if (*version < 0)
		return refuse_sqlite(o, sqlite3_errcode(o->db));
	if (tables == 0 && *version == 0)
		return 0;
	if (sql_integer(o->db, "PRAGMA application_id", -1) != SCHEMA_APPLICATION_ID)
		return refuse(o, -EBADMSG,
			      "it is not a Tolltap ledger; move it away or choose another "
			      "--storage.path");
	if (*version > SCHEMA_VERSION)
		return refuse(o, -ENOTSUP,
			      "a newer Tolltap wrote it; install that version, or choose another "
			      "--storage.path");
	o->damaged = o->damaged || is_damaged(o);
	return 0;
}

/* The -wal and -shm files stay after the last close: a reader of the group cannot make them. */
static int configure(const struct opening *o)
{
	char sql[256];
	int keep = 1, rc;

	snprintf(sql, sizeof(sql),
		 "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA cache_size=-1024;"
		 "PRAGMA temp_store=MEMORY;PRAGMA journal_size_limit=%u",
		 LEDGER_WAL_MAX_BYTES);
	rc = sqlite3_exec(o->db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return refuse_sqlite(o, rc);
	sqlite3_file_control(o->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	return schema_functions(o->db) ? refuse_sqlite(o, SQLITE_NOMEM) : 0;
}

/*
 * All three files are made here, with their mode and group: SQLite gives the -wal and -shm files
 * the rights of the database only when it makes them itself.
 */
static int make_files(const char *dir, char *err, size_t err_size)
{
	static const char *const names[] = {LEDGER_FILE, LEDGER_FILE "-wal", LEDGER_FILE "-shm"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int fd = storage_open_file(dir, names[i], err, err_size);

		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

static int open_checked(struct opening *o)
{
	int64_t version = 0;
	int r, rc = sqlite3_open_v2(o->path, &o->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				    relative_vfs(o->path));

	if (rc != SQLITE_OK)
		return refuse_sqlite(o, rc);
	sqlite3_busy_timeout(o->db, LEDGER_BUSY_MS);
	r = inspect(o, &version);
	if (r || o->damaged)
		return r;
	r = configure(o);
	if (r)
		return r;
	rc = version == 0 ? database_create(o->db) : migrate(o->db, version);
	return rc == SQLITE_OK ? 0 : refuse_sqlite(o, rc);
}

/* Closed as it is: what its log holds is not written into it. */
static void close_untouched(sqlite3 *db)
{
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(db);
}

static int salvage(struct opening *o, const char *dir)
{
	struct salvage done;
	int r;

	close_untouched(o->db);
	o->db = NULL;
	o->damaged = false;
	r = salvage_ledger(dir, &done, o->err, o->err_size);
	if (r)
		return r;
	log_error(
		"ledger",
		"%s was damaged: %llu calls are kept, %llu could not be read, %llu have lost what "
		"they share with others; the damaged file stays as %s",
		o->path, (unsigned long long)done.kept, (unsigned long long)done.lost,
		(unsigned long long)done.bare, done.aside);
	return make_files(dir, o->err, o->err_size);
}

int database_open(sqlite3 **out, const char *dir, bool damaged, char *err, size_t err_size)
{
	struct opening o = {.damaged = damaged, .err = err, .err_size = err_size};
	int r = salvage_finish(dir, err, err_size);

	if (r == 0)
		r = make_files(dir, err, err_size);
	if (r)
		return r;
	if (!storage_path(o.path, sizeof(o.path), dir, LEDGER_FILE))
		return -ENAMETOOLONG; /* make_files would have said so */
	r = open_checked(&o);
	if (r == 0 && o.damaged) {
		r = salvage(&o, dir);
		if (r == 0)
			r = open_checked(&o);
		if (r == 0 && o.damaged)
			r = refuse_sqlite(&o, SQLITE_CORRUPT);
	}
	if (r) {
		sqlite3_close(o.db);
		return r;
	}
	*out = o.db;
	return 0;
}

/* ---- runs -------------------------------------------------------------------------------- */

static const char *const run_keys[] = {"run", "run_before", "run_settled", "run_dropped"};

int database_last_run(sqlite3 *db, struct inflight_ledger *out)
{
	int64_t value[ARRAY_LEN(run_keys)] = {0};
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key=?", -1, &stmt, NULL);

	for (size_t i = 0; i < ARRAY_LEN(run_keys) && rc == SQLITE_OK; i++) {
		sqlite3_bind_text(stmt, 1, run_keys[i], -1, SQLITE_STATIC);
		if (sqlite3_step(stmt) == SQLITE_ROW)
			value[i] = sqlite3_column_int64(stmt, 0);
		rc = sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	*out = (struct inflight_ledger){
		.run = value[0],
		.previous_run = value[1],
		.settled = (uint64_t)value[2],
		.dropped = (uint64_t)value[3],
		.newest_us = sql_integer(db, "SELECT max(started_at_us) FROM calls", 0),
	};
	return rc;
}

int database_add_loss(const char *path, const struct loss *loss)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				 relative_vfs(path));

	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(db, LEDGER_BUSY_MS);
	if (rc == SQLITE_OK)
		rc = losses_add(db, loss);
	if (rc == SQLITE_OK)
		losses_publish(db);
	close_untouched(db);
	return rc;
}

int database_begin_run(sqlite3 *db, int64_t run, int64_t seen_us, const struct loss *lost)
{
	struct text sql = TEXT_INIT(4096);
	char host[HOST_NAME_MAX + 1] = "";
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	gethostname(host, sizeof(host) - 1);
	if (rc == SQLITE_OK)
		rc = runs_begin(db, host, seen_us, clock_wall_ns() / 1000);
	if (rc == SQLITE_OK && lost)
		rc = losses_add(db, lost);
	text_printf(&sql,
		    "REPLACE INTO meta SELECT 'run_before',value FROM meta WHERE key='run';"
		    "REPLACE INTO meta VALUES('run',%lld),('run_settled',0),('run_dropped',0);"
		    "COMMIT",
		    (long long)run);
	if (rc == SQLITE_OK)
		rc = sql_script(db, &sql);
	else
		text_free(&sql);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}
