/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of gRPC: plain and compressed, in any split; what is no prefix ends the reading, a gap
 * costs the message it lies in, or all that follows when its end is not known.
 */
#include "agent/grpc/grpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

#include <cmocka.h>

static char events[4096];
static size_t events_len;

static void put(const char *text, size_t len)
{
	assert_true(len < sizeof(events) - events_len);
	memcpy(events + events_len, text, len);
	events_len += len;
	events[events_len] = '\0';
}

static void on_begin(void *user)
{
	(void)user;
	put("<", 1);
}

static void on_data(void *user, struct slice piece)
{
	(void)user;
	assert_true(piece.len > 0);
	put(piece.ptr, piece.len);
}

static void on_end(void *user, bool sound)
{
	(void)user;
	put(sound ? ">" : "!>", sound ? 1 : 2);
}

static void on_lost(void *user)
{
	(void)user;
	put("?", 1);
}

static const struct grpc_ops ops = {
	.begin = on_begin, .data = on_data, .end = on_end, .lost = on_lost};

/* Bytes, then n missing ones if `gap` is set, then further bytes. */
struct input {
	struct slice before;
	bool gap;
	uint64_t n;
	struct slice behind;
};

static void feed(struct grpc *g, struct slice bytes, size_t piece)
{
	while (bytes.len) {
		size_t n = bytes.len < piece ? bytes.len : piece;

		grpc_feed(g, (struct slice){bytes.ptr, n});
		bytes.ptr += n;
		bytes.len -= n;
	}
}

static void tells(const struct input *in, const char *expected)
{
	static const size_t pieces[] = {1, 2, 3, 5, 7, SIZE_MAX};

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct grpc g;

		events_len = 0;
		events[0] = '\0';
		grpc_init(&g, &ops, NULL);
		feed(&g, in->before, pieces[i]);
		if (in->gap)
			grpc_gap(&g, in->n);
		feed(&g, in->behind, pieces[i]);
		grpc_free(&g);
		assert_string_equal(events, expected);
	}
}

static void messages_of_any_length(void **state)
{
	static const struct {
		struct slice bytes;
		const char *told;
	} rows[] = {
		{SLICE(""), ""},
		{SLICE("\0\0\0\0"), ""},
		{SLICE("\0\0\0\0\0"), "<>"},
		{SLICE("\0\0\0\0\1a"), "<a>"},
		{SLICE("\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\2de"), "<abc><><de>"},
		{SLICE("\0\0\0\0\3ab"), "<ab"},
		{SLICE("\0\4\0\0\0a"), "<a"}, /* the longest */
		{SLICE("\0\4\0\0\1a"), "?"},
		{SLICE("\0\0\0\0\1a\2\0\0\0\1b"), "<a>?"},
		{SLICE("{\"a\":1}"), "?"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tells(&(struct input){.before = rows[i].bytes}, rows[i].told);
}

/* A message of "aaa...", compressed; its length. */
static size_t compressed(char *out, size_t room, int window_bits, size_t plain)
{
	static char text[512];
	z_stream z = {.next_in = (Bytef *)text,
		      .avail_in = (uInt)plain,
		      .next_out = (Bytef *)out + GRPC_PREFIX,
		      .avail_out = (uInt)(room - GRPC_PREFIX)};
	size_t n;

	memset(text, 'a', sizeof(text));
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = room - GRPC_PREFIX - z.avail_out;
	deflateEnd(&z);
	memcpy(out, (const char[]){1, 0, 0, (char)(n >> 8), (char)n}, GRPC_PREFIX);
	return GRPC_PREFIX + n;
}

static void compressed_messages(void **state)
{
	static const int codings[] = {31, 15}; /* gzip, zlib */
	char bytes[512], expected[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
		size_t n = compressed(bytes, sizeof(bytes), codings[i], 30);

		n += compressed(bytes + n, sizeof(bytes) - n, codings[i], 3);
		memcpy(bytes + n, "\0\0\0\0\1b", 6);
		snprintf(expected, sizeof(expected), "<%.*s><aaa><b>", 30,
			 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		tells(&(struct input){.before = {bytes, n + 6}}, expected);
	}
	/* A broken one costs itself alone. */
	tells(&(struct input){.before = SLICE("\1\0\0\0\4\xff\xff\xff\xff\0\0\0\0\1b")}, "<!><b>");
	tells(&(struct input){.before = SLICE("\1\0\0\0\0\0\0\0\0\1b")}, "<><b>");
}

static void gaps(void **state)
{
	struct slice half = SLICE("\0\0\0\0\6abc"), next = SLICE("\0\0\0\0\1d");

	(void)state;
	tells(&(struct input){half, true, 3, next}, "<abc!><d>");
	tells(&(struct input){half, true, 2, SLICE("f\0\0\0\0\1d")}, "<abc!><d>");
	tells(&(struct input){half, true, 4, next}, "<abc");
	tells(&(struct input){half, true, 0, next}, "<abc");
	tells(&(struct input){SLICE("\0\0"), true, 1, next}, "");
	tells(&(struct input){SLICE(""), true, 6, next}, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_any_length),
		cmocka_unit_test(compressed_messages),
		cmocka_unit_test(gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
