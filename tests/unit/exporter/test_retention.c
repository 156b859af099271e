/* SPDX-License-Identifier: Apache-2.0 */
/* What goes by retention, what never does, and that sums stay. */
#include "ledger_dir.h"

#include "exporter/amend.h"
#include "exporter/periods.h"
#include "exporter/retention.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/verify.h"

#define US_PER_DAY 86400000000LL
#define SEPTEMBER  1788220800000000LL /* 2026-09-01 */
#define OCTOBER	   1790812800000000LL
#define NOVEMBER   1793491200000000LL
#define NOW	   1795737600000000LL /* 2026-11-27 */

/* A call every day from September on, `days` of them. */
static void record_days(int days)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (int i = 0; i < days; i++) {
		sample_call(&call, (uint32_t)i);
		call.started_at_us = SEPTEMBER + i * US_PER_DAY + 5;
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

/* One that comes late into a day of September. */
static void record_one_more(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	sample_call(&call, 9999);
	call.started_at_us = SEPTEMBER + 9;
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
}

static sqlite3 *db;

static void close_month(const char *month)
{
	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	if (period_close(db, month, "tester", NOW, err, sizeof(err)))
		fail_msg("%s", err);
	amend_close(db);
}

static struct retention_step step(struct retention opts)
{
	struct retention_step all = {0}, one;

	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	do {
		assert_int_equal(retention_step(db, &opts, NOW, &one), SQLITE_OK);
		all.deleted += one.deleted;
		all.waits_for_us = one.waits_for_us;
	} while (one.more);
	amend_close(db);
	return all;
}

static pusd_sum total(void)
{
	struct query *q = open_query();
	struct spend *rows;
	size_t count;
	pusd_sum cost;

	assert_int_equal(query_spend(q, &(struct query_filter){0}, NULL, 0, &rows, &count), 0);
	assert_int_equal(count, 1);
	cost = rows[0].cost;
	query_spend_free(rows, count);
	query_close(q);
	return cost;
}

static void found(void *user, const struct verify_finding *finding)
{
	(void)user;
	if (!finding->ok)
		print_message("%s: %s\n", finding->what, finding->detail);
}

static int verify(void)
{
	struct query *q = open_query();
	int wrong;

	assert_int_equal(verify_ledger(q, found, NULL, &wrong), 0);
	query_close(q);
	return wrong;
}

static void nothing_goes_unasked(void **state)
{
	(void)state;
	record_days(80);
	close_month("2026-09");
	assert_int_equal(step((struct retention){0}).deleted, 0);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 80);
}

static void an_open_month_stays(void **state)
{
	struct retention_step s;

	(void)state;
	record_days(80);
	s = step((struct retention){.days = 40});
	assert_int_equal(s.deleted, 0);
	assert_int_equal(s.waits_for_us / US_PER_DAY, SEPTEMBER / US_PER_DAY);
	close_month("2026-09");
	s = step((struct retention){.days = 40});
	assert_int_equal(s.deleted, 30); /* September, and nothing of October */
	assert_int_equal(s.waits_for_us, OCTOBER);
	assert_int_equal(sql_int("SELECT min(started_at_us) FROM calls") / US_PER_DAY,
			 OCTOBER / US_PER_DAY);
}

static void sums_stay(void **state)
{
	pusd_sum before;

	(void)state;
	record_days(80);
	close_month("2026-09");
	close_month("2026-10");
	before = total();
	/* 2026-10-18: by age; its own day stays. */
	assert_int_equal(step((struct retention){.days = 40}).deleted, 47);
	assert_true(total() == before);
	assert_int_equal(sql_int("SELECT sum(calls) FROM rollup"), 80);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox"), 33);
	assert_int_equal(sql_int("SELECT value FROM meta WHERE key='" SCHEMA_DETAIL_SINCE "'"),
			 SEPTEMBER + 47 * US_PER_DAY);
	assert_int_equal(verify(), 0);
	/* A rebuild leaves alone what it has no calls for. */
	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	assert_int_equal(rollup_rebuild(db, NULL), SQLITE_OK);
	amend_close(db);
	assert_true(total() == before);
}

/* Retention that moves on between a look for hours and their sums takes nothing with it. */
static void hours_that_go_meanwhile(void **state)
{
	pusd_sum before;

	(void)state;
	record_days(80);
	close_month("2026-09");
	close_month("2026-10");
	before = total();
	assert_int_equal(step((struct retention){.days = 40}).deleted, 47);
	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	assert_false(rollup_has_detail(db, SEPTEMBER / SCHEMA_US_PER_HOUR));
	assert_true(rollup_has_detail(db, NOVEMBER / SCHEMA_US_PER_HOUR));
	for (int i = 0; i < 80; i++)
		assert_int_equal(rollup_hour(db, (SEPTEMBER + i * US_PER_DAY) / SCHEMA_US_PER_HOUR),
				 SQLITE_OK);
	amend_close(db);
	assert_true(total() == before);
	assert_int_equal(verify(), 0);
}

/* A call that comes after its day has gone counts, and goes with the next sweep. */
static void a_late_call_of_a_day_that_went(void **state)
{
	struct ledger *l;
	struct call call;
	pusd_sum before;

	(void)state;
	record_days(80);
	close_month("2026-09");
	assert_int_equal(step((struct retention){.days = 40}).deleted, 30);
	before = total();
	l = open_ledger();
	sample_call(&call, 1000);
	call.started_at_us = SEPTEMBER + 7;
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
	assert_true(total() == before + call.cost.cost_pusd);
	assert_int_equal(verify(), 0);
	assert_int_equal(step((struct retention){.days = 40}).deleted, 1);
	assert_true(total() == before + call.cost.cost_pusd);
	assert_int_equal(verify(), 0);
}

/* Usage may be told again for 30 days: whatever is asked for, these stay. */
static void keys_outlive_retention(void **state)
{
	(void)state;
	record_days(80);
	close_month("2026-09");
	close_month("2026-10");
	assert_int_equal(step((struct retention){.days = 1}).deleted, 57); /* to 2026-10-28 */
	assert_int_equal(sql_int("SELECT min(started_at_us) FROM calls") / US_PER_DAY,
			 NOW / US_PER_DAY - 30);
}

static void execute(const char *sql)
{
	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	amend_close(db);
}

static void what_a_consumer_has_not_seen_stays(void **state)
{
	(void)state;
	record_days(80);
	close_month("2026-09");
	execute("INSERT INTO cursors VALUES('otlp',10,0),('clickhouse',5,0)");
	assert_int_equal(step((struct retention){.days = 40}).deleted, 5);
	assert_int_equal(sql_int("SELECT min(seq) FROM calls"), 6);
	execute("UPDATE cursors SET outbox_id=80");
	assert_int_equal(step((struct retention){.days = 40}).deleted, 25);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox"), 50);
}

static void a_large_ledger_lets_its_oldest_days_go(void **state)
{
	int64_t bytes;

	(void)state;
	record_days(80);
	close_month("2026-09");
	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	bytes = retention_used_bytes(db);
	amend_close(db);
	assert_int_equal(step((struct retention){.max_bytes = bytes}).deleted, 0);
	assert_int_equal(step((struct retention){.max_bytes = bytes - 1}).deleted, 1);
	assert_true(step((struct retention){.max_bytes = 1}).deleted > 0);
	assert_int_equal(verify(), 0);
}

/* Rows of the outbox go although older ones, whose calls stay, stand before them. */
static void the_outbox_is_looked_through(void **state)
{
	struct ledger *l = open_ledger();
	struct call call;

	(void)state;
	for (uint32_t i = 0; i < 5 * RETENTION_BATCH; i++) {
		sample_call(&call, 100000 + i);
		call.started_at_us = NOW + i; /* by a clock that was ahead: these stay */
		while (ledger_append(l, &call))
			usleep(1000);
	}
	ledger_close(l);
	record_days(80);
	close_month("2026-09");
	assert_int_equal(step((struct retention){.days = 40}).deleted, 30);
	record_one_more();
	assert_int_equal(step((struct retention){.days = 40}).deleted, 1);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox WHERE seq NOT IN "
				 "(SELECT seq FROM calls)"),
			 0);
}

/* The writer does it by itself, beside calls that come. */
static void the_writer_sweeps(void **state)
{
	const struct retention opts = {.days = 40};
	struct ledger *l;
	uint64_t retired;

	(void)state;
	record_days(80);
	close_month("2026-09");
	retired = counter_get(COUNTER_LEDGER_RETIRED);
	l = open_ledger();
	ledger_retain(l, &opts);
	for (int i = 0; i < 200 && counter_get(COUNTER_LEDGER_RETIRED) == retired; i++)
		usleep(20000);
	ledger_close(l);
	assert_int_equal(counter_get(COUNTER_LEDGER_RETIRED) - retired, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_goes_unasked),
		TEST(an_open_month_stays),
		TEST(sums_stay),
		TEST(hours_that_go_meanwhile),
		TEST(a_late_call_of_a_day_that_went),
		TEST(keys_outlive_retention),
		TEST(what_a_consumer_has_not_seen_stays),
		TEST(a_large_ledger_lets_its_oldest_days_go),
		TEST(the_outbox_is_looked_through),
		TEST(the_writer_sweeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
