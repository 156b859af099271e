/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The charges of a ledger sum to its spend, whatever the ledger holds: calls, sums of calls that
 * are gone, corrections of closed months, legs that another row bills, costs that are not known.
 */
#include "unit/exporter/older.h"

#include "agent/cli/focus.h"
#include "exporter/merge.h"
#include "pricing/catalog.h"

#include <errno.h>

#define HOUR_US	 SCHEMA_US_PER_HOUR
#define FIRST_US (1795330800LL * 1000000) /* a whole hour, 2026-11-22T07:00:00Z */
#define CALLS	 60

static struct catalog *catalog;

static int load(void **state)
{
	(void)state;
	return catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err));
}

static int unload(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

/* Six hours of calls of every kind of cost. */
static void make_call(struct call *call, uint32_t i)
{
	sample_call(call, i);
	call->started_at_us = FIRST_US + i * 6 * HOUR_US / CALLS;
	call->batch = false;
	*call->inference_geo = *call->speed = '\0';
	call->usage.mismatch = false;
	call->usage_missing = MISSING_NOT;
	call->usage.tokens[TOKEN_OUTPUT_TEXT] = i;
	call->usage.provider_cost_pusd = -1;
	tags_set(&call->tags, SLICE("project"), i % 2 ? SLICE("one") : SLICE("two"), TAG_RULE);
	if (i % 10 == 1)
		snprintf(call->model, sizeof(call->model), "nobody-knows-it");
	if (i % 10 == 2)
		call->billing_mode = BILLING_SUBSCRIPTION;
	if (i % 10 == 3)
		call->basis = BASIS_PARTIAL;
	if (i % 10 == 4) {
		call->basis = BASIS_ESTIMATED;
		call->usage.known = false;
	}
	if (i % 10 == 5) {
		call->basis = BASIS_NOT_BILLED;
		call->usage.known = false;
	}
	price_call(catalog, call);
	if (i % 10 == 4)
		call->cost.list_pusd = call->cost.cost_pusd = -1;
	if (i % 10 == 6) {
		call->basis = BASIS_PROVIDER_REPORTED;
		call->cost.cost_pusd = 123456789 + i;
	}
	if (i % 10 == 7) {
		call->billable = false;
		call->collapsed_by = COLLAPSED_RESPONSE_ID;
		call->cost.cost_pusd = 0;
	}
}

static void record_calls(uint32_t first, uint32_t n)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = first; i < first + n; i++) {
		make_call(&call, i);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

struct charges {
	pusd_sum effective, list, normal, corrected;
	int64_t count, last_hour, corrections;
	int64_t output_tokens, corrected_tokens;
	int64_t last_month_us;
};

static int see_charge(void *user, const struct focus_charge *c)
{
	struct charges *seen = user;

	assert_true(c->hour >= seen->last_hour);
	seen->last_hour = c->hour;
	seen->count++;
	seen->effective += c->effective;
	seen->list += c->list;
	*(c->corrected_us ? &seen->corrected : &seen->normal) += c->effective;
	seen->corrections += c->corrected_us != 0;
	if (c->corrected_us)
		seen->last_month_us = c->corrected_us;
	if (c->meter == TOKEN_OUTPUT_TEXT && c->has_units)
		*(c->corrected_us ? &seen->corrected_tokens : &seen->output_tokens) +=
			(int64_t)c->units;
	if (!strcmp(c->fact[FOCUS_COST_STATE], "unknown"))
		assert_true(c->effective == 0);
	if (!strcmp(c->fact[FOCUS_BILLING_MODE], "subscription"))
		assert_true(c->effective == 0 && c->contracted == c->list);
	return 0;
}

static struct charges charges_of(struct query *q, const struct query_filter *filter,
				 struct focus_doubts *doubts)
{
	struct charges seen = {0};
	struct focus *f = NULL;
	bool failed = true;

	assert_int_equal(focus_new(&f, catalog, see_charge, &seen), 0);
	assert_int_equal(focus_run(f, q, filter, doubts, &failed), 0);
	assert_false(failed);
	focus_free(f);
	return seen;
}

/* Charges, with the same sum as spend. */
static struct charges assert_sums(struct query *q, const struct query_filter *filter)
{
	struct focus_doubts doubts;
	struct charges seen = charges_of(q, filter, &doubts);
	struct spend *rows, total = {0};
	size_t count;

	assert_int_equal(query_spend(q, filter, NULL, 0, &rows, &count), 0);
	for (size_t i = 0; i < count; i++)
		spend_add(&total, &rows[i]);
	query_spend_free(rows, count);
	assert_true(seen.effective == total.cost);
	assert_int_equal(seen.output_tokens + seen.corrected_tokens,
			 total.tokens[TOKEN_OUTPUT_TEXT]);
	assert_int_equal(doubts.unknown, total.calls_by_basis[BASIS_UNPRICED] +
						 total.calls_by_basis[BASIS_ESTIMATED]);
	assert_int_equal(doubts.doubted, total.calls_by_basis[BASIS_PARTIAL]);
	return seen;
}

static struct query_filter filter_of(int64_t since_us, int64_t until_us, const char *where)
{
	struct query_filter filter = {.since_us = since_us, .until_us = until_us};

	if (where)
		assert_int_equal(query_filter_where(&filter, where), 0);
	return filter;
}

static void charges_sum_to_spend(void **state)
{
	const struct query_filter filters[] = {
		filter_of(0, 0, NULL),
		filter_of(FIRST_US + HOUR_US / 3, FIRST_US + 3 * HOUR_US + 1, NULL),
		filter_of(0, 0, "model=nobody-knows-it"),
		filter_of(FIRST_US + HOUR_US / 2, 0, "tag:project=one"),
	};
	struct query *q;

	(void)state;
	record_calls(0, CALLS);
	q = open_query();
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		assert_true(assert_sums(q, &filters[i]).count > 0);
	query_close(q);
}

/* The calls of the first four hours are gone; one of the second came after they were. */
static void charges_of_sums(void **state)
{
	const struct query_filter filters[] = {
		filter_of(0, 0, NULL),
		filter_of(FIRST_US + HOUR_US, FIRST_US + 5 * HOUR_US + HOUR_US / 2, NULL),
		filter_of(FIRST_US + HOUR_US, FIRST_US + 5 * HOUR_US, "basis=partial"),
		filter_of(FIRST_US + 4 * HOUR_US, 0, "tag:project=one"),
	};
	const struct query_filter gone = filter_of(0, 0, "tag:project=one");
	struct focus_doubts doubts;
	struct charges whole;
	struct focus *f = NULL;
	bool failed;
	char sql[256];
	sqlite3 *db;
	struct query *q;

	(void)state;
	record_calls(0, CALLS);
	q = open_query();
	whole = assert_sums(q, &filters[0]);
	query_close(q);
	db = open_sqlite();
	snprintf(sql, sizeof(sql),
		 "DELETE FROM calls WHERE started_at_us<%lld AND seq<>15;"
		 "INSERT INTO meta VALUES('detail_since_us',%lld)",
		 (long long)(FIRST_US + 4 * HOUR_US), (long long)(FIRST_US + 4 * HOUR_US));
	execute(db, sql);
	sqlite3_close(db);
	q = open_query();
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		assert_sums(q, &filters[i]);
	assert_true(assert_sums(q, &filters[0]).effective == whole.effective);
	/* sums do not know of tags: neither export nor spend leave them out unsaid */
	assert_int_equal(focus_new(&f, catalog, see_charge, &whole), 0);
	assert_int_equal(focus_run(f, q, &gone, &doubts, &failed), -ENOTSUP);
	focus_free(f);
	query_close(q);
}

/* Another host's calls fall into hours of which this one has the sums only. */
static void charges_of_sums_and_calls_together(void **state)
{
	char other[sizeof(dir)], first[sizeof(dir)];
	const char *paths[] = {first, other};
	const struct query_sources sources = {.paths = paths, .count = 2};
	const struct query_filter all = {0};
	struct query *q = NULL;
	sqlite3 *db;

	(void)state;
	record_calls(0, CALLS);
	db = open_sqlite();
	execute(db, "DELETE FROM calls;"
		    "INSERT INTO meta VALUES('detail_since_us',1795392000000000)");
	sqlite3_close(db);
	memcpy(first, dir, sizeof(first));
	snprintf(other, sizeof(other), "%.40s/b", dir);
	memcpy(dir, other, sizeof(dir));
	record_calls(CALLS, CALLS);
	db = open_sqlite();
	execute(db, "UPDATE calls SET started_at_us=started_at_us-21600000000");
	execute(db, "UPDATE rollup SET hour=hour-6");
	sqlite3_close(db);
	memcpy(dir, first, sizeof(dir));
	assert_int_equal(query_open_many(&q, &sources, err, sizeof(err)), 0);
	assert_true(assert_sums(q, &all).effective > 0);
	query_close(q);
}

static void corrections_are_charges_of_their_month(void **state)
{
	const struct query_filter all = {0};
	struct charges before, after;
	struct query *q;
	sqlite3 *db;

	(void)state;
	record_calls(0, CALLS);
	q = open_query();
	before = assert_sums(q, &all);
	assert_int_equal(before.corrections, 0);
	query_close(q);
	/* 2027-01-05: one call cost 1000 less, twice told; one came late; one got its first price.
	 */
	db = open_sqlite();
	execute(db,
		"INSERT INTO periods VALUES(1,'2026-11',0,9,9,'me',NULL,NULL,0,0,0,0,0,'','');"
		"INSERT INTO corrections SELECT "
		"NULL,1799107200000000,1,'reprice',1,seq,facet,0,0,400 "
		"FROM calls WHERE seq=1;"
		"INSERT INTO corrections SELECT "
		"NULL,1799107200000000,1,'reprice',2,seq,facet,0,-3,600 "
		"FROM calls WHERE seq=1;"
		"INSERT INTO corrections SELECT NULL,1799107200000000,1,'late',NULL,seq,facet,1,"
		"list_cost_pusd,cost_pusd FROM calls WHERE seq=10;");
	sqlite3_close(db);
	q = open_query();
	after = assert_sums(q, &all);
	assert_true(after.effective == before.effective && after.list == before.list);
	assert_true(after.corrected > 1000 && after.normal == after.effective - after.corrected);
	assert_int_equal(after.corrected_tokens, 9);		    /* of the call that came late */
	assert_true(after.last_month_us == 1798761600LL * 1000000); /* 2027-01-01 */
	query_close(q);
	db = open_sqlite();
	execute(db, "UPDATE periods SET reopened_at_us=10");
	sqlite3_close(db);
	q = open_query();
	assert_int_equal(assert_sums(q, &all).corrections, 0);
	query_close(q);
}

static int stop(void *user, const struct focus_charge *charge)
{
	(void)charge;
	++*(int *)user;
	return -EPIPE;
}

static void a_reader_may_stop(void **state)
{
	struct focus_doubts doubts;
	struct focus *f = NULL;
	struct query *q;
	bool failed;
	int calls = 0;

	(void)state;
	record_calls(0, CALLS);
	q = open_query();
	assert_int_equal(focus_new(&f, catalog, stop, &calls), 0);
	assert_int_equal(focus_run(f, q, &(struct query_filter){0}, &doubts, &failed), -EPIPE);
	assert_int_equal(calls, 1);
	assert_false(failed);
	focus_free(f);
	query_close(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(charges_sum_to_spend),
		TEST(charges_of_sums),
		TEST(charges_of_sums_and_calls_together),
		TEST(corrections_are_charges_of_their_month),
		TEST(a_reader_may_stop),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
