/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake exchange that writes down what it is told, and the calls of one connection:
 *   wTEXT, rTEXT bytes of a session, "|" where a call begins, w?n, r?n gaps in it;
 *   b(TARGET) request head, +text body, ?n gap, . / ~ / ? / ! end (complete, cut, unseen, broken),
 *   A abandoned with its connection, U by our view of it, f freed; answers in angle brackets. Each
 *   event names its exchange by number.
 */
#ifndef TT_TEST_FAKE_EXCHANGE_H
#define TT_TEST_FAKE_EXCHANGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "agent/stream/conn.h"

/* ---- the fake ------------------------------------------------------------------------------ */

struct exchange {
	int number;
	bool head, connect, session, blind;
	size_t memory;
	struct exchange_start start;
};

static char events[1 << 16];
static size_t events_len;
static int begun, live;
static bool piece_open; /* the last event was a piece of this kind: the next one joins it */
static char piece_key[32];
static struct exchange_start last_start;
static char last_host[CONN_HOST_MAX];
static size_t fake_memory;
static int fail_begin;
static uint64_t clock_ns;

static inline void put(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(events + events_len, sizeof(events) - events_len, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(events) - events_len);
	events_len += (size_t)n;
	piece_open = false;
}

static inline void put_piece(int number, char kind, struct slice bytes)
{
	char key[32];

	snprintf(key, sizeof(key), "%d%c", number, kind);
	if (piece_open && strcmp(key, piece_key) == 0)
		put("%.*s", SLICE_FMT(bytes));
	else
		put(" %s%.*s", key, SLICE_FMT(bytes));
	memcpy(piece_key, key, sizeof(key));
	piece_open = true;
}

int exchange_begin(struct exchange **out, const struct exchange_env *env,
		   const struct exchange_start *start, const struct http_head *request)
{
	struct exchange *x;

	assert_non_null(env);
	if (fail_begin && --fail_begin == 0)
		return -ENOMEM;
	x = calloc(1, sizeof(*x));
	assert_non_null(x);
	x->number = ++begun;
	live++;
	x->head = slice_eq(request->method, SLICE("HEAD"));
	x->connect = slice_eq(request->method, SLICE("CONNECT"));
	x->session = slice_eq(request->target, SLICE("/session"));
	x->start = last_start = *start;
	x->memory = fake_memory;
	snprintf(last_host, sizeof(last_host), "%s", start->host_hint);
	put(" %db(%.*s)", x->number, SLICE_FMT(request->target));
	*out = x;
	return 0;
}

static inline char end_sign(enum message_end how)
{
	static const char signs[] = {[MESSAGE_COMPLETE] = '.',
				     [MESSAGE_CLOSED] = '.',
				     [MESSAGE_CUT] = '~',
				     [MESSAGE_UNSEEN] = '?',
				     [MESSAGE_BROKEN] = '!'};

	return signs[how];
}

void exchange_request_body(struct exchange *x, struct slice bytes)
{
	put_piece(x->number, '+', bytes);
}

void exchange_request_gap(struct exchange *x, uint64_t n)
{
	put(" %d?%llu", x->number, (unsigned long long)n);
}

void exchange_request_end(struct exchange *x, enum message_end how)
{
	put(" %d%c", x->number, end_sign(how));
}

void exchange_response_head(struct exchange *x, const struct http_head *head, uint64_t now_ns)
{
	assert_true(now_ns > 0);
	put(" %d<%d>", x->number, head->status);
}

void exchange_response_body(struct exchange *x, struct slice bytes, uint64_t now_ns)
{
	(void)now_ns;
	put_piece(x->number, '<', bytes);
}

void exchange_response_gap(struct exchange *x, uint64_t n)
{
	put(" %d<?%llu>", x->number, (unsigned long long)n);
}

void exchange_response_trailers(struct exchange *x, const struct http_head *trailers)
{
	put(" %d<T%zu>", x->number, trailers->count);
}

void exchange_response_end(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	(void)now_ns;
	put(" %d<%c>", x->number, end_sign(how));
}

void exchange_may_end(struct exchange *x, uint64_t now_ns)
{
	(void)x;
	(void)now_ns;
}

void exchange_rest(struct exchange *x, uint64_t now_ns)
{
	(void)now_ns;
	put(" %dr", x->number);
}

void exchange_abandon(struct exchange *x, enum message_end how, uint64_t now_ns)
{
	(void)now_ns;
	put(" %d%c", x->number, how == MESSAGE_CUT ? 'A' : 'U');
}

bool exchange_is_head(const struct exchange *x)
{
	return x->head;
}

bool exchange_is_connect(const struct exchange *x)
{
	return x->connect;
}

/* Sessions are upgrades of "/session"; "blind" in their bytes ends them. */
bool exchange_is_session(const struct exchange *x)
{
	return x->session;
}

void exchange_session_bytes(struct exchange *x, enum chunk_dir dir, struct slice bytes,
			    bool call_begins, uint64_t now_ns)
{
	assert_true(now_ns > 0);
	x->blind |= slice_starts(bytes, SLICE("blind"));
	put(" %d%c%s%.*s", x->number, dir == CHUNK_WRITE ? 'w' : 'r', call_begins ? "|" : "",
	    SLICE_FMT(bytes));
}

void exchange_session_gap(struct exchange *x, enum chunk_dir dir, uint64_t n, uint64_t now_ns)
{
	assert_true(now_ns > 0);
	put(" %d%c?%llu", x->number, dir == CHUNK_WRITE ? 'w' : 'r', (unsigned long long)n);
}

bool exchange_is_blind(const struct exchange *x)
{
	return x->blind;
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	put(" %df", x->number);
	live--;
	free(x);
}

size_t exchange_memory(const struct exchange *x)
{
	return sizeof(*x) + x->memory;
}

/* ---- driving the table --------------------------------------------------------------------- */

static const struct exchange_env env;
static struct conn_table *table;
static const struct conn_id the_conn = {.ssl = 0x1000, .start_boot_ns = 7, .tgid = 42};
static struct conn_id id;
static uint64_t offsets[2];
static size_t piece_size; /* 0: whole calls */

static inline int setup(void **state)
{
	(void)state;
	events_len = 0;
	events[0] = '\0';
	begun = fail_begin = 0;
	fake_memory = 0;
	piece_open = false;
	id = the_conn;
	offsets[0] = offsets[1] = 0;
	clock_ns = 1000;
	piece_size = 0;
	return conn_table_new(&table, &env);
}

static inline int teardown(void **state)
{
	(void)state;
	conn_table_free(table);
	assert_int_equal(live, 0);
	return 0;
}

static inline void feed_chunk(enum chunk_dir dir, struct slice data, uint32_t want)
{
	struct chunk chunk = {
		.conn = id,
		.dir = dir,
		.offset = offsets[dir],
		.entry_ns = clock_ns,
		.now_ns = clock_ns + 5,
		.data = data,
		.want = want,
	};

	conn_table_feed(table, &chunk);
	offsets[dir] += want;
}

/* One call of the application. */
static inline void move_bytes(enum chunk_dir dir, struct slice rest)
{
	size_t piece = piece_size ? piece_size : rest.len;

	clock_ns += 10;
	while (rest.len) {
		size_t n = piece < rest.len ? piece : rest.len;

		feed_chunk(dir, (struct slice){rest.ptr, n}, (uint32_t)n);
		rest.ptr += n;
		rest.len -= n;
	}
}

static inline void move(enum chunk_dir dir, const char *text)
{
	move_bytes(dir, slice_of(text));
}

static inline void sent(const char *text)
{
	move(CHUNK_WRITE, text);
}

static inline void got(const char *text)
{
	move(CHUNK_READ, text);
}

/* n bytes that the application moved and nobody saw. */
static inline void lost(enum chunk_dir dir, uint64_t n)
{
	offsets[dir] += n;
}

static inline void expect_events(const char *expected)
{
	assert_string_equal(events, expected);
	events_len = 0;
	events[0] = '\0';
	piece_open = false;
}

#endif
