/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS event streams: messages of known bytes; every split the same; sums that do not hold, headers
 * that cannot be read, bytes that are missing or none of ours; chunks of base64.
 */
#include "agent/eventstream/chunk.h"
#include "agent/eventstream/eventstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

#include <cmocka.h>

/* ---- messages built by hand ------------------------------------------------------------------ */

struct stream {
	size_t len;
	char bytes[4096];
};

static void add(struct stream *s, const void *bytes, size_t n)
{
	assert_true(n <= sizeof(s->bytes) - s->len);
	memcpy(s->bytes + s->len, bytes, n);
	s->len += n;
}

static void add_number(struct stream *s, uint32_t n)
{
	const uint8_t bytes[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				 (uint8_t)n};

	add(s, bytes, sizeof(bytes));
}

static void add_header(struct stream *s, const char *name, const char *value)
{
	const uint8_t type_and_length[] = {7, 0, (uint8_t)strlen(value)};
	uint8_t name_length = (uint8_t)strlen(name);

	add(s, &name_length, 1);
	add(s, name, name_length);
	add(s, type_and_length, sizeof(type_and_length));
	add(s, value, strlen(value));
}

static void add_message(struct stream *s, const struct stream *headers, const char *payload)
{
	size_t at = s->len, n = strlen(payload);

	add_number(s, (uint32_t)(16 + headers->len + n));
	add_number(s, (uint32_t)headers->len);
	add_number(s, (uint32_t)crc32(0, (const Bytef *)s->bytes + at, 8));
	add(s, headers->bytes, headers->len);
	add(s, payload, n);
	add_number(s, (uint32_t)crc32(0, (const Bytef *)s->bytes + at, (uInt)(s->len - at)));
}

static void add_event(struct stream *s, const char *type, const char *payload)
{
	struct stream headers = {0};

	add_header(&headers, ":event-type", type);
	add_header(&headers, ":content-type", "application/json");
	add_header(&headers, ":message-type", "event");
	add_message(s, &headers, payload);
}

/* ---- what comes out, as text ------------------------------------------------------------------
 */

struct seen {
	char text[4096];
};

static void say(struct seen *seen, struct slice text)
{
	size_t used = strlen(seen->text);

	assert_true(text.len < sizeof(seen->text) - used);
	memcpy(seen->text + used, text.ptr, text.len);
	seen->text[used + text.len] = '\0';
}

static void on_begin(void *user, const struct eventstream_head *head)
{
	const char *texts[] = {head->message_type, " ", head->event_type, head->exception_type, " ",
			       head->content_type, ":"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		say(user, slice_of(texts[i]));
}

static void on_data(void *user, struct slice piece)
{
	say(user, piece);
}

static void on_end(void *user, bool sound)
{
	say(user, sound ? SLICE(";") : SLICE("?"));
}

static void on_lost(void *user)
{
	say(user, SLICE("!"));
}

static const struct eventstream_ops ops = {
	.begin = on_begin, .data = on_data, .end = on_end, .lost = on_lost};

static void read_stream(struct seen *seen, const struct stream *s, size_t from, size_t piece,
			bool gap)
{
	struct eventstream es;

	seen->text[0] = '\0';
	eventstream_init(&es, &ops, seen);
	if (gap)
		eventstream_gap(&es);
	for (size_t i = from; i < s->len; i += piece)
		eventstream_feed(
			&es, (struct slice){s->bytes + i, s->len - i < piece ? s->len - i : piece});
}

static void expect(const struct stream *s, const char *want)
{
	struct seen seen;

	for (size_t piece = 1; piece <= s->len; piece++) {
		read_stream(&seen, s, 0, piece, false);
		assert_string_equal(seen.text, want);
	}
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void known_bytes(void **state)
{
	static const uint8_t empty[] = {0, 0,	 0,    0x10, 0,	   0,	 0,    0,
					5, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff};
	struct stream s = {0};

	(void)state;
	add(&s, empty, sizeof(empty));
	expect(&s, "  :;");
}

static void messages(void **state)
{
	static const char others[] = "\1a\0\1b\1\1c\2x\1d\3xx\1e\4xxxx\1f\5xxxxxxxx\1g\6\0\2xx"
				     "\1h\x8xxxxxxxx\1i\x9xxxxxxxxxxxxxxxx";
	struct stream s = {0}, headers = {0};
	char longer[80];

	(void)state;
	add_event(&s, "messageStart", "{}");
	add(&headers, others, sizeof(others) - 1);
	add_header(&headers, ":exception-type", "throttlingException");
	add_header(&headers, ":message-type", "exception");
	add_message(&s, &headers, "x");
	headers.len = 0;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	add_header(&headers, ":error-code", longer);
	add_header(&headers, longer, ":event-type");
	add_message(&s, &headers, "");
	longer[EVENTSTREAM_TEXT_MAX - 1] = '\0';
	snprintf(headers.bytes, sizeof(headers.bytes), "%s%s%s %s %s:;",
		 "event messageStart application/json:{};", "exception throttlingException :x;", "",
		 longer, "");
	expect(&s, headers.bytes);
}

/* What is between two sound messages costs no more than itself. */
static void foreign_bytes(void **state)
{
	struct stream s = {0};

	(void)state;
	add_event(&s, "a", "1");
	add(&s, "junk", 4);
	add_event(&s, "b", "2");
	expect(&s, "event a application/json:1;!event b application/json:2;");
}

static void sums(void **state)
{
	struct stream s = {0};
	struct seen seen;

	(void)state;
	add_event(&s, "a", "1");
	s.bytes[s.len - 5] ^= 1; /* the payload */
	add_event(&s, "b", "2");
	expect(&s, "event a application/json:0?event b application/json:2;");
	s.bytes[9] ^= 1; /* the prelude's sum */
	read_stream(&seen, &s, 0, 7, false);
	assert_string_equal(seen.text, "!event b application/json:2;");
}

static void bad_headers(void **state)
{
	static const struct {
		size_t len;
		const char *bytes;
	} rows[] = {
		{1, "\0"},	       /* no name */
		{2, "\1a"},	       /* no type */
		{3, "\1a\xa"},	       /* an unknown type */
		{5, "\1a\7\0\1"},      /* a value that is not there */
		{6, "\1a\4xxx"},       /* half a number */
		{8, "\1a\0\1a\7\0\1"}, /* the second of two */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stream s = {0}, headers = {0};

		add(&headers, rows[i].bytes, rows[i].len);
		add_message(&s, &headers, "text");
		add_event(&s, "b", "2");
		expect(&s, "  :?event b application/json:2;");
	}
}

static void limits(void **state)
{
	static const uint32_t rows[][2] = {
		{15, 0},
		{16, 1},
		{EVENTSTREAM_MESSAGE_MAX + 1, 0},
		{EVENTSTREAM_MESSAGE_MAX, EVENTSTREAM_HEADERS_MAX + 1},
		{UINT32_MAX, UINT32_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stream s = {0};

		add_number(&s, rows[i][0]);
		add_number(&s, rows[i][1]);
		add_number(&s, (uint32_t)crc32(0, (const Bytef *)s.bytes, 8));
		add_event(&s, "b", "2");
		expect(&s, "!event b application/json:2;");
	}
}

/* Wherever reading begins anew, the messages that are whole from there on come out. */
static void gaps(void **state)
{
	struct stream s = {0};
	struct seen seen;
	size_t first, second;

	(void)state;
	add_event(&s, "a", "1");
	first = s.len;
	add_event(&s, "b", "2");
	second = s.len;
	add_event(&s, "c", "3");
	for (size_t from = 0; from <= second; from++) {
		const char *want = "event a application/json:1;event b application/json:2;"
				   "event c application/json:3;";

		want += from > first ? 54 : from ? 27 : 0;
		read_stream(&seen, &s, from, 5, true);
		assert_string_equal(seen.text, want);
	}
}

static void chunks(void **state)
{
	static const struct {
		const char *payload, *want;
		bool sound;
	} rows[] = {
		{"{\"bytes\":\"aGVsbG8=\",\"p\":\"abc\"}", "hello", true},
		{"{\"p\":\"abc\",\"bytes\":\"aGVs\\u0062G8\\u003d\"}", "hello", true},
		{"{\"p\":\"abc\"}", "", true},
		{"{\"in\":{\"bytes\":\"aGVsbG8=\"}}", "", true},
		{"{\"bytes\":\"aGVsbG8\"}", "hello", false},
		{"{\"bytes\":\"aGVs*bG8=\"}", "hel", false},
		{"{\"bytes\":12}", "", false},
		{"{\"bytes\":\"aGVsbG8=\"", "hello", false},
		{"no", "", false},
		{"", "", false},
	};
	struct seen seen;
	struct chunk_reader *r = NULL;

	(void)state;
	assert_int_equal(chunk_reader_new(&r, on_data, &seen), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].payload);

		for (size_t piece = 1; piece <= len + 1; piece++) {
			seen.text[0] = '\0';
			chunk_reader_begin(r);
			for (size_t at = 0; at < len; at += piece)
				chunk_reader_feed(
					r, (struct slice){rows[i].payload + at,
							  len - at < piece ? len - at : piece});
			assert_int_equal(chunk_reader_end(r), rows[i].sound);
			if (rows[i].sound || rows[i].want[0])
				assert_string_equal(seen.text, rows[i].want);
		}
	}
	chunk_reader_free(r);
}

/* A payload of any size passes in constant memory. */
static void large_chunk(void **state)
{
	struct chunk_reader *r = NULL;
	struct seen seen = {0};
	size_t before;

	(void)state;
	assert_int_equal(chunk_reader_new(&r, on_data, &seen), 0);
	before = chunk_reader_memory(r);
	chunk_reader_feed(r, SLICE("{\"bytes\":\""));
	for (int i = 0; i < 1000; i++) {
		seen.text[0] = '\0';
		chunk_reader_feed(r, SLICE("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"));
		assert_int_equal(strlen(seen.text), 24);
	}
	chunk_reader_feed(r, SLICE("\"}"));
	assert_true(chunk_reader_end(r));
	assert_int_equal(chunk_reader_memory(r), before);
	chunk_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes),	 cmocka_unit_test(messages),
		cmocka_unit_test(foreign_bytes), cmocka_unit_test(sums),
		cmocka_unit_test(bad_headers),	 cmocka_unit_test(limits),
		cmocka_unit_test(gaps),		 cmocka_unit_test(chunks),
		cmocka_unit_test(large_chunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
