/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each table is copied by ranges of its key: a range that cannot be read is halved until it can, or
 * is one row. The new file is complete and on disk before the damaged one is touched:
 *
 *	ledger.db -> ledger.db.damaged-TIME, its -wal too, then ledger.db.salvaged -> ledger.db
 *
 * so without a ledger.db a ledger.db.salvaged is whole, and beside one it is left-over.
 */
#include "exporter/salvage.h"

#include "agent/base/clock.h"
#include "exporter/database.h"
#include "exporter/ledger.h"
#include "exporter/losses.h"
#include "exporter/relative.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NEW_FILE LEDGER_FILE SALVAGE_SUFFIX
#define KEY_MAX	 (1LL << 48) /* a higher one is damage itself */

/* ---- files ------------------------------------------------------------------------------- */

static int at_path(char *path, const char *dir, const char *name, char *err, size_t err_size)
{
	if (storage_path(path, PATH_MAX, dir, name))
		return 0;
	snprintf(err, err_size, "the path of %s is too long", dir);
	return -ENAMETOOLONG;
}

static int sync_dir(const char *dir)
{
	_cleanup_(closep) int fd = open(storage_dir(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* What is not there is fine when optional. */
static int move(const char *dir, const char *from, const char *to, bool optional)
{
	char old[PATH_MAX], new[PATH_MAX];

	if (!storage_path(old, sizeof(old), dir, from) || !storage_path(new, sizeof(new), dir, to))
		return -ENAMETOOLONG;
	if (rename(old, new) == 0 || (optional && errno == ENOENT))
		return 0;
	return -errno;
}

/* A name that is free in DIR. */
static void aside_name(char *dst, size_t size, const char *dir)
{
	time_t now = (time_t)(clock_wall_ns() / (int64_t)NSEC_PER_SEC);
	char stamp[32], path[PATH_MAX];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(dst, size, LEDGER_FILE SALVAGE_ASIDE "%s", stamp);
	for (int i = 1; i < SALVAGE_ASIDE_MAX; i++) {
		if (!storage_path(path, sizeof(path), dir, dst) || access(path, F_OK) < 0)
			return;
		snprintf(dst, size, LEDGER_FILE SALVAGE_ASIDE "%s.%d", stamp, i);
	}
}

/* The log of the damaged file must not meet the new one: its pages would be taken for those of it.
 */
static int swap_files(const char *dir, const char *aside, char *err, size_t err_size)
{
	char aside_wal[80], shm[PATH_MAX];
	int r = at_path(shm, dir, LEDGER_FILE "-shm", err, err_size);

	if (r)
		return r;
	snprintf(aside_wal, sizeof(aside_wal), "%s-wal", aside);
	r = move(dir, LEDGER_FILE, aside, true);
	if (r == 0)
		r = sync_dir(dir);
	if (r == 0)
		r = move(dir, LEDGER_FILE "-wal", aside_wal, true);
	if (r == 0 && unlink(shm) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0)
		r = sync_dir(dir);
	if (r == 0)
		r = move(dir, NEW_FILE, LEDGER_FILE, false);
	if (r == 0)
		r = sync_dir(dir);
	if (r)
		snprintf(err, err_size, "cannot set the damaged ledger in %s aside: %s; %s", dir,
			 strerror(-r), storage_advice(-r));
	return r;
}

int salvage_finish(const char *dir, char *err, size_t err_size)
{
	char path[PATH_MAX], new[PATH_MAX], aside[64];
	int r = at_path(path, dir, LEDGER_FILE, err, err_size);

	if (r == 0)
		r = at_path(new, dir, NEW_FILE, err, err_size);
	if (r || access(new, F_OK) < 0)
		return r;
	if (access(path, F_OK) == 0) {
		unlink(new);
		return 0;
	}
	if (salvage_kept_aside(dir, aside, sizeof(aside)) == 0)
		aside_name(aside, sizeof(aside), dir);
	return swap_files(dir, aside, err, err_size);
}

size_t salvage_kept_aside(const char *dir, char *newest, size_t size)
{
	const struct slice prefix = SLICE(LEDGER_FILE SALVAGE_ASIDE);
	struct dirent *entry;
	size_t count = 0;
	DIR *d = opendir(storage_dir(dir));

	if (newest)
		*newest = '\0';
	while (d && (entry = readdir(d))) {
		struct slice name = slice_of(entry->d_name);

		if (!slice_starts(name, prefix) || slice_ends(name, SLICE("-wal")))
			continue;
		count++;
		if (newest && strcmp(entry->d_name, newest) > 0)
			slice_copy(newest, size, name);
	}
	if (d)
		closedir(d);
	return count;
}

/* ---- reading what can be read ------------------------------------------------------------ */

/* Names of a table's columns in the damaged file, separated by commas; "" when it has none. */
static void list_columns(sqlite3 *db, const char *table, struct text *list)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, "SELECT name FROM pragma_table_info(?,'old')", -1, &stmt,
			       NULL) == SQLITE_OK)
		sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
	while (stmt && sqlite3_step(stmt) == SQLITE_ROW)
		text_printf(list, "%s%s", list->len ? "," : "", sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
}

struct copy {
	sqlite3 *db;
	sqlite3_stmt *stmt; /* copies the rows with key BETWEEN ?1 AND ?2 */
	uint32_t tries;
	int64_t first_lost, last_lost; /* keys that cannot be read; last_lost -1 = none */
	int rc;			       /* why it cannot go on: the new file cannot be written */
};

static bool is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB ||
	       (rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISMATCH ||
	       (rc & 0xff) == SQLITE_TOOBIG;
}

/*
 * One statement, one transaction, which a page that cannot be read takes back: inside of an open
 * one SQLite would refuse every write after it.
 */
static int copy_once(struct copy *c, int64_t from, int64_t to)
{
	sqlite3_bind_int64(c->stmt, 1, from);
	sqlite3_bind_int64(c->stmt, 2, to);
	sqlite3_step(c->stmt);
	return sqlite3_reset(c->stmt);
}

static void copy_range(struct copy *c, int64_t from, int64_t to)
{
	int64_t middle = from + (to - from) / 2;
	int rc;

	if (c->rc != SQLITE_OK || from > to)
		return;
	rc = c->tries++ < SALVAGE_TRIES_MAX ? copy_once(c, from, to) : SQLITE_CORRUPT;
	if (rc == SQLITE_OK)
		return;
	if (!is_damage(rc)) {
		c->rc = rc;
	} else if (from == to || c->tries >= SALVAGE_TRIES_MAX) {
		if (c->last_lost < 0)
			c->first_lost = from;
		c->last_lost = to;
	} else {
		copy_range(c, from, middle);
		copy_range(c, middle + 1, to);
	}
}

/* The highest key the damaged file knows of, by whatever still tells it. */
static int64_t highest_key(sqlite3 *db, const char *table, const char *key)
{
	bool calls = !strcmp(table, "calls");
	char by_sequence[128], by_table[128];
	const char *const ways[] = {
		by_sequence,
		by_table,
		calls ? "SELECT max(seq) FROM old.outbox" : NULL,
		calls ? "SELECT max(seq) FROM old.calls INDEXED BY calls_started" : NULL,
	};
	int64_t highest = 0;

	snprintf(by_sequence, sizeof(by_sequence),
		 "SELECT seq FROM old.sqlite_sequence WHERE name='%s'", table);
	snprintf(by_table, sizeof(by_table), "SELECT max(%s) FROM old.%s", key, table);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		int64_t found = ways[i] ? sql_integer(db, ways[i], 0) : 0;

		if (found > highest && found < KEY_MAX)
			highest = found;
	}
	return highest;
}

/* The rows whose key is in [0, last]. */
static int copy_keys(sqlite3 *db, const char *table, const char *key, int64_t last, struct copy *c)
{
	struct text columns = TEXT_INIT(8192), sql = TEXT_INIT(32768);

	*c = (struct copy){.db = db, .last_lost = -1};
	list_columns(db, table, &columns);
	if (!columns.len) { /* older than the table */
		text_free(&columns);
		return SQLITE_OK;
	}
	text_cstr(&columns);
	text_printf(&sql,
		    "INSERT INTO main.%s(%s) SELECT %s FROM old.%s NOT INDEXED WHERE %s "
		    "BETWEEN ?1 AND ?2",
		    table, columns.ptr, columns.ptr, table, key);
	c->rc = text_cstr(&sql) ? sqlite3_prepare_v2(db, sql.ptr, -1, &c->stmt, NULL)
				: SQLITE_NOMEM;
	if (c->rc == SQLITE_OK)
		copy_range(c, 0, last);
	sqlite3_finalize(c->stmt);
	text_free(&sql);
	text_free(&columns);
	return c->rc;
}

static int copy_table(sqlite3 *db, const char *table, const char *key)
{
	struct copy c;

	return copy_keys(db, table, key, highest_key(db, table, key), &c);
}

/* Tables of a few rows and no integer key: one page, which can be read or not. */
static int copy_small(sqlite3 *db, const char *table)
{
	char sql[80];
	int rc;

	snprintf(sql, sizeof(sql), "REPLACE INTO main.%s SELECT * FROM old.%s", table, table);
	rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	return is_damage(rc) || rc == SQLITE_ERROR ? SQLITE_OK : rc;
}

/* Where `meta` cannot be read, calls are taken to begin with the first that is there. */
static int keep_detail_since(sqlite3 *db)
{
	if (sql_integer(db, "SELECT count(*) FROM old.meta", -1) >= 0)
		return SQLITE_OK;
	return sql_run(db,
		       "INSERT OR IGNORE INTO meta SELECT '" SCHEMA_DETAIL_SINCE
		       "',min(started_at_us)/86400000000*86400000000 FROM main.calls "
		       "HAVING count(*)>0",
		       "");
}

/*
 * Roll-ups of hours whose calls are gone by retention stand for themselves. What is summed anew
 * are the calls from then on: an older one that came late is in its hour's row already.
 */
static int copy_old_rollups(sqlite3 *db)
{
	struct loss loss = {.reason = LOSS_DAMAGED};
	struct copy c;
	int rc = keep_detail_since(db);
	int64_t hours = rc == SQLITE_OK ? rollup_detail_since_us(db) / SCHEMA_US_PER_HOUR : 0;

	if (!hours)
		return rc;
	rc = copy_keys(db, "rollup", "hour", hours - 1, &c);
	if (rc != SQLITE_OK || c.last_lost < 0)
		return rc;
	/* How many calls they were of is not known. */
	loss.since_us = c.first_lost * SCHEMA_US_PER_HOUR;
	loss.at_us = (c.last_lost + 1) * SCHEMA_US_PER_HOUR;
	return losses_add(db, &loss);
}

static int copy_tables(sqlite3 *db)
{
	static const struct {
		const char *name, *key;
	} tables[] = {
		{"facets", "id"},      {"calls", "seq"},   {"outbox", "id"},
		{"journal", "id"},     {"losses", "id"},   {"usage_keys", "id"},
		{"runs", "id"},	       {"periods", "id"},  {"period_totals", "rowid"},
		{"corrections", "id"}, {"reprices", "id"}, {"meta", NULL},
		{"cursors", NULL},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(tables) && rc == SQLITE_OK; i++)
		rc = tables[i].key ? copy_table(db, tables[i].name, tables[i].key)
				   : copy_small(db, tables[i].name);
	return rc == SQLITE_OK ? copy_old_rollups(db) : rc;
}

/* ---- making it whole --------------------------------------------------------------------- */

/* What follows from the calls, and ids that may not be given twice. */
static int complete(sqlite3 *db)
{
	struct text sql = TEXT_INIT(64u << 10);

	text_printf(&sql,
		    "INSERT INTO facets(id,key,basis) SELECT facet,randomblob(16),'%s' "
		    "FROM (SELECT facet FROM calls UNION SELECT facet FROM rollup) WHERE facet NOT "
		    "IN (SELECT id FROM facets) GROUP BY facet;",
		    basis_names[BASIS_PARTIAL]);
	schema_rollup_sql(
		&sql,
		"started_at_us>=ifnull((SELECT value FROM meta WHERE key='" SCHEMA_DETAIL_SINCE
		"'),0)");
	/* What is lost may be read back once more, and counts then. */
	text_puts(&sql, ";DELETE FROM usage_keys WHERE seq NOT IN (SELECT seq FROM calls)"
			";DELETE FROM outbox WHERE seq NOT IN (SELECT seq FROM calls);"
			"INSERT INTO outbox(seq,revision) SELECT seq,revision FROM calls WHERE "
			"(seq,revision) NOT IN (SELECT seq,revision FROM outbox) ORDER BY seq;");
	return sql_script(db, &sql);
}

/* AUTOINCREMENT goes on behind everything that ever was, read or not. */
static int continue_ids(sqlite3 *db)
{
	static const char *const tables[] = {"calls",	"outbox",      "journal",
					     "losses",	"usage_keys",  "runs",
					     "periods", "corrections", "reprices"};
	struct text sql = TEXT_INIT(4096);

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		long long highest = highest_key(db, tables[i], i ? "id" : "seq");

		text_printf(&sql,
			    "INSERT INTO main.sqlite_sequence(name,seq) SELECT '%s',0 WHERE NOT "
			    "EXISTS(SELECT 1 FROM main.sqlite_sequence WHERE name='%s');"
			    "UPDATE main.sqlite_sequence SET seq=max(seq,%lld) WHERE name='%s';",
			    tables[i], tables[i], highest, tables[i]);
	}
	return sql_script(db, &sql);
}

/*
 * The missing calls by the index on their time, which is a tree of its own; without it every number
 * up to the highest counts, and all time.
 */
static void count_missing(sqlite3 *db, struct salvage *out, struct loss *loss)
{
	static const char missing[] =
		"SELECT count(*),min(started_at_us),max(started_at_us) FROM old.calls "
		"INDEXED BY calls_started WHERE seq NOT IN (SELECT seq FROM main.calls)";
	sqlite3_stmt *stmt = NULL;

	out->kept = (uint64_t)sql_integer(db, "SELECT count(*) FROM main.calls", 0);
	out->lost = (uint64_t)highest_key(db, "calls", "seq") - out->kept;
	*loss = (struct loss){.reason = LOSS_DAMAGED, .at_us = clock_wall_ns() / 1000};
	if (sqlite3_prepare_v2(db, missing, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW) {
		out->lost = (uint64_t)sqlite3_column_int64(stmt, 0);
		loss->since_us = sqlite3_column_int64(stmt, 1);
		loss->at_us = sqlite3_column_int64(stmt, 2);
	}
	sqlite3_finalize(stmt);
	loss->calls = loss->rows = out->lost;
}

static int fill(sqlite3 *db, struct salvage *out)
{
	struct loss loss;
	int rc = copy_tables(db);

	if (rc != SQLITE_OK)
		return rc;
	out->bare = (uint64_t)sql_integer(
		db, "SELECT count(*) FROM calls WHERE facet NOT IN (SELECT id FROM facets)", 0);
	count_missing(db, out, &loss);
	rc = continue_ids(db);
	if (rc == SQLITE_OK)
		rc = complete(db);
	if (rc == SQLITE_OK && out->lost)
		rc = losses_add(db, &loss);
	return rc;
}

/* ---- the whole --------------------------------------------------------------------------- */

/* Nothing here is durable before the end: a crash begins it anew. */
static int open_both(sqlite3 **db, const char *new, const char *damaged)
{
	static const char settings[] = "PRAGMA journal_mode=MEMORY;PRAGMA synchronous=OFF;"
				       "PRAGMA temp_store=MEMORY";
	int rc = sqlite3_open_v2(new, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI,
				 relative_vfs(new));
	sqlite3_stmt *stmt = NULL;
	struct text uri = TEXT_INIT(4 * PATH_MAX);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*db, settings, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = schema_functions(*db) ? SQLITE_NOMEM : database_create(*db);
	/* Ids come from the damaged file, not from triggers; and it is not to be changed. */
	sqlite3_db_config(*db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	storage_uri(&uri, damaged, "?mode=ro");
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(*db, "ATTACH ? AS old", -1, &stmt, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_text(stmt, 1, text_cstr(&uri), -1, SQLITE_STATIC);
		sqlite3_step(stmt);
		rc = sqlite3_finalize(stmt);
	}
	text_free(&uri);
	return rc;
}

static int build(const char *dir, const char *new, struct salvage *out, char *err, size_t err_size)
{
	_cleanup_(closep) int fd = -1;
	char damaged[PATH_MAX], why[256];
	sqlite3 *db = NULL;
	int rc, r = at_path(damaged, dir, LEDGER_FILE, err, err_size);

	if (r)
		return r;
	unlink(new);
	fd = storage_open_file(dir, NEW_FILE, err, err_size);
	if (fd < 0)
		return fd;
	rc = open_both(&db, new, damaged);
	if (rc == SQLITE_OK)
		rc = fill(db, out);
	r = rc == SQLITE_OK ? 0 : -database_errno(db, rc);
	sqlite3_close(db);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	unlink(new);
	database_explain(why, sizeof(why), -r);
	snprintf(err, err_size, "%s is damaged and could not be salvaged: %s", damaged, why);
	return r;
}

int salvage_ledger(const char *dir, struct salvage *out, char *err, size_t err_size)
{
	struct salvage result = {0};
	char new[PATH_MAX];
	int r = at_path(new, dir, NEW_FILE, err, err_size);

	if (r)
		return r;
	if (salvage_kept_aside(dir, NULL, 0) >= SALVAGE_ASIDE_MAX) {
		snprintf(err, err_size,
			 "%s/" LEDGER_FILE " is damaged again, after %d times: its disk or memory "
			 "fails; mend that and move the " LEDGER_FILE SALVAGE_ASIDE "* files away",
			 dir, SALVAGE_ASIDE_MAX);
		return -EBADMSG;
	}
	aside_name(result.aside, sizeof(result.aside), dir);
	r = build(dir, new, &result, err, err_size);
	if (r == 0)
		r = swap_files(dir, result.aside, err, err_size);
	if (r == 0)
		*out = result;
	return r;
}
