/* SPDX-License-Identifier: Apache-2.0 */
/* Event streams and what must come out, fed whole, at each split and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/sse/sse.h"

struct recorder {
	size_t len;
	char text[1024];
};

static void put(struct recorder *r, struct slice s)
{
	assert_true(s.len < sizeof(r->text) - r->len);
	memcpy(r->text + r->len, s.ptr, s.len);
	r->len += s.len;
}

static void on_begin(void *user, struct slice name)
{
	put(user, SLICE("<"));
	put(user, name);
	put(user, SLICE("|"));
}

static void on_data(void *user, struct slice piece)
{
	assert_true(piece.len > 0);
	put(user, piece);
}

static void on_end(void *user)
{
	put(user, SLICE(">"));
}

static const struct sse_ops ops = {.begin = on_begin, .data = on_data, .end = on_end};

static const struct {
	const char *in;
	const char *events;
} examples[] = {
	{"data: a\n\n", "<|a>"},
	{"data:a\n\ndata:  b\n\n", "<|a><| b>"},
	{"data: a\r\n\r\ndata: b\r\rdata: c\n\n", "<|a><|b><|c>"},
	{"\xef\xbb\xbf"
	 "data: a\n\n",
	 "<|a>"},
	{"\xef\xbb"
	 "data: a\n\ndata: b\n\n",
	 "<|b>"},
	{"data: a\n\n\xef\xbb\xbf"
	 "data: b\n\n",
	 "<|a>"},
	{"event: ping\ndata: {}\n\ndata: x\n\n", "<ping|{}><|x>"},
	{"event:ping\nevent: pong\ndata: {}\n\n", "<pong|{}>"},
	{"event\ndata: {}\n\n", "<|{}>"},
	{"event: lost\n\ndata: x\n\n", "<|x>"},
	{"data: x\nevent: late\n\ndata: y\n\n", "<|x><|y>"},
	{": comment\n:\ndata: a\n: more\ndata: b\n\n", "<|a\nb>"},
	{"data: a\ndata:\ndata: b\n\n", "<|a\n\nb>"},
	{"data\n\n", "<|>"},
	{"data:\n\n", "<|>"},
	{"data\ndata\n\n", "<|\n>"},
	{"id: 1\nretry: 10\nDATA: x\ndata2: y\ndat: z\ndatadatadata: q\n\n", ""},
	{"id: 1\ndata: a: b\n\n", "<|a: b>"},
	{"data: [DONE]\n\n", "<|[DONE]>"},
	{"data: no blank line\n", "<|no blank line>"},
	{"data: no line end", "<|no line end>"},
	{"data", "<|>"},
	{"event: x", ""},
	{"\n\n\n\r\n", ""},
	{"", ""},
};

static void check(size_t example, size_t first, size_t piece)
{
	struct recorder r = {0};
	struct slice in = slice_of(examples[example].in);
	struct sse s;

	sse_init(&s, &ops, &r);
	while (in.len) {
		size_t n = first < in.len ? first : in.len;

		sse_feed(&s, (struct slice){in.ptr, n});
		in.ptr += n;
		in.len -= n;
		first = piece;
	}
	sse_eof(&s);
	r.text[r.len] = '\0';
	assert_string_equal(r.text, examples[example].events);
}

static void any_split_gives_the_same_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		size_t len = strlen(examples[i].in);

		for (size_t at = 1; at <= len; at++)
			check(i, at, len);
		for (size_t piece = 1; piece < 4; piece++)
			check(i, piece, piece);
	}
}

static void long_names_are_cut(void **state)
{
	struct recorder r = {0};
	struct sse s;

	(void)state;
	sse_init(&s, &ops, &r);
	sse_feed(&s, SLICE("event: "));
	for (size_t i = 0; i < 3 * SSE_NAME_MAX; i++)
		sse_feed(&s, SLICE("n"));
	sse_feed(&s, SLICE("\ndata: x\n\n"));
	assert_int_equal(r.len, 1 + SSE_NAME_MAX + 3);
}

/* An event is out as soon as its blank line is in, not when the next one begins. */
static void events_come_out_at_once(void **state)
{
	struct recorder r = {0};
	struct sse s;

	(void)state;
	sse_init(&s, &ops, &r);
	sse_feed(&s, SLICE("data: a\r\n\r"));
	assert_memory_equal(r.text, "<|a>", 4);
	sse_feed(&s, SLICE("\ndata: b\n"));
	assert_int_equal(r.len, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split_gives_the_same_events),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(events_come_out_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
