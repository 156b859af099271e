/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/store.h"

#include "exporter/ledger.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BILLS_VERSION	     1
#define BILLS_APPLICATION_ID 0x544f4c42 /* "TOLB" */

struct bill_store {
	sqlite3 *db;
	char path[PATH_MAX];
	char error[BILL_ERROR_MAX];
};

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

#define HEAD_COLUMNS                                                                      \
	"b.id,b.is_pull,b.provider,b.report,b.account,b.projects,b.keys,b.name,b.sha256," \
	"b.from_s,b.to_s,b.is_money,b.is_usage"
#define HEAD_COUNT 13

/* ---- statements -------------------------------------------------------------------------- */

static int fail(struct bill_store *s)
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

static int run(struct bill_store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s);
}

/* One value of a statement, in the order of its `?`. */
struct bound {
	const char *text; /* NULL: the number */
	int64_t number;
	bool is_null;
};

#define TEXT_VALUE(t)       \
	{                   \
		.text = (t) \
	}
#define INT_VALUE(n)          \
	{                     \
		.number = (n) \
	}

static int prepare(struct bill_store *s, const char *sql, const struct bound *values, size_t count,
		   sqlite3_stmt **out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);

	for (size_t i = 0; rc == SQLITE_OK && i < count; i++) {
		int at = (int)i + 1;

		if (values[i].is_null)
			rc = sqlite3_bind_null(stmt, at);
		else if (values[i].text)
			rc = sqlite3_bind_text(stmt, at, values[i].text, -1, SQLITE_STATIC);
		else
			rc = sqlite3_bind_int64(stmt, at, values[i].number);
	}
	if (rc != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return fail(s);
	}
	*out = stmt;
	return 0;
}

/* Runs a statement that returns no rows; changes, when not NULL, grows by the rows it changed. */
static int change(struct bill_store *s, const char *sql, const struct bound *values, size_t count,
		  int64_t *changes)
{
	sqlite3_stmt *stmt;
	int r = prepare(s, sql, values, count, &stmt);

	if (r)
		return r;
	if (sqlite3_step(stmt) != SQLITE_DONE)
		r = fail(s);
	else if (changes)
		*changes += sqlite3_changes(s->db);
	sqlite3_finalize(stmt);
	return r;
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

static int pragma(struct bill_store *s, const char *sql, int64_t *value)
{
	sqlite3_stmt *stmt;
	int r = prepare(s, sql, NULL, 0, &stmt);

	if (r)
		return r;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		*value = sqlite3_column_int64(stmt, 0);
	else
		r = fail(s);
	sqlite3_finalize(stmt);
	return r;
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
	int64_t application = 0, version = 0, tables = 0;
	int r = pragma(s, "PRAGMA application_id", &application);

	r = r ? r : pragma(s, "PRAGMA user_version", &version);
	r = r ? r : pragma(s, "SELECT count(*) FROM sqlite_schema", &tables);
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

/* The same as a condition on a column: instr finds ",id," in ",filter,". Two values. */
#define IN_FILTER(column) "(?='' OR instr(','||?||',',','||" column "||',')>0)"

/* ---- rows -------------------------------------------------------------------------------- */

/* Those that the head's filter has; stored grows by their number. */
static int insert_rows(struct bill_store *s, const struct bill_head *head,
		       const struct bill_rows *rows, int64_t *stored)
{
	sqlite3_stmt *stmt;
	int r = prepare(s, "INSERT INTO rows VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", NULL, 0,
			&stmt);

	for (size_t i = 0; r == 0 && i < rows->count; i++) {
		const struct bill_row *row = &rows->row[i];
		const char *texts[] = {row->model,   bill_class_names[row->class],
				       row->tier,    row->window,
				       row->project, row->key,
				       row->item};

		if (!bill_filter_has(head->projects, row->project) ||
		    !bill_filter_has(head->keys, row->key))
			continue;
		sqlite3_bind_int64(stmt, 1, head->id);
		sqlite3_bind_text(stmt, 2, row->provider, -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 3, row->from_s);
		sqlite3_bind_int64(stmt, 4, row->to_s);
		for (size_t t = 0; t < ARRAY_LEN(texts); t++)
			sqlite3_bind_text(stmt, (int)t + 5, texts[t], -1, SQLITE_STATIC);
		if (row->has_quantity)
			sqlite3_bind_int64(stmt, 12, row->quantity);
		else
			sqlite3_bind_null(stmt, 12);
		if (row->has_amount)
			sqlite3_bind_int64(stmt, 13, row->amount);
		else
			sqlite3_bind_null(stmt, 13);
		sqlite3_bind_int64(stmt, 14, row->slack);
		sqlite3_bind_text(stmt, 15, row->currency, -1, SQLITE_STATIC);
		if (sqlite3_step(stmt) != SQLITE_DONE)
			r = fail(s);
		*stored += r == 0;
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return r;
}

static int insert_head(struct bill_store *s, struct bill_head *h, bool done, int64_t now_us)
{
	const struct bound values[] = {
		INT_VALUE(h->is_pull),	INT_VALUE(h->from_s),	 INT_VALUE(h->to_s),
		INT_VALUE(h->is_money), INT_VALUE(h->is_usage),	 INT_VALUE(done),
		INT_VALUE(now_us),	TEXT_VALUE(h->provider), TEXT_VALUE(h->report),
		TEXT_VALUE(h->account), TEXT_VALUE(h->projects), TEXT_VALUE(h->keys),
		TEXT_VALUE(h->name),	TEXT_VALUE(h->sha256),
	};
	int r = change(s,
		       "INSERT INTO bills(is_pull,from_s,to_s,is_money,is_usage,done,fetched_us,"
		       "provider,report,account,projects,keys,name,sha256,cursor,pages) "
		       "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,'',0)",
		       values, ARRAY_LEN(values), NULL);

	if (r == 0)
		h->id = sqlite3_last_insert_rowid(s->db);
	return r;
}

static int delete_bill(struct bill_store *s, int64_t id, int64_t *rows)
{
	const struct bound value = INT_VALUE(id);
	int r = change(s, "DELETE FROM rows WHERE bill=?", &value, 1, rows);

	return r ? r : change(s, "DELETE FROM bills WHERE id=?", &value, 1, NULL);
}

/* ---- pulls ------------------------------------------------------------------------------- */

#define SAME_PULL                                                                        \
	"is_pull=1 AND provider=? AND report=? AND account=? AND projects=? AND keys=? " \
	"AND from_s=? AND to_s=?"

static int find_unended(struct bill_store *s, struct bill_head *h, struct bill_cursor *cursor)
{
	const struct bound values[] = {
		TEXT_VALUE(h->provider), TEXT_VALUE(h->report), TEXT_VALUE(h->account),
		TEXT_VALUE(h->projects), TEXT_VALUE(h->keys),	INT_VALUE(h->from_s),
		INT_VALUE(h->to_s),
	};
	sqlite3_stmt *stmt;
	int r = prepare(s,
			"SELECT id,cursor,pages,(SELECT count(*) FROM rows WHERE bill=bills.id) "
			"FROM bills WHERE done=0 AND " SAME_PULL,
			values, ARRAY_LEN(values), &stmt);

	if (r)
		return r;
	*cursor = (struct bill_cursor){0};
	h->id = 0;
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		h->id = sqlite3_column_int64(stmt, 0);
		column_text(stmt, 1, cursor->next, sizeof(cursor->next));
		cursor->pages = sqlite3_column_int64(stmt, 2);
		cursor->rows = sqlite3_column_int64(stmt, 3);
	}
	sqlite3_finalize(stmt);
	return 0;
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
	const struct bound values[] = {TEXT_VALUE(page->cursor), INT_VALUE(now_us),
				       INT_VALUE(head->id)};
	int64_t stored = 0;
	int r = run(s, "BEGIN IMMEDIATE");

	if (r)
		return r;
	r = insert_rows(s, head, &page->rows, &stored);
	if (r == 0)
		r = change(s, "UPDATE bills SET cursor=?,pages=pages+1,fetched_us=? WHERE id=?",
			   values, ARRAY_LEN(values), NULL);
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
	const struct bound value = INT_VALUE(head->id);
	int r = run(s, "BEGIN IMMEDIATE");

	if (r)
		return r;
	r = change(s, "DELETE FROM rows WHERE bill=?", &value, 1, NULL);
	if (r == 0)
		r = change(s, "UPDATE bills SET cursor='',pages=0 WHERE id=?", &value, 1, NULL);
	*cursor = (struct bill_cursor){0};
	return settle(s, r);
}

/* Older bills of the same account and report that are wholly within this one say nothing more. */
static int delete_covered(struct bill_store *s, const struct bill_head *h)
{
	const struct bound values[] = {
		INT_VALUE(h->id),	 TEXT_VALUE(h->provider), TEXT_VALUE(h->report),
		TEXT_VALUE(h->account),	 INT_VALUE(h->from_s),	  INT_VALUE(h->to_s),
		TEXT_VALUE(h->projects), TEXT_VALUE(h->projects), TEXT_VALUE(h->keys),
		TEXT_VALUE(h->keys),
	};

	return change(s,
		      "DELETE FROM bills WHERE id<>? AND is_pull=1 AND provider=? AND report=? "
		      "AND account=? AND from_s>=? AND to_s<=? AND (?='' OR projects=?) "
		      "AND (?='' OR keys=?) AND id NOT IN (SELECT bill FROM rows)",
		      values, ARRAY_LEN(values), NULL);
}

int bill_pull_end(struct bill_store *s, const struct bill_head *h, int64_t now_us,
		  int64_t *replaced)
{
	const struct bound slice[] = {
		INT_VALUE(h->from_s),	 INT_VALUE(h->to_s),	  TEXT_VALUE(h->projects),
		TEXT_VALUE(h->projects), TEXT_VALUE(h->keys),	  TEXT_VALUE(h->keys),
		INT_VALUE(h->id),	 TEXT_VALUE(h->provider), TEXT_VALUE(h->report),
		TEXT_VALUE(h->account),
	};
	const struct bound end[] = {INT_VALUE(now_us), INT_VALUE(h->id)};
	int r = run(s, "BEGIN IMMEDIATE");

	*replaced = 0;
	if (r)
		return r;
	r = change(s,
		   "DELETE FROM rows WHERE from_s>=? AND from_s<? AND " IN_FILTER(
			   "project") " AND " IN_FILTER("key") " AND bill IN (SELECT id FROM bills "
							       "WHERE id<>? AND is_pull=1 AND "
							       "provider=? "
							       "AND report=? AND account=? AND "
							       "done=1)",
		   slice, ARRAY_LEN(slice), replaced);
	if (r == 0)
		r = change(s, "UPDATE bills SET done=1,cursor='',fetched_us=? WHERE id=?", end,
			   ARRAY_LEN(end), NULL);
	if (r == 0)
		r = delete_covered(s, h);
	return settle(s, r);
}

/* ---- imports ----------------------------------------------------------------------------- */

/* Imports of the same bytes, or of the same name for the same account. */
static int delete_same_import(struct bill_store *s, const struct bill_head *h, int64_t *replaced)
{
	const struct bound values[] = {TEXT_VALUE(h->sha256), TEXT_VALUE(h->name),
				       TEXT_VALUE(h->account)};
	sqlite3_stmt *stmt;
	int64_t id = 0;
	int r = 0;

	do {
		r = prepare(s,
			    "SELECT id FROM bills WHERE is_pull=0 AND (sha256=? OR (name=? AND "
			    "account=?)) LIMIT 1",
			    values, ARRAY_LEN(values), &stmt);
		if (r)
			return r;
		id = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
		sqlite3_finalize(stmt);
		if (id)
			r = delete_bill(s, id, replaced);
	} while (r == 0 && id);
	return r;
}

/* Days of a provider that both the new import and an older one of the account have. */
#define OVERLAPPING                                                                              \
	"FROM rows o JOIN bills b ON b.id=o.bill WHERE b.is_pull=0 AND b.id<>? AND b.account=? " \
	"AND EXISTS(SELECT 1 FROM temp.days d WHERE d.provider=o.provider "                      \
	"AND d.day=o.from_s/86400)"

static int refuse_overlap(struct bill_store *s, const struct bill_head *h)
{
	const struct bound values[] = {INT_VALUE(h->id), TEXT_VALUE(h->account)};
	char day[BILL_DAY_TEXT_MAX];
	sqlite3_stmt *stmt;
	int r = prepare(s, "SELECT b.name,o.provider,o.from_s/86400 " OVERLAPPING " LIMIT 1",
			values, ARRAY_LEN(values), &stmt);

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

static int settle_overlap(struct bill_store *s, const struct bill_head *h,
			  enum bill_overlap overlap, int64_t *replaced)
{
	const struct bound own = INT_VALUE(h->id);
	const struct bound values[] = {INT_VALUE(h->id), TEXT_VALUE(h->account)};
	int r;

	if (overlap == OVERLAP_ADD)
		return 0;
	r = run(s, "DROP TABLE IF EXISTS temp.days;"
		   "CREATE TEMP TABLE days(provider TEXT,day INTEGER,PRIMARY KEY(provider,day))");
	if (r == 0)
		r = change(s,
			   "INSERT OR IGNORE INTO temp.days SELECT provider,from_s/86400 FROM rows "
			   "WHERE bill=?",
			   &own, 1, NULL);
	if (r == 0 && overlap == OVERLAP_REFUSE)
		r = refuse_overlap(s, h);
	else if (r == 0)
		r = change(s, "DELETE FROM rows WHERE rowid IN (SELECT o.rowid " OVERLAPPING ")",
			   values, ARRAY_LEN(values), replaced);
	if (r == 0)
		r = change(s,
			   "DELETE FROM bills WHERE is_pull=0 AND id<>? AND id NOT IN (SELECT bill "
			   "FROM rows)",
			   &own, 1, NULL);
	return r;
}

int bill_import(struct bill_store *s, struct bill_head *head, const struct bill_rows *rows,
		enum bill_overlap overlap, int64_t now_us, int64_t *replaced)
{
	int64_t stored = 0;
	int r = run(s, "BEGIN IMMEDIATE");

	*replaced = 0;
	if (r)
		return r;
	r = delete_same_import(s, head, replaced);
	if (r == 0)
		r = insert_head(s, head, true, now_us);
	if (r == 0)
		r = insert_rows(s, head, rows, &stored);
	if (r == 0)
		r = settle_overlap(s, head, overlap, replaced);
	return settle(s, r);
}

/* ---- reading ----------------------------------------------------------------------------- */

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
	int r = prepare(s,
			"SELECT " HEAD_COLUMNS ",b.done,b.pages,b.fetched_us,ifnull(r.currency,''),"
			"count(r.bill),sum(ifnull(r.amount,0)>>32),"
			"sum(ifnull(r.amount,0)&4294967295) FROM bills b LEFT JOIN rows r ON "
			"r.bill=b.id GROUP BY b.id,r.currency ORDER BY b.id,r.currency",
			NULL, 0, &stmt);
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&listed, 0, sizeof(listed));
		load_listed(stmt, &listed);
		r = each(user, &listed);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(s);
	sqlite3_finalize(stmt);
	return r;
}

int bill_store_heads(struct bill_store *s, int64_t from_s, int64_t to_s,
		     int (*each)(void *user, const struct bill_head *head, int64_t fetched_us),
		     void *user)
{
	const struct bound values[] = {INT_VALUE(to_s), INT_VALUE(from_s)};
	struct bill_head head;
	sqlite3_stmt *stmt;
	int r = prepare(s,
			"SELECT " HEAD_COLUMNS ",b.fetched_us FROM bills b WHERE b.done=1 AND "
			"b.from_s<? AND b.to_s>? ORDER BY b.id",
			values, ARRAY_LEN(values), &stmt);
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&head, 0, sizeof(head));
		load_head(stmt, 0, &head);
		r = each(user, &head, sqlite3_column_int64(stmt, HEAD_COUNT));
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(s);
	sqlite3_finalize(stmt);
	return r;
}

int bill_store_spans(struct bill_store *s,
		     int (*each)(void *user, const struct bill_head *head, const char *provider,
				 int64_t first_s, int64_t last_s),
		     void *user)
{
	struct bill_head head;
	sqlite3_stmt *stmt;
	int r = prepare(s,
			"SELECT " HEAD_COLUMNS ",r.provider,min(r.from_s),max(r.from_s) FROM bills "
			"b JOIN rows r ON r.bill=b.id WHERE b.is_pull=0 AND b.done=1 GROUP BY "
			"b.id,r.provider",
			NULL, 0, &stmt);
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&head, 0, sizeof(head));
		load_head(stmt, 0, &head);
		r = each(user, &head, (const char *)sqlite3_column_text(stmt, HEAD_COUNT),
			 sqlite3_column_int64(stmt, HEAD_COUNT + 1),
			 sqlite3_column_int64(stmt, HEAD_COUNT + 2));
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(s);
	sqlite3_finalize(stmt);
	return r;
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
	const struct bound values[] = {INT_VALUE(from_s), INT_VALUE(to_s)};
	struct bill_head head;
	struct bill_row row;
	sqlite3_stmt *stmt;
	int r = prepare(
		s,
		"SELECT " HEAD_COLUMNS ",r.provider,r.from_s,r.to_s,r.model,r.class,r.tier,"
		"r.window,r.project,r.key,r.item,r.quantity,r.amount,r.slack,r.currency "
		"FROM rows r JOIN bills b ON b.id=r.bill WHERE b.done=1 AND r.from_s>=? "
		"AND r.from_s<? ORDER BY r.provider,r.from_s/86400,r.model,r.class,r.tier,r.window,"
		"r.project,r.currency",
		values, ARRAY_LEN(values), &stmt);
	int rc = SQLITE_ROW;

	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		memset(&head, 0, sizeof(head));
		memset(&row, 0, sizeof(row));
		load_head(stmt, 0, &head);
		load_row(stmt, HEAD_COUNT, &row);
		r = each(user, &head, &row);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(s);
	sqlite3_finalize(stmt);
	return r;
}
