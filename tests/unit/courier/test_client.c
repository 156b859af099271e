/* SPDX-License-Identifier: Apache-2.0 */
/* The client against the other end of its socket, where the test plays a courier of any kind. */
#include "agent/courier/client.h"

#include "agent/base/counters.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define START_NS (1000 * NSEC_PER_SEC)

struct pair {
	int worker, courier;
	struct courier_client *client;
	unsigned answers;
	char key[COURIER_KEY_MAX];
	struct courier_answer last;
};

static void on_answer(void *user, const char *key, const struct courier_answer *answer)
{
	struct pair *p = user;

	p->answers++;
	snprintf(p->key, sizeof(p->key), "%s", key);
	p->last = *answer;
}

static void pair_open(struct pair *p)
{
	int fds[2];

	*p = (struct pair){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	p->worker = fds[0];
	p->courier = fds[1];
	assert_int_equal(courier_client_new(&p->client, p->worker, START_NS), 0);
	courier_client_listen(p->client, COURIER_CONTAINER, on_answer, p);
}

static void pair_close(struct pair *p)
{
	courier_client_free(p->client);
	closep(&p->worker);
	closep(&p->courier);
}

static struct slice key_of(unsigned n, char dst[COURIER_CONTAINER_ID + 1])
{
	snprintf(dst, COURIER_CONTAINER_ID + 1, "%064x", n);
	return slice_of(dst);
}

static int ask(struct pair *p, unsigned n)
{
	char key[COURIER_CONTAINER_ID + 1];

	return courier_client_ask(p->client, COURIER_CONTAINER, key_of(n, key));
}

/* The next request the courier would read; false when there is none. */
static bool hear(struct pair *p, struct courier_request *out)
{
	char datagram[512];
	ssize_t n = recv(p->courier, datagram, sizeof(datagram), MSG_DONTWAIT);

	return n >= 0 && courier_request_read(out, (struct slice){datagram, (size_t)n});
}

static void say(struct pair *p, const void *datagram, size_t size)
{
	assert_int_equal(send(p->courier, datagram, size, 0), size);
}

static void say_found(struct pair *p, const struct courier_request *to, const char *name)
{
	struct courier_answer answer;

	courier_answer_make(&answer, to, COURIER_FOUND);
	courier_answer_text(&answer, COURIER_NAME, slice_of(name));
	say(p, &answer, sizeof(answer));
}

static bool readable(const struct pair *p)
{
	struct pollfd fd = {.fd = courier_client_fd(p->client), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void an_answer_comes_back(void **state)
{
	struct courier_request request;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(ask(&p, 1), 0);
	assert_false(readable(&p));
	assert_true(hear(&p, &request));
	say_found(&p, &request, "web");
	assert_true(readable(&p));
	courier_client_run(p.client);
	assert_int_equal(p.answers, 1);
	assert_string_equal(p.key, request.key);
	assert_int_equal(p.last.result, COURIER_FOUND);
	assert_string_equal(p.last.text[COURIER_NAME], "web");
	assert_false(readable(&p));
	pair_close(&p);
}

static void the_same_key_is_asked_once(void **state)
{
	struct courier_request request;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(ask(&p, 1), 0);
	assert_int_equal(ask(&p, 1), 0);
	assert_true(hear(&p, &request));
	assert_false(hear(&p, &request));
	say_found(&p, &request, "web");
	courier_client_run(p.client);
	assert_int_equal(p.answers, 1);
	assert_int_equal(ask(&p, 1), 0); /* again, since it was answered */
	assert_true(hear(&p, &request));
	pair_close(&p);
}

static void silence_is_late_once(void **state)
{
	uint64_t invalid = counter_get(COUNTER_COURIER_INVALID);
	uint64_t stale = counter_get(COUNTER_COURIER_STALE);
	struct courier_request request;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(ask(&p, 1), 0);
	courier_client_tick(p.client, START_NS + COURIER_PATIENCE_NS - 1);
	assert_int_equal(p.answers, 0);
	courier_client_tick(p.client, START_NS + COURIER_PATIENCE_NS);
	assert_int_equal(p.answers, 1);
	assert_int_equal(p.last.result, COURIER_LATE);
	courier_client_tick(p.client, START_NS + 9 * COURIER_PATIENCE_NS);
	assert_int_equal(p.answers, 1);
	/* The answer comes after all: nobody waits for it. */
	assert_true(hear(&p, &request));
	say_found(&p, &request, "web");
	courier_client_run(p.client);
	assert_int_equal(p.answers, 1);
	assert_int_equal(counter_get(COUNTER_COURIER_STALE), stale + 1);
	assert_int_equal(counter_get(COUNTER_COURIER_INVALID), invalid);
	pair_close(&p);
}

static void ids_of_others_and_repeats_are_stale(void **state)
{
	uint64_t stale = counter_get(COUNTER_COURIER_STALE);
	struct courier_request request, other;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(ask(&p, 1), 0);
	assert_true(hear(&p, &request));
	other = request;
	other.id++;
	say_found(&p, &other, "wrong");
	other.id = 0;
	say_found(&p, &other, "wrong");
	say_found(&p, &request, "right");
	say_found(&p, &request, "repeat");
	courier_client_run(p.client);
	assert_int_equal(p.answers, 1);
	assert_string_equal(p.last.text[COURIER_NAME], "right");
	assert_int_equal(counter_get(COUNTER_COURIER_STALE), stale + 3);
	pair_close(&p);
}

/* The next worker on the same socket takes no answer for the one before. */
static void a_new_client_has_new_ids(void **state)
{
	struct courier_request first, second;
	struct pair p;

	(void)state;
	pair_open(&p);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ask(&p, i), 0);
	assert_true(hear(&p, &first));
	say_found(&p, &first, "old");
	courier_client_free(p.client);
	assert_int_equal(courier_client_new(&p.client, p.worker, START_NS + NSEC_PER_SEC), 0);
	courier_client_listen(p.client, COURIER_CONTAINER, on_answer, &p);
	assert_int_equal(ask(&p, 0), 0);
	courier_client_run(p.client);
	assert_int_equal(p.answers, 0);
	while (hear(&p, &second))
		say_found(&p, &second, second.id > first.id + 5 ? "new" : "old");
	courier_client_run(p.client);
	assert_int_equal(p.answers, 1);
	assert_string_equal(p.last.text[COURIER_NAME], "new");
	pair_close(&p);
}

static void garbage_is_counted_and_nothing_else(void **state)
{
	uint64_t invalid = counter_get(COUNTER_COURIER_INVALID);
	struct courier_request request;
	struct courier_answer bad;
	char bytes[sizeof(bad) + 512];
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(ask(&p, 1), 0);
	assert_true(hear(&p, &request));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	say(&p, bytes, 1);
	say(&p, bytes, sizeof(bad));
	say(&p, bytes, sizeof(bad) + 1);
	say(&p, bytes, sizeof(bytes));
	say(&p, bytes, 0);
	courier_answer_make(&bad, &request, COURIER_FOUND);
	say(&p, &bad, sizeof(bad)); /* the right id, no name */
	courier_client_run(p.client);
	assert_int_equal(p.answers, 0);
	assert_int_equal(counter_get(COUNTER_COURIER_INVALID), invalid + 6);
	say_found(&p, &request, "web");
	courier_client_run(p.client);
	assert_int_equal(p.answers, 1);
	pair_close(&p);
}

/* However much lies there, one run reads a bounded part of it and the rest stays readable. */
static void a_flood_waits_its_turn(void **state)
{
	struct courier_request to = {.id = 1};
	unsigned sent = 0, runs = 0;
	struct courier_answer answer;
	uint64_t stale;
	const int bytes = COURIER_SEND_BYTES;
	struct pair p;

	(void)state;
	pair_open(&p);
	/* As the courier does it. */
	assert_int_equal(setsockopt(p.courier, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	courier_answer_make(&answer, &to, COURIER_UNKNOWN);
	while (send(p.courier, &answer, sizeof(answer), MSG_DONTWAIT) > 0)
		sent++;
	assert_true(sent > COURIER_ANSWERS_MAX);
	stale = counter_get(COUNTER_COURIER_STALE);
	courier_client_run(p.client);
	assert_int_equal(counter_get(COUNTER_COURIER_STALE), stale + COURIER_ANSWERS_MAX);
	for (; readable(&p); runs++)
		courier_client_run(p.client);
	assert_true(runs > 0);
	assert_int_equal(counter_get(COUNTER_COURIER_STALE), stale + sent);
	pair_close(&p);
}

static void what_is_outstanding_is_bounded(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	for (unsigned i = 0; i < COURIER_OUTSTANDING_MAX; i++)
		assert_int_equal(ask(&p, i), 0);
	assert_int_equal(ask(&p, COURIER_OUTSTANDING_MAX), -EBUSY);
	assert_int_equal(ask(&p, 3), 0); /* it is asked already */
	courier_client_tick(p.client, START_NS + COURIER_PATIENCE_NS);
	assert_int_equal(p.answers, COURIER_OUTSTANDING_MAX);
	assert_int_equal(ask(&p, COURIER_OUTSTANDING_MAX), 0);
	pair_close(&p);
}

/* A courier that never reads: its socket fills, asking never blocks. */
static void a_full_socket_is_busy(void **state)
{
	uint64_t now = START_NS;
	int rc = 0;
	struct pair p;

	(void)state;
	pair_open(&p);
	for (unsigned i = 0; rc == 0 && i < 100000; i++) {
		rc = ask(&p, i);
		courier_client_tick(p.client, now += COURIER_PATIENCE_NS);
	}
	assert_int_equal(rc, -EBUSY);
	pair_close(&p);
}

/* The other end is gone for good: said once, and the loop is not woken for it again. */
static void a_closed_channel_is_quiet(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(ask(&p, 1), 0);
	closep(&p.courier);
	assert_true(readable(&p));
	courier_client_run(p.client);
	assert_false(readable(&p));
	assert_int_equal(ask(&p, 2), -EPIPE);
	courier_client_tick(p.client, START_NS + COURIER_PATIENCE_NS);
	assert_int_equal(p.answers, 1);
	assert_int_equal(p.last.result, COURIER_LATE);
	pair_close(&p);
}

static void bad_keys_are_not_asked(void **state)
{
	struct courier_request request;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(courier_client_ask(p.client, COURIER_CONTAINER, SLICE("web")), -EINVAL);
	assert_false(hear(&p, &request));
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_back),
		cmocka_unit_test(the_same_key_is_asked_once),
		cmocka_unit_test(silence_is_late_once),
		cmocka_unit_test(ids_of_others_and_repeats_are_stale),
		cmocka_unit_test(a_new_client_has_new_ids),
		cmocka_unit_test(garbage_is_counted_and_nothing_else),
		cmocka_unit_test(a_flood_waits_its_turn),
		cmocka_unit_test(what_is_outstanding_is_bounded),
		cmocka_unit_test(a_full_socket_is_busy),
		cmocka_unit_test(a_closed_channel_is_quiet),
		cmocka_unit_test(bad_keys_are_not_asked),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
