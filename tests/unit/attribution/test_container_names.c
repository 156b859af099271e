/* SPDX-License-Identifier: Apache-2.0 */
/* The table of names over a real client, where the test plays the courier. */
#include "agent/attribution/container_names.h"

#include "agent/base/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#define START_NS (1000 * NSEC_PER_SEC)

struct bench {
	int ours, its;
	struct courier_client *client;
	struct container_names *names;
};

static void bench_open(struct bench *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	b->ours = fds[0];
	b->its = fds[1];
	assert_int_equal(courier_client_new(&b->client, b->ours, START_NS), 0);
	assert_int_equal(container_names_new(&b->names, b->client), 0);
}

static void bench_close(struct bench *b)
{
	container_names_free(b->names);
	courier_client_free(b->client);
	closep(&b->ours);
	closep(&b->its);
}

static const char *id_of(unsigned n)
{
	static char id[COURIER_CONTAINER_ID + 1];

	snprintf(id, sizeof(id), "%064x", n);
	return id;
}

static const char *get(struct bench *b, unsigned n, bool awaited)
{
	bool is_awaited;
	const struct courier_answer *facts = container_names_get(b->names, id_of(n), &is_awaited);

	assert_int_equal(is_awaited, awaited);
	return facts ? facts->text[COURIER_NAME] : "";
}

/* Answers the next request; false when nothing was asked. */
static bool reply(struct bench *b, enum courier_result result, const char *name)
{
	struct courier_request request;
	struct courier_answer answer;
	char datagram[512];
	ssize_t n = recv(b->its, datagram, sizeof(datagram), MSG_DONTWAIT);

	if (n < 0)
		return false;
	assert_true(courier_request_read(&request, (struct slice){datagram, (size_t)n}));
	courier_answer_make(&answer, &request, result);
	courier_answer_text(&answer, COURIER_NAME, slice_of(name));
	assert_int_equal(send(b->its, &answer, sizeof(answer), 0), sizeof(answer));
	courier_client_run(b->client);
	return true;
}

static void a_name_is_asked_for_once(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b);
	assert_string_equal(get(&b, 1, false), ""); /* nobody asked: nothing is awaited */
	container_names_want(b.names, id_of(1));
	container_names_want(b.names, id_of(1));
	assert_string_equal(get(&b, 1, true), "");
	assert_true(reply(&b, COURIER_FOUND, "web"));
	assert_string_equal(get(&b, 1, false), "web");
	container_names_want(b.names, id_of(1));
	assert_false(reply(&b, COURIER_FOUND, "web"));
	bench_close(&b);
}

static void names_are_asked_for_again(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b);
	container_names_want(b.names, id_of(1));
	assert_true(reply(&b, COURIER_FOUND, "old"));
	courier_client_tick(b.client, START_NS + CONTAINER_NAME_FRESH_NS);
	container_names_want(b.names, id_of(1));
	assert_string_equal(get(&b, 1, false), "old"); /* no call waits for the new one */
	assert_true(reply(&b, COURIER_FOUND, "new"));
	assert_string_equal(get(&b, 1, false), "new");
	/* It is gone from its engine: its last name is still the best there is. */
	courier_client_tick(b.client, START_NS + 2 * CONTAINER_NAME_FRESH_NS);
	container_names_want(b.names, id_of(1));
	assert_true(reply(&b, COURIER_UNKNOWN, ""));
	assert_string_equal(get(&b, 1, false), "new");
	bench_close(&b);
}

static void what_has_no_name_is_asked_later(void **state)
{
	static const struct {
		enum courier_result result;
		const char *text;
		enum counter counter;
	} rows[] = {
		{COURIER_UNKNOWN, "", COUNTER_CONTAINER_UNKNOWN},
		{COURIER_FAILED, "", COUNTER_CONTAINER_FAILED},
		{COURIER_FORBIDDEN, "/run/docker.sock", COUNTER_CONTAINER_FORBIDDEN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = counter_get(rows[i].counter);
		struct bench b;

		bench_open(&b);
		container_names_want(b.names, id_of(1));
		assert_true(reply(&b, rows[i].result, rows[i].text));
		assert_int_equal(counter_get(rows[i].counter), before + 1);
		assert_string_equal(get(&b, 1, false), "");
		assert_string_equal(container_names_forbidden(b.names), rows[i].text);
		courier_client_tick(b.client, START_NS + CONTAINER_RETRY_NS - 1);
		container_names_want(b.names, id_of(1));
		assert_false(reply(&b, COURIER_FOUND, "web"));
		courier_client_tick(b.client, START_NS + CONTAINER_RETRY_NS);
		container_names_want(b.names, id_of(1));
		assert_string_equal(get(&b, 1, true), "");
		assert_true(reply(&b, COURIER_FOUND, "web"));
		assert_string_equal(get(&b, 1, false), "web");
		assert_string_equal(container_names_forbidden(b.names), "");
		bench_close(&b);
	}
}

static void a_silent_courier_is_awaited_for_a_while(void **state)
{
	uint64_t late = counter_get(COUNTER_CONTAINER_LATE);
	struct bench b;

	(void)state;
	bench_open(&b);
	container_names_want(b.names, id_of(1));
	get(&b, 1, true);
	courier_client_tick(b.client, START_NS + COURIER_PATIENCE_NS);
	get(&b, 1, false);
	assert_int_equal(counter_get(COUNTER_CONTAINER_LATE), late + 1);
	container_names_want(b.names, id_of(1)); /* not at once again */
	get(&b, 1, false);
	bench_close(&b);
}

/* What could not be asked is not awaited. */
static void too_many_at_once_are_busy(void **state)
{
	uint64_t busy = counter_get(COUNTER_CONTAINER_BUSY);
	struct bench b;

	(void)state;
	bench_open(&b);
	for (unsigned i = 0; i <= COURIER_OUTSTANDING_MAX; i++)
		container_names_want(b.names, id_of(i));
	get(&b, COURIER_OUTSTANDING_MAX - 1, true);
	get(&b, COURIER_OUTSTANDING_MAX, false);
	assert_int_equal(counter_get(COUNTER_CONTAINER_BUSY), busy + 1);
	bench_close(&b);
}

static void the_one_unused_for_longest_goes(void **state)
{
	char name[16];
	struct bench b;

	(void)state;
	bench_open(&b);
	for (unsigned i = 0; i <= CONTAINER_NAMES_MAX; i++) {
		container_names_want(b.names, id_of(0)); /* used all the time */
		if (i == 0)
			assert_true(reply(&b, COURIER_FOUND, "zero"));
		container_names_want(b.names, id_of(i));
		snprintf(name, sizeof(name), "c%u", i);
		if (i > 0)
			assert_true(reply(&b, COURIER_FOUND, name));
	}
	assert_string_equal(get(&b, 0, false), "zero");
	assert_string_equal(get(&b, 1, false), "");
	assert_string_equal(get(&b, 2, false), "c2");
	snprintf(name, sizeof(name), "c%u", CONTAINER_NAMES_MAX);
	assert_string_equal(get(&b, CONTAINER_NAMES_MAX, false), name);
	bench_close(&b);
}

/* An id that no engine could have: it is no key, and nobody waits. */
static void what_is_no_id_is_not_asked(void **state)
{
	bool awaited;
	struct bench b;

	(void)state;
	bench_open(&b);
	container_names_want(b.names, "../../etc");
	assert_null(container_names_get(b.names, "../../etc", &awaited));
	assert_false(awaited);
	assert_false(reply(&b, COURIER_FOUND, "web"));
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_asked_for_once),
		cmocka_unit_test(names_are_asked_for_again),
		cmocka_unit_test(what_has_no_name_is_asked_later),
		cmocka_unit_test(a_silent_courier_is_awaited_for_a_while),
		cmocka_unit_test(too_many_at_once_are_busy),
		cmocka_unit_test(the_one_unused_for_longest_goes),
		cmocka_unit_test(what_is_no_id_is_not_asked),
	};

	return cmocka_run_group_tests_name("container_names", tests, NULL, NULL);
}
