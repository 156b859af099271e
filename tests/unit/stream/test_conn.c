/* SPDX-License-Identifier: Apache-2.0 */
/* The connection table against a fake exchange: HTTP/1.1 and what holds for every connection. */
#include "fake_exchange.h"

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

#define SESSION	 "GET /session HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\n\r\n"

static void a_session_gets_the_bytes_of_both_directions(void **state)
{
	uint64_t before = counter_get(COUNTER_CONN_BLIND_UPGRADE);

	(void)state;
	sent(SESSION);
	got(SWITCHED "one");
	sent("GET /not HTTP/1.1\r\n\r\n");
	got("HTTP/1.1 200");
	lost(CHUNK_READ, 7);
	got("two");
	lost(CHUNK_WRITE, 1);
	sent("three");
	feed_chunk(CHUNK_READ, SLICE("cut"), 8);
	expect_events(" 1b(/session) 1. 1<101> 1r|one 1w|GET /not HTTP/1.1\r\n\r\n"
		      " 1r|HTTP/1.1 200 1r?7 1r|two 1w?1 1w|three 1r|cut 1r?5");
	conn_table_process_exit(table, id.tgid, clock_ns);
	expect_events(" 1A 1f");
	assert_int_equal(counter_get(COUNTER_CONN_BLIND_UPGRADE), before);
}

static void a_session_in_pieces_tells_where_calls_begin(void **state)
{
	(void)state;
	sent(SESSION);
	got(SWITCHED);
	piece_size = 2;
	got("abcd");
	sent("xyz");
	expect_events(" 1b(/session) 1. 1<101> 1r|ab 1rcd 1w|xy 1wz");
}

static void a_blind_session_is_left(void **state)
{
	uint64_t before = counter_get(COUNTER_CONN_BLIND_UPGRADE);

	(void)state;
	sent(SESSION);
	got(SWITCHED);
	got("blind");
	got("more");
	sent("more");
	expect_events(" 1b(/session) 1. 1<101> 1r|blind 1U 1f");
	assert_int_equal(counter_get(COUNTER_CONN_BLIND_UPGRADE), before + 1);
}

static void a_session_lives_longer_than_a_silent_connection(void **state)
{
	(void)state;
	sent(SESSION);
	got(SWITCHED "one");
	conn_table_tick(table, clock_ns + 2 * CONN_IDLE_NS);
	expect_events(" 1b(/session) 1. 1<101> 1r|one 1r");
	assert_int_equal(conn_table_count(table), 1);
	conn_table_tick(table, clock_ns + 2 * CONN_SESSION_IDLE_NS);
	expect_events(" 1r 1U 1f");
	assert_int_equal(conn_table_count(table), 0);
}

/* SSL_clear or SSL_free, and the session goes on, or something new begins in its memory. */
static void bytes_of_a_session_after_its_end(void **state)
{
	(void)state;
	sent(SESSION);
	got(SWITCHED);
	id.generation++;
	got("on");
	offsets[0] = 3;
	sent("back");
	expect_events(" 1b(/session) 1. 1<101> 1r?0 1r|on 1w|back");
	id.generation++;
	offsets[0] = offsets[1] = 0;
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1A 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
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
	expect_events(" 1b(/a) 1+ab 1?7 1? 1<200> 1<a 1<.> 1f"
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
		      " 2b(/b) 2. 2<200> 2<ab 2<?5> 2<?> 2f"
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
	expect_events(" 1b(/a) 1. 1<?0> 1U 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
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
	expect_events(" 1b(/a) 1. 1<200> 1<ab 1<?500> 1<?> 1f"
		      " 2b(/d) 2. 2<200> 2<d 2<.> 2f");
}

static void a_lost_answer_is_not_replaced_by_the_next(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	lost(CHUNK_READ, 40);
	sent(POST("/b", "0"));
	got(OK("1") "b");
	expect_events(" 1b(/a) 1. 2b(/b) 2. 1<?40> 1U 1f 2<?40> 2U 2f");
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
	expect_events(" 1b(/a) 1. 1<200> 1<old 1<?0> 1U 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
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
	expect_events(" 1b(/a) 1. 2b(/b) 2. 1<200> 1<?1> 1<.> 1f 2<?30> 2U 2f");
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
	expect_events(" 1b(/a) 1+12 1<200> 1<ab 1<?0> 1U 1f 2b(/b) 2. 2<200> 2<b 2<.> 2f");
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

/* What another reader left in the ring comes first; the kernel's state was lost or is not ours. */
static void an_opening_in_the_same_generation_begins_anew(void **state)
{
	(void)state;
	sent(POST("/a", "0"));
	got(OK("9") "ab");
	offsets[0] = offsets[1] = 0;
	conn_table_open(table, &id, "h", clock_ns);
	expect_events(" 1b(/a) 1. 1<200> 1<ab 1<~> 1f");
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
	expect_events(" 1b(/a) 1. 1<200> 1<part 1r 1r 1U 1f");
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

/* A program with a connection on which nothing happens keeps it, whatever another one opens. */
static void a_full_table_evicts_of_who_has_most(void **state)
{
	(void)state;
	id.ssl = 0x10;
	sent("GET");
	id.tgid++;
	for (int i = 0; i < CONNS_MAX + 100; i++) {
		id.ssl = 0x1000u + 16u * (unsigned int)i;
		offsets[0] = 0;
		sent("GET");
	}
	assert_int_equal(conn_table_count(table), CONNS_MAX);
	id.tgid--;
	id.ssl = 0x10;
	offsets[0] = 3;
	sent(" /first HTTP/1.1\r\n\r\n");
	expect_events(" 1b(/first) 1.");
}

static void the_budget_spares_who_holds_little(void **state)
{
	(void)state;
	fake_memory = CONN_MEMORY_MAX / 4;
	sent(POST("/a", "0"));
	fake_memory = CONN_MEMORY_MAX / 8;
	id.tgid++;
	for (int i = 0; i < 7; i++) {
		id.ssl++;
		offsets[0] = 0;
		sent(POST("/b", "0"));
	}
	expect_events(" 1b(/a) 1. 2b(/b) 2. 3b(/b) 3. 4b(/b) 4. 5b(/b) 5. 6b(/b) 6. 7b(/b) 7. "
		      "2U 2f 8b(/b) 8. 3U 3f");
	assert_true(conn_table_memory(table) <= CONN_MEMORY_MAX);
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
	expect_events(" 1b(/a) 1. 2b(/b) 2. 3b(/c) 3. 1U 1f");
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
		TEST(a_session_gets_the_bytes_of_both_directions),
		TEST(a_session_in_pieces_tells_where_calls_begin),
		TEST(a_blind_session_is_left),
		TEST(a_session_lives_longer_than_a_silent_connection),
		TEST(bytes_of_a_session_after_its_end),
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
		TEST(an_opening_in_the_same_generation_begins_anew),
		TEST(an_upgraded_pointer_can_come_back),
		TEST(a_process_takes_its_connections_along),
		TEST(processes_are_told_apart_by_their_start),
		TEST(idle_connections_are_evicted),
		TEST(a_full_table_evicts_the_one_used_longest_ago),
		TEST(a_full_table_evicts_of_who_has_most),
		TEST(the_budget_spares_who_holds_little),
		TEST(the_budget_evicts_who_holds_most),
		TEST(a_host_name_is_told_to_each_call_of_its_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
