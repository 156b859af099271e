/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases are attached one after the other and copied by SQL; a JSONL file is read line by line.
 * Calls go to `calls`, which has the column `ledger` here (the install id of whose it is). What a
 * ledger kept of hours whose calls are gone waits in `sums`, losses, runs and corrections in a
 * staging table each, where a row that comes again (a copy of the same ledger) is one. At the end
 * the roll-up is made of the calls, and of what stands in `sums`.
 */
#include "exporter/merge.h"

#include "agent/base/clock.h"
#include "exporter/database.h"
#include "exporter/facets.h"
#include "exporter/merge_parts.h"
#include "exporter/query_parts.h"
#include "exporter/schema.h"
#include "exporter/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Calls of an hour in all sums that are read: below it no sum of money leaves 64 bits. */
#define SUM_CALLS_MAX  (1LL << 30)
#define PROGRESS_STEPS 200000 /* of SQLite's machine, between looks at the clock */

/* ---- failing ----------------------------------------------------------------------------- */

int merge_fail(struct merge *m, int rc)
{
	int err = database_errno(m->db, rc);

	if (err == ENOSPC || err == EIO || err == EACCES)
		snprintf(m->err, m->err_size,
			 "cannot copy %s: %s; free space in $TMPDIR or /var/tmp, or name another "
			 "place with TMPDIR",
			 m->path, strerror(err));
	else
		snprintf(m->err, m->err_size, "cannot read %s: %s", m->path,
			 rc == SQLITE_NOMEM ? "no memory" : sqlite3_errmsg(m->db));
	return -err;
}

int merge_run(struct merge *m, struct text *sql)
{
	int rc = text_cstr(sql) ? sqlite3_exec(m->db, sql->ptr, NULL, NULL, NULL) : SQLITE_NOMEM;

	text_free(sql);
	return rc == SQLITE_OK ? 0 : merge_fail(m, rc);
}

/* Compiles sql, which is freed. */
int merge_prepare(struct merge *m, struct text *sql, sqlite3_stmt **out)
{
	int rc = text_cstr(sql) ? sqlite3_prepare_v2(m->db, sql->ptr, -1, out, NULL) : SQLITE_NOMEM;

	text_free(sql);
	return rc == SQLITE_OK ? 0 : merge_fail(m, rc);
}

/* ---- the database ------------------------------------------------------------------------ */

static int tell(void *user)
{
	struct merge *m = user;
	uint64_t now_ns = clock_mono_ns();

	if (now_ns >= m->tell_at_ns) {
		m->tell_at_ns = now_ns + MERGE_TELL_MS * NSEC_PER_MSEC;
		m->sources->progress(m->sources->user, m->path);
	}
	return 0;
}

/* Event ids are hex in lines and bytes in the ledger; NULL for what is no event id. */
static void event_id_bytes(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	const char *text = (const char *)sqlite3_value_text(argv[0]);
	uint8_t id[MERGE_ID_BYTES];

	(void)argc;
	if (text && merge_event_id(slice_of(text), id))
		sqlite3_result_blob(context, id, sizeof(id), SQLITE_TRANSIENT);
}

struct staging {
	struct text *sql;
	const struct record_table *table;
};

static void put_staged(void *user, struct slice name)
{
	struct staging *s = user;
	bool text = s->table->text && slice_eq(name, slice_of(s->table->text));
	bool blob = slice_eq(name, SLICE("event_id"));

	text_printf(s->sql, ",%.*s %s NOT NULL", SLICE_FMT(name),
		    blob   ? "BLOB"
		    : text ? "TEXT"
			   : "INTEGER");
}

/* STRICT: a number is a number, whoever wrote the line. */
static void put_staging_tables(struct text *sql)
{
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++) {
		struct staging s = {sql, record_table(kind)};

		if (!s.table)
			continue;
		text_printf(sql, "CREATE TABLE new_%s(ledger TEXT NOT NULL,id INTEGER NOT NULL",
			    s.table->table);
		record_each_name(s.table->columns, put_staged, &s);
		text_printf(sql,
			    ",PRIMARY KEY(ledger,id)) STRICT;ALTER TABLE %s ADD COLUMN ledger;"
			    "ALTER TABLE %s ADD COLUMN origin;",
			    s.table->table, s.table->table);
	}
}

static int create(struct merge *m)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX);

	text_puts(&sql, "PRAGMA journal_mode=OFF;PRAGMA synchronous=OFF;PRAGMA cache_size=-16384;"
			"PRAGMA temp_store=FILE;PRAGMA trusted_schema=OFF;BEGIN;");
	schema_create_sql(&sql);
	text_puts(&sql, "DROP TRIGGER calls_recorded;DROP TRIGGER calls_revised;"
			"ALTER TABLE calls ADD COLUMN ledger TEXT;"
			"CREATE TABLE facet_map(old INTEGER PRIMARY KEY,new INTEGER NOT NULL);");
	put_staging_tables(&sql);
	text_puts(&sql, "COMMIT");
	return merge_run(m, &sql);
}

/*
 * What no sum of calls is, is refused, whoever wrote it: of each call's money, the upper 32 bits
 * are signed and the lower are not. Only savings may be below 0.
 */
static void put_sum_column(void *user, struct slice name)
{
	bool may_be_negative = slice_starts(name, SLICE("cache_savings"));

	text_printf(user, ",%.*s INTEGER NOT NULL", SLICE_FMT(name));
	if (slice_eq(name, SLICE("calls")))
		text_printf(user, " CHECK(calls BETWEEN 1 AND %lld)", SUM_CALLS_MAX);
	else if (slice_ends(name, SLICE("_hi")))
		text_printf(user, " CHECK(%.*s BETWEEN %d*calls AND 2147483647*calls)",
			    SLICE_FMT(name), may_be_negative ? INT32_MIN : 0);
	else if (slice_ends(name, SLICE("_lo")))
		text_printf(user, " CHECK(%.*s BETWEEN 0 AND 4294967295*calls)", SLICE_FMT(name));
	else
		text_printf(user, " CHECK(%.*s>=0)", SLICE_FMT(name));
}

static int create_sums(struct merge *m)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX);
	sqlite3_stmt *stmt = NULL;
	int r;

	text_puts(&sql, "SELECT group_concat(name) FROM pragma_table_info('rollup')");
	r = merge_prepare(m, &sql, &stmt);
	if (r == 0 && sqlite3_step(stmt) == SQLITE_ROW)
		snprintf(m->rollup_columns, sizeof(m->rollup_columns), "%s",
			 sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	text_puts(&sql, "CREATE TABLE sums(ledger TEXT NOT NULL,source INTEGER NOT NULL,"
			"origin INTEGER NOT NULL");
	record_each_name(m->rollup_columns, put_sum_column, &sql);
	text_puts(&sql, ",UNIQUE(ledger,source,hour,origin)) STRICT");
	return r ? r : merge_run(m, &sql);
}

/* "": SQLite's own temporary file, of mode 0600, which is gone as soon as it is closed. */
static int open_temporary(struct merge *m)
{
	int rc = sqlite3_open_v2("", &m->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI |
					 SQLITE_OPEN_NOMUTEX,
				 NULL);

	if (rc == SQLITE_OK)
		rc = schema_functions(m->db) ? SQLITE_NOMEM : SQLITE_OK;
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(m->db, "event_id_bytes", 1,
					     SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
					     event_id_bytes, NULL, NULL);
	if (rc != SQLITE_OK)
		return merge_fail(m, rc);
	rc = create(m);
	return rc ? rc : create_sums(m);
}

/* ---- one database ------------------------------------------------------------------------ */

static int attach(struct merge *m, const struct query *source)
{
	struct text uri = TEXT_INIT(4 * PATH_MAX);
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(m->db, "ATTACH ? AS src", -1, &stmt, NULL);

	query_uri(source, &uri);
	if (rc == SQLITE_OK) {
		sqlite3_bind_text(stmt, 1, text_cstr(&uri), -1, SQLITE_STATIC);
		sqlite3_step(stmt);
		rc = sqlite3_finalize(stmt);
	}
	text_free(&uri);
	return rc == SQLITE_OK ? 0 : merge_fail(m, rc);
}

/* Runs one statement; ?1 is the ledger's id, ?2 and ?3 the times, ?4 the source's number. */
static int copy(struct merge *m, struct text *sql)
{
	sqlite3_stmt *stmt = NULL;
	int rc, r = merge_prepare(m, sql, &stmt);

	if (r)
		return r;
	sqlite3_bind_text(stmt, 1, m->ledger, -1, SQLITE_STATIC);
	for (int i = 2; i <= sqlite3_bind_parameter_count(stmt); i++)
		sqlite3_bind_int64(stmt, i,
				   i == 2   ? m->since_us
				   : i == 3 ? m->until_us
					    : m->source);
	rc = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? 0 : merge_fail(m, rc);
}

/* Equal facets have equal keys, whichever ledger made them. */
static int copy_facets(struct merge *m, int64_t version)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX);

	text_puts(&sql, "INSERT INTO main.facets(key");
	schema_list_sql(&sql, SCHEMA_FACETS, ",", SCHEMA_VERSION);
	text_puts(&sql, ") SELECT key");
	schema_list_sql(&sql, SCHEMA_FACETS, ",", version);
	text_puts(&sql,
		  " FROM src.facets WHERE true ON CONFLICT(key) DO NOTHING;"
		  "DELETE FROM facet_map;"
		  "INSERT INTO facet_map SELECT s.id,m.id FROM src.facets s JOIN main.facets m "
		  "ON m.key=s.key");
	return merge_run(m, &sql);
}

void merge_put_newer_call(struct text *sql)
{
	enum schema_kind kind;

	text_puts(sql, " ON CONFLICT(event_id) DO UPDATE SET revision=excluded.revision,"
		       "facet=excluded.facet,ledger=excluded.ledger");
	for (size_t i = 0; i < schema_column_count[SCHEMA_CALLS]; i++) {
		const char *name = schema_column_name(SCHEMA_CALLS, i, &kind);

		text_printf(sql, ",%s=excluded.%s", name, name);
	}
	text_puts(sql, " WHERE excluded.revision>calls.revision");
}

/* A call of an hour whose sums stand for its calls came late, and is in them. */
static int copy_calls(struct merge *m, int64_t version)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX);

	text_puts(&sql, "INSERT INTO main.calls(event_id,revision,facet,ledger");
	schema_list_sql(&sql, SCHEMA_CALLS, ",", SCHEMA_VERSION);
	text_puts(&sql, ") SELECT c.event_id,c.revision,m.new,?1");
	schema_list_sql(&sql, SCHEMA_CALLS, ",c.", version);
	text_printf(&sql,
		    " FROM src.calls c JOIN facet_map m ON m.old=c.facet WHERE "
		    "c.started_at_us>=max(?2,%s) AND c.started_at_us<?3 ORDER BY c.seq",
		    MERGE_DETAIL_SINCE);
	merge_put_newer_call(&sql);
	return copy(m, &sql);
}

static int copy_sums(struct merge *m, int64_t version)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX), facets = TEXT_INIT(256);
	int r;

	text_puts(&sql, "INSERT INTO sums SELECT ?1,?4,s.facet,");
	schema_rollup_list_sql(&sql, "s.", false, version);
	text_printf(&sql,
		    " FROM src.rollup s WHERE s.hour<%s/3600000000 AND s.hour>=?2/3600000000 AND "
		    "s.hour<?3/3600000000",
		    MERGE_DETAIL_SINCE);
	r = copy(m, &sql);
	text_puts(&facets, "UPDATE sums SET facet=(SELECT new FROM facet_map WHERE old=facet) "
			   "WHERE source=?4");
	return r ? r : copy(m, &facets);
}

static void put_source_column(void *user, struct slice name)
{
	bool of_call = slice_eq(name, SLICE("event_id"));

	text_printf(user, ",%c.%.*s", of_call ? 'c' : 'x', SLICE_FMT(name));
}

static void put_newer_column(void *user, struct slice name)
{
	text_printf(user, ",%.*s=excluded.%.*s", SLICE_FMT(name), SLICE_FMT(name));
}

void merge_put_newer_sum(struct text *sql, const struct merge *m)
{
	text_puts(sql, " ON CONFLICT(ledger,source,hour,origin) DO UPDATE SET origin=origin");
	record_each_name(m->rollup_columns, put_newer_column, sql);
	text_puts(sql, " WHERE excluded.calls>sums.calls");
}

void merge_put_newer(struct text *sql, const struct record_table *t)
{
	text_puts(sql, " ON CONFLICT(ledger,id) DO UPDATE SET id=id");
	record_each_name(t->columns, put_newer_column, sql);
	text_printf(sql, " WHERE excluded.%s>=new_%s.%s", t->newest, t->table, t->newest);
}

static int copy_table(struct merge *m, const struct record_table *t)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX);

	text_printf(&sql, "INSERT INTO new_%s SELECT ?1,x.id", t->table);
	record_each_name(t->columns, put_source_column, &sql);
	text_printf(&sql, " FROM src.%s x", t->table);
	text_puts(&sql, t->overlaps ? " WHERE true"
				    : " JOIN src.calls c ON c.seq=x.seq JOIN src.periods p ON "
				      "p.id=x.period WHERE p.reopened_at_us IS NULL");
	merge_put_newer(&sql, t);
	return copy(m, &sql);
}

/* Who wrote it: a ledger's own id, made with it. */
static void read_ledger_id(struct merge *m)
{
	sqlite3_stmt *stmt = NULL;

	snprintf(m->ledger, sizeof(m->ledger), "%d", m->source);
	if (sqlite3_prepare_v2(m->db, "SELECT value FROM src.meta WHERE key='install_id'", -1,
			       &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) == SQLITE_TEXT)
		snprintf(m->ledger, sizeof(m->ledger), "%s", sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
}

/* One transaction: the source is read as it stood at one moment. */
static int copy_attached(struct merge *m, int64_t version)
{
	int r;

	sqlite3_exec(m->db, "BEGIN", NULL, NULL, NULL);
	read_ledger_id(m);
	r = copy_facets(m, version);
	if (r == 0)
		r = copy_calls(m, version);
	if (r == 0)
		r = copy_sums(m, version);
	for (enum record_kind kind = 0; r == 0 && kind < RECORD_KINDS; kind++) {
		const struct record_table *t = record_table(kind);

		if (t && t->since <= version)
			r = copy_table(m, t);
	}
	if (sqlite3_exec(m->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK && r == 0)
		r = merge_fail(m, sqlite3_errcode(m->db));
	return r;
}

static int merge_database(struct merge *m)
{
	struct query *source = NULL;
	int r = query_open(&source, m->path, m->err, m->err_size);

	if (r)
		return r;
	r = attach(m, source);
	if (r == 0) {
		r = copy_attached(m, source->version);
		if (sqlite3_exec(m->db, "DETACH src", NULL, NULL, NULL) != SQLITE_OK && r == 0)
			r = merge_fail(m, sqlite3_errcode(m->db));
	}
	query_close(source);
	return r;
}

/* ---- putting together -------------------------------------------------------------------- */

static void put_money_of_sums(void *user, struct slice name)
{
	if (slice_ends(name, SLICE("_hi")) || slice_ends(name, SLICE("_lo")))
		text_printf(user, ",sum(%.*s) AS %.*s", SLICE_FMT(name), SLICE_FMT(name));
}

static void put_money_name(void *user, struct slice name)
{
	if (slice_ends(name, SLICE("_hi")) || slice_ends(name, SLICE("_lo")))
		text_printf(user, ",%.*s", SLICE_FMT(name));
}

#define CALLS_OF_BEST                                                                         \
	"c.ledger=best.ledger AND c.started_at_us>=best.hour*3600000000 AND c.started_at_us<" \
	"(best.hour+1)*3600000000"

/*
 * Of copies of one ledger that of an hour which knows of most calls: its calls, where it has them.
 * Sums were left by a retention that came after the copy which has the calls, so where the two are
 * of as many calls and differ in money, calls were repriced in between, and the sums are newer.
 */
static void put_choose_sums(struct text *sql, const struct merge *m)
{
	text_puts(sql, "CREATE TEMP TABLE best AS SELECT ledger,hour,source,max(n) AS n");
	record_each_name(m->rollup_columns, put_money_name, sql);
	text_puts(sql, " FROM(SELECT ledger,hour,source,sum(calls) AS n");
	record_each_name(m->rollup_columns, put_money_of_sums, sql);
	text_puts(sql, " FROM sums GROUP BY 1,2,3) GROUP BY 1,2;"
		       "DELETE FROM best WHERE n<(SELECT count(*) FROM calls c WHERE " CALLS_OF_BEST
		       ");DELETE FROM best WHERE (n");
	record_each_name(m->rollup_columns, put_money_name, sql);
	text_puts(sql, ")=(SELECT count(*)");
	record_each_name(m->rollup_columns, put_money_of_sums, sql);
	text_puts(sql, " FROM(SELECT ");
	schema_rollup_list_sql(sql, "c.", true, SCHEMA_VERSION);
	text_puts(sql, " FROM calls c WHERE " CALLS_OF_BEST "));"
		       "DELETE FROM sums WHERE (ledger,hour,source) NOT IN "
		       "(SELECT ledger,hour,source FROM best);"
		       "DELETE FROM calls WHERE seq IN (SELECT c.seq FROM best CROSS JOIN calls c "
		       "ON " CALLS_OF_BEST ");DROP TABLE best;");
}

/*
 * Corrections stand for the closed months of all ledgers, which are no months here: one of no time
 * has them.
 */
static void put_tables(struct text *sql)
{
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++) {
		const struct record_table *t = record_table(kind);

		if (t && t->overlaps)
			text_printf(sql,
				    "INSERT INTO %s(ledger,origin,%s) SELECT ledger,id,%s FROM "
				    "new_%s ORDER BY ledger,id;",
				    t->table, t->columns, t->columns, t->table);
	}
	text_puts(sql,
		  "INSERT INTO periods(id,month,since_us,until_us,closed_at_us,closed_by,calls,"
		  "cost_pusd_hi,cost_pusd_lo,list_cost_pusd_hi,list_cost_pusd_lo,rows_sha256,"
		  "prices_sha256) VALUES(0,'',0,0,0,'',0,0,0,0,0,'','');"
		  "INSERT INTO corrections(ledger,origin,at_us,period,reason,seq,facet,calls,"
		  "list_cost_pusd,cost_pusd) SELECT n.ledger,n.id,n.at_us,0,n.reason,c.seq,c.facet,"
		  "n.calls,n.list_cost_pusd,n.cost_pusd FROM new_corrections n JOIN calls c ON "
		  "c.event_id=n.event_id ORDER BY n.ledger,n.id;");
}

/* Each sum is one that calls can have; so must be what they come to. */
static int check_sums(struct merge *m)
{
	struct text sql = TEXT_INIT(256);
	sqlite3_stmt *stmt = NULL;
	int r, rc;

	text_printf(&sql, "SELECT hour FROM sums GROUP BY hour HAVING sum(calls)>%lld LIMIT 1",
		    SUM_CALLS_MAX);
	r = merge_prepare(m, &sql, &stmt);
	if (r)
		return r;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		snprintf(m->err, m->err_size,
			 "the sums of the hour %lld since 1970 are of more than %lld calls; read "
			 "fewer copies of a ledger at once",
			 (long long)sqlite3_column_int64(stmt, 0), SUM_CALLS_MAX);
		r = -EBADMSG;
	} else if (rc != SQLITE_DONE) {
		r = merge_fail(m, rc);
	}
	sqlite3_finalize(stmt);
	return r;
}

static int put_together(struct merge *m)
{
	struct text sql = TEXT_INIT(QUERY_SQL_MAX);
	int r;

	m->path = "the ledgers together";
	r = check_sums(m);
	if (r)
		return r;
	text_puts(&sql, "BEGIN;");
	put_choose_sums(&sql, m);
	put_tables(&sql);
	text_printf(&sql,
		    "INSERT INTO meta SELECT '" SCHEMA_DETAIL_SINCE
		    "',(max(hour)+1)*%lld FROM sums "
		    "HAVING max(hour) NOTNULL;",
		    SCHEMA_US_PER_HOUR);
	schema_rollup_sql(&sql, "true");
	text_puts(&sql, ";");
	schema_rollup_add_sql(&sql, "sums");
	text_puts(&sql, ";COMMIT;PRAGMA query_only=1");
	return merge_run(m, &sql);
}

/* ---- opening ----------------------------------------------------------------------------- */

/* Lines begin with a brace, as no database does; an empty file is an export of nothing. */
static bool is_jsonl(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char first = '{';

	if (fd < 0 || fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
		return false;
	return (!S_ISREG(st.st_mode) || read(fd, &first, 1) >= 0) && first == '{';
}

static int64_t whole_hour(int64_t us, bool up)
{
	int64_t rest = us % SCHEMA_US_PER_HOUR;

	if (rest == 0 || us > INT64_MAX - SCHEMA_US_PER_HOUR)
		return us;
	return us - rest + (up ? SCHEMA_US_PER_HOUR : 0);
}

static int merge_all(struct merge *m)
{
	int r = open_temporary(m);

	if (r == 0 && m->sources->progress)
		sqlite3_progress_handler(m->db, PROGRESS_STEPS, tell, m);
	for (size_t i = 0; r == 0 && i < m->sources->count; i++) {
		m->path = m->sources->paths[i];
		m->source = (int)i;
		r = is_jsonl(m->path) ? merge_lines(m) : merge_database(m);
	}
	if (r == 0)
		r = put_together(m);
	return r;
}

int query_open_many(struct query **out, const struct query_sources *sources, char *err,
		    size_t err_size)
{
	struct merge m = {
		.sources = sources,
		.path = "the ledgers",
		.since_us = whole_hour(sources->since_us, false),
		.until_us = sources->until_us ? whole_hour(sources->until_us, true) : INT64_MAX,
		.tell_at_ns = clock_mono_ns() + NSEC_PER_SEC,
		.err = err,
		.err_size = err_size,
	};
	int r;

	if (sources->count > MERGE_SOURCES_MAX) {
		snprintf(err, err_size, "at most %d ledgers at once", MERGE_SOURCES_MAX);
		return -E2BIG;
	}
	if (sources->count == 1 && !is_jsonl(sources->paths[0]))
		return query_open(out, sources->paths[0], err, err_size);
	r = merge_all(&m);
	facets_free(m.facets);
	if (m.db)
		sqlite3_progress_handler(m.db, 0, NULL, NULL);
	if (r == 0)
		r = query_adopt(out, m.db);
	if (r)
		sqlite3_close(m.db);
	return r;
}
