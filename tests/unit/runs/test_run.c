/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls are of one run: each source, what must not join, and how often it is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "agent/runs/link.h"
#include "agent/runs/run.h"

#include <stdio.h>

static const uint8_t key[32] = {7};
static struct runs *runs;

static int set_up(void **state)
{
	(void)state;
	return runs_new(&runs, key);
}

static int tear_down(void **state)
{
	(void)state;
	runs_free(runs);
	return 0;
}

/* Of one process, model and connection: nothing that could tell one run from another. */
static struct call call_of(const char *response)
{
	static uint32_t event;
	struct call c = {.status = 200, .workload = {.pid = 4242}, .model = "gpt-5"};

	event++;
	memcpy(c.event_id, &event, sizeof(event));
	snprintf(c.response_id, sizeof(c.response_id), "%s", response);
	return c;
}

static void asks(struct call *c, enum run_source kind, const char *id)
{
	link_add(&c->asks, key, kind, slice_of(id));
}

static void gives(struct call *c, const char *id)
{
	link_add(&c->gives, key, RUN_BY_TOOL_CALL, slice_of(id));
}

static void join(struct call *c)
{
	runs_join(runs, c);
}

static void expect(const struct call *c, const char *run, enum run_source by)
{
	assert_string_equal(c->run_id, run);
	assert_int_equal(c->joined_by, by);
}

/* ---- sources ----------------------------------------------------------------------------- */

static void a_trace_names_its_run(void **state)
{
	struct call c = call_of("resp_first"), next = call_of("resp_second");

	(void)state;
	snprintf(c.trace_id, sizeof(c.trace_id), "trace");
	snprintf(c.session_id, sizeof(c.session_id), "session");
	join(&c);
	expect(&c, "trace", RUN_BY_TRACE);
	/* What tells nothing goes on from it, in another process. */
	next.workload.pid = 1;
	asks(&next, RUN_BY_RESPONSE, "resp_first");
	join(&next);
	expect(&next, "trace", RUN_BY_RESPONSE);
}

static void a_session_names_its_run(void **state)
{
	struct call c = call_of("resp_first"), other = call_of("resp_other");

	(void)state;
	join(&other);
	snprintf(c.session_id, sizeof(c.session_id), "session");
	asks(&c, RUN_BY_RESPONSE, "resp_other"); /* what is told goes before what is found */
	join(&c);
	expect(&c, "session", RUN_BY_SESSION);
}

static void answers_are_gone_on_from(void **state)
{
	struct call a = call_of("resp_aaaaa"), b = call_of("resp_bbbbb"), c = call_of("resp_ccccc");

	(void)state;
	join(&a);
	assert_memory_equal(a.run_id, "run-", 4);
	assert_int_equal(a.joined_by, RUN_ALONE);
	asks(&b, RUN_BY_RESPONSE, "resp_aaaaa");
	join(&b);
	expect(&b, a.run_id, RUN_BY_RESPONSE);
	asks(&c, RUN_BY_RESPONSE, "resp_bbbbb");
	join(&c);
	expect(&c, a.run_id, RUN_BY_RESPONSE);
}

static void a_conversation_is_one_run(void **state)
{
	struct call a = call_of(""), b = call_of("");

	(void)state;
	asks(&a, RUN_BY_CONVERSATION, "conv_12345");
	asks(&b, RUN_BY_CONVERSATION, "conv_12345");
	join(&a);
	join(&b);
	assert_int_equal(a.joined_by, RUN_ALONE);
	expect(&b, a.run_id, RUN_BY_CONVERSATION);
}

/* A loop of 15 calls in two processes, at two providers, without any header. */
static void a_loop_of_tool_calls(void **state)
{
	char id[32], first[CALL_NAME_MAX] = "";

	(void)state;
	for (int i = 0; i < 15; i++) {
		struct call c = call_of("");

		c.workload.pid = 100 + i % 2;
		snprintf(c.provider, sizeof(c.provider), i % 3 ? "openai" : "anthropic");
		for (int k = 0; k < i; k++) { /* the history is sent again each time */
			snprintf(id, sizeof(id), "toolu_%08d", k);
			asks(&c, RUN_BY_TOOL_CALL, id);
		}
		snprintf(id, sizeof(id), "toolu_%08d", i);
		gives(&c, id);
		join(&c);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", c.run_id);
		expect(&c, first, i ? RUN_BY_TOOL_CALL : RUN_ALONE);
	}
	assert_memory_equal(first, "run-", 4);
}

/* ---- what must not join ------------------------------------------------------------------ */

static void nothing_joins_what_tells_nothing(void **state)
{
	struct call a = call_of(""), b = call_of(""), c = call_of("resp_ccccc"),
		    d = call_of("resp_ddddd");

	(void)state;
	join(&a);
	join(&b);
	expect(&a, "", RUN_ALONE);
	expect(&b, "", RUN_ALONE);
	join(&c);
	join(&d);
	assert_string_not_equal(c.run_id, d.run_id);
}

static void what_two_runs_gave_joins_none(void **state)
{
	struct call a = call_of("resp_aaaaa"), b = call_of("resp_bbbbb"), c = call_of("resp_ccccc"),
		    d = call_of("resp_ddddd");

	(void)state;
	gives(&a, "call_same1");
	gives(&b, "call_same1");
	join(&a);
	join(&b);
	asks(&c, RUN_BY_TOOL_CALL, "call_same1");
	join(&c);
	assert_int_equal(c.joined_by, RUN_ALONE);
	/* One that is known for sure beside it is enough. */
	gives(&a, "call_of_a1");
	join(&a);
	asks(&d, RUN_BY_TOOL_CALL, "call_same1");
	asks(&d, RUN_BY_TOOL_CALL, "call_of_a1");
	join(&d);
	expect(&d, a.run_id, RUN_BY_TOOL_CALL);
}

static void tool_calls_of_two_runs_join_none(void **state)
{
	struct call a = call_of(""), b = call_of(""), c = call_of("");

	(void)state;
	gives(&a, "call_of_a1");
	gives(&b, "call_of_b1");
	join(&a);
	join(&b);
	asks(&c, RUN_BY_TOOL_CALL, "call_of_a1");
	asks(&c, RUN_BY_TOOL_CALL, "call_of_b1");
	join(&c);
	expect(&c, "", RUN_ALONE);
}

static void counted_ids_are_none(void **state)
{
	struct call a = call_of(""), b = call_of("");

	(void)state;
	gives(&a, "call_1");
	join(&a);
	asks(&b, RUN_BY_TOOL_CALL, "call_1");
	join(&b);
	expect(&a, "", RUN_ALONE);
	expect(&b, "", RUN_ALONE);
}

/* An error's id, and one of another kind, are nothing to go on from. */
static void other_ids_do_not_join(void **state)
{
	struct call a = call_of("resp_aaaaa"), b = call_of(""), c = call_of("resp_ccccc"),
		    d = call_of("");

	(void)state;
	a.status = 500;
	join(&a);
	asks(&b, RUN_BY_RESPONSE, "resp_aaaaa");
	join(&b);
	expect(&b, "", RUN_ALONE);
	join(&c);
	asks(&d, RUN_BY_TOOL_CALL, "resp_ccccc");
	join(&d);
	expect(&d, "", RUN_ALONE);
}

/* A gateway's two legs have the same ids: its bill is the one gone on from. */
static void a_leg_is_not_remembered(void **state)
{
	struct call front = call_of("resp_aaaaa"), bill = call_of("resp_aaaaa"), next = call_of("");

	(void)state;
	front.collapsed_by = COLLAPSED_RESPONSE_ID;
	join(&front);
	join(&bill);
	asks(&next, RUN_BY_RESPONSE, "resp_aaaaa");
	join(&next);
	assert_string_equal(front.run_id, "");
	expect(&next, bill.run_id, RUN_BY_RESPONSE);
}

/* ---- how often it is right ----------------------------------------------------------------- */

#define RUNS  20
#define STEPS 12

struct score {
	int right, wrong, missed;
};

/* Every third tool call has an id that all runs use. */
static void tool_id(char id[48], int run, int step)
{
	if (step % 3 == 2)
		snprintf(id, 48, "call_all_%08d", step);
	else
		snprintf(id, 48, "call_%08d_%d", step, run);
}

static void fill_tool_calls(struct call *c, int run, int step)
{
	char id[48];

	for (int before = 0; before < step; before++) {
		tool_id(id, run, before);
		asks(c, RUN_BY_TOOL_CALL, id);
	}
	tool_id(id, run, step);
	gives(c, id);
}

/* A call that tells what its source needs and nothing else. */
static struct call step_of(enum run_source by, int run, int step)
{
	struct call c = call_of("");
	char id[48];

	c.cost.cost_pusd = 1000000007LL * (run + 1) + step;
	switch (by) {
	case RUN_BY_TRACE:
		snprintf(c.trace_id, sizeof(c.trace_id), "%032x", run + 1);
		break;
	case RUN_BY_SESSION:
		snprintf(c.session_id, sizeof(c.session_id), "session-%d", run);
		break;
	case RUN_BY_RESPONSE:
		snprintf(c.response_id, sizeof(c.response_id), "resp_%d_%08d", run, step);
		snprintf(id, sizeof(id), "resp_%d_%08d", run, step - 1);
		if (step)
			asks(&c, by, id);
		break;
	case RUN_BY_CONVERSATION:
		snprintf(id, sizeof(id), "conv_%08d", run);
		asks(&c, by, id);
		break;
	default:
		fill_tool_calls(&c, run, step);
	}
	return c;
}

/* Runs turn about in one process, over one connection, with equal prompts, tools and models. */
static struct score interleave(enum run_source by, int64_t totals[RUNS])
{
	char first[RUNS][CALL_NAME_MAX];
	struct score score = {0};

	for (int i = 0; i < STEPS * RUNS; i++) {
		int run = i % RUNS, step = i / RUNS;
		struct call c = step_of(by, run, step);

		join(&c);
		if (step == 0)
			snprintf(first[run], sizeof(first[run]), "%s", c.run_id);
		if (strcmp(c.run_id, first[run]) == 0)
			totals[run] += c.cost.cost_pusd;
		if (step && strcmp(c.run_id, first[run]) == 0)
			score.right++;
		else if (step && c.joined_by)
			score.wrong++;
		else if (step)
			score.missed++;
	}
	return score;
}

static void interleaved_runs_stay_apart(void **state)
{
	for (enum run_source by = RUN_BY_TRACE; by < RUN_SOURCES; by++) {
		int64_t totals[RUNS] = {0};
		struct score s;

		if (by != RUN_BY_TRACE) {
			tear_down(state);
			assert_int_equal(set_up(state), 0);
		}
		s = interleave(by, totals);
		printf("%s: precision %d/%d, recall %d/%d\n", run_source_names[by], s.right,
		       s.right + s.wrong, s.right, s.right + s.wrong + s.missed);
		assert_int_equal(s.right, RUNS * (STEPS - 1));
		assert_int_equal(s.wrong + s.missed, 0);
		for (int run = 0; run < RUNS; run++)
			assert_int_equal(totals[run], STEPS * 1000000007LL * (run + 1) +
							      STEPS * (STEPS - 1) / 2);
	}
}

/* ---- bounds ------------------------------------------------------------------------------ */

static void many_links(void **state)
{
	struct call a = call_of(""), b = call_of("");
	char id[32];

	(void)state;
	for (int i = 0; i < 100; i++) { /* of a long history the last stay */
		snprintf(id, sizeof(id), "call_%08d", i);
		asks(&b, RUN_BY_TOOL_CALL, id);
		asks(&b, RUN_BY_TOOL_CALL, id); /* each once */
	}
	assert_int_equal(link_count(&b.asks), CALL_LINKS_MAX);
	gives(&a, "call_00000099");
	join(&a);
	join(&b);
	expect(&b, a.run_id, RUN_BY_TOOL_CALL);
}

static void the_oldest_is_forgotten(void **state)
{
	uint64_t evicted = counter_get(COUNTER_RUN_LINKS_EVICTED);
	struct call old, kept = call_of("resp_kept0"), c;
	char id[32];

	(void)state;
	old = call_of("resp_oldest");
	join(&old);
	join(&kept);
	for (int i = 0; i < RUN_LINKS_MAX - 1; i++) {
		snprintf(id, sizeof(id), "resp_%08d", i);
		c = call_of(id);
		join(&c);
	}
	assert_int_equal(counter_get(COUNTER_RUN_LINKS_EVICTED), evicted + 1);
	c = call_of("");
	asks(&c, RUN_BY_RESPONSE, "resp_oldest");
	join(&c);
	expect(&c, "", RUN_ALONE);
	c = call_of("");
	asks(&c, RUN_BY_RESPONSE, "resp_kept0");
	join(&c);
	expect(&c, kept.run_id, RUN_BY_RESPONSE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_trace_names_its_run),
		TEST(a_session_names_its_run),
		TEST(answers_are_gone_on_from),
		TEST(a_conversation_is_one_run),
		TEST(a_loop_of_tool_calls),
		TEST(nothing_joins_what_tells_nothing),
		TEST(what_two_runs_gave_joins_none),
		TEST(tool_calls_of_two_runs_join_none),
		TEST(counted_ids_are_none),
		TEST(other_ids_do_not_join),
		TEST(a_leg_is_not_remembered),
		TEST(interleaved_runs_stay_apart),
		TEST(many_links),
		TEST(the_oldest_is_forgotten),
	};

	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
