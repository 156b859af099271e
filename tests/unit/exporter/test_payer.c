/* SPDX-License-Identifier: Apache-2.0 */
/* A call made on behalf of another's, and the leg that is not the bill: rows, sums, metrics. */
#include "ledger_dir.h"

#include "exporter/aggregate.h"

#define COST 512500000

static void bill(struct call *c)
{
	sample_call(c, 1);
	snprintf(c->workload.comm, sizeof(c->workload.comm), "gateway");
	c->is_on_behalf = true;
	c->on_behalf_of = (struct workload){
		.pid = 77, .uid = 1234, .uid_known = true, .comm = "app", .exe = "/bin/app"};
}

static void front(struct call *c)
{
	sample_call(c, 2);
	snprintf(c->workload.comm, sizeof(c->workload.comm), "app");
	c->billable = false;
	c->collapsed_by = COLLAPSED_REQUEST_BODY;
	c->cost.cost_pusd = 0;
}

static void record_both(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	bill(&call);
	assert_int_equal(ledger_append(l, &call), 0);
	front(&call);
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
}

static int check_event(void *user, const struct event *event)
{
	const struct call *c = &event->call;
	int *seen = user;

	if ((*seen)++ == 0) {
		assert_true(c->is_on_behalf);
		assert_string_equal(c->workload.comm, "gateway");
		assert_int_equal(c->workload.pid, 4242);
		assert_string_equal(c->on_behalf_of.comm, "app");
		assert_string_equal(c->on_behalf_of.exe, "/bin/app");
		assert_string_equal(c->on_behalf_of.unit, "");
		assert_int_equal(c->on_behalf_of.pid, 77);
		assert_int_equal(c->on_behalf_of.uid, 1234);
		assert_true(c->on_behalf_of.uid_known);
	} else {
		assert_int_equal(c->collapsed_by, COLLAPSED_REQUEST_BODY);
		assert_false(c->is_on_behalf);
		assert_false(c->on_behalf_of.uid_known);
	}
	return 0;
}

static void rows_keep_both_workloads(void **state)
{
	const struct query_filter all = {0};
	struct query *q;
	int seen = 0;

	(void)state;
	record_both();
	q = open_query();
	assert_int_equal(query_events(q, &all, 0, 0, check_event, &seen), 0);
	assert_int_equal(seen, 2);
	query_close(q);
}

/* What the gateway does not know of the app stays unknown: the gateway's unit is not the app's. */
static void sums_are_the_payers(void **state)
{
	static const struct {
		const char *fact, *group;
	} facts[] = {{"comm", "app"}, {"pid", "77"}, {"uid", "1234"}, {"unit", NULL}};
	const struct query_filter all = {0};
	struct query *q;

	(void)state;
	record_both();
	q = open_query();
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		struct query_key key;
		struct spend *rows;
		size_t count;

		assert_true(query_key_parse(slice_of(facts[i].fact), &key));
		assert_int_equal(query_spend(q, &all, &key, 1, &rows, &count), 0);
		assert_int_equal(count, 1);
		assert_int_equal(rows->calls, 1);
		assert_true(rows->cost == COST);
		assert_int_equal(rows->tokens[TOKEN_INPUT_UNCACHED], 100);
		if (facts[i].group)
			assert_string_equal(rows->group[0], facts[i].group);
		else
			assert_null(rows->group[0]);
		query_spend_free(rows, count);
	}
	query_close(q);
}

static void metrics_are_the_payers(void **state)
{
	struct aggregate *a = NULL;
	char *body = NULL;
	size_t len;
	struct call call;

	(void)state;
	assert_int_equal(aggregate_new(&a), 0);
	bill(&call);
	memset(call.on_behalf_of.pod, 0, sizeof(call.on_behalf_of.pod));
	snprintf(call.on_behalf_of.unit, sizeof(call.on_behalf_of.unit), "app.service");
	aggregate_add(a, &call, "m");
	front(&call);
	aggregate_add(a, &call, "m");
	assert_int_equal(aggregate_render(a, false, &body, &len), 0);
	assert_non_null(strstr(body, "tolltap_cost_usd_total{provider=\"openai\",model=\"m\",basis="
				     "\"reported_usage\",unit=\"app.service\"} 0.0005125\n"));
	assert_non_null(strstr(body, "kind=\"input_uncached\"} 100\n"));
	assert_null(strstr(body, "pod=\"pod-1\""));
	free(body);
	aggregate_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_keep_both_workloads),
		TEST(sums_are_the_payers),
		TEST(metrics_are_the_payers),
	};

	return cmocka_run_group_tests_name("payer", tests, NULL, NULL);
}
