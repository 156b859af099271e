/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/inflight.h"
#include "sample.h"

#include <fcntl.h>
#include <unistd.h>

#define SECOND_US 1000000LL

static char dir[64];
static char err[256];

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

/* ---- the comparison ---------------------------------------------------------------------- */

struct expected {
	bool lost;
	enum loss_reason reason;
	uint64_t calls, rows, unmetered_seconds;
};

/* A run of 100 calls: 10 ended without a row, 80 rows accepted, 3 dropped, so 7 are open. */
static struct inflight_record a_run(void)
{
	return (struct inflight_record){
		.magic = INFLIGHT_MAGIC,
		.boot_id = "boot-1",
		.run = 77,
		.owner = {.pid = 100, .started_ns = 5},
		.count = {[INFLIGHT_BEGUN] = 100,
			  [INFLIGHT_IGNORED] = 10,
			  [INFLIGHT_ACCEPTED] = 80,
			  [INFLIGHT_DROPPED] = 3,
			  [INFLIGHT_SETTLED] = 75},
		.beat_wall_us = 1000 * SECOND_US,
		.beat_boot_ns = 50 * NSEC_PER_SEC,
	};
}

/* 1.5 s later, another agent. */
static struct inflight_record next_run(void)
{
	return (struct inflight_record){
		.magic = INFLIGHT_MAGIC,
		.boot_id = "boot-1",
		.run = 78,
		.owner = {.pid = 200, .started_ns = 6},
		.beat_wall_us = 1000 * SECOND_US + 1500000,
		.beat_boot_ns = 50 * NSEC_PER_SEC + 1500000000,
	};
}

static const struct inflight_ledger in_step = {
	.run = 77, .previous_run = 76, .settled = 75, .dropped = 1, .newest_us = 990 * SECOND_US};

static void check(const struct inflight_record *last, const struct inflight_ledger *ledger,
		  const struct inflight_record *now, struct expected expected)
{
	struct loss loss = {0};

	assert_int_equal(inflight_loss(last, ledger, now, &loss), expected.lost);
	if (!expected.lost)
		return;
	assert_int_equal(loss.reason, expected.reason);
	assert_int_equal(loss.calls, expected.calls);
	assert_int_equal(loss.rows, expected.rows);
	assert_int_equal(loss.unmetered_seconds, expected.unmetered_seconds);
	assert_true(loss.since_us <= loss.at_us);
	assert_int_equal(loss.at_us, now->beat_wall_us);
}

static void test_crash_of_the_agent(void **state)
{
	struct inflight_record last = a_run(), now = next_run();

	(void)state;
	/* 5 waited, 2 were dropped unsaid, 7 were open. */
	check(&last, &in_step, &now, (struct expected){true, LOSS_AGENT_CRASH, 14, 7, 2});
}

/* The commit was durable, the kill came before the file said so. */
static void test_committed_is_not_lost(void **state)
{
	struct inflight_record last = a_run(), now = next_run();
	struct inflight_ledger ledger = in_step;

	(void)state;
	ledger.settled = 80;
	check(&last, &ledger, &now, (struct expected){true, LOSS_AGENT_CRASH, 9, 2, 2});
}

static void test_crash_of_the_worker(void **state)
{
	struct inflight_record last = a_run(), now = next_run();

	(void)state;
	now.owner = last.owner;
	check(&last, &in_step, &now, (struct expected){true, LOSS_WORKER_CRASH, 14, 7, 0});
	/* The same pid and start in another boot is another agent. */
	snprintf(now.boot_id, sizeof(now.boot_id), "boot-2");
	check(&last, &in_step, &now, (struct expected){true, LOSS_HOST_CRASH, 14, 7, 2});
}

/* Killed with its broker before it had read: its successor's time without metering begins earlier.
 */
static void test_worker_that_read_nothing(void **state)
{
	struct inflight_record last = a_run(), now = next_run(), next = next_run();
	struct inflight_ledger ledger = {.run = 78, .previous_run = 77};

	(void)state;
	inflight_take_over(&now, &last); /* another agent: its own life */
	assert_int_equal(now.beat_boot_ns, next.beat_boot_ns);
	now.owner = last.owner;
	inflight_take_over(&now, &last);
	assert_int_equal(now.beat_boot_ns, last.beat_boot_ns);
	assert_int_equal(now.beat_wall_us, last.beat_wall_us);
	next.beat_wall_us += 4 * SECOND_US;
	next.beat_boot_ns += 4 * NSEC_PER_SEC;
	check(&now, &ledger, &next, (struct expected){true, LOSS_AGENT_CRASH, 0, 0, 6});
	last.clean = 1;
	now = next_run();
	now.owner = last.owner;
	inflight_take_over(&now, &last);
	assert_int_equal(now.beat_boot_ns, next_run().beat_boot_ns);
}

static void test_nothing_lost(void **state)
{
	struct inflight_record last = a_run(), now = next_run(), none = {0};
	struct inflight_ledger ledger = in_step;

	(void)state;
	check(&none, &in_step, &now, (struct expected){.lost = false});
	last.clean = 1;
	last.count[INFLIGHT_BEGUN] = 93;
	ledger.settled = 80;
	ledger.dropped = 3;
	check(&last, &ledger, &now, (struct expected){.lost = false});
	/* Accounted for by a start that was killed before it could say so in the file. */
	last = a_run();
	ledger.previous_run = last.run;
	ledger.run = 99;
	check(&last, &ledger, &now, (struct expected){.lost = false});
	/* A worker that died between calls. */
	last = a_run();
	last.count[INFLIGHT_BEGUN] = 93;
	ledger = in_step;
	ledger.settled = 80;
	ledger.dropped = 3;
	now.owner = last.owner;
	check(&last, &ledger, &now, (struct expected){.lost = false});
}

/* Stopped by itself, but the disk refused to the end. */
static void test_not_written(void **state)
{
	struct inflight_record last = a_run(), now = next_run();

	(void)state;
	last.clean = 1;
	last.count[INFLIGHT_BEGUN] = 93;
	check(&last, &in_step, &now, (struct expected){true, LOSS_NOT_WRITTEN, 7, 7, 0});
}

/* Rows whose commit had returned are not in the file any more. */
static void test_durable_rows_gone(void **state)
{
	struct inflight_record last = a_run(), now = next_run();
	struct inflight_ledger ledger = in_step;
	struct loss loss;

	(void)state;
	ledger.settled = 70;
	check(&last, &ledger, &now, (struct expected){true, LOSS_DAMAGED, 19, 12, 2});
	assert_true(inflight_loss(&last, &ledger, &now, &loss));
	assert_int_equal(loss.since_us, ledger.newest_us);
}

static void test_another_ledger(void **state)
{
	struct inflight_record last = a_run(), now = next_run();
	struct inflight_ledger ledger = {.run = 5, .previous_run = 4, .newest_us = 900 * SECOND_US};
	struct loss loss;

	(void)state;
	check(&last, &ledger, &now, (struct expected){true, LOSS_REPLACED, 0, 0, 0});
	assert_true(inflight_loss(&last, &ledger, &now, &loss));
	assert_int_equal(loss.since_us, 900 * SECOND_US);
	ledger = (struct inflight_ledger){0}; /* a new one */
	assert_true(inflight_loss(&last, &ledger, &now, &loss));
	assert_int_equal(loss.since_us, last.beat_wall_us);
}

/* After a power cut the file may be older than the ledger: no count goes below zero. */
static void test_stale_file(void **state)
{
	struct inflight_record last = a_run(), now = next_run();
	struct inflight_ledger ledger = in_step;

	(void)state;
	snprintf(now.boot_id, sizeof(now.boot_id), "boot-2");
	now.beat_boot_ns = NSEC_PER_SEC;
	ledger.settled = 500;
	ledger.dropped = 9;
	check(&last, &ledger, &now, (struct expected){true, LOSS_HOST_CRASH, 7, 0, 2});
}

/* The wall clock jumps by days while the agent is down: only the monotonic one counts. */
static void test_clock_jumps(void **state)
{
	struct inflight_record last = a_run(), now = next_run();
	struct loss loss;

	(void)state;
	now.beat_wall_us += 3 * 86400 * SECOND_US;
	check(&last, &in_step, &now, (struct expected){true, LOSS_AGENT_CRASH, 14, 7, 2});
	now.beat_wall_us -= 6 * 86400 * SECOND_US;
	check(&last, &in_step, &now, (struct expected){true, LOSS_AGENT_CRASH, 14, 7, 2});
	assert_true(inflight_loss(&last, &in_step, &now, &loss));
	assert_int_equal(loss.since_us, loss.at_us);
	/* Over a reboot there is only the wall clock; backwards it says nothing. */
	snprintf(now.boot_id, sizeof(now.boot_id), "boot-2");
	check(&last, &in_step, &now, (struct expected){true, LOSS_HOST_CRASH, 14, 7, 0});
}

/* ---- the file ---------------------------------------------------------------------------- */

static struct inflight *open_file(struct inflight_record *last)
{
	struct inflight *f = NULL;

	assert_int_equal(inflight_open(&f, dir, last, err, sizeof(err)), 0);
	return f;
}

static void test_file_outlives_the_run(void **state)
{
	const struct inflight_owner owner = {.pid = 4, .started_ns = 9};
	struct inflight_record last, now;
	struct inflight *f = open_file(&last);

	(void)state;
	assert_int_equal(last.run, 0);
	assert_int_equal(inflight_new_run(&now, &owner), 0);
	assert_true(now.run > 0);
	assert_int_equal(inflight_start(f, &now), 0);
	inflight_add(f, INFLIGHT_BEGUN, 3);
	inflight_add(f, INFLIGHT_ACCEPTED, 2);
	inflight_add(f, INFLIGHT_SETTLED, 1);
	assert_int_equal(inflight_get(f, INFLIGHT_ACCEPTED), 2);
	inflight_beat(f, 0);
	inflight_close(f, false); /* as a kill would leave it */

	f = open_file(&last);
	assert_int_equal(last.run, now.run);
	assert_int_equal(last.owner.pid, 4);
	assert_int_equal(last.count[INFLIGHT_BEGUN], 3);
	assert_int_equal(last.count[INFLIGHT_ACCEPTED], 2);
	assert_int_equal(last.count[INFLIGHT_SETTLED], 1);
	assert_int_equal(last.clean, 0);
	assert_true(last.beat_boot_ns >= now.beat_boot_ns);
	assert_int_equal(inflight_start(f, &now), 0);
	inflight_close(f, true);

	f = open_file(&last);
	assert_int_equal(last.clean, 1);
	assert_int_equal(last.count[INFLIGHT_BEGUN], 0);
	inflight_close(f, false);
}

static void test_unusable_files_say_nothing(void **state)
{
	static const char noise[4096] = "TOLLFLY9 is another version";
	static const size_t sizes[] = {0, 1, sizeof(struct inflight_record) - 1, sizeof(noise)};
	struct inflight_record last;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/" INFLIGHT_FILE, dir);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(write(fd, noise, sizes[i]), sizes[i]);
		close(fd);
		memset(&last, 0xaa, sizeof(last));
		inflight_close(open_file(&last), false);
		assert_int_equal(last.run, 0);
	}
	inflight_close(NULL, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_crash_of_the_agent),
		TEST(test_committed_is_not_lost),
		TEST(test_crash_of_the_worker),
		TEST(test_worker_that_read_nothing),
		TEST(test_nothing_lost),
		TEST(test_not_written),
		TEST(test_durable_rows_gone),
		TEST(test_another_ledger),
		TEST(test_stale_file),
		TEST(test_clock_jumps),
		TEST(test_file_outlives_the_run),
		TEST(test_unusable_files_say_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
