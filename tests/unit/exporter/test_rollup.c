/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roll-up is the calls, summed: after random calls in random order, over hours and facets, with
 * unknown costs and usage, and tokens that no sum can hold; in a ledger that the writer filled and
 * in one that was filled in bulk. Made again from the calls it is the same.
 */
#include "ledger_dir.h"

#include "exporter/bulk.h"
#include "exporter/schema.h"

#include <errno.h>

#define CALLS	3000
#define HOUR_US 3600000000LL

/* A Lehmer generator: the same calls in every run. */
static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = state * 48271 % 2147483647;
	return (uint32_t)(state % n);
}

static void random_call(struct call *call, uint32_t n)
{
	sample_call(call, n);
	call->started_at_us = (SAMPLE_STARTED_US / HOUR_US + below(40)) * HOUR_US;
	call->started_at_us +=
		below(10) ? (int64_t)below(3600) * 1000000 : (below(2) ? 0 : HOUR_US - 1);
	snprintf(call->model, sizeof(call->model), "model-%u", below(5));
	call->status = below(3) ? 200 : 429;
	call->usage.known = below(4) != 0;
	call->usage.tokens[TOKEN_OUTPUT_TEXT] = below(50) ? (int64_t)below(100000) : INT64_MAX;
	call->usage.tool_units[TOOL_WEB_SEARCH] = below(3);
	call->cost.cost_pusd = below(6) ? (int64_t)below(2000000000) * below(2000000000) : -1;
	call->cost.list_pusd = below(6) ? (int64_t)below(2000000000) << 31 : -1;
	call->cost.cache_savings_pusd =
		(int64_t)below(2000000000) * 7 - (int64_t)below(2000000000) * 8;
}

static sqlite3 *open_db(const char *where)
{
	char path[160];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, where);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(schema_functions(db), 0);
	return db;
}

static void exec(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why))
		fail_msg("%s: %s", why, sql);
}

static int64_t ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t value;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL))
		fail_msg("%s: %s", sqlite3_errmsg(db), sql);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

/* Rows that are in one of two tables only. */
static int64_t difference(sqlite3 *db, const char *a, const char *b)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "SELECT (SELECT count(*) FROM (SELECT * FROM %s EXCEPT SELECT * FROM %s))+"
		 "(SELECT count(*) FROM (SELECT * FROM %s EXCEPT SELECT * FROM %s))",
		 a, b, b, a);
	return ask(db, sql);
}

/* Sums in SQL that share nothing with the writer's statement. */
static const char by_hand[] =
	"CREATE TEMP TABLE mine AS SELECT started_at_us/3600000000 AS hour,facet,count(*) AS calls,"
	"sum(CASE WHEN output_text=9223372036854775807 THEN 1 ELSE 0 END) AS huge,"
	"sum(CASE WHEN output_text<9223372036854775807 THEN output_text ELSE 0 END) AS tokens,"
	"sum(ifnull(tool_web_search,0)) AS searches,"
	"sum(ifnull(cost_pusd,0)%1000003) AS cost FROM calls GROUP BY 1,2";

/* The picodollars of both halves, modulo a prime: their sum leaves SQL's integers. */
static const char halves[] =
	"SELECT count(*) FROM temp.mine m JOIN rollup r USING(hour,facet) WHERE m.calls<>r.calls "
	"OR "
	"m.searches<>r.tool_web_search OR "
	"r.output_text<>CASE WHEN m.huge THEN 9223372036854775807 ELSE m.tokens END OR "
	"m.cost%1000003<>((r.cost_pusd_hi%1000003)*(4294967296%1000003)+r.cost_pusd_lo)%1000003";

static void check(const char *where)
{
	struct text sql = TEXT_INIT(64u << 10);
	sqlite3 *db = open_db(where);

	exec(db, by_hand);
	assert_int_equal(ask(db, "SELECT count(*) FROM calls"), CALLS);
	assert_int_equal(ask(db, "SELECT sum(calls) FROM rollup"), CALLS);
	assert_int_equal(ask(db, "SELECT count(*) FROM rollup"),
			 ask(db, "SELECT count(*) FROM temp.mine"));
	assert_true(ask(db, "SELECT count(*) FROM temp.mine WHERE huge") > 0);
	assert_int_equal(ask(db, halves), 0);
	/* Made again from the calls. */
	exec(db, "CREATE TEMP TABLE before AS SELECT * FROM rollup;DELETE FROM rollup");
	schema_rollup_sql(&sql, "1");
	exec(db, text_cstr(&sql) ? sql.ptr : "");
	assert_int_equal(difference(db, "temp.before", "main.rollup"), 0);
	/* And both comparisons see one that is not right. */
	exec(db, "UPDATE rollup SET cost_pusd_lo=cost_pusd_lo+1 WHERE (hour,facet)="
		 "(SELECT hour,facet FROM rollup LIMIT 1)");
	assert_int_equal(difference(db, "temp.before", "main.rollup"), 2);
	assert_int_equal(ask(db, halves), 1);
	text_free(&sql);
	sqlite3_close(db);
}

static void fill(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	state = 1;
	for (uint32_t i = 0; i < CALLS; i++) {
		random_call(&call, i);
		assert_int_equal(ledger_append(l, &call), 0);
		if (i % 10 == 0) /* one that is there already adds nothing */
			assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

static void fill_in_bulk(const char *where)
{
	struct bulk *b;
	struct call call;

	assert_int_equal(bulk_open(&b, where, err, sizeof(err)), 0);
	state = 1;
	for (uint32_t i = 0; i < CALLS; i++) {
		random_call(&call, i);
		assert_int_equal(bulk_add(b, &call, err, sizeof(err)), 0);
		if (i % 10 == 0)
			assert_int_equal(bulk_add(b, &call, err, sizeof(err)), 0);
	}
	assert_int_equal(bulk_run(b, "h", 1, 2, err, sizeof(err)), 0);
	assert_int_equal(bulk_close(b, err, sizeof(err)), 0);
}

static void test_writer(void **unused)
{
	(void)unused;
	fill();
	check(dir);
}

/* What was filled in bulk is what the writer would have made. */
static void test_bulk(void **unused)
{
	static const char *const tables[] = {"calls",  "facets",     "rollup",
					     "outbox", "usage_keys", "journal"};
	char where[80], sql[200];
	struct bulk *b;
	sqlite3 *db;

	(void)unused;
	fill();
	snprintf(where, sizeof(where), "%s/bulk", dir);
	fill_in_bulk(where);
	assert_int_equal(bulk_open(&b, where, err, sizeof(err)), -EEXIST);
	db = open_db(where);
	snprintf(sql, sizeof(sql), "ATTACH '%s/" LEDGER_FILE "' AS written", dir);
	exec(db, sql);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		char ours[64], theirs[64];

		snprintf(ours, sizeof(ours), "main.%s", tables[i]);
		snprintf(theirs, sizeof(theirs), "written.%s", tables[i]);
		assert_int_equal(difference(db, ours, theirs), 0);
	}
	sqlite3_close(db);
	check(where);
	/* The agent goes on in it. */
	snprintf(dir + strlen(dir), sizeof(dir) - strlen(dir), "/bulk");
	record(1000000, 10);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), CALLS + 10);
	assert_int_equal(sql_int("SELECT count(*) FROM losses"), 0);
	*strrchr(dir, '/') = '\0';
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_writer), TEST(test_bulk)};

	return cmocka_run_group_tests_name("rollup", tests, NULL, NULL);
}
