/* SPDX-License-Identifier: Apache-2.0 */
/* The connection table against a fake exchange: connections that speak HTTP/2. */
#include "fake_exchange.h"
#include "tests/replay/http2_wire.h"

static struct h2_writer peer[2]; /* by enum chunk_dir */
static size_t moved[2];

static int setup_peers(void **state)
{
	for (int i = 0; i < 2; i++) {
		h2_writer_init(&peer[i]);
		moved[i] = 0;
	}
	return setup(state);
}

static int teardown_peers(void **state)
{
	h2_writer_free(&peer[0]);
	h2_writer_free(&peer[1]);
	return teardown(state);
}

/* One call with all that this side wrote since its last. */
static void flush(enum chunk_dir dir)
{
	struct slice fresh = {peer[dir].out.ptr + moved[dir], peer[dir].out.len - moved[dir]};

	moved[dir] = peer[dir].out.len;
	move_bytes(dir, fresh);
}

/* What this side wrote since its last call was moved before anybody looked. */
static void miss(enum chunk_dir dir)
{
	moved[dir] = peer[dir].out.len;
}

static void request(uint32_t stream, const char *path, const char *body, int flags)
{
	nghttp2_nv fields[] = {h2_nv(SLICE(":method"), SLICE("POST")),
			       h2_nv(SLICE(":path"), slice_of(path)),
			       h2_nv(SLICE("x-key"), SLICE("value"))};

	h2_head(&peer[CHUNK_WRITE], stream, fields, ARRAY_LEN(fields), 0, SIZE_MAX);
	h2_data(&peer[CHUNK_WRITE], stream, body, flags);
}

static void answer(uint32_t stream, const char *body, int flags)
{
	nghttp2_nv status = h2_nv(SLICE(":status"), SLICE("200"));

	h2_head(&peer[CHUNK_READ], stream, &status, 1, 0, SIZE_MAX);
	h2_data(&peer[CHUNK_READ], stream, body, flags);
}

static void trailers(uint32_t stream)
{
	nghttp2_nv status = h2_nv(SLICE("grpc-status"), SLICE("0"));

	h2_head(&peer[CHUNK_READ], stream, &status, 1, H2_END_STREAM, SIZE_MAX);
}

static void hello(void)
{
	h2_hello(&peer[CHUNK_WRITE], &peer[CHUNK_READ]);
}

/* A connection of its own, moved in pieces of that size. */
static void anew(void **state, size_t piece)
{
	teardown_peers(state);
	assert_int_equal(setup_peers(state), 0);
	piece_size = piece;
	hello();
}

/* A connection begins with this request. */
static void ask_one(void)
{
	hello();
	request(1, "/a", "one", H2_END_STREAM);
	flush(CHUNK_WRITE);
}

/* Extended CONNECT (RFC 8441). */
static void connect_websocket(const char *path)
{
	nghttp2_nv fields[] = {h2_nv(SLICE(":method"), SLICE("CONNECT")),
			       h2_nv(SLICE(":protocol"), SLICE("websocket")),
			       h2_nv(SLICE(":path"), slice_of(path))};

	hello();
	h2_head(&peer[CHUNK_WRITE], 1, fields, ARRAY_LEN(fields), 0, SIZE_MAX);
}

static void streams_are_paired_by_their_ids(void **state)
{
	static const size_t sizes[] = {0, 1, 7};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		anew(state, sizes[i]);
		request(1, "/a", "one", H2_END_STREAM);
		request(3, "/b", "two", H2_END_STREAM);
		flush(CHUNK_WRITE);
		assert_int_equal(last_start.index_in_record, 3);
		assert_int_equal(last_start.entry_ns, clock_ns);
		answer(3, "owt", H2_END_STREAM);
		answer(1, "eno", H2_END_STREAM);
		flush(CHUNK_READ);
		expect_events(" 1b(/a) 1+one 1. 2b(/b) 2+two 2. 2<200> 2<owt 2<.> 2f"
			      " 1<200> 1<eno 1<.> 1f");
		assert_int_equal(conn_table_count(table), 1);
	}
}

static void more_streams_than_a_pipeline_holds(void **state)
{
	(void)state;
	hello();
	for (uint32_t i = 0; i < 100; i++)
		request(2 * i + 1, "/a", "x", H2_END_STREAM);
	flush(CHUNK_WRITE);
	assert_int_equal(live, 100);
	for (uint32_t i = 100; i-- > 0;)
		answer(2 * i + 1, "x", H2_END_STREAM);
	flush(CHUNK_READ);
	assert_int_equal(live, 0);
	assert_int_equal(begun, 100);
}

static void streams_beyond_the_bound_are_counted(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_HTTP2_STREAMS);

	(void)state;
	hello();
	for (uint32_t i = 0; i < HTTP2_STREAMS_MAX + 3; i++)
		request(2 * i + 1, "/a", "x", H2_END_STREAM);
	flush(CHUNK_WRITE);
	assert_int_equal(live, HTTP2_STREAMS_MAX);
	assert_int_equal(counter_get(COUNTER_DECODE_HTTP2_STREAMS), before + 3);
}

static void a_request_begins_with_its_frame(void **state)
{
	uint64_t first_ns;

	(void)state;
	hello();
	flush(CHUNK_WRITE);
	request(1, "/a", "one", H2_END_STREAM);
	move_bytes(CHUNK_WRITE, (struct slice){peer[CHUNK_WRITE].out.ptr + moved[CHUNK_WRITE], 5});
	first_ns = clock_ns;
	moved[CHUNK_WRITE] += 5;
	flush(CHUNK_WRITE);
	assert_int_equal(last_start.entry_ns, first_ns);
	assert_int_not_equal(first_ns, clock_ns);
}

static void resets_end_their_stream_only(void **state)
{
	(void)state;
	hello();
	request(1, "/a", "one", H2_END_STREAM);
	request(3, "/b", "two", H2_END_STREAM);
	flush(CHUNK_WRITE);
	answer(1, "begun", 0);
	flush(CHUNK_READ);
	events_len = 0;
	h2_frame(&peer[CHUNK_WRITE], NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	flush(CHUNK_WRITE);
	h2_frame(&peer[CHUNK_READ], NGHTTP2_RST_STREAM, 0, 3, "\0\0\0\7", 4);
	flush(CHUNK_READ);
	expect_events(" 1<~> 1f 2A 2f");
}

static void a_gap_is_told_to_its_stream(void **state)
{
	(void)state;
	ask_one();
	answer(1, "0123456789", H2_END_STREAM);
	moved[CHUNK_READ] = peer[CHUNK_READ].out.len - 10;
	move_bytes(CHUNK_READ, (struct slice){peer[CHUNK_READ].out.ptr, moved[CHUNK_READ]});
	lost(CHUNK_READ, 4);
	moved[CHUNK_READ] += 4;
	flush(CHUNK_READ);
	expect_events(" 1b(/a) 1+one 1. 1<200> 1<?4> 1<456789 1<.> 1f");
}

static void a_cut_call_is_a_gap(void **state)
{
	(void)state;
	ask_one();
	answer(1, "0123456789", H2_END_STREAM);
	feed_chunk(CHUNK_READ,
		   (struct slice){peer[CHUNK_READ].out.ptr, peer[CHUNK_READ].out.len - 4},
		   (uint32_t)peer[CHUNK_READ].out.len);
	expect_events(" 1b(/a) 1+one 1. 1<200> 1<012345 1<?4> 1<.> 1f");
}

static void late_by_the_shape_of_a_frame(void **state)
{
	static const size_t sizes[] = {0, 1, 8};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		anew(state, sizes[i]);
		request(1, "/a", "one", H2_END_STREAM);
		miss(CHUNK_WRITE);
		answer(1, "eno", H2_END_STREAM);
		miss(CHUNK_READ);
		request(3, "/b", "two", H2_END_STREAM);
		flush(CHUNK_WRITE);
		answer(3, "owt", H2_END_STREAM);
		flush(CHUNK_READ);
		expect_events(" 1b(/b) 1+two 1. 1<200> 1<owt 1<.> 1f");
	}
}

static void late_to_a_request(void **state)
{
	(void)state;
	conn_table_open(table, &id, "api.example", clock_ns);
	hello();
	request(1, "/a", "", 0);
	miss(CHUNK_WRITE);
	miss(CHUNK_READ);
	h2_data(&peer[CHUNK_WRITE], 1, "one", H2_END_STREAM);
	flush(CHUNK_WRITE);
	assert_string_equal(last_host, "api.example");
	answer(1, "eno", H2_END_STREAM);
	flush(CHUNK_READ);
	expect_events(" 1b() 1+one 1. 1<200> 1<eno 1<.> 1f");
}

static void late_to_an_answer(void **state)
{
	(void)state;
	hello();
	request(1, "/a", "", H2_END_STREAM);
	miss(CHUNK_WRITE);
	answer(1, "seen by nobody", 0);
	miss(CHUNK_READ);
	h2_data(&peer[CHUNK_READ], 1, "tail", H2_END_STREAM);
	flush(CHUNK_READ);
	assert_int_equal(last_start.entry_ns, clock_ns);
	expect_events(" 1b() 1<0> 1<?0> 1<tail 1~ 1<.> 1f");
}

/* What only looked like HTTP/2 is left when a request line stands at a call's start. */
static void what_is_none_goes_back_to_http1(void **state)
{
	(void)state;
	move_bytes(CHUNK_WRITE, SLICE("\0\0\4\10\0\0\0\0\0abcd and more of an upload"));
	expect_events("");
	sent("POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nA");
	got("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	expect_events(" 1b(/a) 1+A 1. 1<200> 1<1 1<.> 1f");
}

/* The other way round: a body in an HTTP/1.1 request may look like anything. */
static void a_body_is_no_frame(void **state)
{
	(void)state;
	sent("POST /a HTTP/1.1\r\nContent-Length: 37\r\n\r\n");
	move_bytes(CHUNK_WRITE, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
	move_bytes(CHUNK_WRITE, SLICE("\0\0\4\10\0\0\0\0\0abcd"));
	got("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	assert_int_equal(begun, 1);
	assert_int_equal(live, 0);
	assert_non_null(strstr(events, " 1. 1<200> 1<1 1<.> 1f"));
}

static void a_preface_begins_anew(void **state)
{
	(void)state;
	ask_one();
	h2_writer_free(&peer[CHUNK_WRITE]);
	h2_writer_init(&peer[CHUNK_WRITE]);
	moved[CHUNK_WRITE] = 0;
	hello();
	request(1, "/b", "two", H2_END_STREAM);
	flush(CHUNK_WRITE);
	expect_events(" 1b(/a) 1+one 1. 1U 1f 2b(/b) 2+two 2.");
}

static void a_free_ends_what_is_open(void **state)
{
	(void)state;
	ask_one();
	answer(1, "part", 0);
	flush(CHUNK_READ);
	id.generation++;
	conn_table_may_end(table, &id, clock_ns);
	conn_table_tick(table, clock_ns + 2 * CONN_MAY_END_NS);
	expect_events(" 1b(/a) 1+one 1. 1<200> 1<part 1r 1<~> 1f");
	assert_int_equal(conn_table_count(table), 0);
	assert_int_equal(conn_table_memory(table), 0);
}

static void quiet_answers_may_rest(void **state)
{
	(void)state;
	hello();
	request(1, "/a", "one", H2_END_STREAM);
	request(3, "/b", "tw", 0);
	request(5, "/c", "three", H2_END_STREAM);
	flush(CHUNK_WRITE);
	answer(1, "part", 0);
	answer(3, "part", 0);
	flush(CHUNK_READ);
	events_len = 0;
	conn_table_tick(table, clock_ns + 2 * CONN_MAY_END_NS);
	expect_events(" 1r");
}

static void the_parser_is_charged(void **state)
{
	size_t before;

	(void)state;
	sent("GET / HTTP/1.1\r\n\r\n");
	before = conn_table_memory(table);
	id.ssl++;
	offsets[CHUNK_WRITE] = 0;
	hello();
	miss(CHUNK_WRITE);
	request(1, "/a", "one", 0);
	flush(CHUNK_WRITE);
	assert_true(conn_table_memory(table) > 2 * before + 20000); /* a late HPACK table */
}

static void bytes_after_an_end_are_doubted(void **state)
{
	(void)state;
	ask_one();
	answer(1, "part", 0);
	flush(CHUNK_READ);
	id.generation++;
	h2_data(&peer[CHUNK_READ], 1, "rest", H2_END_STREAM);
	flush(CHUNK_READ);
	expect_events(" 1b(/a) 1+one 1. 1<200> 1<part 1<?0> 1<rest 1<.> 1f");
}

static void upgrades_are_counted(void **state)
{
	uint64_t before = counter_get(COUNTER_CONN_BLIND_UPGRADE);

	(void)state;
	connect_websocket("/ws");
	flush(CHUNK_WRITE);
	answer(1, "no HTTP", 0);
	flush(CHUNK_READ);
	assert_int_equal(counter_get(COUNTER_CONN_BLIND_UPGRADE), before + 1);
}

static void sessions_are_opened_by_a_connect(void **state)
{
	(void)state;
	connect_websocket("/session");
	request(3, "/a", "x", H2_END_STREAM);
	flush(CHUNK_WRITE);
	answer(1, "down", 0);
	flush(CHUNK_READ);
	h2_data(&peer[CHUNK_WRITE], 1, "up", 0);
	flush(CHUNK_WRITE);
	answer(3, "y", H2_END_STREAM);
	h2_data(&peer[CHUNK_READ], 1, "bye", H2_END_STREAM);
	flush(CHUNK_READ);
	expect_events(" 1b(/session) 2b(/a) 2+x 2. 1<101> 1rdown 1wup 2<200> 2<y 2<.> 2f"
		      " 1rbye 1~ 1<.> 1f");
}

static void trailers_come_before_the_end(void **state)
{
	(void)state;
	ask_one();
	answer(1, "two", 0);
	trailers(1);
	flush(CHUNK_READ);
	expect_events(" 1b(/a) 1+one 1. 1<200> 1<two 1<T1> 1<.> 1f");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_peers, teardown_peers)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(streams_are_paired_by_their_ids),
		TEST(trailers_come_before_the_end),
		TEST(more_streams_than_a_pipeline_holds),
		TEST(streams_beyond_the_bound_are_counted),
		TEST(a_request_begins_with_its_frame),
		TEST(resets_end_their_stream_only),
		TEST(a_gap_is_told_to_its_stream),
		TEST(a_cut_call_is_a_gap),
		TEST(late_by_the_shape_of_a_frame),
		TEST(late_to_a_request),
		TEST(late_to_an_answer),
		TEST(what_is_none_goes_back_to_http1),
		TEST(a_body_is_no_frame),
		TEST(a_preface_begins_anew),
		TEST(a_free_ends_what_is_open),
		TEST(quiet_answers_may_rest),
		TEST(the_parser_is_charged),
		TEST(bytes_after_an_end_are_doubted),
		TEST(upgrades_are_counted),
		TEST(sessions_are_opened_by_a_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
