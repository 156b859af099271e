/* SPDX-License-Identifier: Apache-2.0 */
/* Spend by periods of a zone, what caching saved, and cost that bought nothing. */
#include "ledger_dir.h"
#include "older.h"

#include "exporter/calendar.h"

#include <errno.h>

#define HOUR_US 3600000000LL
#define CALLS	3000
#define KINDS	4

static void use(const char *zone)
{
	if (calendar_use(zone, err, sizeof(err)))
		fail_msg("%s", err);
}

static int leave(void **state)
{
	use(CALENDAR_UTC);
	return teardown(state);
}

static struct query_key key(const char *name)
{
	struct query_key k;

	assert_true(query_key_parse(slice_of(name), &k));
	return k;
}

/* ---- periods ----------------------------------------------------------------------------- */

/* Two days around a change of clocks in every zone below, moments spread over all of them. */
static int64_t began(int64_t from_us, uint32_t i)
{
	return from_us + (int64_t)i * 7919 * 1000003 % (48 * HOUR_US);
}

static void record_calls(int64_t from_us)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < CALLS; i++) {
		sample_call(&call, i);
		call.started_at_us = began(from_us, i);
		call.cost.list_pusd = call.cost.cost_pusd = 1000003LL * i;
		snprintf(call.model, sizeof(call.model), "model-%u", i % KINDS);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

/* The calls of a period in a filter's time, one by one: the oracle. */
static void check_period(const struct spend *row, const char *label, int64_t from_us,
			 const struct query_filter *filter)
{
	struct calendar_span span;
	int64_t calls = 0;
	pusd_sum cost = 0;

	assert_true(calendar_label(label, &span));
	for (uint32_t i = 0; i < CALLS; i++) {
		int64_t at = began(from_us, i);
		char model[16];

		snprintf(model, sizeof(model), "model-%u", i % KINDS);
		if (at < span.since_us || at >= span.until_us || at < filter->since_us ||
		    (filter->until_us && at >= filter->until_us) ||
		    (row->group[1] && strcmp(row->group[1], model) != 0))
			continue;
		calls++;
		cost += 1000003LL * i;
	}
	assert_int_equal(row->calls, calls);
	assert_true(row->cost == cost);
}

static void check_spend(struct query *q, int64_t from_us, const struct query_filter *filter,
			const struct query_key *keys, size_t key_count)
{
	struct spend *rows, total = {0};
	struct calendar_span last = {0}, span;
	int64_t expected = 0;
	size_t count;

	if (query_spend(q, filter, keys, key_count, &rows, &count))
		fail_msg("%s", query_error(q));
	query_spend_by_time(rows, count);
	for (size_t i = 0; i < count; i++) {
		check_period(&rows[i], rows[i].group[0], from_us, filter);
		assert_true(calendar_label(rows[i].group[0], &span));
		assert_true(span.since_us >= last.since_us);
		last = span;
		spend_add(&total, &rows[i]);
	}
	for (uint32_t i = 0; i < CALLS; i++)
		expected += began(from_us, i) >= filter->since_us &&
			    (!filter->until_us || began(from_us, i) < filter->until_us);
	assert_int_equal(total.calls, expected);
	query_spend_free(rows, count);
}

static void test_periods_of_zones(void **state)
{
	static const struct {
		const char *zone;
		int64_t from_us; /* a day before the change */
	} zones[] = {
		{"UTC", 1792800000LL * 1000000},
		{"Europe/Berlin", 1792803600LL * 1000000},
		{"Asia/Kathmandu", 1792803600LL * 1000000},
		{"Australia/Lord_Howe", 1775228400LL * 1000000},
		{"America/Sao_Paulo", 1541214000LL * 1000000},
	};
	size_t cut = 0;

	(void)state;
	for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
		int64_t from = zones[z].from_us;
		const struct query_filter filters[] = {
			{0},
			{.since_us = from + HOUR_US / 3, .until_us = from + 29 * HOUR_US + 77},
			{.since_us = from + 30 * HOUR_US + 1, .until_us = from + 31 * HOUR_US - 1},
		};
		struct query *q;

		if (z)
			assert_int_equal(setup(NULL), 0);
		use(zones[z].zone);
		record_calls(from);
		q = open_query();
		for (enum calendar_unit unit = 0; unit < CALENDAR_UNITS; unit++) {
			const struct query_key keys[] = {key(calendar_unit_names[unit]),
							 key("model")};
			const struct query_key by_pid[] = {keys[0], key("model"), key("pid")};

			for (size_t f = 0; f < ARRAY_LEN(filters); f++) {
				check_spend(q, from, &filters[f], keys, 1);
				check_spend(q, from, &filters[f], keys, 2);
				check_spend(q, from, &filters[f], by_pid, 3);
			}
		}
		/* hours of calls that lie in two days at once: the roll-up cannot part these */
		for (uint32_t i = 0; i < CALLS; i++) {
			struct calendar_span span;
			int64_t hour = began(from, i) / HOUR_US * HOUR_US;

			calendar_span_at(CALENDAR_DAY, hour, &span);
			cut += span.until_us < hour + HOUR_US && began(from, i) >= span.until_us;
		}
		query_close(q);
		if (z + 1 < ARRAY_LEN(zones))
			remove_tree(dir);
	}
	assert_true(cut > 0);
}

/* Conditions of a period, from the roll-up and by the calls, agree with the events. */
static void test_where_period(void **state)
{
	static const char *const conditions[] = {"day=2026-10-25", "week=2026-W43", "month=2026-10",
						 "hour=2026-10-25T02:00:00+01:00"};
	int64_t from = 1792803600LL * 1000000;

	(void)state;
	use("Europe/Berlin");
	record_calls(from);
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		struct query *q = open_query();
		struct query_filter filter = {0};
		struct calendar_span span;
		struct seen seen = {0};
		struct spend *rows;
		size_t count;

		assert_int_equal(query_filter_where(&filter, conditions[i]), 0);
		assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
		assert_int_equal(count, 1);
		assert_true(calendar_label(strchr(conditions[i], '=') + 1, &span));
		check_period(rows, span.label, from, &filter);
		assert_int_equal(query_events(q, &filter, 0, 0, see, &seen), 0);
		assert_int_equal(seen.count, rows->calls);
		assert_true(seen.count > 0 && seen.cost == rows->cost);
		query_spend_free(rows, count);
		query_close(q);
	}
}

#define DETAIL_US ((1792803600LL + 24 * 3600) * 1000000)

static int spend_by(struct query *q, const struct query_filter *filter, const char *fact)
{
	const struct query_key by = key(fact);
	struct spend *rows = NULL;
	size_t count = 0;
	int r = query_spend(q, filter, &by, 1, &rows, &count);

	query_spend_free(rows, count);
	return r;
}

/* What needs calls that are gone is refused: a sum without them looks like any other. */
static void test_calls_that_are_gone(void **state)
{
	struct query_filter all = {0}, rest = {.since_us = DETAIL_US};
	struct query_filter cut = {.since_us = DETAIL_US - 5 * HOUR_US - 1};
	struct query_filter tag = {0}, before = {.until_us = DETAIL_US - 60 * HOUR_US};
	struct query *q;
	char sql[128];
	sqlite3 *db;

	(void)state;
	record_calls(1792803600LL * 1000000);
	assert_int_equal(query_filter_where(&tag, "pid=7"), 0);
	q = open_query();
	assert_int_equal(spend_by(q, &all, "pid"), 0); /* nothing is gone yet */
	query_close(q);
	db = open_sqlite();
	snprintf(sql, sizeof(sql), "INSERT INTO meta VALUES('detail_since_us',%lld)", DETAIL_US);
	execute(db, sql);
	sqlite3_close(db);
	q = open_query();
	assert_int_equal(spend_by(q, &all, "model"), 0);
	assert_int_equal(spend_by(q, &all, "day"), 0);
	assert_int_equal(spend_by(q, &all, "pid"), -ENOTSUP);
	assert_non_null(strstr(query_error(q), "--since=2026-10-25"));
	assert_int_equal(spend_by(q, &tag, "model"), -ENOTSUP);
	assert_int_equal(spend_by(q, &cut, "model"), -ENOTSUP);
	assert_int_equal(spend_by(q, &before, "pid"), 0); /* there never were any */
	assert_int_equal(spend_by(q, &rest, "pid"), 0);
	assert_int_equal(query_spend_retried(q, &all, NULL, 0, NULL, 0), -ENOTSUP);
	assert_int_equal(query_spend_retried(q, &rest, NULL, 0, NULL, 0), 0);
	query_close(q);
	use("Asia/Kathmandu");
	q = open_query();
	assert_int_equal(spend_by(q, &all, "day"), -ENOTSUP);
	assert_non_null(strstr(query_error(q), "whose calls are gone"));
	assert_int_equal(spend_by(q, &rest, "day"), 0);
	query_close(q);
	use("Europe/Berlin"); /* whole hours: nothing is cut */
	q = open_query();
	assert_int_equal(spend_by(q, &all, "day"), 0);
	query_close(q);
}

/* ---- waste ------------------------------------------------------------------------------- */

struct attempt {
	const char *operation;
	int attempt;
	enum outcome outcome;
	int64_t cost;
	int64_t at_us; /* after the first */
	bool collapsed;
};

static void record_attempts(const struct attempt *attempts, size_t count)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < count; i++) {
		const struct attempt *a = &attempts[i];

		sample_call(&call, i);
		call.started_at_us = SAMPLE_STARTED_US + a->at_us;
		call.attempt = a->attempt;
		call.outcome = a->outcome;
		call.cost.cost_pusd = call.cost.list_pusd = a->cost;
		call.cost.cache_savings_pusd = i % 2 ? -7 : 1000000000000;
		call.billable = !a->collapsed;
		call.collapsed_by = a->collapsed ? COLLAPSED_RESPONSE_ID : COLLAPSED_NOT;
		snprintf(call.operation_id, sizeof(call.operation_id), "%s", a->operation);
		snprintf(call.model, sizeof(call.model), "%s", i < 6 ? "one" : "two");
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

static const struct attempt attempts[] = {
	{"a", 1, OUTCOME_ABORTED, 10, 0, false},       /* repeated: retried, not aborted */
	{"a", 2, OUTCOME_ERROR, 200, 5, false},	       /* repeated */
	{"a", 3, OUTCOME_OK, 3000, 9, false},	       /* the one that worked */
	{"b", 1, OUTCOME_ABORTED, 40000, 1, false},    /* not repeated */
	{"c", 1, OUTCOME_ERROR, 500000, 2, false},     /* not repeated */
	{"d", 2, OUTCOME_ERROR, 6000000, 3, false},    /* the last of which is known */
	{"e", 1, OUTCOME_UNKNOWN, 70000000, 4, false}, /* repeated, after the filter's time below */
	{"e", 2, OUTCOME_OK, 800000000, 3 * HOUR_US, false},
	{"f", 1, OUTCOME_ABORTED, 900, 4, true}, /* another row is its bill */
	{"f", 2, OUTCOME_OK, 900, 6, true},
};

static struct spend *waste_of(struct query *q, const struct query_filter *filter, size_t *count)
{
	const struct query_key model = key("model");
	struct spend *rows;

	assert_int_equal(query_spend(q, filter, &model, 1, &rows, count), 0);
	if (query_spend_retried(q, filter, &model, 1, rows, *count))
		fail_msg("%s", query_error(q));
	return rows;
}

static void assert_waste(const struct spend *row, int64_t aborted, int64_t errored, int64_t retried)
{
	assert_int_equal(row->waste_cost[WASTE_ABORTED], aborted);
	assert_int_equal(row->waste_cost[WASTE_ERRORED], errored);
	assert_int_equal(row->waste_cost[WASTE_RETRIED], retried);
}

static void test_waste(void **state)
{
	struct query_filter filter = {0};
	struct query *q;
	struct spend *rows;
	size_t count;

	(void)state;
	record_attempts(attempts, ARRAY_LEN(attempts));
	q = open_query();
	rows = waste_of(q, &filter, &count);
	assert_int_equal(count, 2);
	assert_string_equal(rows[0].group[0], "two"); /* dearest first, also after retried */
	assert_waste(&rows[0], 0, 0, 70000000);
	assert_int_equal(rows[0].waste_calls[WASTE_RETRIED], 1);
	assert_waste(&rows[1], 40000, 6500000, 210);
	assert_int_equal(rows[1].waste_calls[WASTE_ABORTED], 1);
	assert_int_equal(rows[1].waste_calls[WASTE_ERRORED], 2);
	assert_int_equal(rows[1].waste_calls[WASTE_RETRIED], 2);
	query_spend_free(rows, count);

	filter.until_us = SAMPLE_STARTED_US + 60000000;
	rows = waste_of(q, &filter, &count);
	assert_int_equal(rows[0].cost, 70000000);
	assert_waste(&rows[0], 0, 0, 70000000);
	query_spend_free(rows, count);

	filter = (struct query_filter){.since_us = SAMPLE_STARTED_US + 1};
	rows = waste_of(q, &filter, &count);
	assert_waste(&rows[1], 40000, 6500000, 200);
	query_spend_free(rows, count);

	filter = (struct query_filter){0};
	assert_int_equal(query_filter_where(&filter, "outcome=aborted"), 0);
	rows = waste_of(q, &filter, &count);
	assert_int_equal(count, 1);
	assert_waste(&rows[0], 40000, 0, 10);
	query_spend_free(rows, count);
	query_close(q);
}

/* Savings may be negative, and both halves of the sum carry that. */
static void test_cache_savings(void **state)
{
	struct query_filter filter = {0};
	struct query *q;
	struct spend *rows;
	size_t count;

	(void)state;
	record_attempts(attempts, ARRAY_LEN(attempts));
	q = open_query();
	assert_true(query_knows_savings(q));
	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	assert_true(rows[0].cache_savings == 4 * 1000000000000 - 4 * 7); /* without "f" */
	query_spend_free(rows, count);
	assert_int_equal(query_filter_where(&filter, "operation_id=b"), 0);
	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	assert_true(rows[0].cache_savings == -7);
	query_spend_free(rows, count);
	query_close(q);
	downgrade(3);
	q = open_query();
	assert_false(query_knows_savings(q));
	assert_int_equal(query_spend(q, &(struct query_filter){0}, NULL, 0, &rows, &count), 0);
	query_spend_free(rows, count);
	query_close(q);
}

#define ZONE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ZONE_TEST(test_periods_of_zones),
		ZONE_TEST(test_where_period),
		ZONE_TEST(test_calls_that_are_gone),
		TEST(test_waste),
		TEST(test_cache_savings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
