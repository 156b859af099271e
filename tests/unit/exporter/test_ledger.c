/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
	char named[80];

	(void)state;
	assert_int_equal(ledger_open(&second, dir, NULL, err, sizeof(err)), -EBUSY);
	assert_null(second);
	snprintf(named, sizeof(named), "another agent (pid %d) records in", (int)getpid());
	assert_non_null(strstr(err, named));
	assert_int_equal(ledger_lock_dir(dir, 1, err, sizeof(err)), -EBUSY);
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
	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), -EBADMSG);
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), -EBADMSG);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);

	unlink(path);
	record(1, 1);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 1);
	sql_int("PRAGMA journal_mode=DELETE");
	write_file(LEDGER_FILE, &(uint8_t[4]){0, 0, 0, 99}, 4, 60); /* user_version */
	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), -ENOTSUP);
	assert_int_equal(query_open(&q, dir, err, sizeof(err)), -ENOTSUP);
	write_file(LEDGER_FILE, &(uint8_t[4]){0, 0, 0, 99}, 4, 68); /* application_id */
	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), -EBADMSG);
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
	assert_int_equal(ledger_open(&l, path, NULL, err, sizeof(err)), 0);
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
	for (uint32_t i = 0; refused < 1000; i++) {
		sample_call(&call, i);
		if (ledger_append(l, &call) == 0)
			kept++;
		else
			refused++;
	}
	ledger_close(l);
	assert_true(kept >= QUEUE_CALLS);
	assert_int_equal(counter_get(COUNTER_LEDGER_DROPPED) - dropped, refused);
	assert_int_equal(counter_get(COUNTER_LEDGER_ROWS) - rows, kept);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), kept);
}

/* The clock is set while calls are recorded: order is that of recording, each hour has its own. */
static void test_clock_set_while_recording(void **state)
{
	static const int64_t hours[] = {0, 72, 72, -2, -2, -1, 0, 1};
	const int64_t hour_us = 3600000000, base = SAMPLE_STARTED_US / hour_us * hour_us;
	struct ledger *l = open_ledger();
	struct seen seen;
	struct call call;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(hours); i++) {
		sample_call(&call, i);
		call.started_at_us = base + hours[i] * hour_us + i;
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
	events_all(&seen); /* by seq */
	assert_int_equal(seen.count, ARRAY_LEN(hours));
	assert_int_equal(seen.last.call.started_at_us, base + hour_us + 7);
	assert_int_equal(sql_int("SELECT count(*) FROM calls a JOIN calls b ON b.seq=a.seq+1 "
				 "WHERE b.started_at_us%3600000000=a.started_at_us%3600000000+1"),
			 ARRAY_LEN(hours) - 1);
	assert_int_equal(sql_int("SELECT count(*) FROM (SELECT hour,sum(calls) AS n FROM rollup "
				 "GROUP BY hour) r WHERE n<>(SELECT count(*) FROM calls WHERE "
				 "started_at_us/3600000000=r.hour)"),
			 0);
	assert_int_equal(sql_int("SELECT sum(calls) FROM rollup"), ARRAY_LEN(hours));
	assert_int_equal(sql_int("SELECT count(DISTINCT hour) FROM rollup"), 5);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox WHERE id=seq"), ARRAY_LEN(hours));
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
		TEST(test_modes),
		TEST(test_install_key),
		TEST(test_queue_is_bounded),
		TEST(test_clock_set_while_recording),
		TEST(test_group_reader),
		TEST(test_no_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
