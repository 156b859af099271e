/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "exporter/ledger.h"
#include "exporter/query.h"
#include "sample.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static struct ledger *open_ledger(void)
{
	struct ledger *l = NULL;

	if (ledger_open(&l, dir, err, sizeof(err)))
		fail_msg("%s", err);
	return l;
}

static struct query *open_query(void)
{
	struct query *q = NULL;

	if (query_open(&q, dir, err, sizeof(err)))
		fail_msg("%s", err);
	return q;
}

static void record(uint32_t first, uint32_t n)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = first; i < first + n; i++) {
		sample_call(&call, i);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

struct seen {
	struct event last;
	int64_t count;
	int64_t last_seq;
	pusd_sum cost;
};

static int see(void *user, const struct event *event)
{
	struct seen *seen = user;

	assert_true(event->seq > seen->last_seq);
	seen->last_seq = event->seq;
	seen->last = *event;
	seen->count++;
	if (event->call.cost.cost_pusd >= 0)
		seen->cost += event->call.cost.cost_pusd;
	return 0;
}

static int64_t sql_int(const char *sql)
{
	sqlite3_stmt *stmt;
	char path[128];
	int64_t value;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static void events_all(struct seen *seen)
{
	struct query *q = open_query();

	memset(seen, 0, sizeof(*seen));
	assert_int_equal(query_events(q, &(struct query_filter){0}, 0, 0, see, seen), 0);
	query_close(q);
}

static void test_round_trip(void **state)
{
	struct call call;
	struct seen seen;

	(void)state;
	record(1, 1);
	events_all(&seen);
	sample_call(&call, 1);
	assert_int_equal(seen.count, 1);
	assert_memory_equal(&seen.last.call, &call, sizeof(call));
}

/* What is not known comes back as not known, and is NULL in between. */
static void test_unknown_is_null(void **state)
{
	struct ledger *l = open_ledger();
	struct call call = {
		.event_id = "0123456789abcde",
		.time_to_first_token_us = -1,
		.usage.provider_cost_pusd = -1,
		.usage.raw_json = "{\"prompt\":\"tell me\"}", /* text: refused, not stored */
		.cost = {.list_pusd = -1, .cost_pusd = -1, .unpriced = UNPRICED_UNKNOWN_MODEL},
		.basis = BASIS_UNPRICED,
	};
	struct seen seen;

	(void)state;
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
	events_all(&seen);
	call.usage.raw_json[0] = '\0';
	seen.last.call.usage.raw_json[0] = '\0';
	memset(call.usage.raw_json, 0, sizeof(call.usage.raw_json));
	assert_memory_equal(&seen.last.call, &call, sizeof(call));
	assert_int_equal(sql_int("SELECT count(*) FROM events WHERE usage_raw IS NULL AND tags IS "
				 "NULL AND cost_pusd IS NULL AND input_uncached IS NULL AND "
				 "model IS NULL AND status IS NULL AND uid IS NULL"),
			 1);
}

static void test_recorded_once(void **state)
{
	struct seen seen;

	(void)state;
	record(1, 3);
	record(2, 3);
	events_all(&seen);
	assert_int_equal(seen.count, 4);
	assert_int_equal(sql_int("SELECT sum(calls) FROM rollup"), 4);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox"), 4);
	assert_int_equal(sql_int("SELECT count(*) FROM facets"), 1);
}

/* A revision is a new outbox entry; the call keeps its place. */
static void test_revision_enters_outbox(void **state)
{
	struct seen seen;
	char sql[160];
	sqlite3 *db;

	(void)state;
	record(1, 2);
	snprintf(sql, sizeof(sql), "%s/" LEDGER_FILE, dir);
	assert_int_equal(sqlite3_open(sql, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE calls SET cost_pusd=1,revision=2 WHERE seq=1",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox"), 3);
	assert_int_equal(sql_int("SELECT seq FROM outbox WHERE id=3"), 1);
	events_all(&seen);
	assert_int_equal(seen.last.call.event_id[12], 2);
}

static void test_visible_while_running(void **state)
{
	struct ledger *l = open_ledger();
	struct seen seen = {0};
	struct call call;

	(void)state;
	sample_call(&call, 7);
	assert_int_equal(ledger_append(l, &call), 0);
	for (int i = 0; i < 40 && seen.count == 0; i++) {
		usleep(50000);
		events_all(&seen);
	}
	assert_int_equal(seen.count, 1);
	assert_true(ledger_healthy(l));
	ledger_close(l);
}

static void test_second_agent_refused(void **state)
{
	struct ledger *l = open_ledger(), *second = NULL;

	(void)state;
	assert_int_equal(ledger_open(&second, dir, err, sizeof(err)), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(err, "another agent records in"));
	assert_int_equal(ledger_lock_dir(dir, err, sizeof(err)), -EBUSY);
	ledger_close(l);
	record(1, 1);
}

static void write_file(const char *name, const void *bytes, size_t len, off_t at)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

static void test_foreign_files_refused(void **state)
{
	static const char noise[4096] = "this is no database";
	struct ledger *l = NULL;
	struct query *q = NULL;
	struct stat before, after;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
	write_file(LEDGER_FILE, noise, sizeof(noise), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(ledger_open(&l, dir, err, sizeof(err)), -EBADMSG);
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), -EBADMSG);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);

	unlink(path);
	record(1, 1);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 1);
	sql_int("PRAGMA journal_mode=DELETE");
	write_file(LEDGER_FILE, &(uint8_t[4]){0, 0, 0, 99}, 4, 60); /* user_version */
	assert_int_equal(ledger_open(&l, dir, err, sizeof(err)), -ENOTSUP);
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), -ENOTSUP);
	write_file(LEDGER_FILE, &(uint8_t[4]){0, 0, 0, 99}, 4, 68); /* application_id */
	assert_int_equal(ledger_open(&l, dir, err, sizeof(err)), -EBADMSG);
}

static void test_damage_refused(void **state)
{
	static const char noise[2048];
	struct ledger *l = NULL;

	(void)state;
	record(1, 200);
	sql_int("PRAGMA wal_checkpoint(TRUNCATE)");
	write_file(LEDGER_FILE, noise, sizeof(noise), 4096 * 3);
	assert_int_equal(ledger_open(&l, dir, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "it is damaged"));
}

static void test_modes(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {{"new", 0750},
		     {"new/" LEDGER_FILE, 0640},
		     {"new/" LEDGER_FILE "-wal", 0640},
		     {"new/" LEDGER_FILE "-shm", 0640},
		     {"new/" LEDGER_LOCK_FILE, 0640}};
	struct ledger *l = NULL;
	char path[256];
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	snprintf(path, sizeof(path), "%s/new", dir);
	assert_int_equal(ledger_open(&l, path, err, sizeof(err)), 0);
	ledger_close(l);
	umask(mask);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, files[i].mode);
	}
}

static void test_install_key(void **state)
{
	uint8_t first[LEDGER_KEY_BYTES], second[LEDGER_KEY_BYTES];
	char path[128];
	struct stat st;

	(void)state;
	assert_int_equal(ledger_install_key(dir, first, err, sizeof(err)), 0);
	assert_int_equal(ledger_install_key(dir, second, err, sizeof(err)), 0);
	assert_memory_equal(first, second, sizeof(first));
	snprintf(path, sizeof(path), "%s/" LEDGER_KEY_FILE, dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(ledger_install_key(dir, first, err, sizeof(err)), -EBADMSG);
	unlink(path);
	assert_int_equal(ledger_install_key(dir, first, err, sizeof(err)), 0);
	assert_memory_not_equal(first, second, sizeof(first));
}

static void test_queue_is_bounded(void **state)
{
	struct ledger *l = open_ledger();
	uint64_t dropped = counter_get(COUNTER_LEDGER_DROPPED);
	uint64_t rows = counter_get(COUNTER_LEDGER_ROWS);
	uint32_t kept = 0, refused = 0;
	struct call call;

	(void)state;
	for (uint32_t i = 0; i < 5 * LEDGER_QUEUE_MAX; i++) {
		sample_call(&call, i);
		if (ledger_append(l, &call) == 0)
			kept++;
		else
			refused++;
	}
	ledger_close(l);
	assert_true(kept >= LEDGER_QUEUE_MAX);
	assert_int_equal(counter_get(COUNTER_LEDGER_DROPPED) - dropped, refused);
	assert_int_equal(counter_get(COUNTER_LEDGER_ROWS) - rows, kept);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), kept);
}

/* ---- killed and out of space ------------------------------------------------------------- */

static void writer_until_killed(int report)
{
	struct ledger *l = open_ledger();
	uint64_t told = 0;
	struct call call;

	for (uint32_t i = 0;; i++) {
		uint64_t durable = counter_get(COUNTER_LEDGER_ROWS);

		sample_call(&call, i);
		while (ledger_append(l, &call) == -EAGAIN)
			usleep(500);
		if (durable != told) {
			told = durable;
			if (write(report, &told, sizeof(told)) != sizeof(told))
				_exit(1);
		}
		if (i % 64 == 0)
			usleep(200);
	}
}

/* Every row acknowledged as durable is there, in order, and the file is sound. */
static void test_kill_nine(void **state)
{
	uint64_t base = 0, durable;

	(void)state;
	for (int round = 0; round < 6; round++) {
		int ends[2], status;
		int64_t count;
		pid_t child;

		remove_tree(dir);
		assert_int_equal(mkdir(dir, 0700), 0);
		assert_int_equal(pipe(ends), 0);
		base = counter_get(COUNTER_LEDGER_ROWS);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(ends[0]);
			writer_until_killed(ends[1]);
		}
		close(ends[1]);
		usleep(90000 + (useconds_t)(rand() % 400000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		durable = base;
		while (read(ends[0], &durable, sizeof(durable)) == sizeof(durable))
			;
		close(ends[0]);
		ledger_close(open_ledger());
		count = sql_int("SELECT count(*) FROM calls");
		assert_true(count >= (int64_t)(durable - base));
		assert_int_equal(sql_int("SELECT max(seq) FROM calls") - count, 0);
		assert_int_equal(sql_int("SELECT sum(calls) FROM rollup") - count, 0);
		assert_int_equal(sql_int("SELECT count(*) FROM pragma_integrity_check WHERE "
					 "integrity_check='ok'"),
				 1);
	}
}

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void wait_health(const struct ledger *l, bool healthy)
{
	for (int i = 0; i < 100 && ledger_healthy(l) != healthy; i++)
		usleep(50000);
	assert_int_equal(ledger_healthy(l), healthy);
}

static void test_disk_full(void **state)
{
	uint64_t dropped = counter_get(COUNTER_LEDGER_DROPPED_DISK), refused = 0, kept = 0;
	struct ledger *l = open_ledger();
	struct call call;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	sample_call(&call, 0);
	assert_int_equal(ledger_append(l, &call), 0);
	set_file_limit(32768);
	for (uint32_t i = 1; i <= LEDGER_COMMIT_ROWS; i++, kept++) {
		sample_call(&call, i);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	wait_health(l, false);
	for (uint32_t i = 1; i < 2 * LEDGER_QUEUE_MAX; i++) {
		sample_call(&call, i + LEDGER_COMMIT_ROWS);
		if (ledger_append(l, &call) == 0)
			kept++;
		else
			refused++;
	}
	assert_true(refused > 0);
	assert_int_equal(counter_get(COUNTER_LEDGER_DROPPED_DISK) - dropped, refused);
	set_file_limit(RLIM_INFINITY);
	wait_health(l, true);
	ledger_close(l);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), kept + 1);
	assert_int_equal(sql_int("SELECT count(*) FROM calls WHERE seq<started_at_us-"
				 "(SELECT min(started_at_us) FROM calls)"),
			 0);
}

/* Calls wait while the file is not where readers look, and are in it when it is back. */
static void test_moved_away(void **state)
{
	struct ledger *l = open_ledger();
	char path[128], away[128];
	struct call call;

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", dir, LEDGER_FILE);
	snprintf(away, sizeof(away), "%s/away", dir);
	assert_int_equal(rename(path, away), 0);
	sample_call(&call, 0);
	assert_int_equal(ledger_append(l, &call), 0);
	wait_health(l, false);
	assert_int_equal(rename(away, path), 0);
	wait_health(l, true);
	ledger_close(l);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 1);
}

/* ---- readers of the group ---------------------------------------------------------------- */

#define NOBODY	65534
#define A_GROUP 54321

/* query_open and a full read in a child of other rights. Returns query_open's code, or the count.
 */
static int read_as(uid_t uid, gid_t group)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct query *q = NULL;
		struct seen seen = {0};
		int r;

		if (setgroups(1, &group) || setgid(NOBODY) || setuid(uid))
			_exit(200);
		r = query_open(&q, dir, err, sizeof(err));
		if (r)
			_exit(r == -EACCES && strstr(err, "join group tolltap") ? 100 : 101);
		if (query_events(q, &(struct query_filter){0}, 0, 0, see, &seen))
			_exit(102);
		query_close(q);
		_exit((int)seen.count);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void share_with_group(void)
{
	static const char *const names[] = {"", "/" LEDGER_FILE, "/" LEDGER_FILE "-wal",
					    "/" LEDGER_FILE "-shm"};
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, names[i]);
		if (chown(path, (uid_t)-1, A_GROUP) == 0 && i == 0)
			assert_int_equal(chmod(path, 0750), 0);
	}
}

static void crash_with_rows(uint32_t first, uint32_t n)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct ledger *l = open_ledger();
		struct call call;

		for (uint32_t i = first; i < first + n; i++) {
			sample_call(&call, i);
			if (ledger_append(l, &call))
				_exit(1);
		}
		for (int i = 0; i < 100 && counter_get(COUNTER_LEDGER_COMMITS) == 0; i++)
			usleep(20000);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static void test_group_reader(void **state)
{
	struct ledger *l;
	struct call call;

	(void)state;
	if (getuid() != 0)
		skip();
	counter_set(COUNTER_LEDGER_COMMITS, 0);
	crash_with_rows(1, 3); /* killed: rows only in the -wal file */
	share_with_group();
	assert_int_equal(read_as(NOBODY, A_GROUP), 3);
	assert_int_equal(read_as(NOBODY, NOBODY), 100);

	l = open_ledger(); /* running */
	sample_call(&call, 4);
	assert_int_equal(ledger_append(l, &call), 0);
	usleep(600000);
	assert_int_equal(read_as(NOBODY, A_GROUP), 4);
	ledger_close(l); /* stopped */
	assert_int_equal(read_as(NOBODY, A_GROUP), 4);
	assert_int_equal(read_as(NOBODY, NOBODY), 100);

	sql_int("PRAGMA wal_checkpoint(TRUNCATE)"); /* copied without -wal and -shm */
	for (int i = 0; i < 2; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/" LEDGER_FILE "%s", dir, i ? "-wal" : "-shm");
		unlink(path);
	}
	assert_int_equal(read_as(NOBODY, A_GROUP), 4);
}

static void test_no_ledger(void **state)
{
	struct query *q = NULL;

	(void)state;
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "start `tolltap run`"));
	assert_int_equal(query_open(&q, "/nonexistent", err, sizeof(err)), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_unknown_is_null),
		TEST(test_recorded_once),
		TEST(test_revision_enters_outbox),
		TEST(test_visible_while_running),
		TEST(test_second_agent_refused),
		TEST(test_foreign_files_refused),
		TEST(test_damage_refused),
		TEST(test_modes),
		TEST(test_install_key),
		TEST(test_queue_is_bounded),
		TEST(test_kill_nine),
		TEST(test_disk_full),
		TEST(test_moved_away),
		TEST(test_group_reader),
		TEST(test_no_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
