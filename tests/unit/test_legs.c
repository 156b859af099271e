/* SPDX-License-Identifier: Apache-2.0 */
/* App -> gateway -> provider on one host: what is the bill, what is not, and whose it is. */
#include "agent/legs.h"

#include "agent/base/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define S   NSEC_PER_SEC
#define APP 100
#define GW  200

static struct legs *legs;
static struct call out[8];
static size_t out_count;

static void release(void *user, struct call *call, uint64_t ended_ns)
{
	(void)user;
	assert_true(ended_ns > 0);
	if (out_count < ARRAY_LEN(out))
		out[out_count] = *call;
	out_count++;
}

static int set_up(void **state)
{
	(void)state;
	out_count = 0;
	return legs_new(&legs, release, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	legs_free(legs);
	return 0;
}

/* id NULL: the answer names none. */
static struct call leg(enum host_role role, uint32_t pid, const char *id, int64_t tokens)
{
	static uint8_t event;
	struct call c = {.role = role,
			 .billable = true,
			 .billed_by = "openai",
			 .workload = {.pid = pid},
			 .usage = {.known = tokens > 0,
				   .tokens = {[TOKEN_INPUT_UNCACHED] = tokens},
				   .provider_cost_pusd = -1}};

	c.event_id[0] = ++event;
	snprintf(c.operation_id, sizeof(c.operation_id), "op-%u-%u", pid, event);
	snprintf(c.response_id, sizeof(c.response_id), "%s", id ? id : "");
	if (role == ROLE_DIRECT)
		snprintf(c.billed_by, sizeof(c.billed_by), "anthropic");
	tags_set(&c.tags, SLICE("team"), pid == APP ? SLICE("app") : SLICE("platform"), TAG_ENV);
	tags_set(&c.tags, pid == APP ? SLICE("job") : SLICE("route"), SLICE("x"), TAG_ENV);
	return c;
}

static struct call front(const char *id, int64_t tokens)
{
	return leg(ROLE_GATEWAY, APP, id, tokens);
}

static struct call up(const char *id, int64_t tokens)
{
	return leg(ROLE_DIRECT, GW, id, tokens);
}

static void body(struct call *c, uint8_t byte)
{
	c->body_known = true;
	memset(c->body, byte, sizeof(c->body));
}

static const char *tag_of(const struct call *c, const char *key)
{
	for (uint32_t i = 0; i < c->tags.count; i++) {
		if (strcmp(c->tags.item[i].key, key) == 0)
			return c->tags.item[i].value;
	}
	return "";
}

static void expect_bill(const struct call *c)
{
	assert_true(c->billable);
	assert_int_equal(c->collapsed_by, COLLAPSED_NOT);
}

static void expect_front(const struct call *c, enum collapse how)
{
	assert_false(c->billable);
	assert_int_equal(c->collapsed_by, how);
	assert_string_equal(c->billed_by, "anthropic");
	assert_false(c->is_on_behalf);
}

/* The front begins at 1 s, its upstream runs from 2 to 3 s, the front ends at 3.1 s. */
static void both(struct call *f, struct call *u)
{
	legs_begin(legs, f, 1 * S);
	legs_begin(legs, u, 2 * S);
	legs_done(legs, u, 2 * S, 3 * S);
	assert_int_equal(out_count, 0); /* it waits */
	legs_done(legs, f, 1 * S, 3 * S + S / 10);
	assert_int_equal(out_count, 2);
}

static void by_response_id(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);

	(void)state;
	both(&f, &u);
	expect_front(&out[0], COLLAPSED_RESPONSE_ID);
	expect_bill(&out[1]);
	assert_true(out[1].is_on_behalf);
	assert_int_equal(out[1].on_behalf_of.pid, APP);
	assert_int_equal(out[1].workload.pid, GW);
	assert_int_equal(call_payer(&out[1])->pid, APP);
	assert_string_equal(tag_of(&out[1], "team"), "app");
	assert_string_equal(tag_of(&out[1], "job"), "x");
	assert_string_equal(tag_of(&out[1], "route"), "x");
}

/* A gateway that gives ids of its own, and one that counts otherwise. */
static void by_request_body(void **state)
{
	struct call f = front("gateway-1", 11), u = up("chatcmpl-1", 10);

	(void)state;
	body(&f, 7);
	body(&u, 7);
	both(&f, &u);
	expect_front(&out[0], COLLAPSED_REQUEST_BODY);
	assert_int_equal(out[1].on_behalf_of.pid, APP);
}

static void set_run(struct call *c, const char *trace, const char *span, const char *session)
{
	snprintf(c->trace_id, sizeof(c->trace_id), "%s", trace);
	snprintf(c->span_id, sizeof(c->span_id), "%s", span);
	snprintf(c->session_id, sizeof(c->session_id), "%s", session);
}

/* A gateway that passes on no trace: its bill is still part of the app's run. */
static void the_bill_joins_the_run_of_its_front(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);

	(void)state;
	set_run(&f, "t-app", "span-app", "s-app");
	both(&f, &u);
	assert_string_equal(out[1].trace_id, "t-app");
	assert_string_equal(out[1].span_id, "span-app");
	assert_string_equal(out[1].session_id, "s-app");
}

/* What the gateway says of its own stays. */
static void the_bill_keeps_a_run_of_its_own(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);

	(void)state;
	set_run(&f, "t-app", "span-app", "s-app");
	set_run(&u, "t-gateway", "", "");
	both(&f, &u);
	assert_string_equal(out[1].trace_id, "t-gateway");
	assert_string_equal(out[1].span_id, "");
	assert_string_equal(out[1].session_id, "s-app");
}

static void the_upstream_is_not_seen(void **state)
{
	struct call f = front("chatcmpl-1", 10);

	(void)state;
	legs_begin(legs, &f, 1 * S);
	legs_done(legs, &f, 1 * S, 3 * S);
	assert_int_equal(out_count, 1);
	expect_bill(&out[0]);
}

static void another_call_beside_it(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-2", 10);

	(void)state;
	both(&f, &u);
	expect_bill(&out[0]);
	expect_bill(&out[1]);
	assert_false(out[1].is_on_behalf);
}

/* The gateway's first attempt failed: it is the app's too, and the second is the bill. */
static void a_retry_in_the_gateway(void **state)
{
	struct call f = front("chatcmpl-1", 10), first = up(NULL, 0), second = up("chatcmpl-1", 10);

	(void)state;
	snprintf(first.operation_id, sizeof(first.operation_id), "%s", second.operation_id);
	legs_begin(legs, &f, 1 * S);
	legs_done(legs, &first, 2 * S, 3 * S);
	legs_done(legs, &second, 3 * S, 3 * S + S / 2);
	legs_done(legs, &f, 1 * S, 4 * S);
	assert_int_equal(out_count, 3);
	expect_front(&out[0], COLLAPSED_RESPONSE_ID);
	assert_int_equal(out[1].on_behalf_of.pid, APP);
	assert_int_equal(out[2].on_behalf_of.pid, APP);
}

/* The same answer again, out of a gateway's cache; other usage under that id is other work. */
static void a_cache_hit(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);
	struct call hit = front("chatcmpl-1", 10), other = front("chatcmpl-1", 12);

	(void)state;
	both(&f, &u);
	legs_begin(legs, &hit, 50 * S);
	legs_done(legs, &hit, 50 * S, 51 * S);
	expect_front(&out[2], COLLAPSED_RESPONSE_ID);
	legs_done(legs, &other, 60 * S, 61 * S);
	expect_bill(&out[3]);
}

static void a_cache_hit_without_an_upstream(void **state)
{
	struct call f = front("chatcmpl-1", 10), hit = front("chatcmpl-1", 10);

	(void)state;
	legs_done(legs, &f, 1 * S, 2 * S);
	legs_done(legs, &hit, 3 * S, 4 * S);
	expect_bill(&out[0]);
	assert_false(out[1].billable);
	assert_string_equal(out[1].billed_by, "openai");
}

/* Another host that gives the same id is no cache of the first. */
static void two_hosts_with_one_id(void **state)
{
	struct call f = front("chatcmpl-1", 10), other = front("chatcmpl-1", 10);

	(void)state;
	snprintf(f.host, sizeof(f.host), "one.test");
	snprintf(other.host, sizeof(other.host), "two.test");
	legs_done(legs, &f, 1 * S, 2 * S);
	legs_done(legs, &other, 3 * S, 4 * S);
	expect_bill(&out[0]);
	expect_bill(&out[1]);
}

/* Providers' ids are not unique: calls to providers themselves never collapse. */
static void providers_themselves_never_collapse(void **state)
{
	struct call one = up("chatcmpl-1", 10), two = up("chatcmpl-1", 10);

	(void)state;
	two.workload.pid = APP;
	legs_done(legs, &one, 1 * S, 2 * S);
	legs_done(legs, &two, 1 * S, 2 * S);
	assert_int_equal(out_count, 2);
	expect_bill(&out[0]);
	expect_bill(&out[1]);
}

static void a_process_is_no_gateway_of_its_own(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);

	(void)state;
	u.workload.pid = APP;
	both(&f, &u);
	assert_false(out[1].is_on_behalf);
}

static void short_ids_are_none(void **state)
{
	struct call f = front("1", 10), u = up("1", 10);

	(void)state;
	both(&f, &u);
	expect_bill(&out[0]);
}

static void app_to_gateway_to_gateway(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);
	struct call middle = leg(ROLE_UNKNOWN, 150, "chatcmpl-1", 10);

	(void)state;
	legs_begin(legs, &f, 1 * S);
	legs_begin(legs, &middle, 2 * S);
	legs_done(legs, &u, 3 * S, 4 * S);
	legs_done(legs, &middle, 2 * S, 4 * S + 1);
	legs_done(legs, &f, 1 * S, 4 * S + 2);
	assert_int_equal(out_count, 3);
	expect_front(&out[0], COLLAPSED_RESPONSE_ID);
	expect_front(&out[1], COLLAPSED_RESPONSE_ID);
	assert_int_equal(out[2].on_behalf_of.pid, APP);
}

static void it_does_not_wait_for_ever(void **state)
{
	struct call f = front("chatcmpl-1", 10), u = up("chatcmpl-1", 10);

	(void)state;
	legs_begin(legs, &f, 1 * S);
	legs_done(legs, &u, 2 * S, 3 * S);
	legs_tick(legs, 3 * S + LEGS_HOLD_NS - 1);
	assert_int_equal(out_count, 0);
	legs_tick(legs, 3 * S + LEGS_HOLD_NS);
	assert_int_equal(out_count, 1);
	expect_bill(&out[0]);
	legs_done(legs, &f, 1 * S, 9 * S); /* still no second bill */
	expect_front(&out[1], COLLAPSED_RESPONSE_ID);
}

static void a_front_that_is_no_row_holds_nothing(void **state)
{
	struct call f = front("", 0), u = up("chatcmpl-1", 10);

	(void)state;
	legs_begin(legs, &f, 1 * S);
	legs_done(legs, &u, 2 * S, 3 * S);
	assert_int_equal(out_count, 0);
	legs_drop(legs, &f);
	assert_int_equal(out_count, 1);
}

static void each_table_has_its_bound(void **state)
{
	struct call f = front("chatcmpl-1", 10), u;
	char id[32];

	(void)state;
	for (int i = 0; i < LEGS_OPEN_MAX + 5; i++) {
		f.event_id[1] = (uint8_t)i;
		f.event_id[2] = (uint8_t)(i >> 8);
		legs_begin(legs, &f, 1 * S);
	}
	assert_int_equal(counter_get(COUNTER_LEGS_EVICTED_OPEN), 5);
	for (int i = 0; i < LEGS_HELD_MAX + 6; i++) {
		u = up(NULL, 0);
		legs_done(legs, &u, 2 * S, 3 * S);
	}
	assert_int_equal(out_count, 6);
	assert_int_equal(counter_get(COUNTER_LEGS_EVICTED_HELD), 6);
	for (int i = 0; i < LEGS_BILLED_MAX + 7; i++) {
		snprintf(id, sizeof(id), "chatcmpl-%d", i);
		u = up(id, 10);
		legs_done(legs, &u, 0, 3 * S);
	}
	assert_int_equal(counter_get(COUNTER_LEGS_EVICTED_BILLED), 7);
	legs_tick(legs, 9 * S);
	assert_int_equal(out_count, LEGS_HELD_MAX + 6 + LEGS_BILLED_MAX + 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_response_id),
		TEST(by_request_body),
		TEST(the_bill_joins_the_run_of_its_front),
		TEST(the_bill_keeps_a_run_of_its_own),
		TEST(the_upstream_is_not_seen),
		TEST(another_call_beside_it),
		TEST(a_retry_in_the_gateway),
		TEST(a_cache_hit),
		TEST(a_cache_hit_without_an_upstream),
		TEST(two_hosts_with_one_id),
		TEST(providers_themselves_never_collapse),
		TEST(a_process_is_no_gateway_of_its_own),
		TEST(short_ids_are_none),
		TEST(app_to_gateway_to_gateway),
		TEST(it_does_not_wait_for_ever),
		TEST(a_front_that_is_no_row_holds_nothing),
		TEST(each_table_has_its_bound),
	};

	return cmocka_run_group_tests_name("legs", tests, NULL, NULL);
}
