/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closed months, reprices, verification and backups over one ledger: what each does, and that no
 * order of them makes a sum differ from its parts. Two tables: A has model m at 2 and 10 USD per
 * million, B at 3 and 10, and model n, which A does not know, at 1 and 1.
 */
#include "ledger_dir.h"

#include "exporter/amend.h"
#include "exporter/backup.h"
#include "exporter/periods.h"
#include "exporter/reprice.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/verify.h"
#include "tests/unit/pricing/files.h"

#include <errno.h>
#include <sys/stat.h>

#define US_PER_DAY 86400000000LL
#define SEPTEMBER  1788220800000000LL /* 2026-09-01 */
#define OCTOBER	   1790812800000000LL
#define NOVEMBER   1793491200000000LL
#define NOW	   1795737600000000LL /* 2026-11-27 */

#define MODEL(id, input, output)                                                             \
	"{\"provider\":\"p\",\"id\":\"" id "\",\"periods\":[{\"prices\":{\"input\":\"" input \
	"\",\"cache_read\":\"0.5\",\"output\":\"" output "\"}}]}"

static const char table_a[] = CATALOG_HEAD MODEL("m", "2", "10") CATALOG_TAIL;
static const char table_b[] =
	CATALOG_HEAD MODEL("m", "3", "10") "," MODEL("n", "1", "1") CATALOG_TAIL;

static struct catalog *a, *b;

static struct catalog *load(const char *table)
{
	struct catalog *c = NULL;

	files_write(files_catalog, table);
	if (catalog_load(&c, files_catalog, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	return c;
}

static int load_tables(void **state)
{
	if (files_setup(state))
		return -1;
	a = load(table_a);
	b = load(table_b);
	return 0;
}

static int free_tables(void **state)
{
	catalog_free(a);
	catalog_free(b);
	return files_teardown(state);
}

/* 10 in, 100 from the cache, 10 out: by A 120M + 50M, by B 130M + 50M picodollars. */
static struct call call_at(uint32_t n, int64_t at_us, const char *model)
{
	struct call call;

	sample_call(&call, n);
	snprintf(call.provider, sizeof(call.provider), "p");
	snprintf(call.model, sizeof(call.model), "%s", model);
	call.started_at_us = at_us;
	memset(&call.usage, 0, sizeof(call.usage));
	call.usage.known = true;
	call.usage.provider_cost_pusd = -1;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 10;
	call.usage.tokens[TOKEN_INPUT_CACHE_READ] = 100;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 10;
	call.usage_missing = MISSING_NOT;
	call.batch = call.summed = false;
	call.service_tier[0] = call.speed[0] = call.inference_geo[0] = '\0';
	return call;
}

static void put(struct call call, const struct catalog *c)
{
	struct ledger *l = open_ledger();

	price_call(c, &call);
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
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

	if (verify_ledger(q, found, NULL, &wrong))
		fail_msg("%s", query_error(q));
	query_close(q);
	return wrong;
}

static int close_month(const char *month)
{
	sqlite3 *db;
	int r;

	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	r = period_close(db, month, "tester", NOW, err, sizeof(err));
	amend_close(db);
	return r;
}

static int reopen_month(const char *month)
{
	sqlite3 *db;
	int r;

	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	r = period_reopen(db, month, "tester", NOW, err, sizeof(err));
	amend_close(db);
	return r;
}

static int64_t reprice(const struct catalog *c, int64_t since_us, int64_t until_us, bool closed)
{
	const struct query_filter filter = {.since_us = since_us, .until_us = until_us};
	const struct reprice opts = {
		.catalog = c,
		.filter = &filter,
		.filter_text = "",
		.by = "tester",
		.now_us = NOW,
		.closed = closed,
	};
	int64_t changed, id;

	if (reprice_apply(dir, &opts, &changed, &id, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	return changed;
}

struct months {
	struct period row[32];
	int count;
};

static int see_month(void *user, const struct period *p)
{
	struct months *m = user;

	m->row[m->count++] = *p;
	return 0;
}

static struct months months(void)
{
	struct months m = {0};
	struct query *q = open_query();

	assert_int_equal(query_periods(q, see_month, &m), 0);
	query_close(q);
	return m;
}

static pusd_sum cost_of(int64_t since_us, int64_t until_us)
{
	const struct query_filter filter = {.since_us = since_us, .until_us = until_us};
	struct query *q = open_query();
	struct spend *rows;
	size_t count;
	pusd_sum cost = 0;

	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	for (size_t i = 0; i < count; i++)
		cost += rows[i].cost;
	query_spend_free(rows, count);
	query_close(q);
	return cost;
}

/* ---- months ------------------------------------------------------------------------------ */

static void months_are_parsed(void **state)
{
	static const char *const none[] = {"",	    "2026",	"2026-13",  "2026-00", "2026-1",
					   "26-01", "2026-011", "2026-01-", "x026-01", "2026/01"};
	int64_t since_us, until_us;

	(void)state;
	assert_true(period_month("2026-09", &since_us, &until_us));
	assert_int_equal(since_us, SEPTEMBER);
	assert_int_equal(until_us, OCTOBER);
	assert_true(period_month("2026-12", &since_us, &until_us));
	assert_int_equal(until_us - since_us, 31 * US_PER_DAY);
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_false(period_month(none[i], &since_us, &until_us));
}

static void a_month_is_frozen(void **state)
{
	struct months m;

	(void)state;
	put(call_at(1, OCTOBER - 1, "m"), a);
	put(call_at(2, OCTOBER, "m"), a);
	put(call_at(3, NOVEMBER - 1, "n"), a);
	put(call_at(4, NOVEMBER, "m"), a);
	assert_int_equal(close_month("2026-11"), -EINVAL); /* not over */
	assert_int_equal(close_month("2026-1"), -EINVAL);
	assert_int_equal(reopen_month("2026-10"), -ENOENT);
	assert_int_equal(close_month("2026-10"), 0);
	assert_int_equal(close_month("2026-10"), -EEXIST);
	m = months();
	assert_int_equal(m.count, 3);
	assert_string_equal(m.row[0].month, "2026-09");
	assert_int_equal(m.row[0].id, 0);
	assert_string_equal(m.row[1].month, "2026-10");
	assert_true(m.row[1].closed);
	assert_int_equal(m.row[1].frozen.calls, 2);
	assert_true(m.row[1].frozen.cost == 170000000); /* the other has no price */
	assert_string_equal(m.row[1].closed_by, "tester");
	assert_int_equal(strlen(m.row[1].rows_sha256), 64);
	assert_int_equal(sql_int("SELECT count(*) FROM period_totals"), 2);
	assert_string_equal(m.row[2].month, "2026-11");
	assert_int_equal(verify(), 0);
}

static void a_late_call_is_a_correction(void **state)
{
	struct months m;

	(void)state;
	put(call_at(1, OCTOBER, "m"), a);
	assert_int_equal(close_month("2026-10"), 0);
	put(call_at(2, OCTOBER + 5, "m"), a);
	put(call_at(3, NOVEMBER, "m"), a);
	m = months();
	assert_int_equal(m.row[0].frozen.calls, 1);
	assert_int_equal(m.row[0].late_count, 1);
	assert_true(m.row[0].corrections.cost == 170000000);
	assert_int_equal(m.row[0].now.calls, 2);
	assert_int_equal(verify(), 0);
	/* Closed anew it has both, and nothing to correct. */
	assert_int_equal(reopen_month("2026-10"), 0);
	assert_int_equal(close_month("2026-10"), 0);
	m = months();
	assert_int_equal(m.count, 3);
	assert_false(m.row[0].closed);
	assert_int_equal(m.row[1].frozen.calls, 2);
	assert_int_equal(m.row[1].correction_count, 0);
	assert_int_equal(verify(), 0);
}

/* ---- reprice ----------------------------------------------------------------------------- */

struct seen_changes {
	int64_t count, closed;
};

static int see_change(void *user, const struct reprice_change *change)
{
	struct seen_changes *seen = user;

	assert_true(change->before->cost.cost_pusd != change->after->cost.cost_pusd);
	seen->count++;
	seen->closed += change->in_closed;
	return 0;
}

static void a_preview_changes_nothing(void **state)
{
	const struct query_filter filter = {.since_us = OCTOBER};
	const struct reprice opts = {.catalog = b, .filter = &filter, .now_us = NOW};
	struct seen_changes seen = {0};

	(void)state;
	put(call_at(1, OCTOBER - 1, "m"), a); /* before the filter's time */
	put(call_at(2, OCTOBER, "m"), a);
	put(call_at(3, NOVEMBER, "n"), a);
	assert_int_equal(close_month("2026-10"), 0);
	assert_int_equal(reprice_preview(dir, &opts, see_change, &seen, err, sizeof(err)), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(sql_int("SELECT count(*) FROM journal"), 0);
	assert_int_equal(sql_int("SELECT max(revision) FROM calls"), 1);
}

static void a_reprice_is_journaled(void **state)
{
	(void)state;
	put(call_at(1, NOVEMBER, "m"), a);
	put(call_at(2, NOVEMBER + 1, "n"), a);
	assert_int_equal(sql_int("SELECT count(*) FROM events WHERE basis='unpriced'"), 1);
	assert_int_equal(reprice(b, NOVEMBER, 0, false), 2);
	assert_int_equal(sql_int("SELECT sum(cost_pusd) FROM calls"), 180000000 + 70000000);
	assert_int_equal(sql_int("SELECT count(*) FROM events WHERE basis='reported_usage'"), 2);
	assert_int_equal(sql_int("SELECT sum(revision) FROM calls"), 4);
	assert_int_equal(sql_int("SELECT cost_pusd_before FROM journal WHERE seq=1"), 170000000);
	assert_int_equal(sql_int("SELECT cost_pusd_before IS NULL FROM journal WHERE seq=2"), 1);
	assert_int_equal(sql_int("SELECT cost_pusd_after FROM journal WHERE seq=2"), 70000000);
	assert_int_equal(sql_int("SELECT count(*) FROM reprices WHERE by='tester' AND done AND "
				 "calls=2 AND at_us=1795737600000000"),
			 1);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox"), 4);
	assert_int_equal(sql_int("SELECT sum(cache_savings_pusd_lo) FROM rollup"),
			 250000000 + 50000000); /* 100x(3M-0.5M) and 100x(1M-0.5M) */
	/* The table before is the facet's; where nothing changes, nothing is written. */
	assert_int_equal(
		sql_int("SELECT count(DISTINCT f.prices_sha256) FROM journal j JOIN facets f "
			"ON f.id=j.facet_before OR f.id=j.facet_after"),
		2);
	assert_int_equal(reprice(b, NOVEMBER, 0, false), 0);
	assert_int_equal(sql_int("SELECT sum(revision) FROM calls"), 4);
	assert_int_equal(verify(), 0);
}

static void closed_months_stay(void **state)
{
	struct months m;

	(void)state;
	put(call_at(1, OCTOBER, "m"), a);
	put(call_at(2, NOVEMBER, "m"), a);
	assert_int_equal(close_month("2026-10"), 0);
	assert_int_equal(reprice(b, SEPTEMBER, 0, false), 1);
	assert_true(cost_of(OCTOBER, NOVEMBER) == 170000000);
	assert_true(cost_of(NOVEMBER, 0) == 180000000);
	assert_int_equal(reprice(b, SEPTEMBER, 0, true), 1);
	assert_true(cost_of(OCTOBER, NOVEMBER) == 180000000);
	m = months();
	assert_true(m.row[0].frozen.cost == 170000000);
	assert_true(m.row[0].corrections.cost == 10000000);
	assert_int_equal(m.row[0].corrections.calls, 0);
	assert_int_equal(m.row[0].correction_count, 1);
	assert_int_equal(verify(), 0);
}

static void only_what_is_asked_for(void **state)
{
	struct query_filter filter = {.since_us = SEPTEMBER};
	const struct reprice opts = {.catalog = b,
				     .filter = &filter,
				     .filter_text = "model=n",
				     .by = "tester",
				     .now_us = NOW};
	int64_t changed, id;

	(void)state;
	put(call_at(1, NOVEMBER, "m"), a);
	put(call_at(2, NOVEMBER, "n"), a);
	assert_int_equal(query_filter_where(&filter, "model=n"), 0);
	assert_int_equal(reprice_apply(dir, &opts, &changed, &id, NULL, err, sizeof(err)), 0);
	assert_int_equal(changed, 1);
	assert_true(cost_of(0, 0) == 170000000 + 70000000);
	assert_int_equal(verify(), 0);
}

/* More than one batch of one hour, beside a writer that goes on. */
static void many_calls_of_one_hour(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	for (uint32_t i = 0; i < REPRICE_BATCH * 2 + 5; i++) {
		struct call call = call_at(i, NOVEMBER + i, "m");

		price_call(a, &call);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
	l = open_ledger();
	assert_int_equal(reprice(b, NOVEMBER, 0, false), REPRICE_BATCH * 2 + 5);
	ledger_close(l);
	assert_true(cost_of(0, 0) == (REPRICE_BATCH * 2 + 5) * (pusd_sum)180000000);
	assert_int_equal(verify(), 0);
}

/* ---- verify, rebuild, backup -------------------------------------------------------------- */

static void execute(const char *sql)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(schema_functions(db), 0);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* Each changes one number, and each is found. */
static void what_was_changed_is_found(void **state)
{
	static const char *const changes[] = {
		"UPDATE rollup SET cost_pusd_lo=cost_pusd_lo+1",
		"UPDATE rollup SET calls=calls+1",
		"UPDATE rollup SET output_text=output_text+1",
		"DELETE FROM rollup",
		"UPDATE calls SET cost_pusd=cost_pusd+1 WHERE seq=2",
		"UPDATE calls SET cost_pusd=NULL WHERE seq=2",
		"UPDATE calls SET output_text=11 WHERE seq=1",
		"UPDATE calls SET event_id=zeroblob(16) WHERE seq=1",
		"DELETE FROM calls WHERE seq=2",
		"UPDATE calls SET facet=99 WHERE seq=2",
		"DELETE FROM outbox WHERE id=(SELECT max(id) FROM outbox)",
		"UPDATE periods SET cost_pusd_lo=cost_pusd_lo+1",
		"UPDATE periods SET calls=calls+1",
		"DELETE FROM corrections",
		"UPDATE corrections SET cost_pusd=cost_pusd-1",
		"UPDATE reprices SET cost_pusd_after_lo=cost_pusd_after_lo+1",
		"UPDATE reprices SET calls=calls+1",
		"UPDATE journal SET cost_pusd_after=1",
		"UPDATE journal SET cost_pusd_before=1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		teardown(NULL);
		setup(NULL);
		put(call_at(1, OCTOBER, "m"), a);
		assert_int_equal(close_month("2026-10"), 0);
		put(call_at(2, NOVEMBER, "m"), a);
		assert_int_equal(reprice(b, OCTOBER, 0, true), 2);
		assert_int_equal(verify(), 0);
		execute(changes[i]);
		if (verify() == 0)
			fail_msg("not found: %s", changes[i]);
	}
}

static void rollups_are_rebuilt(void **state)
{
	sqlite3 *db;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		put(call_at(i, OCTOBER + i * US_PER_DAY, "m"), a);
	execute("UPDATE rollup SET calls=7,cost_pusd_hi=3;"
		"DELETE FROM rollup WHERE hour%5=0");
	assert_true(verify() > 0);
	assert_int_equal(amend_open(&db, dir, err, sizeof(err)), 0);
	assert_int_equal(rollup_rebuild(db, NULL), SQLITE_OK);
	amend_close(db);
	assert_int_equal(verify(), 0);
	assert_true(cost_of(0, 0) == 20 * (pusd_sum)170000000);
}

static void a_backup_is_the_ledger(void **state)
{
	char copy[96], path[128];
	struct query *q;
	struct ledger *l;
	int64_t bytes;

	(void)state;
	put(call_at(1, OCTOBER, "m"), a);
	put(call_at(2, NOVEMBER, "m"), a);
	assert_int_equal(close_month("2026-10"), 0);
	l = open_ledger(); /* live */
	q = open_query();
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	assert_int_equal(mkdir(copy, 0700), 0);
	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, copy);
	if (backup_ledger(q, path, &bytes, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	assert_true(bytes > 0);
	assert_int_equal(backup_ledger(q, path, &bytes, NULL, err, sizeof(err)), -EEXIST);
	assert_int_equal(backup_ledger(q, "/no/such/dir/file", &bytes, NULL, err, sizeof(err)),
			 -ENOENT);
	query_close(q);
	ledger_close(l);
	put(call_at(3, NOVEMBER, "m"), a); /* not in it */
	snprintf(path, sizeof(path), "%s", dir);
	snprintf(dir, sizeof(dir), "%.60s", copy);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 2);
	assert_int_equal(verify(), 0);
	put(call_at(4, NOVEMBER, "m"), a); /* and an agent can go on with it */
	assert_int_equal(verify(), 0);
	snprintf(dir, sizeof(dir), "%.60s", path);
	assert_int_equal(sql_int("SELECT count(*) FROM calls"), 3);
}

/* ---- any order --------------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void some_calls(uint32_t *n)
{
	static const char *const models[] = {"m", "n", "m", "unknown"};
	struct ledger *l = open_ledger();

	for (uint32_t i = below(20); i > 0; i--) {
		struct call call = call_at((*n)++, SEPTEMBER + below(90) * US_PER_DAY + below(1000),
					   models[below(4)]);

		call.collapsed_by = below(10) ? COLLAPSED_NOT : COLLAPSED_RESPONSE_ID;
		call.billable = call.collapsed_by == COLLAPSED_NOT;
		call.billing_mode = below(8) ? BILLING_METERED : BILLING_SUBSCRIPTION;
		call.outcome = below(6) ? OUTCOME_OK : OUTCOME_ABORTED;
		price_call(below(2) ? a : b, &call);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

static pusd_sum cost_of_events(void)
{
	struct seen seen;

	events_all(&seen);
	return seen.cost;
}

/* What lies beside the copy under such a name is someone else's. */
static void a_backup_leaves_other_files_alone(void **state)
{
	char path[128], part[140], command[200];
	struct stat st;
	struct query *q;
	int64_t bytes;
	FILE *f;

	(void)state;
	put(call_at(1, OCTOBER, "m"), a);
	snprintf(path, sizeof(path), "%s/copy.db", dir);
	snprintf(part, sizeof(part), "%s.part", path);
	f = fopen(part, "w");
	assert_non_null(f);
	fputs("mine", f);
	fclose(f);
	q = open_query();
	assert_int_equal(backup_ledger(q, path, &bytes, NULL, err, sizeof(err)), 0);
	query_close(q);
	assert_int_equal(stat(part, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(command, sizeof(command), "test $(ls %s/copy.db* | wc -l) = 2", dir);
	assert_int_equal(system(command), 0); /* nothing of its own is left */
}

static void any_order(void **state)
{
	static const char *const names[] = {"2026-09", "2026-10"};
	uint32_t n = 0;

	(void)state;
	for (seed = 1; seed < 6; seed++) {
		uint32_t begun = seed;

		teardown(NULL);
		setup(NULL);
		some_calls(&n);
		for (int step = 0; step < 25; step++) {
			int64_t from = SEPTEMBER + below(90) * US_PER_DAY + below(999);

			switch (below(5)) {
			case 0:
				(void)close_month(names[below(2)]);
				break;
			case 1:
				(void)reopen_month(names[below(2)]);
				break;
			case 2:
			case 3:
				reprice(below(2) ? a : b, from, from + below(40) * US_PER_DAY,
					below(2));
				break;
			default:
				some_calls(&n);
			}
			if (verify())
				fail_msg("seed %u, step %d", begun, step);
			assert_true(cost_of(0, 0) == cost_of_events());
		}
		seed = begun;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(months_are_parsed),
		TEST(a_month_is_frozen),
		TEST(a_late_call_is_a_correction),
		TEST(a_preview_changes_nothing),
		TEST(a_reprice_is_journaled),
		TEST(closed_months_stay),
		TEST(only_what_is_asked_for),
		TEST(many_calls_of_one_hour),
		TEST(what_was_changed_is_found),
		TEST(rollups_are_rebuilt),
		TEST(a_backup_is_the_ledger),
		TEST(a_backup_leaves_other_files_alone),
		TEST(any_order),
	};

	return cmocka_run_group_tests(tests, load_tables, free_tables);
}
