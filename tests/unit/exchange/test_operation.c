/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/operation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/base/counters.h"

#define SEC NSEC_PER_SEC

/*
 * A story of attempts named by letters, one step a word: "A" begins attempt A, "A2" begins it with
 * x-stainless-retry-count 2, "-A" it failed, "+A" it got its answer, "~" an hour passes. A prime
 * says another body. Expected: "attempt=first attempt of its operation/number".
 */
static const struct story {
	const char *what, *steps, *expected;
} stories[] = {
	{"alone", "A", "A=A/1"},
	{"a retry after a failure", "A -A B", "A=A/1 B=A/2"},
	{"until it works", "A -A B -B C +C", "A=A/1 B=A/2 C=A/3"},
	{"a repeat after a success", "A +A B", "A=A/1 B=B/1"},
	{"a repeat after a retried success", "A -A B +B C", "A=A/1 B=A/2 C=C/1"},
	{"another body", "A -A B'", "A=A/1 B=B/1"},
	{"too late", "A -A ~ B", "A=A/1 B=B/1"},
	{"too late, whatever the client says", "A -A ~ B1", "A=A/1 B=B/2"},
	{"in parallel: nobody says that one is a retry", "A B +A +B", "A=A/1 B=B/1"},
	{"the client says so while the first seems open", "A B1", "A=A/1 B=A/2"},
	{"the client says so after an answer it did not like", "A +A B1", "A=A/1 B=A/2"},
	{"the client counts attempts that were not seen", "A -A B4", "A=A/1 B=A/5"},
	{"the client's first attempt was not seen", "B1 -B C2", "B=B/2 C=B/3"},
	{"a smaller number does not count back", "A -A B -B C1", "A=A/1 B=A/2 C=A/3"},
	{"each retry continues one of two failures", "A B -A -B C D", "A=A/1 B=B/1 C=A/2 D=B/2"},
	{"one failure is continued once", "A -A B C", "A=A/1 B=A/2 C=C/1"},
	{"a failure before what is open", "A B -B C1", "A=A/1 B=B/1 C=B/2"},
	{"a late end of what was continued says nothing", "A B1 -A C", "A=A/1 B=A/2 C=C/1"},
	{"seemed to fail, then its answer came", "A -A +A B", "A=A/1 B=B/1"},
	{"more in parallel than are kept apart", "A B C D E -A -E F G",
	 "A=A/1 B=B/1 C=C/1 D=D/1 E=E/1 F=E/2 G=G/1"},
};

static void event_id(uint8_t id[16], char name)
{
	memset(id, 0, 16);
	id[0] = (uint8_t)name;
}

static void add_attempt(char *got, size_t size, char name, const struct operation_attempt *a)
{
	size_t len = strlen(got);

	snprintf(got + len, size - len, "%s%c=%c/%d", len ? " " : "", name, a->operation_id[0],
		 a->number);
}

static void step(struct operation_table *t, const char *word, uint64_t *now_ns, char *got,
		 size_t size)
{
	struct operation_key key = {"key"};
	struct operation_attempt attempt;
	uint8_t id[16];

	*now_ns += SEC;
	if (word[0] == '~') {
		*now_ns += OPERATION_RETRY_NS;
	} else if (word[0] == '+' || word[0] == '-') {
		event_id(id, word[1]);
		operation_end(t, &key, id, word[0] == '-', *now_ns);
	} else {
		event_id(id, word[0]);
		key.bytes[31] = word[1] == '\'';
		operation_begin(t, &key, id, word[1] >= '0' && word[1] <= '9' ? word[1] - '0' : 0,
				*now_ns, &attempt);
		add_attempt(got, size, word[0], &attempt);
	}
}

static void attempts_are_linked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
		struct operation_table *t = NULL;
		char steps[128], got[128] = "", *save = NULL;
		uint64_t now_ns = SEC;

		assert_int_equal(operation_table_new(&t), 0);
		snprintf(steps, sizeof(steps), "%s", stories[i].steps);
		for (char *w = strtok_r(steps, " ", &save); w; w = strtok_r(NULL, " ", &save))
			step(t, w, &now_ns, got, sizeof(got));
		if (strcmp(got, stories[i].expected) != 0)
			fail_msg("%s (%s): got %s, expected %s", stories[i].what, stories[i].steps,
				 got, stories[i].expected);
		operation_table_free(t);
	}
}

static struct operation_attempt begin(struct operation_table *t, uint32_t body, char name,
				      uint64_t now_ns)
{
	struct operation_attempt attempt;
	struct operation_key key = {{0}};
	uint8_t id[16];

	memcpy(key.bytes, &body, sizeof(body));
	event_id(id, name);
	operation_begin(t, &key, id, 0, now_ns, &attempt);
	return attempt;
}

static void the_table_is_bounded(void **state)
{
	uint64_t evicted = counter_get(COUNTER_OPERATIONS_EVICTED);
	struct operation_key key = {{0}};
	struct operation_table *t = NULL;
	uint8_t id[16];

	(void)state;
	assert_int_equal(operation_table_new(&t), 0);
	for (uint32_t body = 0; body < OPERATIONS_MAX; body++) {
		begin(t, body, 'A', SEC);
		memcpy(key.bytes, &body, sizeof(body));
		event_id(id, 'A');
		operation_end(t, &key, id, body == 0, SEC);
	}
	assert_int_equal(operation_table_count(t), OPERATIONS_MAX);
	/* 0 is used, so that 1 is the oldest; it is settled: nothing is lost with it. */
	assert_int_equal(begin(t, 0, 'B', SEC).number, 2);
	begin(t, OPERATIONS_MAX, 'C', SEC);
	assert_int_equal(operation_table_count(t), OPERATIONS_MAX);
	assert_int_equal(counter_get(COUNTER_OPERATIONS_EVICTED), evicted);
	for (uint32_t body = 1; body < OPERATIONS_MAX; body++)
		begin(t, OPERATIONS_MAX + body, 'D', SEC);
	assert_int_equal(operation_table_count(t), OPERATIONS_MAX);
	/* 0 was open when it had to go. */
	assert_int_equal(counter_get(COUNTER_OPERATIONS_EVICTED), evicted + 1);
	operation_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attempts_are_linked),
		cmocka_unit_test(the_table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
