/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of one direction against a written-down list of events: (text) a message, (text? one that
 * lost something, ?why a loss outside of a message, X a Close frame, !why broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/decode/decode.h"
#include "tests/unit/websocket/frames.h"

static const char *const whys[] = {"fine", "gap", "frame", "deflate", "bomb", "memory"};

struct seen {
	char events[1 << 14];
	size_t len;
	bool open;
	uint64_t bytes;
};

static void put(struct seen *s, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(s->events + s->len, sizeof(s->events) - s->len, fmt, args);
	va_end(args);
	assert_true(n >= 0);
	s->len += (size_t)n;
	if (s->len >= sizeof(s->events))
		s->len = sizeof(s->events) - 1;
}

static void on_begin(void *user)
{
	struct seen *s = user;

	assert_false(s->open);
	s->open = true;
	put(s, "(");
}

static void on_data(void *user, struct slice piece)
{
	struct seen *s = user;

	assert_true(s->open && piece.len);
	s->bytes += piece.len;
	put(s, "%.*s", SLICE_FMT(piece));
}

static void on_end(void *user)
{
	struct seen *s = user;

	assert_true(s->open);
	s->open = false;
	put(s, ")");
}

static void on_lost(void *user, enum ws_reason why)
{
	struct seen *s = user;

	s->open = false;
	put(s, "?%s", whys[why]);
}

static void on_close(void *user)
{
	put(user, "X");
}

static const struct ws_ops ops = {
	.begin = on_begin, .data = on_data, .end = on_end, .lost = on_lost, .close = on_close};

static const struct ws_deflate plain = {false, false}, fresh = {true, false},
			       takeover = {true, true};

/* All of the bytes in pieces; ends the list with "!why" when broken. */
static void run(struct seen *s, enum ws_side side, struct ws_deflate deflate, const char *ptr,
		size_t len, size_t piece)
{
	enum ws_result result = WS_OK;
	struct ws *w;

	memset(s, 0, sizeof(*s));
	assert_int_equal(ws_new(&w, side, deflate, &ops, s), 0);
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		result = ws_feed(w, (struct slice){ptr + at, n});
	}
	if (result == WS_BROKEN)
		put(s, "!%s", whys[ws_reason(w)]);
	assert_true(ws_memory(w) < 64 << 10);
	ws_free(w);
}

static void expect(enum ws_side side, struct ws_deflate deflate, const void *bytes, size_t len,
		   const char *events)
{
	static struct seen s;

	for (size_t piece = 1; piece <= len; piece += piece < 20 ? 1 : len / 3) {
		run(&s, side, deflate, bytes, len, piece);
		assert_string_equal(s.events, events);
	}
}

#define EXPECT(side, deflate, bytes, events) expect(side, deflate, bytes, sizeof(bytes) - 1, events)

/* RFC 6455 5.7 */
static void examples_of_the_standard(void **state)
{
	(void)state;
	EXPECT(WS_SERVER, plain, "\x81\x05\x48\x65\x6c\x6c\x6f", "(Hello)");
	EXPECT(WS_CLIENT, plain, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "(Hello)");
	EXPECT(WS_SERVER, plain, "\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", "(Hello)");
	EXPECT(WS_SERVER, plain, "\x89\x05\x48\x65\x6c\x6c\x6f", "");
	EXPECT(WS_CLIENT, plain, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "");
	EXPECT(WS_SERVER, plain, "\x88\x02\x03\xe8\x81\x01x", "X");
}

/* RFC 7692 7.2.3: a compressed "Hello", and a second one that points at the first */
#define HELLO "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
#define AGAIN "\xc1\x05\xf2\x00\x11\x00\x00"

static void compressed_examples_of_the_standard(void **state)
{
	(void)state;
	EXPECT(WS_SERVER, takeover, HELLO, "(Hello)");
	EXPECT(WS_SERVER, takeover, "\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00", "(Hello)");
	EXPECT(WS_SERVER, takeover, HELLO AGAIN, "(Hello)(Hello)");
	EXPECT(WS_SERVER, fresh, HELLO HELLO, "(Hello)(Hello)");
	/* not compressed at all, in a stored block, in two blocks, in a final block */
	EXPECT(WS_SERVER, takeover, "\x81\x05Hello", "(Hello)");
	EXPECT(WS_SERVER, takeover, "\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
	       "(Hello)");
	EXPECT(WS_SERVER, takeover, "\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
	       "(Hello)");
	EXPECT(WS_SERVER, takeover, "\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00" AGAIN,
	       "(Hello)(Hello)");
	/* a final block with nothing behind it, as some peers end */
	EXPECT(WS_SERVER, takeover, "\xc1\x07\xf3\x48\xcd\xc9\xc9\x07\x00" AGAIN, "(Hello)(Hello)");
	EXPECT(WS_SERVER, takeover, "\xc1\x01\x00\xc1\x00" HELLO, "()()(Hello)");
}

static void what_is_no_frame_breaks(void **state)
{
	(void)state;
	EXPECT(WS_SERVER, plain, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "?frame!frame");
	EXPECT(WS_CLIENT, plain, "\x81\x05Hello", "?frame!frame");
	EXPECT(WS_SERVER, plain, HELLO, "?frame!frame");
	EXPECT(WS_SERVER, takeover, "\xa1\x01x", "?frame!frame");
	EXPECT(WS_SERVER, takeover, "\x91\x01x", "?frame!frame");
	EXPECT(WS_SERVER, plain, "\x83\x01x", "?frame!frame");
	EXPECT(WS_SERVER, plain, "\x8b\x01x", "?frame!frame");
	EXPECT(WS_SERVER, plain, "\x80\x01x", "?frame!frame");
	EXPECT(WS_SERVER, plain, "\x01\x01x\x81\x01y", "(x?frame!frame");
	EXPECT(WS_SERVER, plain, "\x09\x00\x81\x01x", "?frame!frame");
	EXPECT(WS_SERVER, plain, "\x89\x7e\x00\x80", "?frame!frame");
	EXPECT(WS_SERVER, plain, "\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x01x", "?frame!frame");
	EXPECT(WS_SERVER, takeover, "\x01\x01x\xc0\x01y", "(x?frame!frame");
}

static void a_long_form_of_a_short_length_is_read(void **state)
{
	(void)state;
	EXPECT(WS_SERVER, plain, "\x81\x7e\x00\x02hi\x81\x7f\0\0\0\0\0\0\0\x02ho", "(hi)(ho)");
}

static void corrupt_data_cost_what_builds_on_them(void **state)
{
	(void)state;
	EXPECT(WS_SERVER, takeover, "\xc1\x02\xff\xff\x81\x02{}", "?deflate!deflate");
	EXPECT(WS_SERVER, fresh, "\xc1\x02\xff\xff" HELLO, "?deflate(Hello)");
	/* a message that ends within a block */
	EXPECT(WS_SERVER, fresh, "\xc1\x03\xf2\x48\xcd\x81\x02{}", "(He?deflate({})");
}

/* ---- any form of the same messages ----------------------------------------------------------- */

static const struct ws_deflate *const deflates[] = {&plain, &fresh, &takeover};

static void any_form_gives_the_same_messages(void **state)
{
	static const char *const texts[] = {
		"{\"type\":\"a\"}", "", "{\"type\":\"a\",\"more\":\"aaaaaaaaaaaaaaaaaaaaaaaa\"}",
		"{\"type\":\"b\"}"};
	static const size_t pieces[] = {1, 7, SIZE_MAX};
	char events[512] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		snprintf(events + strlen(events), sizeof(events) - strlen(events), "(%s)",
			 texts[i]);
	for (int side = 0; side < WS_SIDES; side++) {
		for (size_t i = 0; i < ARRAY_LEN(deflates) * ARRAY_LEN(pieces); i++) {
			struct frames f;

			frames_init(&f, side, *deflates[i / 3]);
			for (size_t j = 0; j < ARRAY_LEN(texts); j++)
				frames_text(&f, texts[j], strlen(texts[j]), pieces[i % 3]);
			expect(side, *deflates[i / 3], f.ptr, f.len, events);
			frames_free(&f);
		}
	}
}

static void a_large_message_passes_in_little_memory(void **state)
{
	static struct seen s;
	size_t size = 8u << 20;
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('A' + (i * i >> 7) % 26);
	for (size_t i = 0; i < ARRAY_LEN(deflates); i++) {
		struct frames f;

		frames_init(&f, WS_CLIENT, *deflates[i]);
		frames_text(&f, text, size, SIZE_MAX);
		run(&s, WS_CLIENT, *deflates[i], f.ptr, f.len, 16384);
		assert_int_equal(s.bytes, size);
		assert_false(s.open);
		frames_free(&f);
	}
	free(text);
}

static void a_bomb_stops_the_message(void **state)
{
	static struct seen s;
	size_t size = 64u << 20;
	char *zeros = calloc(1, size);

	(void)state;
	assert_non_null(zeros);
	for (size_t i = 1; i < ARRAY_LEN(deflates); i++) {
		struct frames f;

		frames_init(&f, WS_SERVER, *deflates[i]);
		frames_text(&f, zeros, size, SIZE_MAX);
		frames_text(&f, "{}", 2, SIZE_MAX);
		run(&s, WS_SERVER, *deflates[i], f.ptr, f.len, SIZE_MAX);
		assert_true(s.bytes <= DECODE_RATIO_MAX * f.len + DECODE_RATIO_SLACK + 2);
		s.events[s.len] = '\0';
		assert_non_null(
			strstr(s.events, deflates[i]->takeover ? "?bomb!bomb" : "?bomb({})"));
		frames_free(&f);
	}
	free(zeros);
}

/* ---- gaps ------------------------------------------------------------------------------------ */

/* Messages in calls, of which the bytes [from, to) of one stream are not seen. */
static void run_gap(struct seen *s, struct ws_deflate deflate, const struct frames *f,
		    const size_t *starts, size_t count, size_t from, size_t to, size_t piece)
{
	enum ws_result result = WS_OK;
	size_t next = 0;
	struct ws *w;

	memset(s, 0, sizeof(*s));
	assert_int_equal(ws_new(&w, f->masked ? WS_CLIENT : WS_SERVER, deflate, &ops, s), 0);
	for (size_t at = 0, n; at < f->len; at += n) {
		size_t end = f->len;

		while (next < count && starts[next] < at)
			next++;
		if (next < count && at == starts[next]) {
			ws_call_begins(w);
			next++;
		}
		if (next < count)
			end = starts[next];
		if (at < from && from < end)
			end = from;
		if (at == from && to > from) {
			n = to - from;
			result = ws_skip(w, n);
			continue;
		}
		n = end - at < piece ? end - at : piece;
		result = ws_feed(w, (struct slice){f->ptr + at, n});
	}
	if (result == WS_BROKEN)
		put(s, "!%s", whys[ws_reason(w)]);
	ws_free(w);
}

static void expect_gap(enum ws_side side, struct ws_deflate deflate, size_t from_message,
		       size_t from_byte, size_t to_message, size_t to_byte, const char *events)
{
	static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}"};
	size_t starts[ARRAY_LEN(texts)];
	static struct seen s;
	struct frames f;

	frames_init(&f, side, deflate);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		starts[i] = f.len;
		frames_text(&f, texts[i], strlen(texts[i]), SIZE_MAX);
	}
	for (size_t piece = 1; piece < 12; piece++) {
		run_gap(&s, deflate, &f, starts, ARRAY_LEN(starts),
			starts[from_message] + from_byte, starts[to_message] + to_byte, piece);
		assert_string_equal(s.events, events);
	}
	frames_free(&f);
}

/* The nth of them, read whole. */
#define M(n) "({\"n\":" #n "})"

static void a_gap_within_a_payload_costs_its_message(void **state)
{
	(void)state;
	expect_gap(WS_SERVER, plain, 1, 4, 1, 6, M(1) "({\"?gap" M(3) M(4));
	expect_gap(WS_CLIENT, plain, 1, 7, 1, 9, M(1) "({?gap" M(3) M(4));
	/* up to its last byte */
	expect_gap(WS_SERVER, plain, 1, 4, 2, 0, M(1) "({\"?gap" M(3) M(4));
	/* all of it */
	expect_gap(WS_SERVER, plain, 1, 2, 2, 0, M(1) "?gap" M(3) M(4));
	expect_gap(WS_SERVER, fresh, 1, 2, 2, 0, M(1) "?gap" M(3) M(4));
}

static void a_lost_place_is_found_at_a_call(void **state)
{
	(void)state;
	expect_gap(WS_SERVER, plain, 1, 4, 2, 1, M(1) "({\"?gap" M(4));
	expect_gap(WS_SERVER, plain, 1, 0, 1, 1, M(1) "?gap" M(3) M(4));
	expect_gap(WS_SERVER, plain, 1, 0, 3, 0, M(1) "?gap" M(4));
	expect_gap(WS_CLIENT, plain, 1, 3, 2, 0, M(1) "?gap" M(3) M(4));
	expect_gap(WS_SERVER, fresh, 1, 1, 2, 0, M(1) "?gap" M(3) M(4));
	expect_gap(WS_SERVER, fresh, 1, 0, 2, 0, M(1) "?gap" M(3) M(4));
}

static void a_window_that_misses_bytes_ends_the_reading(void **state)
{
	(void)state;
	expect_gap(WS_SERVER, takeover, 1, 2, 1, 3, M(1) "?gap!gap");
	expect_gap(WS_SERVER, takeover, 1, 0, 2, 0, M(1) "?gap!gap");
}

/* What is at a call's start and is no frame, or none that proves a place, does not end the search.
 */
static void a_place_is_tried_until_one_is_right(void **state)
{
	static const char *const wrong[] = {
		"\x81\x85xx",	     "\x81\x01x",     "\x80\x02{}", "{\"text\":\"\"}",
		"\xc1\x02{}",	     "\x89\x01x",     "\x81",	    "\x81\x05",
		"\x81\x7f\xff\x01{", "\x81\x7e\x01{", "\x89\x7e"};
	static struct seen s;
	struct ws *w;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		memset(&s, 0, sizeof(s));
		assert_int_equal(ws_new(&w, WS_SERVER, plain, &ops, &s), 0);
		assert_int_equal(ws_skip(w, 5), WS_OK);
		ws_call_begins(w);
		assert_int_equal(ws_feed(w, slice_of(wrong[i])), WS_OK);
		assert_string_equal(s.events, "?gap");
		assert_int_equal(ws_skip(w, 3), WS_OK);
		ws_call_begins(w);
		assert_int_equal(ws_feed(w, SLICE("\x89\x01x\x81\x02{}\x81\x02xy")), WS_OK);
		assert_string_equal(s.events, "?gap({})(xy)");
		ws_free(w);
	}
}

static void extensions_of_answers(void **state)
{
	static const struct {
		const char *field;
		bool known, on, client, server; /* takeover */
	} rows[] = {
		{"", true, false, false, false},
		{"permessage-deflate", true, true, true, true},
		{"permessage-deflate; server_no_context_takeover", true, true, true, false},
		{"Permessage-Deflate;client_no_context_takeover ; server_max_window_bits=10", true,
		 true, false, true},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
		 "client_max_window_bits=\"15\"",
		 true, true, false, false},
		{"permessage-deflate; mystery=1", false, true, true, true},
		{"permessage-deflate, permessage-deflate", false, true, true, true},
		{"x-webkit-deflate-frame", false, false, false, false},
		{", permessage-deflate ,", true, true, true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ws_deflate got[WS_SIDES];

		assert_int_equal(ws_extensions(slice_of(rows[i].field), got), rows[i].known);
		if (!rows[i].known)
			continue;
		assert_int_equal(got[WS_CLIENT].on, rows[i].on);
		assert_int_equal(got[WS_SERVER].on, rows[i].on);
		assert_int_equal(got[WS_CLIENT].takeover, rows[i].client);
		assert_int_equal(got[WS_SERVER].takeover, rows[i].server);
	}
	assert_true(ws_extensions((struct slice){NULL, 0}, (struct ws_deflate[WS_SIDES]){0}));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(examples_of_the_standard),
		TEST(compressed_examples_of_the_standard),
		TEST(what_is_no_frame_breaks),
		TEST(a_long_form_of_a_short_length_is_read),
		TEST(corrupt_data_cost_what_builds_on_them),
		TEST(any_form_gives_the_same_messages),
		TEST(a_large_message_passes_in_little_memory),
		TEST(a_bomb_stops_the_message),
		TEST(a_gap_within_a_payload_costs_its_message),
		TEST(a_lost_place_is_found_at_a_call),
		TEST(a_window_that_misses_bytes_ends_the_reading),
		TEST(a_place_is_tried_until_one_is_right),
		TEST(extensions_of_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
