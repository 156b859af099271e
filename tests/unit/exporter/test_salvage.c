/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/checker.h"
#include "exporter/ledger.h"
#include "exporter/query.h"
#include "exporter/salvage.h"
#include "exporter/schema.h"
#include "exporter/storage.h"
#include "sample.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096
#define ROWS  150
#define HOURS 5

static char dir[64];
static char err[LEDGER_ERROR_MAX];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tolltap-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	remove_tree(dir);
	return 0;
}

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static sqlite3 *open_db(const char *name)
{
	sqlite3 *db;

	/* Never made here: while files are swapped there is none under that name. */
	assert_int_equal(sqlite3_open_v2(in_dir(name), &db, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	sqlite3_busy_timeout(db, LEDGER_BUSY_MS);
	return db;
}

static int64_t sql_int(const char *name, const char *sql)
{
	sqlite3 *db = open_db(name);
	sqlite3_stmt *stmt;
	int64_t value;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static void shell(const char *verb, const char *from, const char *to)
{
	char command[640];

	snprintf(command, sizeof(command), "%s %s %s", verb, in_dir(from), in_dir(to));
	assert_int_equal(system(command), 0);
}

static void fill(struct ledger *l, uint32_t first, uint32_t n)
{
	struct call call;

	for (uint32_t i = first; i < first + n; i++) {
		sample_call(&call, i);
		call.started_at_us += (i % HOURS) * 3600000000LL;
		call.cost.cost_pusd = 1000000 + i;
		snprintf(call.workload.comm, sizeof(call.workload.comm), "app-%u", i % 40);
		assert_int_equal(ledger_append(l, &call), 0);
	}
}

static void record(uint32_t first, uint32_t n)
{
	struct ledger *l = NULL;

	if (ledger_open(&l, dir, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	fill(l, first, n);
	ledger_close(l);
}

/* A sound ledger of ROWS calls in one file, kept as "whole". */
static void make_whole(void)
{
	record(0, ROWS);
	sql_int(LEDGER_FILE, "PRAGMA wal_checkpoint(TRUNCATE)");
	shell("cp", LEDGER_FILE, "whole");
}

static void damage_page(const char *name, int64_t page)
{
	char noise[PAGE - 200];
	int fd = open(in_dir(name), O_WRONLY);

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * 37 + 11);
	assert_int_equal(pwrite(fd, noise, sizeof(noise), (page - 1) * PAGE), sizeof(noise));
	close(fd);
}

static void forget_damaged(void)
{
	char newest[128];

	while (salvage_kept_aside(dir, newest, sizeof(newest)))
		unlink(in_dir(newest));
}

/* ---- what must hold after every salvage -------------------------------------------------- */

/* The one page that leads to all others of the table: without it none of its rows is found. */
static bool is_only_way(const char *page_owner)
{
	return strcmp(page_owner, "calls internal") == 0;
}

/* The kept rows are the rows that were, to the byte; what is missing is counted; sums are true. */
static void check_salvaged(int64_t page, const char *what)
{
	static const char differing[] =
		"SELECT count(*) FROM (SELECT * FROM calls EXCEPT SELECT * FROM whole.calls)";
	sqlite3 *db = open_db(LEDGER_FILE);
	char attach[200];
	int64_t kept, lost, differ, sums, outbox;
	sqlite3_stmt *stmt;

	snprintf(attach, sizeof(attach), "ATTACH '%s' AS whole", in_dir("whole"));
	assert_int_equal(sqlite3_exec(db, attach, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, differing, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	differ = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	kept = sql_int(LEDGER_FILE, "SELECT count(*) FROM events");
	lost = sql_int(LEDGER_FILE, "SELECT ifnull(sum(calls),0) FROM losses");
	sums = sql_int(LEDGER_FILE, "SELECT (SELECT sum(cost_pusd) FROM calls)-"
				    "(SELECT sum((cost_pusd_hi<<32)+cost_pusd_lo) FROM rollup)");
	outbox = sql_int(LEDGER_FILE, "SELECT count(*) FROM calls WHERE (seq,revision) NOT IN "
				      "(SELECT seq,revision FROM outbox)");
	if (differ || sums || outbox || kept + lost != ROWS || (kept == 0 && !is_only_way(what)))
		fail_msg(
			"page %lld (%s): %lld kept, %lld lost, %lld differ, sums off by %lld, %lld "
			"not in the outbox",
			(long long)page, what, (long long)kept, (long long)lost, (long long)differ,
			(long long)sums, (long long)outbox);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM pragma_integrity_check WHERE "
					      "integrity_check='ok'"),
			 1);
}

static void restore_whole(void)
{
	unlink(in_dir(LEDGER_FILE "-wal"));
	unlink(in_dir(LEDGER_FILE "-shm"));
	forget_damaged();
	shell("cp", "whole", LEDGER_FILE);
}

/* What each page belongs to, by SQLite's own account. */
static void page_owner(int64_t page, char *dst, size_t size)
{
	sqlite3 *db = open_db("whole");
	sqlite3_stmt *stmt;

	assert_int_equal(sqlite3_prepare_v2(db,
					    "SELECT name||' '||pagetype FROM dbstat WHERE "
					    "pageno=?",
					    -1, &stmt, NULL),
			 SQLITE_OK);
	sqlite3_bind_int64(stmt, 1, page);
	snprintf(dst, size, "%s",
		 sqlite3_step(stmt) == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0)
						  : "free");
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

/* Without the schema nothing says what the other pages are: refused, and left as it is. */
static void check_refused(void)
{
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "restore it from a backup"));
	shell("cmp", LEDGER_FILE, "damaged");
	assert_int_equal(salvage_kept_aside(dir, NULL, 0), 0);
}

static int64_t check_page(int64_t page, const char *owner)
{
	char aside[100];

	restore_whole();
	damage_page(LEDGER_FILE, page);
	shell("cp", LEDGER_FILE, "damaged");
	if (slice_starts(slice_of(owner), SLICE("sqlite_schema "))) {
		check_refused();
		return 0;
	}
	record(0, 0);
	check_salvaged(page, owner);
	assert_int_equal(salvage_kept_aside(dir, aside, sizeof(aside)), 1);
	shell("cmp", "damaged", aside);
	return sql_int(LEDGER_FILE, "SELECT ifnull(sum(calls),0) FROM losses");
}

/* One after the other: none crashes it, changes a row or loses one without its number. */
static void test_any_page_may_be_damaged(void **state)
{
	int64_t pages, lost_most = 0, all_lost = 0;
	char owner[100];

	(void)state;
	make_whole();
	pages = sql_int("whole", "PRAGMA page_count");
	for (int64_t page = 1; page <= pages; page++) {
		int64_t lost;

		page_owner(page, owner, sizeof(owner));
		lost = check_page(page, owner);
		if (is_only_way(owner))
			all_lost++;
		else if (lost > lost_most)
			lost_most = lost;
	}
	assert_true(lost_most > 0 && lost_most < ROWS / 5);
	assert_int_equal(all_lost, 1);
}

static int64_t a_page_of(const char *name, const char *type)
{
	char sql[200];

	snprintf(sql, sizeof(sql),
		 "SELECT pageno FROM dbstat WHERE name='%s' AND pagetype='%s' LIMIT 1 OFFSET 1",
		 name, type);
	return sql_int("whole", sql);
}

/* Numbers that were given are not given again, and only the lost rows' time is a lower bound. */
static void test_ids_go_on(void **state)
{
	struct query_losses lost;
	struct query *q = NULL;
	int64_t first, last;

	(void)state;
	make_whole();
	damage_page(LEDGER_FILE, a_page_of("calls", "leaf"));
	record(ROWS, 1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT max(seq) FROM calls"), ROWS + 1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT max(id) FROM outbox"), ROWS + 1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM outbox WHERE id!=seq"), 0);
	first = sql_int("whole", "SELECT min(started_at_us) FROM calls");
	last = sql_int("whole", "SELECT max(started_at_us) FROM calls");
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), 0);
	assert_int_equal(query_losses(q, 0, 0, &lost), 0);
	assert_true(lost.calls > 0);
	assert_string_equal(lost.last_reason, "ledger_damaged");
	assert_int_equal(query_losses(q, 0, first, &lost), 0);
	assert_int_equal(lost.occasions, 0);
	assert_int_equal(query_losses(q, last + 1, 0, &lost), 0);
	assert_int_equal(lost.occasions, 0);
	query_close(q);
}

/* Calls whose provider, model and workload are gone keep their tokens and money. */
static void test_bare_calls_keep_their_money(void **state)
{
	struct query_filter filter = {0};
	struct spend *rows, total = {0};
	struct query *q = NULL;
	size_t count;

	(void)state;
	make_whole();
	damage_page(LEDGER_FILE, a_page_of("facets", "leaf"));
	record(0, 0);
	check_salvaged(0, "facets");
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM calls"), ROWS);
	assert_true(sql_int(LEDGER_FILE, "SELECT count(*) FROM events WHERE provider IS NULL AND "
					 "basis='partial' AND cost_pusd>0") > 0);
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), 0);
	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	spend_add(&total, &rows[0]);
	assert_int_equal(total.cost, sql_int("whole", "SELECT sum(cost_pusd) FROM calls"));
	assert_true(spend_is_at_least(&total));
	query_spend_free(rows, count);
	query_close(q);
}

#define OLD_HOURS  600
#define FIRST_HOUR 400008 /* a midnight */

/* Sums of hours whose calls are gone by retention: only their roll-up knows of them. */
static void add_old_rollups(void)
{
	sqlite3 *db;
	char sql[2048];

	assert_int_equal(sqlite3_open(in_dir(LEDGER_FILE), &db), SQLITE_OK);
	/* The same row for each hour: all columns but the first two. */
	assert_int_equal(sqlite3_exec(db,
				      "CREATE TEMP TABLE one AS SELECT * FROM rollup LIMIT 1;"
				      "ALTER TABLE one DROP COLUMN hour;"
				      "ALTER TABLE one DROP COLUMN facet",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO facets(id,key,basis) VALUES(9999,x'99','reported_usage');"
		 "WITH RECURSIVE h(hour) AS (SELECT %d UNION ALL SELECT hour+1 FROM h WHERE "
		 "hour<%d) INSERT INTO rollup SELECT h.hour,9999,one.* FROM h,one;"
		 "REPLACE INTO meta VALUES('detail_since_us',%lld)",
		 FIRST_HOUR, FIRST_HOUR + OLD_HOURS - 1,
		 (FIRST_HOUR + OLD_HOURS) * SCHEMA_US_PER_HOUR);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	shell("cp", LEDGER_FILE, "whole");
}

static int64_t old_hours(void)
{
	return sql_int(LEDGER_FILE, "SELECT count(DISTINCT hour) FROM rollup r JOIN facets f ON "
				    "f.id=r.facet WHERE hour<400608");
}

/* What a page of them held is lost, and told; the others stay. */
static void test_old_rollups_are_kept(void **state)
{
	int64_t kept;

	(void)state;
	make_whole();
	add_old_rollups();
	damage_page(LEDGER_FILE, a_page_of("rollup", "leaf"));
	record(0, 0);
	kept = old_hours();
	assert_in_range(kept, OLD_HOURS / 2, OLD_HOURS - 1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM losses WHERE "
					      "reason='ledger_damaged' AND since_us<at_us AND "
					      "at_us<=400608*3600000000"),
			 1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM calls"), ROWS);
}

/* Where it is not known since when calls are there, and where only they use a facet. */
static void test_old_rollups_without_their_meta(void **state)
{
	(void)state;
	make_whole();
	add_old_rollups();
	damage_page(LEDGER_FILE,
		    sql_int("whole", "SELECT pageno FROM dbstat WHERE name='meta' LIMIT 1"));
	record(0, 0);
	assert_int_equal(old_hours(), OLD_HOURS);
	restore_whole();
	damage_page(LEDGER_FILE, sql_int("whole", "SELECT max(pageno) FROM dbstat WHERE "
						  "name='facets' AND pagetype='leaf'"));
	record(0, 0);
	assert_int_equal(old_hours(), OLD_HOURS);
}

/* ---- with a log, while running, interrupted ---------------------------------------------- */

/* Killed with rows in the log only; then a page of the database is damaged. */
static void test_log_counts_too(void **state)
{
	struct ledger *l = NULL;
	pid_t child;
	int status;

	(void)state;
	make_whole();
	child = fork();
	if (child == 0) {
		if (ledger_open(&l, dir, NULL, err, sizeof(err)))
			_exit(1);
		fill(l, ROWS, 7);
		for (int i = 0; i < 100; i++) {
			usleep(20000);
			if (sql_int(LEDGER_FILE, "SELECT count(*) FROM calls") == ROWS + 7)
				kill(getpid(), SIGKILL);
		}
		_exit(2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	damage_page(LEDGER_FILE, a_page_of("calls", "leaf"));
	record(0, 0);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM calls WHERE seq>150"), 7);
	assert_int_equal(sql_int(LEDGER_FILE,
				 "SELECT (SELECT count(*) FROM calls)+(SELECT "
				 "sum(calls) FROM losses WHERE reason='ledger_damaged')"),
			 ROWS + 7);
}

/* Rows behind those of make_whole; -1 while the file cannot be read. */
static int64_t new_rows(void)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	int64_t n = -1;

	if (sqlite3_open_v2(in_dir(LEDGER_FILE), &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "SELECT count(*) FROM calls WHERE seq>150", -1, &stmt, NULL) ==
		    SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return n;
}

static void wait_rows(int64_t n)
{
	for (int i = 0; i < 200; i++) {
		if (new_rows() == n)
			return;
		usleep(50000);
	}
	fail_msg("not %lld rows", (long long)n);
}

/* The agent goes on: what waits is written into the salvaged file. */
static void test_damage_while_running(void **state)
{
	struct ledger *l = NULL;

	(void)state;
	make_whole();
	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), 0);
	/* Another's commit makes the writer forget its cached pages. */
	sql_int(LEDGER_FILE, "REPLACE INTO meta VALUES('touched',1) RETURNING 1");
	sql_int(LEDGER_FILE, "PRAGMA wal_checkpoint(TRUNCATE)");
	damage_page(LEDGER_FILE, sql_int("whole", "SELECT max(pageno) FROM dbstat WHERE "
						  "name='sqlite_autoindex_calls_1'"));
	damage_page(LEDGER_FILE, a_page_of("calls", "leaf"));
	fill(l, ROWS, 3 * HOURS);
	wait_rows(3 * HOURS);
	assert_true(ledger_healthy(l));
	assert_int_equal(salvage_kept_aside(dir, NULL, 0), 1);
	fill(l, ROWS + 3 * HOURS, 2);
	ledger_close(l);
	wait_rows(3 * HOURS + 2);
	record(0, 0);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM losses WHERE "
					      "reason!='ledger_damaged'"),
			 0);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT (SELECT count(*) FROM calls WHERE seq<=150)+"
					      "(SELECT sum(calls) FROM losses)"),
			 ROWS);
}

static void test_checker_finds_it(void **state)
{
	_Atomic bool damaged = false;
	struct checker *c = NULL;

	(void)state;
	make_whole();
	assert_int_equal(checker_start(&c, in_dir("whole"), true, &damaged), 0);
	usleep(300000);
	assert_false(atomic_load(&damaged));
	checker_stop(c);
	damage_page("whole", 9);
	assert_int_equal(checker_start(&c, in_dir("whole"), false, &damaged), 0);
	usleep(300000);
	assert_false(atomic_load(&damaged)); /* not before its day */
	checker_stop(c);
	assert_int_equal(checker_start(&c, in_dir("whole"), true, &damaged), 0);
	for (int i = 0; i < 100 && !atomic_load(&damaged); i++)
		usleep(20000);
	assert_true(atomic_load(&damaged));
	checker_stop(c);
	checker_stop(NULL);
}

/* Killed between two renames: the next start ends it, and mixes no log with another's file. */
static void test_interrupted_swap(void **state)
{
	char aside[128];

	(void)state;
	make_whole();
	shell("cp", "whole", LEDGER_FILE SALVAGE_SUFFIX);
	record(ROWS, 3); /* a left-over beside the ledger goes */
	assert_int_equal(access(in_dir(LEDGER_FILE SALVAGE_SUFFIX), F_OK), -1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM calls"), ROWS + 3);

	shell("cp", LEDGER_FILE, "log-of-the-damaged");
	shell("cp", "whole", LEDGER_FILE SALVAGE_SUFFIX);
	shell("mv", LEDGER_FILE, LEDGER_FILE SALVAGE_ASIDE "20260101T000000Z");
	shell("cp", "log-of-the-damaged", LEDGER_FILE "-wal");
	record(ROWS + 3, 1);
	assert_int_equal(sql_int(LEDGER_FILE, "SELECT count(*) FROM calls"), ROWS + 1);
	assert_int_equal(salvage_kept_aside(dir, aside, sizeof(aside)), 1);
	assert_string_equal(aside, LEDGER_FILE SALVAGE_ASIDE "20260101T000000Z");
	shell("cmp", "log-of-the-damaged", LEDGER_FILE SALVAGE_ASIDE "20260101T000000Z-wal");
}

/* As a worker does whose state directory lies behind a door that is closed to it. */
static void test_reached_from_within_only(void **state)
{
	static const char behind[] = "/nonexistent/state";
	int here = open(".", O_RDONLY | O_DIRECTORY);
	struct ledger *l = NULL;
	char aside[128];
	int r;

	(void)state;
	make_whole();
	damage_page(LEDGER_FILE, a_page_of("calls", "leaf"));
	assert_int_equal(chdir(dir), 0);
	storage_entered(behind);
	r = ledger_open(&l, behind, NULL, err, sizeof(err));
	if (r == 0)
		ledger_close(l);
	assert_int_equal(salvage_kept_aside(behind, aside, sizeof(aside)), 1);
	storage_entered(NULL);
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_int_equal(r, 0);
	check_salvaged(0, "calls leaf");
}

/* A disk that fails again and again must not be filled with copies. */
static void test_copies_are_bounded(void **state)
{
	struct ledger *l = NULL;
	char name[80];

	(void)state;
	make_whole();
	for (int i = 0; i < SALVAGE_ASIDE_MAX; i++) {
		snprintf(name, sizeof(name), LEDGER_FILE SALVAGE_ASIDE "2026010%dT000000Z", i);
		shell("cp", "whole", name);
	}
	damage_page(LEDGER_FILE, a_page_of("calls", "leaf"));
	shell("cp", LEDGER_FILE, "damaged");
	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "move the " LEDGER_FILE SALVAGE_ASIDE "* files away"));
	shell("cmp", LEDGER_FILE, "damaged");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_any_page_may_be_damaged),
		TEST(test_ids_go_on),
		TEST(test_bare_calls_keep_their_money),
		TEST(test_old_rollups_are_kept),
		TEST(test_old_rollups_without_their_meta),
		TEST(test_log_counts_too),
		TEST(test_damage_while_running),
		TEST(test_checker_finds_it),
		TEST(test_interrupted_swap),
		TEST(test_reached_from_within_only),
		TEST(test_copies_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
