/* SPDX-License-Identifier: Apache-2.0 */
/* Calls as a tree of traces, spans and calls: sums, what is left out, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/cli/trace_tree.h"

#include <errno.h>
#include <stdio.h>

#define SECOND_US 1000000LL

static struct trace_tree *tree;
static char shown[4096];

static int tear_down(void **state)
{
	(void)state;
	trace_tree_free(tree);
	tree = NULL;
	return 0;
}

/* Began at n seconds, took 3, costs 10^n. */
static struct call call_of(int n, const char *trace, const char *span, const char *model)
{
	struct call c = {.started_at_us = (100 + n) * SECOND_US,
			 .duration_us = 3 * SECOND_US,
			 .basis = BASIS_REPORTED_USAGE,
			 .status = 200,
			 .attempt = 1,
			 .billable = true,
			 .usage = {.known = true, .tokens = {[TOKEN_OUTPUT_TEXT] = 7}},
			 .cost = {.cost_pusd = 1, .list_pusd = 1}};

	for (int i = 0; i < n; i++)
		c.cost.cost_pusd *= 10;
	c.event_id[15] = (uint8_t)n;
	snprintf(c.trace_id, sizeof(c.trace_id), "%s", trace);
	snprintf(c.span_id, sizeof(c.span_id), "%s", span);
	snprintf(c.model, sizeof(c.model), "%s", model);
	return c;
}

static void begin(enum step_kind kind, const char *id)
{
	assert_int_equal(trace_tree_new(&tree, kind, id), 0);
}

static void add(int n, const char *trace, const char *span, const char *model)
{
	struct call c = call_of(n, trace, span, model);

	assert_int_equal(trace_tree_add(tree, &c), 0);
}

/* "depth kind id<parent cost/own calls;" of each step. */
static void show(void *user, const struct step_facts *s, const struct step_facts *parent, int depth)
{
	size_t len = strlen(shown);
	const char *id = s->kind == STEP_CALL || s->kind == STEP_LEG ? s->id + 30 : s->id;

	(void)user;
	snprintf(shown + len, sizeof(shown) - len, "%d %s %s<%s %lld/%lld %lld;", depth,
		 step_kind_names[s->kind], id, parent ? parent->id : "", (long long)s->total.cost,
		 (long long)s->own, (long long)s->total.calls);
}

static void expect(const char *steps)
{
	trace_tree_settle(tree);
	shown[0] = '\0';
	trace_tree_each(tree, show, NULL);
	assert_string_equal(shown, steps);
}

static void a_trace(void **state)
{
	(void)state;
	begin(STEP_TRACE, "t");
	add(1, "t", "s1", "m1");
	add(2, "t", "s2", "m2");
	add(3, "t", "s1", "m1"); /* of the first span again */
	expect("0 trace t< 1110/100 3;"
	       "1 span s1<t 1010/1010 2;"
	       "2 call 01<s1 10/0 1;"
	       "2 call 03<s1 1000/0 1;"
	       "1 call 02<t 100/0 1;" /* alone in its span */
	       "0 model m1< 1010/1010 2;"
	       "0 model m2< 100/100 1;");
}

static void a_session(void **state)
{
	(void)state;
	begin(STEP_SESSION, "s");
	add(1, "", "", "m");
	add(2, "t1", "x", "m");
	add(3, "t2", "x", "m"); /* spans of two traces are two */
	add(4, "t2", "x", "n");
	expect("0 session s< 11110/10 4;"
	       "1 call 01<s 10/0 1;"
	       "1 trace t1<s 100/100 1;"
	       "2 call 02<t1 100/0 1;"
	       "1 trace t2<s 11000/0 2;"
	       "2 span x<t2 11000/11000 2;"
	       "3 call 03<x 1000/0 1;"
	       "3 call 04<x 10000/0 1;"
	       "0 model n< 10000/10000 1;"
	       "0 model m< 1110/1110 3;");
}

/* A call that goes on from a trace's may have none itself. */
static void a_run(void **state)
{
	(void)state;
	begin(STEP_RUN, "run-1");
	add(1, "", "", "m");
	add(2, "t", "", "m");
	expect("0 run run-1< 110/10 2;1 call 01<run-1 10/0 1;1 trace t<run-1 100/100 1;"
	       "2 call 02<t 100/0 1;0 model m< 110/110 2;");
}

static void times(void **state)
{
	const struct spend *total;

	(void)state;
	begin(STEP_TRACE, "t");
	add(1, "t", "a", "m");
	add(2, "t", "b", "m"); /* beside the first */
	add(9, "t", "c", "m");
	total = &trace_tree_root(tree)->total;
	assert_int_equal(total->first_us, 101 * SECOND_US);
	assert_int_equal(total->ended_us, 112 * SECOND_US);
	assert_int_equal(total->busy_us, 9 * SECOND_US);
	assert_int_equal(total->tokens[TOKEN_OUTPUT_TEXT], 21);
}

/* Another row is its bill: it is seen and in no sum. */
static void a_leg(void **state)
{
	struct call leg = call_of(3, "t", "s", "m");

	(void)state;
	leg.collapsed_by = COLLAPSED_REQUEST_BODY;
	begin(STEP_TRACE, "t");
	add(2, "t", "s", "m");
	assert_int_equal(trace_tree_add(tree, &leg), 0);
	expect("0 trace t< 100/0 1;"
	       "1 span s<t 100/100 1;"
	       "2 call 02<s 100/0 1;"
	       "2 leg 03<s 0/0 0;"
	       "0 model m< 100/100 1;");
}

/* An unknown cost is no 0: the sums above it say so. */
static void unknown_cost(void **state)
{
	struct call c = call_of(2, "t", "s", "m");

	(void)state;
	c.basis = BASIS_UNPRICED;
	c.cost.cost_pusd = c.cost.list_pusd = -1;
	begin(STEP_TRACE, "t");
	add(1, "t", "other", "n");
	assert_false(spend_is_at_least(&trace_tree_root(tree)->total));
	assert_int_equal(trace_tree_add(tree, &c), 0);
	assert_true(spend_is_at_least(&trace_tree_root(tree)->total));
	assert_int_equal(trace_tree_root(tree)->total.calls_by_basis[BASIS_UNPRICED], 1);
	assert_true(trace_tree_root(tree)->total.cost == 10);
}

/* A subscription owes nothing; its list price stands beside, in no sum. */
static void a_subscription(void **state)
{
	struct call c = call_of(2, "t", "s", "m");

	(void)state;
	c.billing_mode = BILLING_SUBSCRIPTION;
	c.cost.cost_pusd = 0;
	c.cost.list_pusd = 77;
	begin(STEP_TRACE, "t");
	assert_int_equal(trace_tree_add(tree, &c), 0);
	assert_true(trace_tree_root(tree)->total.cost == 0);
	assert_true(trace_tree_root(tree)->total.subscription_list == 77);
}

static void check_lack(void *user, const struct step_facts *s, const struct step_facts *parent,
		       int depth)
{
	(void)user;
	(void)parent;
	(void)depth;
	assert_int_equal(spend_is_at_least(&s->total), s->kind != STEP_CALL);
}

static void lost_calls(void **state)
{
	(void)state;
	begin(STEP_TRACE, "t");
	add(1, "t", "s", "m");
	add(2, "t", "s", "m");
	trace_tree_settle(tree);
	trace_tree_lacks(tree);
	trace_tree_each(tree, check_lack, NULL);
}

static void too_many(void **state)
{
	struct call c = call_of(1, "t", "s", "m");

	(void)state;
	begin(STEP_TRACE, "t");
	for (int i = 0; i < TRACE_ROWS_MAX; i++)
		assert_int_equal(trace_tree_add(tree, &c), 0);
	assert_int_equal(trace_tree_add(tree, &c), -E2BIG);
	assert_int_equal(trace_tree_root(tree)->total.calls, TRACE_ROWS_MAX);
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_trace),	      TEST(a_session),	TEST(a_run),
		TEST(times),	      TEST(a_leg),	TEST(unknown_cost),
		TEST(a_subscription), TEST(lost_calls), TEST(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
