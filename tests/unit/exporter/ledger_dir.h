/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger in a directory of its own for each test, and short ways to fill, fail and ask it. */
#ifndef TT_TEST_LEDGER_DIR_H
#define TT_TEST_LEDGER_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "exporter/ledger.h"
#include "exporter/query.h"
#include "sample.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#define QUEUE_CALLS 28000 /* of those here so many may wait at least */

static char dir[64];
static char err[LEDGER_ERROR_MAX];

static inline int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tolltap-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	remove_tree(dir);
	return 0;
}

static inline struct ledger *open_ledger(void)
{
	struct ledger *l = NULL;

	if (ledger_open(&l, dir, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	return l;
}

static inline struct query *open_query(void)
{
	struct query *q = NULL;

	if (query_open(&q, dir, err, sizeof(err)))
		fail_msg("%s", err);
	return q;
}

static inline void record(uint32_t first, uint32_t n)
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

static inline int see(void *user, const struct event *event)
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

static inline int64_t sql_int(const char *sql)
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

static inline void events_all(struct seen *seen)
{
	struct query *q = open_query();

	memset(seen, 0, sizeof(*seen));
	assert_int_equal(query_events(q, &(struct query_filter){0}, 0, 0, see, seen), 0);
	query_close(q);
}

static inline void set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static inline void wait_health(const struct ledger *l, bool healthy)
{
	for (int i = 0; i < 100 && ledger_healthy(l) != healthy; i++)
		usleep(50000);
	assert_int_equal(ledger_healthy(l), healthy);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
