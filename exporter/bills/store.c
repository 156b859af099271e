/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/store_parts.h"

#include "exporter/ledger.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BILLS_VERSION	     1
#define BILLS_APPLICATION_ID 0x544f4c42 /* "TOLB" */

static const char create_sql[] =
	"CREATE TABLE bills(id INTEGER PRIMARY KEY AUTOINCREMENT,is_pull INTEGER NOT NULL,"
	"provider TEXT NOT NULL,report TEXT NOT NULL,account TEXT NOT NULL,projects TEXT NOT NULL,"
	"keys TEXT NOT NULL,name TEXT NOT NULL,sha256 TEXT NOT NULL,from_s INTEGER NOT NULL,"
	"to_s INTEGER NOT NULL,is_money INTEGER NOT NULL,is_usage INTEGER NOT NULL,"
	"done INTEGER NOT NULL,cursor TEXT NOT NULL,pages INTEGER NOT NULL,"
	"fetched_us INTEGER NOT NULL);"
	"CREATE TABLE rows(bill INTEGER NOT NULL REFERENCES bills(id),provider TEXT NOT NULL,"
	"from_s INTEGER NOT NULL,to_s INTEGER NOT NULL,model TEXT NOT NULL,class TEXT NOT NULL,"
	"tier TEXT NOT NULL,window TEXT NOT NULL,project TEXT NOT NULL,key TEXT NOT NULL,"
	"item TEXT NOT NULL,quantity INTEGER,amount INTEGER,slack INTEGER NOT NULL,"
	"currency TEXT NOT NULL);"
	"CREATE INDEX rows_bill ON rows(bill);CREATE INDEX rows_from ON rows(from_s);";

/* ---- statements -------------------------------------------------------------------------- */

int bill_store_fail(struct bill_store *s)
{
	int rc = sqlite3_errcode(s->db);

	if ((rc & 0xff) == SQLITE_BUSY) {
		snprintf(s->error, sizeof(s->error),
			 "%.300s is in use by another tolltap bill; try again", s->path);
		return -EBUSY;
	}
	snprintf(s->error, sizeof(s->error), "cannot use %.300s: %.180s", s->path,
		 sqlite3_errmsg(s->db));
	return -EIO;
}

int bill_store_checked(struct bill_store *s, int rc)
{
	return rc == SQLITE_OK ? 0 : bill_store_fail(s);
}

static int run(struct bill_store *s, const char *sql)
{
	return bill_store_checked(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

/* Ends a transaction one way or the other. */
static int settle(struct bill_store *s, int r)
{
	if (r == 0)
		r = run(s, "COMMIT");
	if (r)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* ---- opening ----------------------------------------------------------------------------- */

const char *bill_store_path(const struct bill_store *s)
{
	return s->path;
}

const char *bill_store_error(const struct bill_store *s)
{
	return s->error;
}

static int refuse(const struct bill_store *s, int code, char *err, size_t err_size)
{
	if (code == -ENOENT)
		snprintf(err, err_size,
			 "no bills in %s; fetch them with `tolltap bill pull`, or read a file with "
			 "`tolltap bill import`",
			 s->path);
	else
		snprintf(err, err_size, "cannot open %s: %s; %s", s->path, strerror(-code),
			 storage_advice(-code));
	return code;
}

/* The file is made here, with its mode, so that it is never another's to read. */
static int make_file(const struct bill_store *s, char *err, size_t err_size)
{
	_cleanup_(closep) int fd =
		open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, STORAGE_FILE_MODE);
	struct stat st;

	if (fd < 0)
		return refuse(s, -errno, err, err_size);
	if (fstat(fd, &st) == 0 && st.st_size == 0 && st.st_uid == geteuid() &&
	    fchmod(fd, STORAGE_FILE_MODE) < 0)
		return refuse(s, -errno, err, err_size);
	storage_share(fd);
	return 0;
}

static int create_tables(struct bill_store *s)
{
	char sql[sizeof(create_sql) + 128];

	snprintf(sql, sizeof(sql),
		 "BEGIN IMMEDIATE;%sPRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT",
		 create_sql, BILLS_APPLICATION_ID, BILLS_VERSION);
	return run(s, sql);
}

static int check_schema(struct bill_store *s, bool make, char *err, size_t err_size)
{
	int64_t application = sql_integer(s->db, "PRAGMA application_id", -1);
	int64_t version = sql_integer(s->db, "PRAGMA user_version", -1);
	int64_t tables = sql_integer(s->db, "SELECT count(*) FROM sqlite_schema", -1);
	int r = application < 0 || version < 0 || tables < 0 ? bill_store_fail(s) : 0;

	if (r == 0 && tables == 0 && application == 0) {
		if (!make)
			return refuse(s, -ENOENT, err, err_size);
		r = create_tables(s);
	} else if (r == 0 && application != BILLS_APPLICATION_ID) {
		snprintf(err, err_size, "%s holds no bills of Tolltap; choose another --bills",
			 s->path);
		return -EBADMSG;
	} else if (r == 0 && version > BILLS_VERSION) {
		snprintf(err, err_size, "%s is from a newer Tolltap; use that version", s->path);
		return -ENOTSUP;
	}
	if (r)
		snprintf(err, err_size, "%s", s->error);
	return r;
}

static int open_database(struct bill_store *s, bool make, char *err, size_t err_size)
{
	int r = make ? make_file(s, err, err_size) : 0;
	int flags = make ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;

	if (r)
		return r;
	if (access(s->path, make ? R_OK | W_OK : R_OK) < 0)
		return refuse(s, -errno, err, err_size);
	if (sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return refuse(s, -EIO, err, err_size);
	sqlite3_busy_timeout(s->db, BILL_STORE_BUSY_MS);
	if (make)
		(void)sqlite3_exec(s->db, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
	return check_schema(s, make, err, err_size);
}

int bill_store_open(struct bill_store **out, const char *dir, const char *file, bool make,
		    char *err, size_t err_size)
{
	struct bill_store *s = calloc(1, sizeof(*s));
	bool fits;
	int r = 0;

	if (!s) {
		snprintf(err, err_size, "no memory to open the bills");
		return -ENOMEM;
	}
	if (make && !file)
		r = storage_make_dir(dir, err, err_size);
	fits = file ? snprintf(s->path, sizeof(s->path), "%s", file) < (int)sizeof(s->path)
		    : storage_path(s->path, sizeof(s->path), dir, BILL_STORE_FILE);
	if (r == 0 && !fits) {
		snprintf(err, err_size, "the path of the bills is too long");
		r = -ENAMETOOLONG;
	}
	if (r == 0)
		r = open_database(s, make, err, err_size);
	if (r) {
		bill_store_close(s);
		return r;
	}
	*out = s;
	return 0;
}

void bill_store_close(struct bill_store *s)
{
	if (!s)
		return;
	sqlite3_close(s->db);
	free(s);
}

/* ---- filters ----------------------------------------------------------------------------- */

bool bill_filter_has(const char *filter, const char *id)
{
	size_t len = strlen(id);

	if (!*filter)
		return true;
	for (const char *p = filter; *p;) {
		size_t part = strcspn(p, ",");

		if (part == len && !memcmp(p, id, len))
			return true;
		p += part + (p[part] == ',');
	}
	return false;
}

bool bill_filter_covers(const char *filter, const char *asked)
{
	char id[BILL_FILTER_MAX];

	if (!*filter || !*asked)
		return !*filter;
	while (*asked) {
		size_t len = strcspn(asked, ",");

		(void)slice_copy(id, sizeof(id), (struct slice){asked, len});
		if (!bill_filter_has(filter, id))
			return false;
		asked += len + (asked[len] == ',');
	}
	return true;
}

/* bill_filter_has as a condition on a column: instr finds ",id," in ",filter,". Two values. */
#define IN_FILTER(column) "(?='' OR instr(','||?||',',','||" column "||',')>0)"

/* ---- rows -------------------------------------------------------------------------------- */

static void bind_known(sqlite3_stmt *stmt, int at, bool known, int64_t value)
{
	if (known)
		sqlite3_bind_int64(stmt, at, value);
	else
		sqlite3_bind_null(stmt, at);
}

static int insert_row(struct bill_store *s, sqlite3_stmt *stmt, int64_t bill,
		      const struct bill_row *row)
{
	const char *texts[] = {row->model,   bill_class_names[row->class],
			       row->tier,    row->window,
			       row->project, row->key,
			       row->item};
	int rc;

	sqlite3_bind_int64(stmt, 1, bill);
	sqlite3_bind_text(stmt, 2, row->provider, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 3, row->from_s);
	sqlite3_bind_int64(stmt, 4, row->to_s);
	for (size_t t = 0; t < ARRAY_LEN(texts); t++)
		sqlite3_bind_text(stmt, (int)t + 5, texts[t], -1, SQLITE_STATIC);
	bind_known(stmt, 12, row->has_quantity, row->quantity);
	bind_known(stmt, 13, row->has_amount, row->amount);
	sqlite3_bind_int64(stmt, 14, row->slack);
	sqlite3_bind_text(stmt, 15, row->currency, -1, SQLITE_STATIC);
	rc = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 0 : bill_store_fail(s);
}

/* Those that the head's filter has; stored grows by their number. */
static int insert_rows(struct bill_store *s, const struct bill_head *head,
		       const struct bill_rows *rows, int64_t *stored)
{
	sqlite3_stmt *stmt;
	int r = bill_store_checked(
		s, sql_prepare(s->db, &stmt,
			       "INSERT INTO rows VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", ""));

	for (size_t i = 0; r == 0 && i < rows->count; i++) {
		const struct bill_row *row = &rows->row[i];

		if (!bill_filter_has(head->projects, row->project) ||
		    !bill_filter_has(head->keys, row->key))
			continue;
		r = insert_row(s, stmt, head->id, row);
		*stored += r == 0;
	}
	sqlite3_finalize(stmt);
	return r;
}

static int insert_head(struct bill_store *s, struct bill_head *h, bool done, int64_t now_us)
{
	int rc = sql_run(s->db,
			 "INSERT INTO bills(is_pull,from_s,to_s,is_money,is_usage,done,fetched_us,"
			 "provider,report,account,projects,keys,name,sha256,cursor,pages) "
			 "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,'',0)",
			 "iiiiiiittttttt", (int64_t)h->is_pull, h->from_s, h->to_s,
			 (int64_t)h->is_money, (int64_t)h->is_usage, (int64_t)done, now_us,
			 h->provider, h->report, h->account, h->projects, h->keys, h->name,
			 h->sha256);

	if (rc == SQLITE_OK)
		h->id = sqlite3_last_insert_rowid(s->db);
	return bill_store_checked(s, rc);
}

/* ---- pulls ------------------------------------------------------------------------------- */

/* A pull where the caller's cursor left it: another process may have gone on with it since. */
#define AS_LEFT " WHERE id=? AND done=0 AND pages=? AND cursor=?"

/* What an update of a pull AS_LEFT came to. */
static int own_step(struct bill_store *s, int rc)
{
	if (rc != SQLITE_OK || sqlite3_changes(s->db) == 1)
		return bill_store_checked(s, rc);
	snprintf(s->error, sizeof(s->error),
		 "another tolltap bill pull went on with the same report, and this one stops; "
		 "nothing is stored twice");
	return -EBUSY;
}

static int find_unended(struct bill_store *s, struct bill_head *h, struct bill_cursor *cursor)
{
	sqlite3_stmt *stmt;
	int rc = sql_prepare(
		s->db, &stmt,
		"SELECT id,cursor,pages,(SELECT count(*) FROM rows WHERE bill=bills.id) "
		"FROM bills WHERE done=0 AND is_pull=1 AND provider=? AND report=? AND "
		"account=? AND projects=? AND keys=? AND from_s=? AND to_s=?",
		"tttttii", h->provider, h->report, h->account, h->projects, h->keys, h->from_s,
		h->to_s);

	*cursor = (struct bill_cursor){0};
	h->id = 0;
	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
		h->id = sqlite3_column_int64(stmt, 0);
		snprintf(cursor->next, sizeof(cursor->next), "%s", sqlite3_column_text(stmt, 1));
		cursor->pages = sqlite3_column_int64(stmt, 2);
		cursor->rows = sqlite3_column_int64(stmt, 3);
	}
	return bill_store_checked(s, rc == SQLITE_OK ? sqlite3_finalize(stmt) : rc);
}

int bill_pull_begin(struct bill_store *s, struct bill_head *head, int64_t now_us,
		    struct bill_cursor *cursor)
{
	int r = find_unended(s, head, cursor);

	if (r || head->id)
		return r;
	head->is_pull = true;
	return insert_head(s, head, false, now_us);
}

int bill_pull_page(struct bill_store *s, const struct bill_head *head, const struct bill_page *page,
		   int64_t now_us, struct bill_cursor *cursor)
{
	int64_t stored = 0;
	int r = run(s, "BEGIN IMMEDIATE");

	if (r)
		return r;
	r = own_step(s,
		     sql_run(s->db, "UPDATE bills SET cursor=?,pages=pages+1,fetched_us=?" AS_LEFT,
			     "tiiit", page->cursor, now_us, head->id, cursor->pages, cursor->next));
	if (r == 0)
		r = insert_rows(s, head, &page->rows, &stored);
	r = settle(s, r);
	if (r)
		return r;
	snprintf(cursor->next, sizeof(cursor->next), "%s", page->cursor);
	cursor->pages++;
	cursor->rows += stored;
	return 0;
}

int bill_pull_restart(struct bill_store *s, const struct bill_head *head,
		      struct bill_cursor *cursor)
{
	int r = run(s, "BEGIN IMMEDIATE");

	if (r)
		return r;
	r = own_step(s, sql_run(s->db, "UPDATE bills SET cursor='',pages=0" AS_LEFT, "iit",
				head->id, cursor->pages, cursor->next));
	if (r == 0)
		r = bill_store_checked(
			s, sql_run(s->db, "DELETE FROM rows WHERE bill=?", "i", head->id));
	*cursor = (struct bill_cursor){0};
	return settle(s, r);
}

/*
 * Bills of the same account and report that say nothing any more: wholly within this one and
 * replaced, or begun and given up.
 */
static int delete_dead(struct bill_store *s, const struct bill_head *h, int64_t now_us)
{
	int64_t given_up_us = now_us - BILL_GIVEN_UP_S * (int64_t)1000000;
	int rc = sql_run(s->db,
			 "DELETE FROM rows WHERE bill IN (SELECT id FROM bills WHERE done=0 AND "
			 "provider=? AND report=? AND account=? AND fetched_us<?)",
			 "ttti", h->provider, h->report, h->account, given_up_us);

	if (rc == SQLITE_OK)
		rc = sql_run(s->db,
			     "DELETE FROM bills WHERE id<>? AND is_pull=1 AND provider=? AND "
			     "report=? AND account=? AND id NOT IN (SELECT bill FROM rows) AND "
			     "CASE WHEN done THEN from_s>=? AND to_s<=? AND (?='' OR projects=?) "
			     "AND (?='' OR keys=?) ELSE fetched_us<? END",
			     "itttiitttti", h->id, h->provider, h->report, h->account, h->from_s,
			     h->to_s, h->projects, h->projects, h->keys, h->keys, given_up_us);
	return bill_store_checked(s, rc);
}

int bill_pull_end(struct bill_store *s, const struct bill_head *h, const struct bill_cursor *cursor,
		  int64_t now_us, int64_t *replaced)
{
	int r = run(s, "BEGIN IMMEDIATE");
	int rc;

	*replaced = 0;
	if (r)
		return r;
	r = own_step(s, sql_run(s->db, "UPDATE bills SET done=1,cursor='',fetched_us=?" AS_LEFT,
				"iiit", now_us, h->id, cursor->pages, cursor->next));
	if (r)
		return settle(s, r);
	rc = sql_run(s->db,
		     "DELETE FROM rows WHERE from_s>=? AND from_s<? AND " IN_FILTER(
			     "project") " AND " IN_FILTER("key") " AND bill IN (SELECT id FROM "
								 "bills WHERE id<>? AND is_pull=1 "
								 "AND provider=? "
								 "AND report=? AND account=? AND "
								 "done=1)",
		     "iittttittt", h->from_s, h->to_s, h->projects, h->projects, h->keys, h->keys,
		     h->id, h->provider, h->report, h->account);
	*replaced = sqlite3_changes(s->db);
	r = bill_store_checked(s, rc);
	return settle(s, r ? r : delete_dead(s, h, now_us));
}

/* ---- imports ----------------------------------------------------------------------------- */

/*
 * Other imports of the account that the new one is again: of the same bytes, or of the same name
 * with days that overlap. Providers call the file of every month alike.
 */
#define SAME_IMPORT                                                                             \
	"SELECT o.id FROM bills o JOIN bills n ON n.id=? WHERE o.is_pull=0 AND o.id<>n.id AND " \
	"o.account=n.account AND (o.sha256=n.sha256 OR (o.name=n.name AND "                     \
	"(SELECT min(from_s)/86400 FROM rows WHERE bill=o.id)<="                                \
	"(SELECT max(from_s)/86400 FROM rows WHERE bill=n.id) AND "                             \
	"(SELECT max(from_s)/86400 FROM rows WHERE bill=o.id)>="                                \
	"(SELECT min(from_s)/86400 FROM rows WHERE bill=n.id)))"

static int delete_same_import(struct bill_store *s, const struct bill_head *h, int64_t *replaced)
{
	int rc =
		sql_run(s->db, "CREATE TEMP TABLE IF NOT EXISTS again(id INTEGER PRIMARY KEY)", "");

	if (rc == SQLITE_OK)
		rc = sql_run(s->db, "DELETE FROM temp.again", "");
	if (rc == SQLITE_OK)
		rc = sql_run(s->db, "INSERT INTO temp.again " SAME_IMPORT, "i", h->id);
	if (rc == SQLITE_OK) {
		rc = sql_run(s->db, "DELETE FROM rows WHERE bill IN (SELECT id FROM temp.again)",
			     "");
		*replaced += sqlite3_changes(s->db);
	}
	if (rc == SQLITE_OK)
		rc = sql_run(s->db, "DELETE FROM bills WHERE id IN (SELECT id FROM temp.again)",
			     "");
	return bill_store_checked(s, rc);
}

/* Rows of other imports of the account, of days of a provider that the new one has too. */
#define OVERLAPPING                                                                              \
	"FROM rows o JOIN bills b ON b.id=o.bill WHERE b.is_pull=0 AND b.id<>? AND b.account=? " \
	"AND EXISTS(SELECT 1 FROM temp.days d WHERE d.provider=o.provider "                      \
	"AND d.day=o.from_s/86400)"

static int refuse_overlap(struct bill_store *s, const struct bill_head *h)
{
	char day[BILL_DAY_TEXT_MAX];
	sqlite3_stmt *stmt;
	int r = bill_store_checked(
		s, sql_prepare(s->db, &stmt,
			       "SELECT b.name,o.provider,o.from_s/86400 " OVERLAPPING " LIMIT 1",
			       "it", h->id, h->account));

	if (r)
		return r;
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		snprintf(s->error, sizeof(s->error),
			 "%s has rows of %s on %s, which the import %s has too; --replace takes "
			 "the older rows of these days away, --add keeps both, --account tells "
			 "accounts apart",
			 h->name, sqlite3_column_text(stmt, 1),
			 bill_day_text(day, sqlite3_column_int64(stmt, 2)),
			 sqlite3_column_text(stmt, 0));
		r = -EEXIST;
	}
	sqlite3_finalize(stmt);
	return r;
}

static int replace_overlap(struct bill_store *s, const struct bill_head *h, int64_t *replaced)
{
	int rc = sql_run(s->db, "DELETE FROM rows WHERE rowid IN (SELECT o.rowid " OVERLAPPING ")",
			 "it", h->id, h->account);

	*replaced += sqlite3_changes(s->db);
	if (rc == SQLITE_OK)
		rc = sql_run(s->db,
			     "DELETE FROM bills WHERE is_pull=0 AND id<>? AND id NOT IN "
			     "(SELECT bill FROM rows)",
			     "i", h->id);
	return bill_store_checked(s, rc);
}

static int settle_overlap(struct bill_store *s, const struct bill_head *h,
			  enum bill_overlap overlap, int64_t *replaced)
{
	int r;

	if (overlap == OVERLAP_ADD)
		return 0;
	r = run(s, "DROP TABLE IF EXISTS temp.days;"
		   "CREATE TEMP TABLE days(provider TEXT,day INTEGER,PRIMARY KEY(provider,day))");
	if (r == 0)
		r = bill_store_checked(s, sql_run(s->db,
						  "INSERT OR IGNORE INTO temp.days SELECT provider,"
						  "from_s/86400 FROM rows WHERE bill=?",
						  "i", h->id));
	if (r)
		return r;
	return overlap == OVERLAP_REFUSE ? refuse_overlap(s, h) : replace_overlap(s, h, replaced);
}

int bill_import(struct bill_store *s, struct bill_head *head, const struct bill_rows *rows,
		enum bill_overlap overlap, int64_t now_us, int64_t *replaced)
{
	int64_t stored = 0;
	int r = run(s, "BEGIN IMMEDIATE");

	*replaced = 0;
	if (r)
		return r;
	r = insert_head(s, head, true, now_us);
	if (r == 0)
		r = insert_rows(s, head, rows, &stored);
	if (r == 0)
		r = delete_same_import(s, head, replaced);
	if (r == 0)
		r = settle_overlap(s, head, overlap, replaced);
	return settle(s, r);
}
