/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage that is told again is counted once: over restarts, kills and 30 days; what differs is kept
 * and flagged; what only looks alike, since its ids do, is lost nowhere.
 */
#include "older.h"

#include "exporter/salvage.h"
#include "exporter/usage_keys.h"

#include <errno.h>
#include <sys/wait.h>

#define DAY_US 86400000000LL

static uint32_t next_event;

/* A poll of an object and a part of it (0 = the whole), that tells so many tokens. */
static struct call told(uint8_t object, uint8_t part, int64_t tokens)
{
	struct call call;

	sample_call(&call, ++next_event);
	call.key = (struct usage_key){.set = true};
	call.key.object[0] = object;
	call.key.part[0] = part;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = tokens;
	call.cost.cost_pusd = 1000 * tokens;
	return call;
}

static struct call made(uint8_t object, int64_t tokens)
{
	struct call call = told(object, 0, tokens);

	call.key.made = true;
	return call;
}

static void append(struct ledger *l, const struct call *call)
{
	assert_int_equal(ledger_append(l, call), 0);
}

/* In a run of its own. */
static void record_one(struct call call)
{
	struct ledger *l = open_ledger();

	append(l, &call);
	ledger_close(l);
}

static int64_t rows(void)
{
	return sql_int("SELECT count(*) FROM calls");
}

static int64_t flagged(void)
{
	return sql_int("SELECT count(*) FROM calls WHERE usage_conflict");
}

static uint64_t repeats, conflicts, evicted;

static void counted_from_here(void)
{
	repeats = counter_get(COUNTER_USAGE_REPEATS);
	conflicts = counter_get(COUNTER_USAGE_CONFLICTS);
	evicted = counter_get(COUNTER_USAGE_KEYS_EVICTED);
}

static void expect(int64_t n_rows, uint64_t n_repeats, uint64_t n_conflicts)
{
	struct seen seen;

	assert_int_equal(rows(), n_rows);
	assert_int_equal(counter_get(COUNTER_USAGE_REPEATS) - repeats, n_repeats);
	assert_int_equal(counter_get(COUNTER_USAGE_CONFLICTS) - conflicts, n_conflicts);
	assert_int_equal(sql_int("SELECT sum(calls) FROM rollup"), n_rows);
	events_all(&seen);
	assert_int_equal(seen.count, n_rows);
	assert_true(seen.cost ==
		    sql_int("SELECT sum((cost_pusd_hi<<32)+cost_pusd_lo) FROM rollup"));
}

/* ---- once ------------------------------------------------------------------------------------ */

static void a_repeat_is_counted_once(void **state)
{
	struct ledger *l = open_ledger();
	struct call call;

	(void)state;
	counted_from_here();
	for (int i = 0; i < 5; i++) {
		call = told(1, 0, 100);
		append(l, &call);
	}
	ledger_close(l);
	expect(1, 4, 0);
	for (int i = 0; i < 3; i++)
		record_one(told(1, 0, 100));
	expect(1, 7, 0);
	assert_int_equal(flagged(), 0);
}

/* Both stay, and say so; each of them is known from then on. */
static void a_conflict_keeps_both(void **state)
{
	(void)state;
	counted_from_here();
	record_one(told(1, 0, 100));
	record_one(told(1, 0, 101));
	expect(2, 0, 1);
	assert_int_equal(flagged(), 2);
	assert_int_equal(sql_int("SELECT revision FROM calls WHERE seq=1"), 2);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox WHERE seq=1"), 2);
	assert_int_equal(sql_int("SELECT count(*) FROM outbox WHERE seq=2"), 1);
	record_one(told(1, 0, 100));
	record_one(told(1, 0, 101));
	expect(2, 2, 1);
	record_one(told(1, 0, 102));
	expect(3, 2, 2);
	assert_int_equal(flagged(), 3);
}

/* Without usage nothing is told, so nothing can be told again. */
static void unknown_usage_has_no_key(void **state)
{
	(void)state;
	counted_from_here();
	for (int i = 0; i < 2; i++) {
		struct call call = made(1, 5);

		call.usage.known = false;
		record_one(call);
	}
	expect(2, 0, 0);
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys"), 0);
	record_one(told(1, 0, 100));
	record_one(told(1, 0, 100));
	expect(3, 1, 0);
}

/* A request is work of its own, though a provider may give its id twice. */
static void made_work_always_counts(void **state)
{
	(void)state;
	counted_from_here();
	record_one(made(1, 100));
	record_one(made(1, 100));
	record_one(made(1, 200));
	expect(3, 0, 0);
	record_one(told(1, 0, 100));
	record_one(told(1, 0, 200));
	expect(3, 2, 0);
	record_one(told(1, 0, 300));
	expect(4, 2, 1);
}

/* Where an id is in doubt, more work that goes by it is as well. */
static void made_work_in_doubt(void **state)
{
	(void)state;
	counted_from_here();
	for (uint8_t object = 1; object <= 8; object++) { /* whichever of them is found first */
		record_one(made(object, 100));
		record_one(told(object, 0, 200 + object));
		record_one(made(object, 300));
	}
	expect(24, 0, 16);
	assert_int_equal(flagged(), 24);
}

/* The poll may be recorded before the request whose answer it repeats; then that one is known. */
static void a_poll_before_its_request(void **state)
{
	(void)state;
	counted_from_here();
	record_one(told(1, 0, 100));
	record_one(made(1, 100));
	expect(1, 1, 0);
	record_one(made(1, 100));
	expect(2, 1, 0);
}

/* Two credentials, the same ids: their keys differ (test_reading), and nothing of either is lost.
 */
static void equal_ids_of_two_credentials(void **state)
{
	struct ledger *l = open_ledger();

	(void)state;
	counted_from_here();
	for (uint8_t credential = 1; credential <= 2; credential++) {
		for (uint8_t line = 1; line <= 50; line++) {
			struct call call = told(credential, line, line);

			append(l, &call);
			call = told(credential, line, line);
			append(l, &call);
		}
	}
	ledger_close(l);
	expect(100, 100, 0);
	assert_int_equal(sql_int("SELECT sum(input_uncached) FROM calls"), 2 * 50 * 51 / 2);
}

/* ---- the whole and its parts ------------------------------------------------------------------
 */

/* sample_call has more kinds of tokens; three parts have each of them three times. */
static struct call sum_of(uint8_t object, int n, int64_t tokens)
{
	struct call call = told(object, 0, tokens);

	for (int i = TOKEN_INPUT_UNCACHED + 1; i < TOKEN_KINDS; i++)
		call.usage.tokens[i] *= n;
	for (int i = 0; i < TOOL_UNITS; i++)
		call.usage.tool_units[i] *= n;
	call.usage.provider_cost_pusd *= n;
	return call;
}

static void parts_of_a_counted_whole(void **state)
{
	(void)state;
	counted_from_here();
	record_one(sum_of(1, 3, 6));
	for (uint8_t part = 1; part <= 3; part++)
		record_one(told(1, part, part));
	expect(1, 3, 0);
	record_one(told(2, 1, 1));
	expect(2, 3, 0);
}

static void the_whole_of_counted_parts(void **state)
{
	(void)state;
	counted_from_here();
	for (uint8_t part = 1; part <= 3; part++)
		record_one(told(1, part, part));
	record_one(sum_of(1, 3, 6));
	expect(3, 1, 0);
	record_one(sum_of(1, 3, 7));
	expect(4, 1, 1);
	assert_int_equal(flagged(), 4);
}

/* What equals the sum of its parts is the whole: no further one is of it. */
static void parts_behind_their_sum(void **state)
{
	(void)state;
	counted_from_here();
	for (uint8_t part = 1; part <= 3; part++)
		record_one(told(1, part, part));
	record_one(sum_of(1, 3, 6));
	record_one(sum_of(1, 3, 6));
	record_one(told(1, 4, 9));
	expect(3, 3, 0);
}

/* Parts that were lost on the way are counted when they are read again. */
static void the_rest_of_the_parts(void **state)
{
	(void)state;
	counted_from_here();
	record_one(told(1, 1, 1));
	for (uint8_t part = 1; part <= 3; part++)
		record_one(told(1, part, part));
	expect(3, 1, 0);
}

/* ---- time and number --------------------------------------------------------------------------
 */

/* What becomes of the call at that time. */
static enum usage_fate fate_at(struct usage_keys *k, const struct call *call, int64_t now_us)
{
	struct usage_told t = usage_told_of(call);
	enum usage_fate fate;
	uint64_t gone;

	assert_int_equal(usage_keys_sweep(k, now_us, &gone), SQLITE_OK);
	assert_int_equal(usage_keys_find(k, &t, &fate), SQLITE_OK);
	assert_int_equal(usage_keys_note(k, &t, fate, 1, now_us), SQLITE_OK);
	evicted += gone;
	return fate;
}

static void thirty_days(void **state)
{
	const int64_t start = SAMPLE_STARTED_US, last = start + USAGE_KEYS_DAYS * DAY_US;
	struct call call = told(1, 0, 100), other = told(2, 0, 5);
	struct usage_keys *k = NULL;
	sqlite3 *db;

	(void)state;
	record(1, 1);
	db = open_sqlite();
	assert_int_equal(usage_keys_new(&k, db), SQLITE_OK);
	evicted = 0;
	assert_int_equal(fate_at(k, &call, start), USAGE_NEW);
	assert_int_equal(fate_at(k, &other, start + DAY_US), USAGE_NEW);
	assert_int_equal(fate_at(k, &call, start - DAY_US), USAGE_REPEAT); /* a clock set back */
	assert_int_equal(fate_at(k, &call, last), USAGE_REPEAT);
	assert_int_equal(fate_at(k, &call, last + 1), USAGE_NEW);
	assert_int_equal(fate_at(k, &other, last + DAY_US), USAGE_REPEAT);
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys"), 2);
	assert_int_equal(evicted, 0);
	usage_keys_free(k);
	sqlite3_close(db);
}

/* The same through the ledger: 30 days pass by setting back what was noted. */
static void thirty_days_of_a_ledger(void **state)
{
	sqlite3 *db;

	(void)state;
	counted_from_here();
	record_one(told(1, 0, 100));
	db = open_sqlite();
	execute(db, "UPDATE usage_keys SET first_seen_us=first_seen_us-29*86400000000");
	record_one(told(1, 0, 100));
	expect(1, 1, 0);
	execute(db, "UPDATE usage_keys SET first_seen_us=first_seen_us-86400000001");
	record_one(told(1, 0, 100));
	expect(2, 1, 0);
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys"), 1);
	sqlite3_close(db);
}

/* Beyond the bound the oldest go, counted. */
static void the_bound(void **state)
{
	char sql[256];
	sqlite3 *db;

	(void)state;
	counted_from_here();
	for (uint8_t i = 1; i <= 3; i++)
		record_one(told(i, 0, 100));
	db = open_sqlite();
	snprintf(sql, sizeof(sql), "UPDATE usage_keys SET id=%d WHERE id=3", USAGE_KEYS_MAX + 2);
	execute(db, sql);
	sqlite3_close(db);
	record_one(told(3, 0, 100));
	assert_int_equal(counter_get(COUNTER_USAGE_KEYS_EVICTED) - evicted, 2);
	expect(3, 1, 0);
	record_one(told(1, 0, 100)); /* forgotten before its time */
	expect(4, 1, 0);
}

/* ---- what it costs ----------------------------------------------------------------------------
 */

#define MANY 2000

static int count_step(void *user)
{
	++*(uint64_t *)user;
	return 0;
}

/* How many of SQLite's steps it takes to tell it once more. */
static uint64_t steps_of(sqlite3 *db, struct usage_keys *k, const struct call *call)
{
	uint64_t steps = 0;

	sqlite3_progress_handler(db, 1, count_step, &steps);
	fate_at(k, call, SAMPLE_STARTED_US);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	return steps;
}

static struct usage_keys *open_keys(sqlite3 **db)
{
	struct usage_keys *k = NULL;

	record(1, 1);
	*db = open_sqlite();
	execute(*db, "BEGIN");
	assert_int_equal(usage_keys_new(&k, *db), SQLITE_OK);
	return k;
}

static void close_keys(struct usage_keys *k, sqlite3 *db)
{
	usage_keys_free(k);
	sqlite3_close(db);
}

/* A client may tell of one work in as many ways as it likes. */
static void the_last_conflict_costs_no_more(void **state)
{
	uint64_t early = 0, late = 0;
	struct usage_keys *k;
	sqlite3 *db;

	(void)state;
	k = open_keys(&db);
	for (int64_t i = 0; i < MANY; i++) {
		struct call call = told(1, 0, i);

		late = steps_of(db, k, &call);
		early = i == 10 ? late : early;
	}
	assert_true(late < 2 * early);
	close_keys(k, db);
}

/* Or look at a batch again and again, all lines of which were counted. */
static void a_sum_is_made_once(void **state)
{
	uint64_t first, again;
	struct usage_keys *k;
	struct call call;
	sqlite3 *db;

	(void)state;
	k = open_keys(&db);
	for (uint32_t i = 1; i <= MANY; i++) {
		call = told(1, 1, i);
		memcpy(call.key.part + 1, &i, sizeof(i));
		assert_int_equal(fate_at(k, &call, SAMPLE_STARTED_US), USAGE_NEW);
	}
	sample_call(&call, 1); /* the row of each */
	call.key = told(1, 0, 1).key;
	for (int i = 0; i < TOKEN_KINDS; i++)
		call.usage.tokens[i] *= MANY;
	for (int i = 0; i < TOOL_UNITS; i++)
		call.usage.tool_units[i] *= MANY;
	call.usage.provider_cost_pusd *= MANY;
	first = steps_of(db, k, &call);
	again = steps_of(db, k, &call);
	assert_int_equal(fate_at(k, &call, SAMPLE_STARTED_US), USAGE_REPEAT);
	assert_true(first > MANY && again < MANY / 4);
	close_keys(k, db);
}

static void a_sweep_of_what_is_not_old(void **state)
{
	struct call call = told(1, 0, 1);
	struct usage_keys *k;
	sqlite3 *db;

	(void)state;
	k = open_keys(&db);
	execute(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 10000) "
		    "INSERT INTO usage_keys SELECT i,randomblob(16),zeroblob(16),zeroblob(16),0,1,"
		    "1795329195000001 FROM n");
	assert_true(steps_of(db, k, &call) < MANY / 4);
	assert_int_equal(usage_keys_sweep(k, INT64_MAX, &evicted), SQLITE_OK);
	execute(db, "COMMIT");
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys"), 10001 - USAGE_KEYS_SWEEP);
	close_keys(k, db);
}

/* ---- crashes --------------------------------------------------------------------------------- */

/* Appends calls until it is killed; every object is told twice, by different events. */
static void append_for_ever(int ready)
{
	struct ledger *l = open_ledger();

	for (uint32_t i = 0;; i++) {
		struct call call = told((uint8_t)(i % 250), (uint8_t)(1 + i / 250 % 250), 7);

		sample_call(&call, 1000000 * (uint32_t)getpid() + i);
		call.key = (struct usage_key){.set = true};
		memcpy(call.key.object, &(uint32_t){1 + i / 3}, sizeof(uint32_t));
		call.usage.tokens[TOKEN_INPUT_UNCACHED] = 1 + i / 3;
		while (ledger_append(l, &call) == -EAGAIN)
			usleep(1000);
		if (i == 0 && write(ready, "", 1) != 1)
			_exit(1);
	}
}

/* Killed at any moment, a call and its key are there together: every object has one row. */
static void killed_at_any_moment(void **state)
{
	(void)state;
	for (int round = 0; round < 12; round++) {
		int ready[2], status;
		char byte;
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0)
			append_for_ever(ready[1]);
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		usleep((useconds_t)(20000 + 37000 * round));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	record(1, 1);
	assert_true(rows() > 1);
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys"), rows() - 1);
	assert_int_equal(sql_int("SELECT count(DISTINCT object) FROM usage_keys"), rows() - 1);
	assert_int_equal(sql_int("SELECT count(*) FROM calls WHERE usage_conflict"), 0);
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys k LEFT JOIN calls c ON "
				 "c.seq=k.seq WHERE c.seq IS NULL"),
			 0);
}

/* While the disk refuses, nothing is told; what is written later is judged then, once. */
static void a_refused_group(void **state)
{
	struct ledger *l = open_ledger();
	struct call call = told(1, 0, 100);

	(void)state;
	counted_from_here();
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(4096);
	append(l, &call);
	call = told(1, 0, 100);
	append(l, &call);
	wait_health(l, false);
	assert_int_equal(counter_get(COUNTER_USAGE_REPEATS) - repeats, 0);
	set_file_limit(RLIM_INFINITY);
	wait_health(l, true);
	ledger_close(l);
	expect(1, 1, 0);
}

/* ---- who is told ----------------------------------------------------------------------------- */

struct heard {
	size_t count;
	struct call call;
	char model[64];
};

static void hear(void *user, const struct call *call, const char *model_id)
{
	struct heard *heard = user;

	heard->count++;
	heard->call = *call;
	snprintf(heard->model, sizeof(heard->model), "%s", model_id ? model_id : "none");
}

/* Metrics hear of what counts, with all that the row has. */
static void what_counts_is_told(void **state)
{
	struct ledger *l = open_ledger();
	struct call first = told(1, 0, 100), again = told(1, 0, 100), other = told(1, 0, 101);
	struct call own = made(2, 7), bare;
	struct heard heard = {0};

	(void)state;
	sample_call(&bare, ++next_event);
	assert_true(ledger_decides(&first));
	assert_false(ledger_decides(&own));
	assert_false(ledger_decides(&bare));
	ledger_on_counted(l, hear, &heard);
	assert_int_equal(ledger_append_as(l, &first, "gpt-4o"), 0);
	assert_int_equal(ledger_append_as(l, &again, "gpt-4o"), 0);
	assert_int_equal(ledger_append_as(l, &own, "gpt-4o"), 0);
	assert_int_equal(ledger_append_as(l, &bare, "gpt-4o"), 0);
	ledger_close(l);
	assert_int_equal(heard.count, 1);
	assert_string_equal(heard.model, "gpt-4o");
	assert_memory_equal(&heard.call.usage, &first.usage, sizeof(first.usage));
	assert_memory_equal(&heard.call.cost, &first.cost, sizeof(first.cost));
	assert_memory_equal(&heard.call.workload, &first.workload, sizeof(first.workload));
	assert_string_equal(heard.call.provider, first.provider);
	assert_int_equal(heard.call.basis, first.basis);
	assert_int_equal(heard.call.tags.count, first.tags.count);
	l = open_ledger();
	ledger_on_counted(l, hear, &heard);
	append(l, &other);
	ledger_close(l);
	assert_int_equal(heard.count, 2);
	assert_string_equal(heard.model, "none");
}

/* ---- older ledgers --------------------------------------------------------------------------- */

static void the_version_before(void **state)
{
	struct seen before, after;
	char created[8192], migrated[8192];
	sqlite3_stmt *stmt;
	sqlite3 *db;

	(void)state;
	counted_from_here();
	record(1, 20);
	db = open_sqlite();
	sqlite3_prepare_v2(db, "SELECT group_concat(name) FROM pragma_table_info('events')", -1,
			   &stmt, NULL);
	sqlite3_step(stmt);
	snprintf(created, sizeof(created), "%s", sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	downgrade(2);
	assert_int_equal(sql_int("PRAGMA user_version"), 2);
	events_all(&before); /* read as it is */
	assert_int_equal(before.count, 20);
	record_one(told(1, 0, 100));
	record_one(told(1, 0, 100));
	record_one(told(1, 0, 101));
	assert_int_equal(sql_int("PRAGMA user_version"), SCHEMA_VERSION);
	expect(22, 1, 1);
	assert_int_equal(flagged(), 2);
	assert_int_equal(sql_int("SELECT count(*) FROM events WHERE usage_conflict"), 2);
	events_all(&after);
	assert_int_equal(after.last.call.usage_conflict, true);
	db = open_sqlite();
	sqlite3_prepare_v2(db, "SELECT group_concat(name) FROM pragma_table_info('events')", -1,
			   &stmt, NULL);
	sqlite3_step(stmt);
	snprintf(migrated, sizeof(migrated), "%s", sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	assert_string_equal(created, migrated);
}

/* A salvage keeps the keys of what it keeps; what is lost counts when it is read back again. */
static void a_salvaged_ledger(void **state)
{
	struct salvage done;
	sqlite3 *db;

	(void)state;
	counted_from_here();
	record_one(told(1, 0, 100));
	record_one(told(2, 0, 200));
	db = open_sqlite();
	execute(db, "DELETE FROM calls WHERE seq=2;DELETE FROM outbox WHERE seq=2;"
		    "PRAGMA wal_checkpoint(TRUNCATE)");
	sqlite3_close(db);
	if (salvage_ledger(dir, &done, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(sql_int("SELECT count(*) FROM usage_keys"), 1);
	record_one(told(1, 0, 100));
	record_one(told(2, 0, 200));
	expect(2, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_repeat_is_counted_once),
		TEST(a_conflict_keeps_both),
		TEST(unknown_usage_has_no_key),
		TEST(made_work_always_counts),
		TEST(made_work_in_doubt),
		TEST(a_poll_before_its_request),
		TEST(equal_ids_of_two_credentials),
		TEST(parts_of_a_counted_whole),
		TEST(the_whole_of_counted_parts),
		TEST(parts_behind_their_sum),
		TEST(the_rest_of_the_parts),
		TEST(thirty_days),
		TEST(thirty_days_of_a_ledger),
		TEST(the_bound),
		TEST(the_last_conflict_costs_no_more),
		TEST(a_sum_is_made_once),
		TEST(a_sweep_of_what_is_not_old),
		TEST(killed_at_any_moment),
		TEST(a_refused_group),
		TEST(what_counts_is_told),
		TEST(the_version_before),
		TEST(a_salvaged_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
