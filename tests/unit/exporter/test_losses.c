/* SPDX-License-Identifier: Apache-2.0 */
/* What a crash loses is counted, and sums over its time are lower bounds. */
#include "older.h"

#include <fcntl.h>
#include <sys/wait.h>

static const struct inflight_owner an_owner = {.pid = 4711, .started_ns = 1};

/*
 * A child records `durable` calls, begins `open` more that never end and queues `queued` that wait
 * when it is killed. The group is held back by a lock on the file, so that it cannot be committed.
 */
static void crash_in_flight(uint32_t first, uint32_t durable, int open, uint32_t queued)
{
	uint64_t commits;
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct ledger *l = NULL;
		struct call call;
		char path[128];
		sqlite3 *db;

		commits = counter_get(COUNTER_LEDGER_COMMITS);
		if (ledger_open(&l, dir, &an_owner, err, sizeof(err)))
			_exit(1);
		for (uint32_t i = first; i < first + durable; i++) {
			ledger_calls(l, 1);
			sample_call(&call, i);
			if (ledger_append(l, &call))
				_exit(2);
		}
		ledger_calls(l, 1);
		ledger_calls(l, -1); /* ended without a row */
		for (int i = 0; durable && counter_get(COUNTER_LEDGER_COMMITS) == commits; i++) {
			if (i == 200)
				_exit(3);
			usleep(20000);
		}
		snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
		if (sqlite3_open(path, &db) || sqlite3_exec(db, "BEGIN IMMEDIATE", 0, 0, 0))
			_exit(4);
		for (uint32_t i = first + durable; i < first + durable + queued; i++) {
			ledger_calls(l, 1);
			sample_call(&call, i);
			if (ledger_append(l, &call))
				_exit(5);
		}
		for (int i = 0; i < open; i++)
			ledger_calls(l, 1);
		ledger_beat(l, 0);
		usleep(400000);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static struct query_losses losses_between(int64_t since_us, int64_t until_us)
{
	struct query *q = open_query();
	struct query_losses lost;

	assert_int_equal(query_losses(q, since_us, until_us, &lost), 0);
	query_close(q);
	return lost;
}

static void open_as(const struct inflight_owner *owner)
{
	struct ledger *l = NULL;

	if (ledger_open(&l, dir, owner, err, sizeof(err)))
		fail_msg("%s", err);
	ledger_close(l);
}

static void test_crash_is_accounted(void **state)
{
	struct query_losses lost;

	(void)state;
	crash_in_flight(0, 20, 3, 4);
	open_as(NULL);
	lost = losses_between(0, 0);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 20);
	assert_int_equal(lost.occasions, 1);
	assert_int_equal(lost.calls, 7);
	assert_int_equal(lost.rows, 4);
	assert_in_range(lost.unmetered_seconds, 1, 60);
	assert_string_equal(lost.last_reason, "agent_crash");
	assert_int_equal(counter_get(COUNTER_CALLS_LOST_AGENT), 7);
	assert_int_equal(counter_get(COUNTER_UNMETERED_SECONDS), lost.unmetered_seconds);
	open_as(NULL); /* counted once */
	assert_int_equal(losses_between(0, 0).calls, 7);
}

/* The worker after a killed one: same owner, the probes stayed. */
static void test_worker_crash_is_accounted(void **state)
{
	struct query_losses lost;

	(void)state;
	crash_in_flight(0, 5, 1, 0);
	open_as(&an_owner);
	crash_in_flight(5, 0, 0, 2);
	open_as(&an_owner);
	lost = losses_between(0, 0);
	assert_int_equal(lost.calls, 3);
	assert_int_equal(lost.rows, 2);
	assert_int_equal(lost.unmetered_seconds, 0);
	assert_string_equal(lost.last_reason, "worker_crash");
	assert_int_equal(counter_get(COUNTER_CALLS_LOST_WORKER), 3);
	crash_in_flight(7, 4, 0, 0);
	open_as(&an_owner); /* a death that lost nothing is no loss */
	assert_int_equal(losses_between(0, 0).calls, 3);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 9);
}

/* Ended in order, but not by the operator: nothing is lost, and the time is told up to the
 * metering. */
static void test_broken_off(void **state)
{
	struct ledger *l = open_ledger();
	struct query_losses lost;
	struct call call;

	(void)state;
	sample_call(&call, 1);
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_calls(l, 1);
	ledger_crashed(l);
	ledger_close(l);
	l = open_ledger();
	lost = losses_between(0, 0);
	assert_int_equal(lost.occasions, 1);
	assert_int_equal(lost.calls, 0);
	assert_string_equal(lost.last_reason, "agent_crash");
	assert_int_equal(lost.unmetered_seconds, 1);
	ledger_metering(l);
	assert_int_equal(losses_between(0, 0).unmetered_seconds, 2);
	assert_true(losses_between(0, 0).last_at_us > lost.last_at_us);
	assert_int_equal(losses_between(0, 0).occasions, 1);
	assert_int_equal(counter_get(COUNTER_UNMETERED_SECONDS), 2);
	ledger_close(l);
	l = open_ledger();
	ledger_metering(l); /* after a stop there is nothing to add to */
	ledger_close(l);
	assert_int_equal(losses_between(0, 0).unmetered_seconds, 2);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 1);
}

/* Sums over the time of a loss are lower bounds, others are not. */
static void test_spend_says_at_least(void **state)
{
	struct query_filter filter = {0};
	struct query_losses lost;
	struct spend *rows;
	struct query *q;
	size_t count;

	(void)state;
	record(1, 3);
	crash_in_flight(4, 1, 1, 0);
	open_as(NULL);
	lost = losses_between(0, 0);
	assert_int_equal(losses_between(0, lost.last_at_us - 3600 * 1000000LL).occasions, 0);
	assert_int_equal(losses_between(lost.last_at_us + 1, 0).occasions, 0);
	q = open_query();
	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	assert_true(rows[0].calls_lost && spend_is_at_least(&rows[0]));
	query_spend_free(rows, count);
	filter.until_us = SAMPLE_STARTED_US + 1000000;
	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	assert_int_equal(rows[0].calls, 4);
	assert_int_equal(rows[0].calls_lost, lost.last_at_us < filter.until_us);
	query_spend_free(rows, count);
	query_close(q);
}

static bool at_least_with(enum billing_mode mode, enum basis basis)
{
	struct ledger *l = open_ledger();
	struct spend *rows;
	struct query *q;
	struct call call;
	size_t count;
	bool at_least;

	sample_call(&call, 1);
	call.billing_mode = mode;
	call.basis = basis;
	call.event_id[0] = (uint8_t)(16 * mode + basis + 1);
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
	q = open_query();
	assert_int_equal(query_spend(q, &(struct query_filter){0}, NULL, 0, &rows, &count), 0);
	at_least = spend_is_at_least(&rows[0]);
	query_spend_free(rows, count);
	query_close(q);
	return at_least;
}

/* GitHub Copilot's calls have no price, and cost nothing: their plan does. */
static void test_a_subscription_is_no_lower_bound(void **state)
{
	(void)state;
	assert_false(at_least_with(BILLING_METERED, BASIS_REPORTED_USAGE));
	assert_false(at_least_with(BILLING_SUBSCRIPTION, BASIS_UNPRICED));
	assert_false(at_least_with(BILLING_SUBSCRIPTION, BASIS_PARTIAL));
	assert_true(at_least_with(BILLING_METERED, BASIS_PARTIAL));
}

/* By hour, only the hour of the loss is a lower bound. */
static void test_hour_of_the_loss(void **state)
{
	const int64_t hour = SAMPLE_STARTED_US / 3600000000 * 3600000000;
	struct query_filter filter = {0};
	struct query_key keys[2];
	struct spend *rows;
	struct query *q;
	size_t count;
	char sql[256];
	sqlite3 *db;
	struct ledger *l = open_ledger();
	struct call call;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		sample_call(&call, i);
		call.started_at_us = hour + i * 3600000000LL;
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
	snprintf(sql, sizeof(sql), "%s/" LEDGER_FILE, dir);
	assert_int_equal(sqlite3_open(sql, &db), SQLITE_OK);
	snprintf(sql, sizeof(sql), "INSERT INTO losses VALUES(1,%lld,%lld,'agent_crash',1,1,9,1)",
		 (long long)hour + 3600000000 + 5, (long long)hour + 3600000000 + 9);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	q = open_query();
	assert_true(query_key_parse(SLICE("hour"), &keys[0]));
	assert_true(query_key_parse(SLICE("day"), &keys[1]));
	assert_int_equal(query_spend(q, &filter, &keys[0], 1, &rows, &count), 0);
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++) {
		int64_t at = 0;

		assert_true(query_time_parse(rows[i].group[0], 0, &at));
		assert_int_equal(rows[i].calls_lost, at == hour + 3600000000);
	}
	query_spend_free(rows, count);
	assert_int_equal(query_spend(q, &filter, &keys[1], 1, &rows, &count), 0);
	assert_int_equal(count, 1);
	assert_true(rows[0].calls_lost);
	query_spend_free(rows, count);
	query_close(q);
}

/* Sets what the last run wrote as its last sign of life. */
static void move_beat(int64_t by_us)
{
	struct inflight_record record;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/" INFLIGHT_FILE, dir);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &record, sizeof(record), 0), sizeof(record));
	record.beat_wall_us += by_us;
	assert_int_equal(pwrite(fd, &record, sizeof(record), 0), sizeof(record));
	close(fd);
}

/* The clock was set while no agent ran: the seconds are counted by another that was not. */
static void test_clock_set_between_runs(void **state)
{
	const int64_t day_us = 86400000000;
	struct ledger *l;

	(void)state;
	for (int i = 0; i < 2; i++) {
		crash_in_flight((uint32_t)i, 1, 1, 0);
		move_beat(i ? -day_us : day_us); /* set back, set forth */
		l = open_ledger();
		ledger_metering(l);
		ledger_close(l);
		assert_int_equal(sql_int("SELECT count(*) FROM losses WHERE since_us>at_us"), 0);
		assert_int_equal(losses_between(0, 0).calls, i + 1);
		assert_in_range(losses_between(0, 0).unmetered_seconds, 2 * (i + 1), 60);
	}
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 2);
}

/* A crash loop is one row an hour. */
static void test_losses_are_bounded(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 12; i++) {
		crash_in_flight(i, 0, 1, 0);
		open_as(&an_owner);
	}
	assert_int_equal(losses_between(0, 0).occasions, 12);
	assert_int_equal(losses_between(0, 0).calls, 12);
	assert_true(sql_int("SELECT count(*) FROM losses") <= 2);
}

/* Dropped while the disk refused: in the ledger as soon as it accepts again. */
static void test_dropped_rows_are_recorded(void **state)
{
	struct ledger *l = open_ledger();
	struct query_losses lost;
	uint64_t refused = 0;
	struct call call;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(32768);
	for (uint32_t i = 0; i < LEDGER_COMMIT_ROWS; i++) {
		sample_call(&call, i);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	wait_health(l, false);
	for (uint32_t i = LEDGER_COMMIT_ROWS; refused < 1000; i++) {
		sample_call(&call, i);
		refused += ledger_append(l, &call) != 0;
	}
	set_file_limit(RLIM_INFINITY);
	wait_health(l, true);
	lost = losses_between(0, 0);
	assert_int_equal(lost.calls, refused);
	assert_int_equal(lost.rows, refused);
	assert_string_equal(lost.last_reason, "not_written");
	ledger_close(l);
	open_as(NULL);
	assert_int_equal(losses_between(0, 0).calls, refused);
}

/* Dropped at the end: the next run says so. */
static void test_not_written_at_the_end(void **state)
{
	struct ledger *l = open_ledger();
	struct query_losses lost;
	struct call call;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(32768);
	for (uint32_t i = 0; i < LEDGER_COMMIT_ROWS; i++) {
		sample_call(&call, i);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	wait_health(l, false);
	ledger_close(l);
	set_file_limit(RLIM_INFINITY);
	open_as(NULL);
	lost = losses_between(0, 0);
	assert_int_equal(lost.calls, LEDGER_COMMIT_ROWS);
	assert_string_equal(lost.last_reason, "not_written");
	assert_int_equal(lost.unmetered_seconds, 0);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 0);
}

/* Another file in the place of the ledger: the rows between are missing, and that is said. */
static void test_replaced_ledger_is_said(void **state)
{
	struct query_losses lost;
	char path[128], backup[128], command[300];

	(void)state;
	record(1, 5);
	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
	snprintf(backup, sizeof(backup), "%s/backup", dir);
	sql_int("PRAGMA wal_checkpoint(TRUNCATE)");
	snprintf(command, sizeof(command), "cp %s %s", path, backup);
	assert_int_equal(system(command), 0);
	record(6, 5);
	sql_int("PRAGMA wal_checkpoint(TRUNCATE)");
	record(11, 1);
	sql_int("PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(losses_between(0, 0).occasions, 0);
	assert_int_equal(rename(backup, path), 0);
	open_as(NULL);
	lost = losses_between(0, 0);
	assert_int_equal(lost.occasions, 1);
	assert_string_equal(lost.last_reason, "ledger_replaced");
	open_as(NULL);
	assert_int_equal(losses_between(0, 0).occasions, 1);
}

/* A ledger of the version before the table is brought up to date, and read as it is until then. */
static void test_older_version(void **state)
{
	(void)state;
	record(1, 2);
	downgrade(1);
	assert_int_equal(losses_between(0, 0).occasions, 0);
	record(3, 1);
	assert_int_equal(sql_int("PRAGMA user_version"), SCHEMA_VERSION);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 3);
	assert_int_equal(sql_int("SELECT count(*) FROM losses"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_crash_is_accounted),
		TEST(test_worker_crash_is_accounted),
		TEST(test_broken_off),
		TEST(test_spend_says_at_least),
		TEST(test_a_subscription_is_no_lower_bound),
		TEST(test_hour_of_the_loss),
		TEST(test_clock_set_between_runs),
		TEST(test_losses_are_bounded),
		TEST(test_dropped_rows_are_recorded),
		TEST(test_not_written_at_the_end),
		TEST(test_replaced_ledger_is_said),
		TEST(test_older_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
