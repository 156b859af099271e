/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sides share a queue under one mutex: ledger_append packs a call and links it; the writer
 * takes the whole queue, writes it as one transaction and only then forgets it. A group the disk
 * refuses goes back to the front of the queue, so the order of recording is the order of calls.
 */
#include "exporter/ledger.h"

#include "agent/base/counters.h"
#include "agent/base/log.h"
#include "exporter/schema.h"
#include "exporter/storage.h"

#include <errno.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM	   1
#define uthash_nonfatal_oom(facet) free(facet)
/* One-at-a-time: the default's switch falls through, which clang's warnings refuse. */
#define HASH_FUNCTION(key, len, hash) HASH_OAT(key, len, hash)
#include <uthash.h>

#define FACET_KEY_BYTES 16

/* One queued call: its id and its packed columns, facets first. */
struct row {
	struct row *next;
	uint8_t event_id[16];
	uint32_t facet_bytes;
	uint32_t bytes_len;
	char bytes[];
};

struct rows {
	struct row *first;
	struct row **last;
	uint32_t count;
};

struct facet {
	uint8_t key[FACET_KEY_BYTES];
	int64_t id;
	UT_hash_handle hh;
};

enum statement { ST_FACET_FIND, ST_FACET_INSERT, ST_CALL_INSERT, ST_ROLLUP, STATEMENTS };

struct ledger {
	int lock_fd;
	sqlite3 *db; /* the writer's after ledger_open returns */
	sqlite3_stmt *statement[STATEMENTS];
	struct facet *facets; /* ids of committed or pending facets; dropped on rollback */
	char path[PATH_MAX];

	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct rows queue;	  /* under lock */
	uint64_t queued_since_ns; /* under lock: when the oldest waiting call came */
	bool closing;		  /* under lock */
	_Atomic bool healthy;
};

/* ---- the queue --------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void rows_init(struct rows *rows)
{
	*rows = (struct rows){0};
	rows->last = &rows->first;
}

static void rows_free(struct rows *rows)
{
	while (rows->first) {
		struct row *row = rows->first;

		rows->first = row->next;
		free(row);
	}
	rows_init(rows);
}

static void rows_push(struct rows *rows, struct row *row)
{
	row->next = NULL;
	*rows->last = row;
	rows->last = &row->next;
	rows->count++;
}

/* Moves the first `n` rows of `from` behind those of `to`. */
static void rows_move(struct rows *to, struct rows *from, uint32_t n)
{
	while (n-- && from->first) {
		struct row *row = from->first;

		from->first = row->next;
		from->count--;
		rows_push(to, row);
	}
	if (!from->first)
		from->last = &from->first;
}

static struct row *row_new(const struct call *call)
{
	struct text packed = TEXT_INIT(LEDGER_ROW_MAX);
	struct row *row = NULL;
	uint32_t facet_bytes;

	schema_pack(&packed, SCHEMA_FACETS, call);
	facet_bytes = (uint32_t)packed.len;
	schema_pack(&packed, SCHEMA_CALLS, call);
	if (!packed.failed)
		row = malloc(sizeof(*row) + packed.len);
	if (row) {
		memcpy(row->event_id, call->event_id, sizeof(row->event_id));
		row->facet_bytes = facet_bytes;
		row->bytes_len = (uint32_t)packed.len;
		memcpy(row->bytes, packed.ptr, packed.len);
	}
	text_free(&packed);
	return row;
}

int ledger_append(struct ledger *l, const struct call *call)
{
	struct row *row = row_new(call);
	bool full;

	if (!row) {
		counter_add(COUNTER_LEDGER_DROPPED, 1);
		return -ENOMEM;
	}
	pthread_mutex_lock(&l->lock);
	full = l->queue.count >= LEDGER_QUEUE_MAX;
	if (!full) {
		if (l->queue.count == 0)
			l->queued_since_ns = now_ns();
		rows_push(&l->queue, row);
		/* The writer sleeps without a deadline only on an empty queue. */
		if (l->queue.count == 1 || l->queue.count == LEDGER_COMMIT_ROWS)
			pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	if (!full)
		return 0;
	free(row);
	counter_add(ledger_healthy(l) ? COUNTER_LEDGER_DROPPED : COUNTER_LEDGER_DROPPED_DISK, 1);
	return -EAGAIN;
}

/* ---- writing one group ------------------------------------------------------------------- */

static int step_done(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void facets_forget(struct ledger *l)
{
	struct facet *facet, *next;

	HASH_ITER (hh, l->facets, facet, next) {
		HASH_DEL(l->facets, facet);
		free(facet);
	}
}

/* A facet that cannot be remembered (no memory) is looked up again next time. */
static void facet_remember(struct ledger *l, const uint8_t *key, int64_t id)
{
	struct facet *facet;

	if (HASH_COUNT(l->facets) >= LEDGER_FACETS_CACHED)
		facets_forget(l);
	facet = malloc(sizeof(*facet));
	if (!facet)
		return;
	memcpy(facet->key, key, sizeof(facet->key));
	facet->id = id;
	HASH_ADD(hh, l->facets, key, sizeof(facet->key), facet);
}

static int facet_find(struct ledger *l, const uint8_t *key, int64_t *id)
{
	sqlite3_stmt *stmt = l->statement[ST_FACET_FIND];
	int rc;

	sqlite3_bind_blob(stmt, 1, key, FACET_KEY_BYTES, SQLITE_STATIC);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*id = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return rc;
}

static int facet_insert(struct ledger *l, const uint8_t *key, struct slice packed, int64_t *id)
{
	sqlite3_stmt *stmt = l->statement[ST_FACET_INSERT];
	int rc;

	sqlite3_bind_blob(stmt, 1, key, FACET_KEY_BYTES, SQLITE_STATIC);
	schema_bind(stmt, 2, SCHEMA_FACETS, packed);
	rc = step_done(stmt);
	if (rc == SQLITE_OK)
		*id = sqlite3_last_insert_rowid(l->db);
	return rc;
}

/* The id of the facet with these columns, made if new. The key is a hash of the packed columns. */
static int facet_id(struct ledger *l, struct slice packed, int64_t *id)
{
	uint8_t key[FACET_KEY_BYTES];
	struct sha256_ctx sha;
	struct facet *known;
	int rc;

	sha256_init(&sha);
	sha256_update(&sha, packed.len, (const uint8_t *)packed.ptr);
	sha256_digest(&sha, sizeof(key), key);
	HASH_FIND(hh, l->facets, key, sizeof(key), known);
	if (known) {
		*id = known->id;
		return SQLITE_OK;
	}
	rc = facet_find(l, key, id);
	if (rc == SQLITE_DONE)
		rc = facet_insert(l, key, packed, id);
	if (rc != SQLITE_OK && rc != SQLITE_ROW)
		return rc;
	facet_remember(l, key, *id);
	return SQLITE_OK;
}

static int write_row(struct ledger *l, const struct row *row)
{
	struct slice facets = {row->bytes, row->facet_bytes};
	struct slice columns = {row->bytes + row->facet_bytes, row->bytes_len - row->facet_bytes};
	sqlite3_stmt *insert = l->statement[ST_CALL_INSERT], *rollup = l->statement[ST_ROLLUP];
	int64_t facet = 0;
	int rc = facet_id(l, facets, &facet);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_blob(insert, 1, row->event_id, sizeof(row->event_id), SQLITE_STATIC);
	sqlite3_bind_int64(insert, 2, facet);
	schema_bind(insert, 3, SCHEMA_CALLS, columns);
	rc = step_done(insert);
	if (rc != SQLITE_OK || sqlite3_changes(l->db) == 0) /* 0: recorded before */
		return rc;
	sqlite3_bind_int64(rollup, 1, sqlite3_last_insert_rowid(l->db));
	return step_done(rollup);
}

/* A row the schema itself refuses would be refused for ever: it must not hold up the others. */
static bool is_poison(int rc)
{
	return rc == SQLITE_CONSTRAINT || rc == SQLITE_TOOBIG || rc == SQLITE_MISMATCH;
}

/* Rows written to a file that nobody can open any more would be lost in silence. */
static bool file_is_gone(const struct ledger *l)
{
	int moved = 0;

	return sqlite3_file_control(l->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	       moved;
}

static int write_group(struct ledger *l, const struct rows *group)
{
	int rc = file_is_gone(l) ? SQLITE_READONLY_DBMOVED
				 : sqlite3_exec(l->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (const struct row *row = group->first; rc == SQLITE_OK && row; row = row->next) {
		rc = write_row(l, row);
		if (is_poison(rc)) {
			log_error("ledger", "one call refused: %s", sqlite3_errmsg(l->db));
			counter_add(COUNTER_LEDGER_DROPPED_DISK, 1);
			rc = SQLITE_OK;
		}
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(l->db, "COMMIT", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return rc;
	if (!sqlite3_get_autocommit(l->db))
		sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	facets_forget(l);
	return rc;
}

/* ---- the writer -------------------------------------------------------------------------- */

static void group_recorded(struct ledger *l, struct rows *group)
{
	if (!atomic_exchange(&l->healthy, true))
		log_info("ledger", "%s accepts rows again", l->path);
	counter_add(COUNTER_LEDGER_ROWS, group->count);
	counter_add(COUNTER_LEDGER_COMMITS, 1);
	rows_free(group);
}

/* Puts the group back in front, or drops it when nothing can come after. */
static void group_refused(struct ledger *l, struct rows *group, bool closing, int rc)
{
	bool gone = rc == SQLITE_READONLY_DBMOVED;

	if (atomic_exchange(&l->healthy, false) || closing)
		log_error("ledger", "cannot write %s: %s; %s", l->path,
			  gone ? "it was removed or moved" : sqlite3_errstr(rc),
			  closing ? "the last calls are lost"
			  : gone  ? "put it back or restart; calls wait in memory, metrics go on"
				  : "free space on its disk; calls wait in memory, metrics go on");
	pthread_mutex_lock(&l->lock);
	if (closing) {
		counter_add(COUNTER_LEDGER_DROPPED_DISK, group->count);
		rows_free(group);
	} else {
		rows_move(group, &l->queue, l->queue.count);
		rows_move(&l->queue, group, group->count);
	}
	pthread_mutex_unlock(&l->lock);
}

static struct timespec deadline(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC)};
}

/* Waits for a due group and takes it. Returns false when closing and nothing is left. */
static bool take_group(struct ledger *l, uint64_t not_before_ns, struct rows *group, bool *closing)
{
	pthread_mutex_lock(&l->lock);
	while (!l->closing) {
		uint64_t due = l->queue.count >= LEDGER_COMMIT_ROWS
				       ? 0
				       : l->queued_since_ns + LEDGER_COMMIT_MS * NSEC_PER_MSEC;
		struct timespec until;

		due = due > not_before_ns ? due : not_before_ns;
		if (l->queue.count && now_ns() >= due)
			break;
		until = deadline(due);
		if (l->queue.count)
			pthread_cond_timedwait(&l->changed, &l->lock, &until);
		else
			pthread_cond_wait(&l->changed, &l->lock);
	}
	rows_move(group, &l->queue, LEDGER_COMMIT_ROWS);
	*closing = l->closing;
	pthread_mutex_unlock(&l->lock);
	return group->count > 0;
}

static void *writer_main(void *arg)
{
	struct ledger *l = arg;
	uint64_t not_before_ns = 0;
	struct rows group;
	bool closing;

	rows_init(&group);
	while (take_group(l, not_before_ns, &group, &closing)) {
		int rc = write_group(l, &group);

		if (rc == SQLITE_OK) {
			not_before_ns = 0;
			group_recorded(l, &group);
		} else {
			not_before_ns = now_ns() + LEDGER_RETRY_MS * NSEC_PER_MSEC;
			group_refused(l, &group, closing, rc);
		}
	}
	return NULL;
}

bool ledger_healthy(const struct ledger *l)
{
	return atomic_load(&l->healthy);
}

/* ---- opening ----------------------------------------------------------------------------- */

static int errno_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return -EACCES;
	}
	return -EIO;
}

static int refuse(const struct ledger *l, int code, char *err, size_t err_size, const char *why)
{
	snprintf(err, err_size, "cannot use %s: %s; move it away or choose another --storage.path",
		 l->path, why);
	return code;
}

static int refuse_sqlite(const struct ledger *l, int rc, char *err, size_t err_size)
{
	return refuse(l, errno_of(rc), err, err_size, sqlite3_errmsg(l->db));
}

/* The first column of a one-row query, or -1. */
static int64_t query_int(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int64_t value = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

static int create_schema(struct ledger *l)
{
	struct text sql = TEXT_INIT(64u << 10);
	uint8_t id[16];
	int rc = SQLITE_NOMEM;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return SQLITE_IOERR;
	text_puts(&sql, "BEGIN IMMEDIATE;");
	schema_create_sql(&sql);
	text_puts(&sql, "INSERT INTO meta VALUES('install_id','");
	for (size_t i = 0; i < sizeof(id); i++)
		text_printf(&sql, "%02x", id[i]);
	text_puts(&sql, "');COMMIT");
	if (text_cstr(&sql))
		rc = sqlite3_exec(l->db, sql.ptr, NULL, NULL, NULL);
	text_free(&sql);
	return rc;
}

/* Damage shows at open when the file is small enough to read whole; later it shows as refusal. */
static bool is_damaged(const struct ledger *l)
{
	sqlite3_stmt *stmt = NULL;
	struct stat st;
	bool damaged = true;

	if (stat(l->path, &st) < 0 || st.st_size > LEDGER_CHECK_MAX_BYTES)
		return false;
	if (sqlite3_prepare_v2(l->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		damaged = strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0;
	sqlite3_finalize(stmt);
	return damaged;
}

/* Refuses what this version must not touch. *empty: a file just made. */
static int inspect(struct ledger *l, bool *empty, char *err, size_t err_size)
{
	int64_t tables = query_int(l->db, "SELECT count(*) FROM sqlite_schema");
	int64_t version = query_int(l->db, "PRAGMA user_version");

	if (tables < 0 || version < 0)
		return refuse_sqlite(l, sqlite3_errcode(l->db), err, err_size);
	*empty = tables == 0 && version == 0;
	if (*empty)
		return 0;
	if (query_int(l->db, "PRAGMA application_id") != SCHEMA_APPLICATION_ID)
		return refuse(l, -EBADMSG, err, err_size, "it is not a Tolltap ledger");
	if (version > SCHEMA_VERSION)
		return refuse(l, -ENOTSUP, err, err_size, "a newer Tolltap wrote it");
	if (is_damaged(l))
		return refuse(l, -EBADMSG, err, err_size, "it is damaged");
	return 0;
}

/* The -wal and -shm files stay after the last close: a reader of the group cannot make them. */
static int configure(struct ledger *l, char *err, size_t err_size)
{
	char sql[256];
	int keep = 1, rc;

	snprintf(sql, sizeof(sql),
		 "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA cache_size=-1024;"
		 "PRAGMA temp_store=MEMORY;PRAGMA journal_size_limit=%u",
		 LEDGER_WAL_MAX_BYTES);
	rc = sqlite3_exec(l->db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return refuse_sqlite(l, rc, err, err_size);
	sqlite3_file_control(l->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	return schema_functions(l->db);
}

static int prepare_statements(struct ledger *l, char *err, size_t err_size)
{
	int rc = SQLITE_OK;

	for (int i = 0; i < STATEMENTS && rc == SQLITE_OK; i++) {
		struct text sql = TEXT_INIT(16u << 10);

		if (i == ST_FACET_FIND)
			text_puts(&sql, "SELECT id FROM facets WHERE key=?");
		else if (i == ST_ROLLUP)
			schema_rollup_sql(&sql);
		else
			schema_insert_sql(&sql,
					  i == ST_FACET_INSERT ? SCHEMA_FACETS : SCHEMA_CALLS);
		rc = text_cstr(&sql)
			     ? sqlite3_prepare_v2(l->db, sql.ptr, -1, &l->statement[i], NULL)
			     : SQLITE_NOMEM;
		text_free(&sql);
	}
	return rc == SQLITE_OK ? 0 : refuse_sqlite(l, rc, err, err_size);
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

static int open_database(struct ledger *l, const char *dir, char *err, size_t err_size)
{
	bool empty = false;
	int rc, r = make_files(dir, err, err_size);

	if (r)
		return r;
	if (!storage_path(l->path, sizeof(l->path), dir, LEDGER_FILE))
		return -ENAMETOOLONG;
	rc = sqlite3_open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return refuse_sqlite(l, rc, err, err_size);
	sqlite3_busy_timeout(l->db, LEDGER_BUSY_MS);
	r = inspect(l, &empty, err, err_size);
	if (r == 0)
		r = configure(l, err, err_size);
	if (r == 0 && empty) {
		rc = create_schema(l);
		r = rc == SQLITE_OK ? 0 : refuse_sqlite(l, rc, err, err_size);
	}
	return r ? r : prepare_statements(l, err, err_size);
}

static int start_writer(struct ledger *l, char *err, size_t err_size)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are the main loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&l->writer, NULL, writer_main, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		snprintf(err, err_size, "cannot start the ledger's writer: %s", strerror(r));
	return -r;
}

static void release(struct ledger *l)
{
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(l->statement[i]);
	sqlite3_close(l->db);
	facets_forget(l);
	closep(&l->lock_fd);
	free(l);
}

int ledger_open(struct ledger **out, const char *dir, char *err, size_t err_size)
{
	struct ledger *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		snprintf(err, err_size, "no memory for the ledger");
		return -ENOMEM;
	}
	rows_init(&l->queue);
	atomic_init(&l->healthy, true);
	l->lock_fd = ledger_lock_dir(dir, err, err_size);
	r = l->lock_fd < 0 ? l->lock_fd : open_database(l, dir, err, err_size);
	if (r == 0)
		r = start_writer(l, err, err_size);
	if (r) {
		release(l);
		return r;
	}
	*out = l;
	return 0;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->writer, NULL);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	release(l);
}
