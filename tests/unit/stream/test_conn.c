/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection table against a fake exchange that writes down what it is told:
 *   b(TARGET) request head, +text body, ?n gap, . / ~ / ! end (complete, cut, broken), A abandoned,
 *   f freed; answers in angle brackets. Each event names its exchange by number.
 */
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
	bool head, connect;
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

static void put(const char *fmt, ...)
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

static void put_piece(int number, char kind, struct slice bytes)
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
	x->start = last_start = *start;
	x->memory = fake_memory;
	snprintf(last_host, sizeof(last_host), "%s", start->host_hint);
	put(" %db(%.*s)", x->number, SLICE_FMT(request->target));
	*out = x;
	return 0;
}

static char end_sign(enum message_end how)
{
	return how == MESSAGE_COMPLETE ? '.' : how == MESSAGE_CUT ? '~' : '!';
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

void exchange_abandon(struct exchange *x, uint64_t now_ns)
{
	(void)now_ns;
	put(" %dA", x->number);
}

bool exchange_is_head(const struct exchange *x)
{
	return x->head;
}

bool exchange_is_connect(const struct exchange *x)
{
	return x->connect;
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

static int setup(void **state)
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

static int teardown(void **state)
{
	(void)state;
	conn_table_free(table);
	assert_int_equal(live, 0);
	return 0;
}

static void feed_chunk(enum chunk_dir dir, struct slice data, uint32_t want)
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
static void move(enum chunk_dir dir, const char *text)
{
	struct slice rest = slice_of(text);
	size_t piece = piece_size ? piece_size : rest.len;

	clock_ns += 10;
	while (rest.len) {
		size_t n = piece < rest.len ? piece : rest.len;

		feed_chunk(dir, (struct slice){rest.ptr, n}, (uint32_t)n);
		rest.ptr += n;
		rest.len -= n;
	}
}

static void sent(const char *text)
{
	move(CHUNK_WRITE, text);
}

static void got(const char *text)
{
	move(CHUNK_READ, text);
}

/* n bytes that the application moved and nobody saw. */
static void lost(enum chunk_dir dir, uint64_t n)
{
	offsets[dir] += n;
}

static void expect_events(const char *expected)
{
	assert_string_equal(events, expected);
	events_len = 0;
	events[0] = '\0';
	piece_open = false;
}

#define POST(target, length) "POST " target " HTTP/1.1\r\nContent-Length: " length "\r\n\r\n"
#define POST_CHUNKED(target) "POST " target " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
#define OK(length)	     "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"
#define OK_CHUNKED	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define OK_CLOSE	     "HTTP/1.1 200 OK\r\n\r\n"

/* ---- pairing ------------------------------------------------------------------------------- */

static void any_pieces_give_the_same_calls(void **state)
{
	for (size_t size = 0; size < 9; size++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		piece_size = size;
		sent(POST("/a", "5") "hello");
		got("HTTP/1.1 100 Continue\r\n\r\n");
		got(OK_CHUNKED "3\r\nabc\r\n0\r\n\r\n");
		sent("HEAD /b HTTP/1.1\r\n\r\n");
		got(OK("999"));
		sent(POST_CHUNKED("/c") "1\r\nx\r\n0\r\n\r\n");
		got("HTTP/1.1 204 No\r\n\r\n");
		expect_events(" 1b(/a) 1+hello 1. 1<200> 1<abc 1<.> 1f"
			      " 2b(/b) 2. 2<200> 2<.> 2f"
			      " 3b(/c) 3+x 3. 3<204> 3<.> 3f");
		assert_int_equal(conn_table_count(table), 1);
	}
}

static void pipelined_calls_are_paired_in_order(void **state)
{
	(void)state;
	sent(POST("/a", "1") "A" POST("/b", "1") "B");
	assert_int_equal(last_start.index_in_record, 1);
	assert_int_equal(last_start.entry_ns, clock_ns);
	sent("GET /c HTTP/1.1\r\n\r\n");
	assert_int_equal(last_start.index_in_record, 0);
	got(OK("1") "1" OK("1"));
	got("2" OK("1") "3");
	expect_events(" 1b(/a) 1+A 1. 2b(/b) 2+B 2. 3b(/c) 3."
		      " 1<200> 1<1 1<.> 1f 2<200> 2<2 2<.> 2f 3<200> 3<3 3<.> 3f");
}

static void a_request_belongs_to_the_record_of_its_first_byte(void **state)
{
	uint64_t first_ns;

	(void)state;
	sent("GET /a HTTP/1.1\r\n\r\nPO");
	first_ns = clock_ns;
	sent("ST /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n");
	assert_int_equal(last_start.entry_ns, clock_ns);
	assert_int_equal(last_start.index_in_record, 0);
	assert_int_not_equal(first_ns, clock_ns);
	expect_events(" 1b(/a) 1. 2b(/b) 2. 3b(/c) 3.");
	id.ssl++;
	offsets[0] = 0;
	sent("GET /a HTTP/1.1\r\n\r\nPO");
	first_ns = clock_ns;
	sent("ST /b HTTP/1.1\r\n\r\n");
	assert_int_equal(last_start.entry_ns, first_ns);
	assert_int_equal(last_start.index_in_record, 1);
}

static void pieces_of_one_call_share_their_record(void **state)
{
	(void)state;
	piece_size = 19;
	sent("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
	assert_int_equal(last_start.index_in_record, 1);
}

static void an_early_answer_ends_the_call(void **state)
{
	(void)state;
	sent(POST("/a", "9") "1234");
	got("HTTP/1.1 413 Big\r\nContent-Length: 2\r\n\r\nno");
	sent("56789");
	sent(POST("/b", "1") "B");
	got(OK("1") "b");
	expect_events(" 1b(/a) 1+1234 1<413> 1<no 1<.> 1f"
		      " 2b(/b) 2+B 2. 2<200> 2<b 2<.> 2f");
}

static void an_upgrade_is_counted_and_ignored(void **state)
{
	uint64_t before = counter_get(COUNTER_CONN_BLIND_UPGRADE);

	(void)state;
	sent("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
	got("HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello");
	sent(POST("/not/http", "3"));
	got(OK("3"));
	expect_events(" 1b(/ws) 1. 1<101> 1<.> 1f");
	assert_int_equal(counter_get(COUNTER_CONN_BLIND_UPGRADE), before + 1);
	id.ssl++;
	offsets[0] = offsets[1] = 0;
	sent("CONNECT h:443 HTTP/1.1\r\n\r\n");
	got(OK("3"));
	sent("\x16\x03\x01");
	expect_events(" 2b(h:443) 2. 2<200> 2<.> 2f");
	assert_int_equal(counter_get(COUNTER_CONN_BLIND_UPGRADE), before + 2);
}

static void http2_is_counted_and_ignored(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_HTTP1);

	(void)state;
	sent("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	sent(POST("/a", "0"));
	expect_events("");
	assert_int_equal(counter_get(COUNTER_DECODE_HTTP1), before + 1);
}

static void too_many_open_requests_end_the_reading(void **state)
{
	(void)state;
	for (int i = 0; i <= CONN_PIPELINE_MAX; i++)
		sent("GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(begun, CONN_PIPELINE_MAX + 1);
	assert_int_equal(live, 0);
	sent("GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(begun, CONN_PIPELINE_MAX + 1);
}

static void no_memory_costs_the_connection_only(void **state)
{
	(void)state;
	fail_begin = 1;
	sent(POST("/a", "1") "A");
	got(OK("1") "a");
	expect_events("");
	id.ssl++;
	offsets[0] = offsets[1] = 0;
	sent(POST("/b", "1") "B");
	got(OK("1") "b");
	expect_events(" 1b(/b) 1+B 1. 1<200> 1<b 1<.> 1f");
}

/* ---- joining late -------------------------------------------------------------------------- */

static void a_connection_joined_late_is_picked_up_at_the_next_request(void **state)
{
	uint64_t errors = counter_get(COUNTER_DECODE_HTTP1);
	static const char *const middles[] = {"{\"rest\":1}", "Please",		"POST", "Hello",
					      "GET me\n",     "5\r\nhello\r\n", "abc"};

	for (size_t i = 0; i < ARRAY_LEN(middles); i++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		lost(CHUNK_WRITE, 100 * i);
		lost(CHUNK_READ, 100 * i);
		sent(middles[i]);
		got(middles[i]);
		got("H");
		got("\r\n0\r\n\r\n");
		sent(POST("/a", "1") "A");
		got(OK("1") "a");
		expect_events(" 1b(/a) 1+A 1. 1<200> 1<a 1<.> 1f");
	}
	assert_int_equal(counter_get(COUNTER_DECODE_HTTP1), errors);
}

static void answers_to_unseen_requests_are_dropped(void **state)
{
	(void)state;
	got(OK("3") "old");
	sent(POST("/a", "1") "A");
	got(OK("1") "a");
	got("HTTP/1.1 408 Timeout\r\nContent-Length: 1\r\n\r\nx");
	sent(POST("/b", "1") "B");
	got(OK("1") "b");
	expect_events(" 1b(/a) 1+A 1. 1<200> 1<a 1<.> 1f"
		      " 2b(/b) 2+B 2. 2<200> 2<b 2<.> 2f");
}

/* A muted connection that comes back jumps in both directions. */
static void bytes_not_captured_on_purpose_are_no_loss(void **state)
{
	(void)state;
	sent("GET / HTTP/1.1\r\n\r\n");
	got(OK("1") "x");
	lost(CHUNK_WRITE, 1000);
	lost(CHUNK_READ, 2000);
	sent(POST("/a", "1") "A");
	got(OK("1") "a");
	expect_events(" 1b(/) 1. 1<200> 1<x 1<.> 1f 2b(/a) 2+A 2. 2<200> 2<a 2<.> 2f");
}

/* A text that looks like a request is none inside a call that began with something else. */
static void a_start_inside_a_lost_call_is_no_start(void **state)
{
	(void)state;
	lost(CHUNK_WRITE, 10);
	piece_size = 10;
	sent("0123456789" POST("/fake", "0"));
	expect_events("");
}

/* ---- gaps ---------------------------------------------------------------------------------- */

static void a_gap_in_a_request_of_known_length_is_skipped(void **state)
{
	uint64_t before = counter_get(COUNTER_STREAM_GAPS);

	(void)state;
	sent(POST("/a", "10") "12");
	lost(CHUNK_WRITE, 6);
	sent("90");
	got(OK("1") "a");
	sent(POST("/b", "1") "B");
	got(OK("1") "b");
	expect_events(" 1b(/a) 1+12 1?6 1+90 1. 1<200> 1<a 1<.> 1f"
		      " 2b(/b) 2+B 2. 2<200> 2<b 2<.> 2f");
	assert_int_equal(counter_get(COUNTER_STREAM_GAPS), before + 1);
}

static void a_cut_call_is_a_gap_at_its_end(void **state)
{
	(void)state;
	sent(POST("/a", "8"));
	feed_chunk(CHUNK_WRITE, SLICE("12"), 5);
	feed_chunk(CHUNK_WRITE, (struct slice){NULL, 0}, 3);
	got(OK("4"));
	feed_chunk(CHUNK_READ, SLICE("a"), 4);
	expect_events(" 1b(/a) 1+12 1?3 1?3 1. 1<200> 1<a 1<?3> 1<.> 1f");
}

static void a_request_that_lost_its_framing_still_gets_its_answer(void **state)
{
	(void)state;
	sent(POST_CHUNKED("/a") "2\r\nab\r\n");
	lost(CHUNK_WRITE, 7);
	sent("0\r\n\r\n");
	got(OK("1") "a");
	sent(POST("/b", "1") "B");
	got(OK("1") "b");
	expect_events(" 1b(/a) 1+ab 1?7 1~ 1<200> 1<a 1<.> 1f"
		      " 2b(/b) 2+B 2. 2<200> 2<b 2<.> 2f");
}

static void a_gap_in_an_answer_marks_it(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK_CHUNKED "9\r\nab");
	lost(CHUNK_READ, 5);
	got("89\r\n0\r\n\r\n");
	sent(POST("/b", "0"));
	got(OK_CHUNKED "2\r\nab\r\n");
	lost(CHUNK_READ, 5);
	got("0\r\n\r\n");
	sent(POST("/c", "0"));
	got(OK("0"));
	expect_events(" 1b(/a) 1. 1<200> 1<ab 1<?5> 1<89 1<.> 1f"
		      " 2b(/b) 2. 2<200> 2<ab 2<?5> 2<~> 2f"
		      " 3b(/c) 3. 3<200> 3<.> 3f");
}

static void an_answer_without_its_head_is_given_up(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	lost(CHUNK_READ, 40);
	got("rest of the answer");
	got(OK("1") "x");
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1b(/a) 1. 1<?0> 1A 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
}

/* The ring was full for a while: ends, starts and whole calls are missing. */
static void calls_are_never_spliced_over_a_loss(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK_CHUNKED "2\r\nab");
	lost(CHUNK_READ, 500);	/* the rest of a, the answer to b */
	lost(CHUNK_WRITE, 300); /* b, c */
	got(OK("1") "c");	/* the answer to c */
	sent(POST("/d", "0"));
	got(OK("1") "d");
	expect_events(" 1b(/a) 1. 1<200> 1<ab 1<?500> 1<~> 1f"
		      " 2b(/d) 2. 2<200> 2<d 2<.> 2f");
}

static void a_lost_answer_is_not_replaced_by_the_next(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	lost(CHUNK_READ, 40);
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1b(/a) 1. 2b(/b) 2. 1<?40> 1A 1f 2<?40> 2A 2f");
	sent(POST("/c", "0"));
	got(OK("1") "c");
	expect_events(" 3b(/c) 3. 3<200> 3<c 3<.> 3f");
}

static void a_request_found_after_a_loss_takes_no_old_answer(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK("9") "old");
	lost(CHUNK_WRITE, 50);
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1b(/a) 1. 1<200> 1<old 1<?0> 1A 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
}

static void a_pipelining_connection_that_lost_its_place_is_left(void **state)
{
	(void)state;
	sent(POST("/a", "0") POST("/b", "0"));
	got(OK("1"));
	lost(CHUNK_READ, 30);
	got(OK("1") "x");
	sent(POST("/c", "0"));
	got(OK("1") "c");
	expect_events(" 1b(/a) 1. 2b(/b) 2. 1<200> 1<?1> 1<.> 1f 2<?30> 2A 2f");
}

static void an_offset_that_goes_back_is_a_lost_place(void **state)
{
	(void)state;
	sent(POST("/a", "5") "12");
	got(OK("5") "ab");
	offsets[0] = offsets[1] = 0;
	got("xyz");
	sent("345");
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1b(/a) 1+12 1<200> 1<ab 1<?0> 1A 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
}

static void broken_bytes_cost_one_call_and_are_counted(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_HTTP1);

	(void)state;
	sent(POST_CHUNKED("/a") "zz\r\n");
	got(OK("1") "a");
	sent(POST("/b", "0"));
	got(OK_CHUNKED "zz\r\n");
	sent(POST("/c", "0"));
	got(OK("1") "c");
	expect_events(" 1b(/a) 1! 1<200> 1<a 1<.> 1f 2b(/b) 2. 2<200> 2<!> 2f"
		      " 3b(/c) 3. 3<200> 3<c 3<.> 3f");
	assert_int_equal(counter_get(COUNTER_DECODE_HTTP1), before + 2);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void may_end(void)
{
	clock_ns += 10;
	id.generation++;
	conn_table_may_end(table, &id, clock_ns);
}

static void a_close_delimited_body_is_complete_at_may_end(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK_CLOSE "all");
	may_end();
	expect_events(" 1b(/a) 1. 1<200> 1<all 1<.> 1f");
}

static void after_may_end_an_open_call_waits_and_is_cut(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK("9") "ab");
	may_end();
	conn_table_tick(table, clock_ns + CONN_MAY_END_NS / 2);
	expect_events(" 1b(/a) 1. 1<200> 1<ab");
	conn_table_tick(table, clock_ns + CONN_MAY_END_NS + 1);
	expect_events(" 1r 1<~> 1f");
	assert_int_equal(conn_table_count(table), 0);
}

static void a_silent_answer_may_have_said_that_it_is_over(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK("9") "ab");
	conn_table_tick(table, clock_ns + CONN_MAY_END_NS / 2);
	expect_events(" 1b(/a) 1. 1<200> 1<ab");
	conn_table_tick(table, clock_ns + 2 * CONN_MAY_END_NS);
	expect_events(" 1r");
	got("cdefghi");
	expect_events(" 1<cdefghi 1<.> 1f");
}

static void bytes_after_may_end_go_on_with_a_mark(void **state)
{
	(void)state;
	sent(POST("/a", "4") "12");
	may_end();
	sent("34");
	got(OK("4") "ab");
	may_end();
	offsets[1] = 0; /* the kernel may count anew */
	got("cd");
	conn_table_tick(table, clock_ns + 2 * CONN_MAY_END_NS);
	expect_events(" 1b(/a) 1+12 1?0 1+34 1. 1<200> 1<ab 1<?0> 1<cd 1<.> 1f");
	assert_int_equal(conn_table_count(table), 1);
}

static void a_reused_pointer_is_a_new_connection(void **state)
{
	for (int restarted = 0; restarted < 2; restarted++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		sent(POST("/a", "9") "12");
		got(OK("9") "ab");
		may_end();
		if (restarted)
			offsets[0] = offsets[1] = 0;
		sent(POST("/b", "1") "B");
		got(OK("1") "b");
		expect_events(" 1b(/a) 1+12 1<200> 1<ab 1~ 1<~> 1f"
			      " 2b(/b) 2+B 2. 2<200> 2<b 2<.> 2f");
	}
}

/* The record of SSL_free may be lost: the generation says the same. */
static void a_new_generation_says_may_end(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	id.generation++;
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1b(/a) 1. 1A 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
	assert_int_equal(conn_table_count(table), 1);
}

/* The gate saw a request start, however small the pieces that the table gets of it. */
static void a_new_opening_ends_the_old_connection(void **state)
{
	(void)state;
	conn_table_open(table, &id, "h", clock_ns);
	sent(POST("/a", "9") "12");
	id.generation++;
	offsets[0] = offsets[1] = 0;
	conn_table_open(table, &id, "h", clock_ns);
	expect_events(" 1b(/a) 1+12 1~ 1A 1f");
	piece_size = 1;
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 2b(/b) 2. 2<200> 2<b 2<.> 2f");
}

static void an_upgraded_pointer_can_come_back(void **state)
{
	(void)state;
	sent("GET /ws HTTP/1.1\r\n\r\n");
	got("HTTP/1.1 101 Switching Protocols\r\n\r\n");
	may_end();
	sent(POST("/a", "0"));
	got(OK("1") "a");
	expect_events(" 1b(/ws) 1. 1<101> 1<.> 1f 2b(/a) 2. 2<200> 2<a 2<.> 2f");
}

static void a_process_takes_its_connections_along(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK_CLOSE "all");
	id.ssl++;
	offsets[0] = offsets[1] = 0;
	sent(POST("/b", "0"));
	id.tgid++;
	offsets[0] = 0;
	sent(POST("/c", "0"));
	conn_table_process_exit(table, the_conn.tgid, clock_ns);
	expect_events(" 1b(/a) 1. 1<200> 1<all 2b(/b) 2. 3b(/c) 3. 1<.> 1f 2A 2f");
	assert_int_equal(conn_table_count(table), 1);
}

static void processes_are_told_apart_by_their_start(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	id.start_boot_ns++;
	offsets[0] = 0;
	sent(POST("/b", "0"));
	assert_int_equal(conn_table_count(table), 2);
	expect_events(" 1b(/a) 1. 2b(/b) 2.");
}

/* ---- bounds -------------------------------------------------------------------------------- */

static void idle_connections_are_evicted(void **state)
{
	uint64_t before = counter_get(COUNTER_CONN_EVICTED_IDLE);

	(void)state;
	sent(POST("/a", "0"));
	got(OK_CLOSE "part");
	conn_table_tick(table, clock_ns + CONN_IDLE_NS);
	assert_int_equal(conn_table_count(table), 1);
	conn_table_tick(table, clock_ns + CONN_IDLE_NS + 100);
	expect_events(" 1b(/a) 1. 1<200> 1<part 1r 1r 1A 1f");
	assert_int_equal(conn_table_count(table), 0);
	assert_int_equal(conn_table_memory(table), 0);
	assert_int_equal(counter_get(COUNTER_CONN_EVICTED_IDLE), before + 1);
}

static void a_full_table_evicts_the_one_used_longest_ago(void **state)
{
	(void)state;
	for (int i = 0; i < CONNS_MAX; i++) {
		id.ssl = 0x1000u + 16u * (unsigned int)i;
		offsets[0] = 0;
		sent("GET");
	}
	id.ssl = 0x1000; /* used again: the second is the oldest now */
	offsets[0] = 3;
	sent(" /first HTTP/1.1\r\n\r\n");
	id.ssl = 0x10;
	offsets[0] = 0;
	sent("GET");
	assert_int_equal(conn_table_count(table), CONNS_MAX);
	expect_events(" 1b(/first) 1.");
	id.ssl = 0x1010;
	offsets[0] = 3;
	sent(" /second HTTP/1.1\r\n\r\n");
	expect_events("");
}

static void the_budget_evicts_who_holds_most(void **state)
{
	uint64_t before = counter_get(COUNTER_CONN_EVICTED_MEMORY);

	(void)state;
	fake_memory = CONN_MEMORY_MAX / 2 + 1;
	sent(POST("/a", "0"));
	id.ssl++;
	offsets[0] = 0;
	fake_memory = CONN_MEMORY_MAX / 4;
	sent(POST("/b", "0"));
	id.ssl++;
	offsets[0] = 0;
	sent(POST("/c", "0"));
	expect_events(" 1b(/a) 1. 2b(/b) 2. 3b(/c) 3. 1A 1f");
	assert_true(conn_table_memory(table) <= CONN_MEMORY_MAX);
	assert_int_equal(counter_get(COUNTER_CONN_EVICTED_MEMORY), before + 1);
}

static void a_host_name_is_told_to_each_call_of_its_connection(void **state)
{
	(void)state;
	conn_table_open(table, &id, "api.openai.com", clock_ns);
	sent(POST("/a", "0"));
	assert_string_equal(last_host, "api.openai.com");
	conn_table_open(table, &id, "", clock_ns);
	sent(POST("/b", "0"));
	assert_string_equal(last_host, "api.openai.com");
	may_end();
	id.generation++;
	conn_table_open(table, &id, "", clock_ns);
	sent(POST("/c", "0"));
	assert_string_equal(last_host, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(any_pieces_give_the_same_calls),
		TEST(pipelined_calls_are_paired_in_order),
		TEST(a_request_belongs_to_the_record_of_its_first_byte),
		TEST(pieces_of_one_call_share_their_record),
		TEST(an_early_answer_ends_the_call),
		TEST(an_upgrade_is_counted_and_ignored),
		TEST(http2_is_counted_and_ignored),
		TEST(too_many_open_requests_end_the_reading),
		TEST(no_memory_costs_the_connection_only),
		TEST(a_connection_joined_late_is_picked_up_at_the_next_request),
		TEST(answers_to_unseen_requests_are_dropped),
		TEST(bytes_not_captured_on_purpose_are_no_loss),
		TEST(a_start_inside_a_lost_call_is_no_start),
		TEST(a_gap_in_a_request_of_known_length_is_skipped),
		TEST(a_cut_call_is_a_gap_at_its_end),
		TEST(a_request_that_lost_its_framing_still_gets_its_answer),
		TEST(a_gap_in_an_answer_marks_it),
		TEST(an_answer_without_its_head_is_given_up),
		TEST(calls_are_never_spliced_over_a_loss),
		TEST(a_lost_answer_is_not_replaced_by_the_next),
		TEST(a_request_found_after_a_loss_takes_no_old_answer),
		TEST(a_pipelining_connection_that_lost_its_place_is_left),
		TEST(an_offset_that_goes_back_is_a_lost_place),
		TEST(broken_bytes_cost_one_call_and_are_counted),
		TEST(a_close_delimited_body_is_complete_at_may_end),
		TEST(after_may_end_an_open_call_waits_and_is_cut),
		TEST(a_silent_answer_may_have_said_that_it_is_over),
		TEST(bytes_after_may_end_go_on_with_a_mark),
		TEST(a_reused_pointer_is_a_new_connection),
		TEST(a_new_generation_says_may_end),
		TEST(a_new_opening_ends_the_old_connection),
		TEST(an_upgraded_pointer_can_come_back),
		TEST(a_process_takes_its_connections_along),
		TEST(processes_are_told_apart_by_their_start),
		TEST(idle_connections_are_evicted),
		TEST(a_full_table_evicts_the_one_used_longest_ago),
		TEST(the_budget_evicts_who_holds_most),
		TEST(a_host_name_is_told_to_each_call_of_its_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
