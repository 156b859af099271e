/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/ledger.h"
#include "exporter/query.h"
#include "sample.h"

#include <errno.h>
#include <unistd.h>

#define CALLS	 2000
#define MODELS	 3
#define HOUR_US	 3600000000LL
#define FIRST_US (1795330800LL * 1000000) /* a whole hour */

static char dir[64];
static struct query *query;

/* What call i is, as plain arithmetic: the oracle. */
static int64_t started_of(uint32_t i)
{
	return FIRST_US + (int64_t)i * 37 * 1000003 % (30 * HOUR_US);
}

static int64_t cost_of(uint32_t i)
{
	if (i % 7 == 0)
		return -1; /* unpriced */
	if (i % 5 == 0)
		return INT64_MAX - i; /* two of these leave int64 */
	return (int64_t)i * 123456789;
}

static uint32_t model_of(uint32_t i)
{
	return i % MODELS;
}

static int setup(void **state)
{
	char err[LEDGER_ERROR_MAX];
	struct ledger *l;
	struct call call;

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tolltap-test-XXXXXX");
	if (!mkdtemp(dir) || ledger_open(&l, dir, NULL, err, sizeof(err)))
		return -1;
	for (uint32_t i = 0; i < CALLS; i++) {
		sample_call(&call, i);
		call.started_at_us = started_of(i);
		call.cost.list_pusd = call.cost.cost_pusd = cost_of(i);
		call.basis = cost_of(i) < 0 ? BASIS_UNPRICED : BASIS_REPORTED_USAGE;
		call.usage.tokens[TOKEN_OUTPUT_TEXT] = i == 11 ? INT64_MAX : i;
		call.workload.pid = 1 + i % 4;
		snprintf(call.model, sizeof(call.model), model_of(i) ? "model-%u" : "%.0u",
			 model_of(i));
		if (ledger_append(l, &call))
			return -1;
	}
	ledger_close(l);
	return query_open(&query, dir, err, sizeof(err));
}

static int teardown(void **state)
{
	(void)state;
	query_close(query);
	remove_tree(dir);
	return 0;
}

static struct query_key key(const char *name)
{
	struct query_key k;

	assert_true(query_key_parse(slice_of(name), &k));
	return k;
}

struct expected {
	int64_t calls;
	int64_t unpriced;
	pusd_sum cost;
};

static struct expected expect(int64_t since, int64_t until, int model)
{
	struct expected e = {0};

	for (uint32_t i = 0; i < CALLS; i++) {
		if (started_of(i) < since || (until && started_of(i) >= until) ||
		    (model >= 0 && (int)model_of(i) != model))
			continue;
		e.calls++;
		e.unpriced += cost_of(i) < 0;
		e.cost += cost_of(i) < 0 ? 0 : cost_of(i);
	}
	return e;
}

static void assert_spend(const struct spend *s, struct expected e)
{
	assert_int_equal(s->calls, e.calls);
	assert_int_equal(s->calls_by_basis[BASIS_UNPRICED], e.unpriced);
	assert_true(s->cost == e.cost);
	assert_true(s->cost_by_basis[BASIS_REPORTED_USAGE] == e.cost);
	assert_int_equal(spend_is_at_least(s), e.unpriced > 0);
}

static int add_cost(void *user, const struct event *event)
{
	struct expected *e = user;

	e->calls++;
	e->unpriced += event->call.cost.cost_pusd < 0;
	if (event->call.cost.cost_pusd >= 0)
		e->cost += event->call.cost.cost_pusd;
	return 0;
}

/* Bounds on, beside and inside hours; grouped from the roll-up and from the calls. */
static void test_spend_is_exact(void **state)
{
	static const int64_t bounds[][2] = {
		{0, 0},
		{FIRST_US, FIRST_US + HOUR_US},
		{FIRST_US + 1, FIRST_US + 5 * HOUR_US - 1},
		{FIRST_US + HOUR_US / 2, FIRST_US + HOUR_US / 2 + 60000000},
		{FIRST_US + 2 * HOUR_US - 1, 0},
		{0, FIRST_US + 7 * HOUR_US + 12345},
		{FIRST_US + 90 * HOUR_US, 0},
	};
	const struct query_key keys[] = {key("model"), key("comm")};
	const struct query_key pid = key("pid");

	(void)state;
	for (size_t b = 0; b < ARRAY_LEN(bounds); b++) {
		struct query_filter filter = {.since_us = bounds[b][0], .until_us = bounds[b][1]};
		struct expected all = expect(bounds[b][0], bounds[b][1], -1), seen = {0};
		struct spend *rows, total = {0};
		size_t count;

		assert_int_equal(query_spend(query, &filter, keys, 2, &rows, &count), 0);
		for (size_t i = 0; i < count; i++) {
			int model = rows[i].group[0] ? rows[i].group[0][6] - '0' : 0;

			assert_string_equal(rows[i].group[1], "python3");
			assert_spend(&rows[i], expect(bounds[b][0], bounds[b][1], model));
			assert_true(i == 0 || rows[i - 1].cost >= rows[i].cost);
			spend_add(&total, &rows[i]);
		}
		query_spend_free(rows, count);
		assert_spend(&total, all);

		memset(&total, 0, sizeof(total));
		assert_int_equal(query_spend(query, &filter, &pid, 1, &rows, &count), 0);
		for (size_t i = 0; i < count; i++)
			spend_add(&total, &rows[i]);
		query_spend_free(rows, count);
		assert_spend(&total, all);

		assert_int_equal(query_events(query, &filter, 0, 0, add_cost, &seen), 0);
		assert_int_equal(seen.calls, all.calls);
		assert_true(seen.cost == all.cost);
	}
}

/* A number made up by a hostile server stops the sum at the top; it does not break it. */
static void test_token_sums_saturate(void **state)
{
	struct query_filter filter = {0};
	struct spend *rows;
	size_t count;

	(void)state;
	assert_int_equal(query_spend(query, &filter, NULL, 0, &rows, &count), 0);
	assert_int_equal(count, 1);
	assert_true(rows->tokens[TOKEN_OUTPUT_TEXT] == INT64_MAX);
	assert_int_equal(rows->tokens[TOKEN_INPUT_UNCACHED], 100 * CALLS);
	assert_int_equal(rows->tool_units[TOOL_WEB_SEARCH], 2 * CALLS);
	query_spend_free(rows, count);
}

static void test_every_fact_groups(void **state)
{
	char names[1024], *rest = names, *name;
	struct query_filter filter = {0};
	struct expected all = expect(0, 0, -1);

	(void)state;
	query_key_list(names, sizeof(names) - 16);
	strncat(names, " tag:team", sizeof(names) - strlen(names) - 1);
	while ((name = strsep(&rest, " "))) {
		struct query_key k = key(name);
		struct spend *rows, total = {0};
		size_t count;

		assert_int_equal(query_spend(query, &filter, &k, 1, &rows, &count), 0);
		for (size_t i = 0; i < count; i++)
			spend_add(&total, &rows[i]);
		assert_spend(&total, all);
		query_spend_free(rows, count);
	}
}

static void test_where(void **state)
{
	static const struct {
		const char *condition;
		int64_t calls;
	} cases[] = {
		{"model=model-1", 667},	   {"model=(none)", 667}, {"model=model", 0},
		{"comm=python3", CALLS},   {"pid=2", CALLS / 4},  {"tag:feature=search", CALLS},
		{"tag:feature=(none)", 0}, {"status=200", CALLS}, {"basis=unpriced", 286},
		{"day=2026-11-22", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct query_filter filter = {0};
		struct expected seen = {0};
		struct spend *rows = NULL;
		size_t count;
		int64_t calls;

		assert_int_equal(query_filter_where(&filter, cases[i].condition), 0);
		assert_int_equal(query_spend(query, &filter, NULL, 0, &rows, &count), 0);
		calls = count ? rows->calls : 0;
		query_spend_free(rows, count);
		assert_int_equal(query_events(query, &filter, 0, 0, add_cost, &seen), 0);
		assert_int_equal(seen.calls, calls);
		if (strncmp(cases[i].condition, "day", 3))
			assert_int_equal(calls, cases[i].calls);
		else
			assert_true(calls > 0 && calls < CALLS);
	}
}

static void test_bad_conditions(void **state)
{
	struct query_filter filter = {0};

	(void)state;
	assert_int_equal(query_filter_where(&filter, "model"), -EINVAL);
	assert_int_equal(query_filter_where(&filter, "mode=x"), -EINVAL);
	assert_int_equal(query_filter_where(&filter, "tag:=x"), -EINVAL);
	assert_int_equal(query_filter_where(&filter, "=x"), -EINVAL);
	for (int i = 0; i < QUERY_WHERE_MAX; i++)
		assert_int_equal(query_filter_where(&filter, "model=x"), 0);
	assert_int_equal(query_filter_where(&filter, "model=x"), -E2BIG);
}

static int stop_at_third(void *user, const struct event *event)
{
	int *left = user;

	(void)event;
	return --*left ? 0 : -ECANCELED;
}

static void test_events_order_and_limit(void **state)
{
	struct query_filter filter = {0};
	struct expected seen = {0};
	int left = 3;

	(void)state;
	assert_int_equal(query_events(query, &filter, CALLS - 5, 0, add_cost, &seen), 0);
	assert_int_equal(seen.calls, 5);
	assert_int_equal(query_events(query, &filter, 0, 3, add_cost, &seen), 0);
	assert_int_equal(seen.calls, 8);
	assert_int_equal(query_events(query, &filter, 0, 0, stop_at_third, &left), -ECANCELED);
	assert_int_equal(left, 0);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {
		{"2026-11-22", 1795305600000000},
		{"2026-11-22T06:33:15Z", 1795329195000000},
		{"2026-11-22T06:33Z", 1795329180000000},
		{"1795329195", 1795329195000000},
		{"90s", 1000000000 - 90000000},
		{"15m", 1000000000 - 900000000},
		{"0s", 1000000000},
	};
	static const char *const bad[] = {"",	       "yesterday",	"2026-13-01", "5y", "h",
					  "99999999w", "2026-11-22T06", "12h3",	      "-5m"};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(query_time_parse(good[i].text, 1000000000, &us));
		assert_int_equal(us, good[i].us);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(query_time_parse(bad[i], 1000000000, &us));
}

static void count_calls(struct query *q, int64_t expected)
{
	struct expected seen = {0};

	assert_int_equal(query_events(q, &(struct query_filter){0}, 0, 0, add_cost, &seen), 0);
	assert_int_equal(seen.calls, expected);
}

/* What is recorded after the first read is not seen; another reader sees it. */
static void test_held(void **state)
{
	struct query *held, *other;
	char err[LEDGER_ERROR_MAX];
	struct ledger *l;
	struct call call;

	(void)state;
	assert_int_equal(query_open(&held, dir, err, sizeof(err)), 0);
	assert_int_equal(query_hold(held), 0);
	count_calls(held, CALLS);
	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), 0);
	sample_call(&call, CALLS);
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
	count_calls(held, CALLS);
	assert_int_equal(query_open(&other, dir, err, sizeof(err)), 0);
	count_calls(other, CALLS + 1);
	query_close(other);
	query_close(held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spend_is_exact),
		cmocka_unit_test(test_token_sums_saturate),
		cmocka_unit_test(test_every_fact_groups),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_bad_conditions),
		cmocka_unit_test(test_events_order_and_limit),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_held), /* the last: it records */
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
