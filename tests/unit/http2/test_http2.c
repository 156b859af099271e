/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations as lists of calls, each with its direction; every one is fed whole, at each split
 * of each call, and byte by byte, and must tell the same. What is told:
 *   1>[POST /a|host=h] client's head of stream 1, 1<[200] the server's, 1>+text body, 1>?3 gap,
 *   1>. end (. complete, /cut, /unseen), !place !block !full !memory troubles, ~ a cut head.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/http2/http2.h"
#include "tests/replay/http2_wire.h"

struct recorder {
	char piece[32]; /* of the stream whose body is being told */
	size_t starts;
	size_t len;
	char text[65536];
};

static void put(struct recorder *r, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(r->text + r->len, sizeof(r->text) - r->len, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(r->text) - r->len);
	r->len += (size_t)n;
}

static void put_event(struct recorder *r, const struct http2_stream *s, enum http2_side side)
{
	r->piece[0] = '\0';
	put(r, " %u%c", s->id, side == HTTP2_CLIENT ? '>' : '<');
}

static void on_start(void *user)
{
	((struct recorder *)user)->starts++;
}

static void on_head(void *user, struct http2_stream *s, enum http2_side side,
		    const struct http_head *head)
{
	struct recorder *r = user;

	put_event(r, s, side);
	if (side == HTTP2_CLIENT)
		put(r, "[%.*s %.*s", SLICE_FMT(head->method), SLICE_FMT(head->target));
	else
		put(r, "[%d", head->status);
	for (size_t i = 0; i < head->count && i < 4; i++)
		put(r, "|%.*s=%.*s", SLICE_FMT(head->fields[i].name),
		    SLICE_FMT(head->fields[i].value));
	put(r, "]%s", head->cut ? "~" : "");
}

static void on_trailers(void *user, struct http2_stream *s, const struct http_head *fields)
{
	struct recorder *r = user;

	put_event(r, s, HTTP2_SERVER);
	put(r, "{");
	for (size_t i = 0; i < fields->count && i < 4; i++)
		put(r, "%s%.*s=%.*s", i ? "|" : "", SLICE_FMT(fields->fields[i].name),
		    SLICE_FMT(fields->fields[i].value));
	put(r, "}%s", fields->cut ? "~" : "");
}

static void on_body(void *user, struct http2_stream *s, enum http2_side side, struct slice bytes)
{
	struct recorder *r = user;
	char piece[32];

	snprintf(piece, sizeof(piece), "%u%d", s->id, side);
	if (strcmp(piece, r->piece) != 0) {
		put_event(r, s, side);
		put(r, "+");
	}
	memcpy(r->piece, piece, sizeof(piece));
	put(r, "%.*s", SLICE_FMT(bytes));
}

static void on_gap(void *user, struct http2_stream *s, enum http2_side side, uint64_t n)
{
	put_event(user, s, side);
	put(user, "?%llu", (unsigned long long)n);
}

static void on_end(void *user, struct http2_stream *s, enum http2_side side, enum message_end how)
{
	static const char *const names[] = {
		[MESSAGE_COMPLETE] = ".", [MESSAGE_CUT] = "/cut", [MESSAGE_UNSEEN] = "/unseen"};

	put_event(user, s, side);
	put(user, "%s", names[how]);
}

static void on_trouble(void *user, enum http2_trouble what)
{
	static const char *const names[] = {" !place", " !block", " !full", " !memory"};
	struct recorder *r = user;

	r->piece[0] = '\0';
	put(r, "%s", names[what]);
}

static const struct http2_ops ops = {
	.start = on_start,
	.head = on_head,
	.body = on_body,
	.trailers = on_trailers,
	.gap = on_gap,
	.end = on_end,
	.trouble = on_trouble,
};

/* ---- conversations --------------------------------------------------------------------------- */

struct call {
	enum http2_side side;
	size_t from, len; /* in what that side writes */
	uint64_t gap;	  /* bytes lost instead */
};

static struct h2_writer side[2];
static size_t done[2]; /* of what each wrote, by calls so far */
static struct call calls[128];
static size_t call_count;
static bool late;

static int setup(void **state)
{
	(void)state;
	h2_writer_init(&side[0]);
	h2_writer_init(&side[1]);
	call_count = done[0] = done[1] = 0;
	late = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	h2_writer_free(&side[0]);
	h2_writer_free(&side[1]);
	return 0;
}

/* What the side wrote since its last call, moved in one: all of it, or len bytes. */
static void moves_some(enum http2_side who, size_t len)
{
	assert_true(call_count < ARRAY_LEN(calls) && len <= side[who].out.len - done[who]);
	calls[call_count++] = (struct call){.side = who, .from = done[who], .len = len};
	done[who] += len;
}

static void moves(enum http2_side who)
{
	moves_some(who, side[who].out.len - done[who]);
}

/* len bytes of what the side wrote were not seen. */
static void misses(enum http2_side who, size_t len)
{
	assert_true(len <= side[who].out.len - done[who]);
	calls[call_count++] = (struct call){.side = who, .gap = len};
	done[who] += len;
}

static void misses_all(enum http2_side who)
{
	done[who] = side[who].out.len;
}

static void head_fields(enum http2_side who, uint32_t id, int flags, size_t most, const char *first,
			...)
{
	nghttp2_nv fields[H2_FIELDS_MAX];
	size_t count = 0;
	va_list args;

	va_start(args, first);
	for (const char *name = first; name; name = va_arg(args, const char *))
		fields[count++] = h2_nv(slice_of(name), slice_of(va_arg(args, const char *)));
	va_end(args);
	h2_head(&side[who], id, fields, count, flags, most);
}

static void request_head(uint32_t id, const char *path, int flags)
{
	head_fields(HTTP2_CLIENT, id, flags, SIZE_MAX, ":method", "POST", ":scheme", "https",
		    ":authority", "h", ":path", path, NULL);
}

static void answer_head(uint32_t id, const char *status, int flags)
{
	head_fields(HTTP2_SERVER, id, flags, SIZE_MAX, ":status", status, NULL);
}

static void preface(void)
{
	bytes_text(&side[HTTP2_CLIENT].out, HTTP2_PREFACE);
	h2_frame(&side[HTTP2_CLIENT], NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\144", 6);
	moves(HTTP2_CLIENT);
	h2_frame(&side[HTTP2_SERVER], NGHTTP2_SETTINGS, 0, 0, "", 0);
	moves(HTTP2_SERVER);
}

/* split_call < 0: every call in pieces of split_at bytes. */
static void play(struct recorder *r, int split_call, size_t split_at)
{
	struct http2 *p = NULL;

	memset(r, 0, offsetof(struct recorder, text));
	r->text[0] = '\0';
	assert_int_equal(http2_new(&p, late, &ops, r), 0);
	for (size_t i = 0; i < call_count; i++) {
		const struct call *c = &calls[i];
		size_t piece = split_call < 0 || split_call == (int)i ? split_at : SIZE_MAX;

		if (c->gap)
			http2_skip(p, c->side, c->gap);
		for (size_t at = 0; at < c->len;) {
			size_t n = c->len - at < piece ? c->len - at : piece;

			http2_feed(p, c->side,
				   (struct slice){side[c->side].out.ptr + c->from + at, n}, !at);
			at += n;
			piece = split_call < 0 ? piece : SIZE_MAX;
		}
	}
	put(r, " #%zu", http2_streams(p));
	http2_end(p, MESSAGE_CUT);
	assert_int_equal(http2_streams(p), 0);
	http2_free(p);
}

static void tells(const char *want)
{
	static struct recorder whole, cut;

	play(&whole, -1, SIZE_MAX);
	assert_string_equal(whole.text, want);
	for (size_t i = 0; i < call_count; i++) {
		for (size_t at = 1; at < calls[i].len && at < 200; at++) {
			play(&cut, (int)i, at);
			assert_string_equal(cut.text, want);
			assert_int_equal(cut.starts, whole.starts);
		}
	}
	play(&cut, -1, 1);
	assert_string_equal(cut.text, want);
}

/* ---- whole connections ----------------------------------------------------------------------- */

static void one_exchange(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", 0);
	h2_data(&side[0], 1, "ask", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	h2_frame(&side[1], NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\1\0", 4);
	h2_frame(&side[1], NGHTTP2_PING, 0, 0, "12345678", 8);
	answer_head(1, "200", 0);
	h2_data(&side[1], 1, "ans", 0);
	h2_data(&side[1], 1, "wer", 0);
	h2_data(&side[1], 1, "", H2_END_STREAM);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 1>+ask 1>. 1<[200] 1<+answer 1<. #0");
}

static void streams_interleave(void **state)
{
	(void)state;
	preface();
	for (uint32_t id = 1; id <= 5; id += 2)
		request_head(id, "/a", id == 3 ? H2_END_STREAM : 0);
	h2_data(&side[0], 5, "five", H2_END_STREAM);
	h2_data(&side[0], 1, "one", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	answer_head(5, "200", 0);
	answer_head(1, "404", H2_END_STREAM);
	h2_data(&side[1], 5, "x", H2_END_STREAM);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 3>[POST /a|host=h] 3>. 5>[POST /a|host=h] 5>+five 5>. 1>+one 1>."
	      " 5<[200] 1<[404] 1<. 5<+x 5<. #1 3</cut");
}

static void many_streams(void **state)
{
	static char want[65536];
	size_t len = 0;

	(void)state;
	preface();
	for (uint32_t i = 0; i < HTTP2_STREAMS_MAX + 1; i++) {
		request_head(2 * i + 1, "/a", H2_END_STREAM);
		len += (size_t)snprintf(want + len, sizeof(want) - len,
					i < HTTP2_STREAMS_MAX ? " %u>[POST /a|host=h] %u>."
							      : " !full",
					2 * i + 1, 2 * i + 1);
	}
	moves(HTTP2_CLIENT);
	for (uint32_t i = 0; i < HTTP2_STREAMS_MAX + 1; i++) {
		answer_head(2 * i + 1, "204", H2_END_STREAM);
		len += (size_t)snprintf(want + len, sizeof(want) - len,
					i < HTTP2_STREAMS_MAX ? " %u<[204] %u<." : "", 2 * i + 1,
					2 * i + 1);
	}
	moves(HTTP2_SERVER);
	snprintf(want + len, sizeof(want) - len, " #0");
	tells(want);
}

static void continuation_padding_priority(void **state)
{
	struct bytes block;
	struct bytes padded = {0};
	nghttp2_nv status = h2_nv(SLICE(":status"), SLICE("200"));

	(void)state;
	preface();
	head_fields(HTTP2_CLIENT, 1, 0, 3, ":method", "POST", ":path", "/long", ":authority", "h",
		    "content-type", "application/json", NULL);
	h2_frame(&side[0], NGHTTP2_DATA, H2_PADDED | H2_END_STREAM, 1, "\3bodyPAD", 8);
	h2_frame(&side[0], NGHTTP2_PRIORITY, 0, 1, "12345", 5);
	h2_frame(&side[0], 16, 0, 0, "priority update", 15);
	moves(HTTP2_CLIENT);
	block = h2_block(&side[1], &status, 1);
	bytes_add(&padded, "\2", 1);
	bytes_add(&padded, "12345", 5);
	bytes_add(&padded, block.ptr, block.len);
	bytes_add(&padded, "\0\0", 2);
	h2_frame(&side[1], NGHTTP2_HEADERS,
		 H2_END_HEADERS | H2_PADDED | H2_WITH_PRIORITY | H2_END_STREAM, 1, padded.ptr,
		 padded.len);
	moves(HTTP2_SERVER);
	bytes_free(&block);
	bytes_free(&padded);
	tells(" 1>[POST /long|host=h|content-type=application/json] 1>+body 1>. 1<[200] 1<. #0");
}

static void interim_heads_and_trailers(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", 0);
	moves(HTTP2_CLIENT);
	answer_head(1, "100", 0);
	moves(HTTP2_SERVER);
	h2_data(&side[0], 1, "x", 0);
	head_fields(HTTP2_CLIENT, 1, H2_END_STREAM, SIZE_MAX, "checksum", "1", NULL);
	moves(HTTP2_CLIENT);
	answer_head(1, "103", 0);
	answer_head(1, "200", 0);
	h2_data(&side[1], 1, "y", 0);
	head_fields(HTTP2_SERVER, 1, H2_END_STREAM, SIZE_MAX, "grpc-status", "0", NULL);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 1<[100] 1>+x 1>. 1<[103] 1<[200] 1<+y 1<{grpc-status=0} 1<. #0");
}

static void resets(void **state)
{
	(void)state;
	preface();
	for (uint32_t id = 1; id <= 7; id += 2)
		request_head(id, "/a", 0);
	moves(HTTP2_CLIENT);
	answer_head(1, "200", 0);
	h2_data(&side[1], 1, "par", 0);
	moves(HTTP2_SERVER);
	h2_frame(&side[0], NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	moves(HTTP2_CLIENT);
	h2_data(&side[1], 1, "late", H2_END_STREAM);
	h2_frame(&side[1], NGHTTP2_RST_STREAM, 0, 3, "\0\0\0\7", 4);
	h2_frame(&side[1], NGHTTP2_GOAWAY, 0, 0, "\0\0\0\5\0\0\0\0bye", 11);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 3>[POST /a|host=h] 5>[POST /a|host=h] 7>[POST /a|host=h]"
	      " 1<[200] 1<+par 1>/cut 1</cut 3>/cut 3</cut 7>/cut 7</cut #1 5>/cut 5</cut");
}

static void early_answer_ends_the_stream(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", 0);
	h2_data(&side[0], 1, "some", 0);
	moves(HTTP2_CLIENT);
	answer_head(1, "413", H2_END_STREAM);
	moves(HTTP2_SERVER);
	h2_data(&side[0], 1, "more", H2_END_STREAM);
	request_head(3, "/b", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	tells(" 1>[POST /a|host=h] 1>+some 1<[413] 1>/cut 1<. 3>[POST /b|host=h] 3>. #1 3</cut");
}

/* The block of a pushed request changes what the next ones mean. */
static void pushes_are_read_and_ignored(void **state)
{
	nghttp2_nv fields[] = {h2_nv(SLICE(":method"), SLICE("GET")),
			       h2_nv(SLICE("x-pushed"), SLICE("yes"))};
	struct bytes payload = {0}, block;

	(void)state;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	block = h2_block(&side[1], fields, 2);
	bytes_add(&payload, "\0\0\0\2", 4);
	bytes_add(&payload, block.ptr, block.len);
	h2_frame(&side[1], NGHTTP2_PUSH_PROMISE, H2_END_HEADERS, 1, payload.ptr, payload.len);
	head_fields(HTTP2_SERVER, 2, 0, SIZE_MAX, ":status", "200", NULL);
	h2_data(&side[1], 2, "pushed", H2_END_STREAM);
	head_fields(HTTP2_SERVER, 1, H2_END_STREAM, SIZE_MAX, ":status", "200", "x-pushed", "yes",
		    NULL);
	moves(HTTP2_SERVER);
	bytes_free(&block);
	bytes_free(&payload);
	tells(" 1>[POST /a|host=h] 1>. 1<[200|x-pushed=yes] 1<. #0");
}

static void extended_connect_is_an_upgrade(void **state)
{
	(void)state;
	preface();
	head_fields(HTTP2_CLIENT, 1, 0, SIZE_MAX, ":method", "CONNECT", ":protocol", "websocket",
		    ":path", "/ws", ":authority", "h", NULL);
	moves(HTTP2_CLIENT);
	tells(" 1>[CONNECT /ws|upgrade=websocket|host=h] #1 1>/cut 1</cut");
}

static void table_sizes_change(void **state)
{
	(void)state;
	preface();
	for (uint32_t id = 1; id <= 9; id += 2) {
		if (id > 1)
			nghttp2_hd_deflate_change_table_size(side[0].deflater, id == 5 ? 0 : 4096);
		head_fields(HTTP2_CLIENT, id, H2_END_STREAM, SIZE_MAX, ":method", "GET", ":path",
			    "/", "x-key", "some value to be kept", NULL);
	}
	moves(HTTP2_CLIENT);
	tells(" 1>[GET /|x-key=some value to be kept] 1>."
	      " 3>[GET /|x-key=some value to be kept] 3>."
	      " 5>[GET /|x-key=some value to be kept] 5>."
	      " 7>[GET /|x-key=some value to be kept] 7>."
	      " 9>[GET /|x-key=some value to be kept] 9>. #5"
	      " 1</cut 3</cut 5</cut 7</cut 9</cut");
}

/* ---- bytes that were not seen ---------------------------------------------------------------- */

static void gap_in_body(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	answer_head(1, "200", 0);
	moves(HTTP2_SERVER);
	h2_data(&side[1], 1, "0123456789", 0);
	moves_some(HTTP2_SERVER, 9 + 3);
	misses(HTTP2_SERVER, 5);
	h2_data(&side[1], 1, "end", H2_END_STREAM);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 1>. 1<[200] 1<+012 1<?5 1<+89end 1<. #0");
}

static void gap_over_frames(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	request_head(3, "/b", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	answer_head(1, "200", 0);
	moves(HTTP2_SERVER);
	h2_data(&side[1], 1, "0123456789", 0);
	moves_some(HTTP2_SERVER, 9 + 3);
	answer_head(3, "200", 0);
	misses(HTTP2_SERVER, side[1].out.len - done[1]);
	h2_data(&side[1], 3, "tail", H2_END_STREAM);
	h2_data(&side[1], 1, "tail", H2_END_STREAM);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 1>. 3>[POST /b|host=h] 3>. 1<[200] 1<+012 1<?7 !place 1<?0 3<?0"
	      " 3<[0]~ 3<?0 3<+tail 3<. 1<+tail 1<. #0");
}

static void gap_in_a_block(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	moves_some(HTTP2_CLIENT, 9 + 2);
	misses(HTTP2_CLIENT, 2);
	request_head(3, "/b", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	answer_head(1, "200", H2_END_STREAM);
	moves(HTTP2_SERVER);
	/* The authority came as an index into what was lost. */
	tells(" !block 1>[ ]~ 1>. 3>[POST /b]~ 3>. 1<[200] 1<. #1 3</cut");
}

/* Mid-frame, a call's first bytes are no frame: it is searched in the next one. */
static void place_is_found_at_a_call(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	answer_head(1, "200", 0);
	h2_data(&side[1], 1, "0123456789", 0);
	misses(HTTP2_SERVER, side[1].out.len - done[1] - 10);
	moves(HTTP2_SERVER);
	h2_data(&side[1], 1, "whole", 0);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 1>. !place 1<?0 1<[0]~ 1<?0 1<+whole #1 1</cut");
}

static void nonsense_is_no_frame(void **state)
{
	(void)state;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	h2_frame(&side[1], NGHTTP2_PING, 0, 0, "short", 5);
	answer_head(1, "200", H2_END_STREAM);
	moves(HTTP2_SERVER);
	tells(" 1>[POST /a|host=h] 1>. !place 1<?0 #1 1</cut");
}

static void an_empty_block_begins_nothing(void **state)
{
	(void)state;
	preface();
	h2_frame(&side[0], NGHTTP2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "", 0);
	request_head(3, "/b", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	tells(" 3>[POST /b|host=h] 3>. #1 3</cut");
}

static void a_block_is_bounded(void **state)
{
	static char junk[16000];

	(void)state;
	preface();
	h2_frame(&side[0], NGHTTP2_HEADERS, H2_END_STREAM, 1, junk, sizeof(junk));
	for (int i = 0; i < 5; i++)
		h2_frame(&side[0], NGHTTP2_CONTINUATION, i == 4 ? H2_END_HEADERS : 0, 1, junk,
			 sizeof(junk));
	request_head(3, "/b", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	tells(" !block 1>[ ]~ 1>. 3>[POST /b|host=h] 3>. #2 1</cut 3</cut");
}

/* ---- joining late ---------------------------------------------------------------------------- */

static void late_to_the_connection(void **state)
{
	(void)state;
	late = true;
	preface();
	request_head(1, "/a", H2_END_STREAM);
	answer_head(1, "200", H2_END_STREAM);
	misses_all(HTTP2_CLIENT);
	misses_all(HTTP2_SERVER);
	call_count = 0;
	head_fields(HTTP2_CLIENT, 3, 0, SIZE_MAX, ":method", "POST", ":authority", "h", ":path",
		    "/b", "x-new", "1", NULL);
	h2_data(&side[0], 3, "ask", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	answer_head(3, "200", 0);
	h2_data(&side[1], 3, "answer", H2_END_STREAM);
	moves(HTTP2_SERVER);
	head_fields(HTTP2_CLIENT, 5, H2_END_STREAM, SIZE_MAX, ":method", "POST", ":authority", "h",
		    ":path", "/c", "x-new", "1", NULL);
	moves(HTTP2_CLIENT);
	tells(" 3>[POST /b|x-new=1]~ 3>+ask 3>. 3<[200] 3<+answer 3<. 5>[POST /c|x-new=1]~ 5>. #1"
	      " 5</cut");
}

static void late_to_a_stream(void **state)
{
	(void)state;
	late = true;
	preface();
	request_head(1, "/a", 0);
	misses_all(HTTP2_CLIENT);
	call_count = 0;
	h2_data(&side[0], 1, "ask", H2_END_STREAM);
	moves(HTTP2_CLIENT);
	misses_all(HTTP2_SERVER);
	answer_head(1, "200", 0);
	h2_data(&side[1], 1, "answer", H2_END_STREAM);
	moves(HTTP2_SERVER);
	tells(" 1>[ ]~ 1>+ask 1>. 1<[200] 1<+answer 1<. #0");
}

static void late_to_an_answer(void **state)
{
	(void)state;
	late = true;
	preface();
	request_head(1, "/a", 0);
	answer_head(1, "200", 0);
	misses_all(HTTP2_CLIENT);
	misses_all(HTTP2_SERVER);
	call_count = 0;
	h2_data(&side[1], 1, "tail", 0);
	moves(HTTP2_SERVER);
	h2_frame(&side[0], NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	moves(HTTP2_CLIENT);
	h2_data(&side[1], 1, "after", H2_END_STREAM); /* of a stream that is over */
	moves(HTTP2_SERVER);
	tells(" 1>[ ]~ 1<[0]~ 1<?0 1<+tail 1>/cut 1</cut #0");
}

/* A table larger than the default, full of entries that were not seen. */
static void late_to_a_large_table(void **state)
{
	char value[32];

	(void)state;
	late = true;
	nghttp2_hd_deflate_del(side[0].deflater);
	assert_int_equal(nghttp2_hd_deflate_new(&side[0].deflater, 65536), 0);
	nghttp2_hd_deflate_change_table_size(side[0].deflater, 65536);
	for (uint32_t i = 0; i < 300; i++) {
		snprintf(value, sizeof(value), "v%u", i);
		head_fields(HTTP2_CLIENT, 2 * i + 1, H2_END_STREAM, SIZE_MAX, ":path", "/", "x-n",
			    value, NULL);
	}
	misses_all(HTTP2_CLIENT);
	call_count = 0;
	head_fields(HTTP2_CLIENT, 701, H2_END_STREAM, SIZE_MAX, ":path", "/", "x-n", "v0", "x-m",
		    "new", NULL);
	head_fields(HTTP2_CLIENT, 703, H2_END_STREAM, SIZE_MAX, ":path", "/", "x-m", "new", NULL);
	moves(HTTP2_CLIENT);
	tells(" 701>[ /|x-m=new]~ 701>. 703>[ /|x-m=new] 703>. #2 701</cut 703</cut");
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void memory_is_told_and_bounded(void **state)
{
	static struct recorder r;
	struct http2 *p = NULL;
	size_t before;

	(void)state;
	late = true;
	request_head(1, "/a", 0);
	assert_int_equal(http2_new(&p, true, &ops, &r), 0);
	before = http2_memory(p);
	http2_feed(p, HTTP2_CLIENT, (struct slice){side[0].out.ptr, side[0].out.len}, true);
	assert_true(http2_memory(p) > before + 20000);
	assert_true(http2_memory(p) < before + 64000);
	http2_free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_exchange),
		TEST(streams_interleave),
		TEST(many_streams),
		TEST(continuation_padding_priority),
		TEST(interim_heads_and_trailers),
		TEST(resets),
		TEST(early_answer_ends_the_stream),
		TEST(pushes_are_read_and_ignored),
		TEST(extended_connect_is_an_upgrade),
		TEST(table_sizes_change),
		TEST(gap_in_body),
		TEST(gap_over_frames),
		TEST(gap_in_a_block),
		TEST(place_is_found_at_a_call),
		TEST(nonsense_is_no_frame),
		TEST(an_empty_block_begins_nothing),
		TEST(a_block_is_bounded),
		TEST(late_to_the_connection),
		TEST(late_to_a_stream),
		TEST(late_to_an_answer),
		TEST(late_to_a_large_table),
		TEST(memory_is_told_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
