/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/held.h"

#include "agent/base/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define END_NS (1000 * NSEC_PER_SEC)

/* Calls are told apart by their pid; those up to `known` can be completed. */
struct bench {
	struct held_calls *held;
	uint32_t known;
	uint32_t released[2 * HELD_CALLS_MAX];
	size_t count;
	char last_name[CALL_NAME_MAX];
};

static bool complete(void *user, struct call *call)
{
	struct bench *b = user;

	if (call->workload.pid > b->known)
		return false;
	slice_copy(call->workload.container, sizeof(call->workload.container), SLICE("web"));
	return true;
}

static void release(void *user, struct call *call)
{
	struct bench *b = user;

	assert_true(b->count < ARRAY_LEN(b->released));
	b->released[b->count++] = call->workload.pid;
	slice_copy(b->last_name, sizeof(b->last_name), slice_of(call->workload.container));
}

static const struct held_ops ops = {.complete = complete, .release = release};

static struct bench *bench_open(void)
{
	static struct bench b;

	b = (struct bench){0};
	assert_int_equal(held_calls_new(&b.held, &ops, &b), 0);
	return &b;
}

static void add(struct bench *b, uint32_t pid, uint64_t ended_ns)
{
	static struct call call;

	call.workload.pid = pid;
	held_calls_add(b->held, &call, ended_ns);
}

static void a_call_waits_for_its_name(void **state)
{
	struct bench *b = bench_open();
	uint64_t before = counter_get(COUNTER_HELD_ANSWERED);

	(void)state;
	add(b, 1, END_NS);
	add(b, 2, END_NS);
	held_calls_sweep(b->held, END_NS);
	assert_int_equal(b->count, 0);
	assert_int_equal(counter_get(COUNTER_HELD_NOW), 2);
	b->known = 1;
	held_calls_sweep(b->held, END_NS);
	assert_int_equal(b->count, 1);
	assert_int_equal(b->released[0], 1);
	assert_string_equal(b->last_name, "web");
	assert_int_equal(counter_get(COUNTER_HELD_NOW), 1);
	assert_int_equal(counter_get(COUNTER_HELD_ANSWERED), before + 1);
	held_calls_free(b->held);
}

static void a_call_waits_no_longer_than_it_may(void **state)
{
	struct bench *b = bench_open();
	uint64_t before = counter_get(COUNTER_HELD_LATE);

	(void)state;
	add(b, 1, END_NS);
	add(b, 2, END_NS + 1);
	held_calls_sweep(b->held, END_NS + HELD_NS - 1);
	assert_int_equal(b->count, 0);
	held_calls_sweep(b->held, END_NS + HELD_NS);
	assert_int_equal(b->count, 1);
	assert_int_equal(b->released[0], 1);
	assert_string_equal(b->last_name, "");
	held_calls_sweep(b->held, END_NS + HELD_NS + 1);
	assert_int_equal(b->count, 2);
	assert_int_equal(counter_get(COUNTER_HELD_LATE), before + 2);
	held_calls_free(b->held);
	assert_int_equal(b->count, 2);
}

static void one_too_many_lets_the_oldest_go(void **state)
{
	struct bench *b = bench_open();
	uint64_t before = counter_get(COUNTER_HELD_OVERFLOW);

	(void)state;
	for (uint32_t i = 0; i < HELD_CALLS_MAX + 3; i++)
		add(b, i + 1, END_NS);
	assert_int_equal(b->count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(b->released[i], i + 1);
	assert_int_equal(counter_get(COUNTER_HELD_OVERFLOW), before + 3);
	assert_int_equal(counter_get(COUNTER_HELD_NOW), HELD_CALLS_MAX);
	held_calls_free(b->held);
	assert_int_equal(b->count, HELD_CALLS_MAX + 3);
}

/* Each exactly once, in the order in which they came. */
static void the_end_releases_all(void **state)
{
	struct bench *b = bench_open();

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		add(b, i + 1, END_NS);
	b->known = 4;
	held_calls_free(b->held);
	assert_int_equal(b->count, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(b->released[i], i + 1);
	assert_int_equal(counter_get(COUNTER_HELD_NOW), 0);
	held_calls_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_waits_for_its_name),
		cmocka_unit_test(a_call_waits_no_longer_than_it_may),
		cmocka_unit_test(one_too_many_lets_the_oldest_go),
		cmocka_unit_test(the_end_releases_all),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
