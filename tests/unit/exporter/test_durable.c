/* SPDX-License-Identifier: Apache-2.0 */
/* What was recorded survives a kill, a full disk and a file that is away. */
#include "ledger_dir.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
	for (uint32_t i = 1; refused < 1000; i++) {
		sample_call(&call, i + LEDGER_COMMIT_ROWS);
		if (ledger_append(l, &call) == 0)
			kept++;
		else
			refused++;
	}
	assert_true(kept >= QUEUE_CALLS);
	assert_int_equal(counter_get(COUNTER_LEDGER_DROPPED_DISK) - dropped, refused);
	set_file_limit(RLIM_INFINITY);
	wait_health(l, true);
	ledger_close(l);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), kept + 1);
	/* In their order; a retry that is under way makes room, so one that follows a refused one
	 * may be kept. */
	assert_int_equal(sql_int("SELECT count(*) FROM calls a JOIN calls b ON b.seq=a.seq+1 "
				 "WHERE b.started_at_us<=a.started_at_us"),
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kill_nine),
		TEST(test_disk_full),
		TEST(test_moved_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
