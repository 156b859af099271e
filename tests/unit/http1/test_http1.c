/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of good and bad messages; every one is fed whole, at each split, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/http1/head.h"

struct recorder {
	struct http1 *p;
	enum http1_expect expect;
	bool body_open; /* the last event was a piece of body: the next one joins it */
	size_t len;
	char text[16384];
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

static void on_head(void *user, const struct http_head *head, uint64_t at)
{
	struct recorder *r = user;

	r->body_open = false;
	if (head->status)
		put(r, "[%d @%llu", head->status, (unsigned long long)at);
	else
		put(r, "[%.*s %.*s @%llu", SLICE_FMT(head->method), SLICE_FMT(head->target),
		    (unsigned long long)at);
	for (size_t i = 0; i < head->count && i < 4; i++)
		put(r, "|%.*s=%.*s", SLICE_FMT(head->fields[i].name),
		    SLICE_FMT(head->fields[i].value));
	put(r, "]");
	http1_expect(r->p, r->expect);
}

static void on_body(void *user, struct slice bytes)
{
	struct recorder *r = user;

	assert_true(bytes.len > 0);
	put(r, r->body_open ? "%.*s" : "+%.*s", SLICE_FMT(bytes));
	r->body_open = true;
}

static void on_gap(void *user, uint64_t n)
{
	struct recorder *r = user;

	r->body_open = false;
	put(r, "?%llu", (unsigned long long)n);
}

static void on_end(void *user, enum message_end how)
{
	static const char *const names[] = {[MESSAGE_COMPLETE] = ".",
					    [MESSAGE_CLOSED] = "/closed",
					    [MESSAGE_CUT] = "/cut",
					    [MESSAGE_UNSEEN] = "/unseen",
					    [MESSAGE_BROKEN] = "/broken"};
	struct recorder *r = user;

	r->body_open = false;
	put(r, "%s", names[how]);
}

static const struct http1_ops ops = {
	.head = on_head, .body = on_body, .body_gap = on_gap, .end = on_end};

struct example {
	enum http1_kind kind;
	const char *in;
	const char *events; /* "!" at the end: broken; "^": upgraded */
	enum http1_expect expect;
};

#define REQ HTTP1_REQUEST
#define RES HTTP1_RESPONSE

static const struct example examples[] = {
	/* lengths */
	{REQ, "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz",
	 "[POST /a @0|Content-Length=3]+xyz.", 0},
	{REQ, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "[GET / @0|Host=h].", 0},
	{REQ, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.0\r\n\r\n", "[GET /a @0].[GET /b @19].", 0},
	{REQ, "\r\n\nGET /a HTTP/1.1\nX:y\n\n", "[GET /a @3|X=y].", 0},
	{REQ, "POST / HTTP/1.1\r\ncontent-length: 2, 2\r\nContent-Length:2\r\n\r\nok",
	 "[POST / @0|content-length=2, 2|Content-Length=2]+ok.", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "[POST / @0|Content-Length=0].", 0},
	{RES,
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 204 No\r\n\r\nHTTP/1.1 304\r\n"
	 "Content-Length: 9\r\n\r\nHTTP/1.0 500 \r\ncontent-length:1\r\n\r\nx",
	 "[200 @0|Content-Length=2]+hi.[204 @40].[304 @59|Content-Length=9]."
	 "[500 @94|content-length=1]+x.",
	 0},
	{RES, "HTTP/1.1 200 OK\r\n\r\nall of it", "[200 @0]+all of it/closed", 0},
	{RES, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
	 "[200 @0|Content-Length=9]+cut/cut", 0},
	{RES,
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	 "[200 @0|Content-Length=5].[200 @38|Content-Length=0].", HTTP1_EXPECT_HEAD},
	/* chunks */
	{RES,
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
	 "chunked\r\n\r\n3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n"
	 "0\r\nTrailer: t\r\nU: v\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
	 "[200 @0|Transfer-Encoding=chunked]+abc0123456789.[204 @100].", 0},
	{RES, "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n3 \nabc\n0\n\n",
	 "[200 @0|Transfer-Encoding=Chunked]+abc.", 0},
	{REQ,
	 "POST / HTTP/1.1\r\nContent-Length: 400\r\nTransfer-Encoding: gzip, "
	 "chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
	 "[POST / @0|Content-Length=400|Transfer-Encoding=gzip, chunked]+z.", 0},
	{RES, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nraw",
	 "[200 @0|Transfer-Encoding=gzip]+raw/closed", 0},
	{RES, "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,\r\nContent-Length: 1\r\n\r\nab",
	 "[200 @0|Transfer-Encoding=,|Content-Length=1]+a.!", 0},
	{RES, "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	 "[200 @0|Transfer-Encoding=chunked].", 0},
	{RES, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	 "[200 @0|Transfer-Encoding=chunked]+ab/cut", 0},
	/* interim answers, upgrades, tunnels */
	{RES,
	 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 "
	 "OK\r\nContent-Length: 1\r\n\r\ny",
	 "[100 @0][103 @25|Link=x][200 @56|Content-Length=1]+y.", 0},
	{RES, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
	 "[101 @0|Upgrade=websocket]^", 0},
	{RES, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x16\x03\x01",
	 "[200 @0|Content-Length=3]^", HTTP1_EXPECT_CONNECT},
	{RES, "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", "[407 @0|Content-Length=2]+no.",
	 HTTP1_EXPECT_CONNECT},
	/* fields */
	{RES, "HTTP/1.1 204 N\r\nX: a\r\n\tb \r\n  c\r\nY:\r\nZ:  \x80z \r\n\r\n",
	 "[204 @0|X=a\tb   c|Y=|Z=\x80z].", 0},
	/* broken */
	{REQ, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!", 0},
	{REQ, "\x16\x03\x01\x02", "!", 0},
	{REQ, "get / HTTP/1.1\r\n\r\n", "!", 0},
	{REQ, "GET  / HTTP/1.1\r\n\r\n", "!", 0},
	{REQ, "GET / x HTTP/1.1\r\n\r\n", "!", 0},
	{REQ, "GET / HTTP/2.0\r\n\r\n", "!", 0},
	{REQ, "GET /\r\n\r\n", "!", 0},
	{REQ, "GET / HTTP/1.1\r\n X: y\r\n\r\n", "!", 0},
	{REQ, "GET / HTTP/1.1\r\nX : y\r\n\r\n", "!", 0},
	{REQ, "GET / HTTP/1.1\r\nno colon\r\n\r\n", "!", 0},
	{REQ, "GET / HTTP/1.1\r\n: v\r\n\r\n", "!", 0},
	{REQ, "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: 3, 4\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: 3\r\n 4\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length: 1844674407370955161\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nContent-Length:\r\n\r\nabc", "!", 0},
	{REQ, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "!", 0},
	{REQ,
	 "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
	 "chunked\r\n\r\n0\r\n\r\n",
	 "!", 0},
	{REQ, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc",
	 "[POST / @0|Transfer-Encoding=gzip]/broken!", 0},
	{RES, "HTTP/1.1 20 OK\r\n\r\n", "!", 0},
	{RES, "HTTP/1.1 2000 OK\r\n\r\n", "!", 0},
	{RES, "HTTP/1.1 099 OK\r\n\r\n", "!", 0},
	{RES, "HTTP 200 OK\r\n\r\n", "!", 0},
	{RES, "HTTP/1.1 204 N\r\n\r\n{\"id\":1}", "[204 @0].!", 0},
#define CHUNKED	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD "[200 @0|Transfer-Encoding=chunked]"
	{RES, CHUNKED "\r\n", CHUNKED_HEAD "/broken!", 0},
	{RES, CHUNKED "-1\r\n", CHUNKED_HEAD "/broken!", 0},
	{RES, CHUNKED "0x1\r\na\r\n", CHUNKED_HEAD "/broken!", 0},
	{RES, CHUNKED "1\r\nab\r\n", CHUNKED_HEAD "+a/broken!", 0},
	{RES, CHUNKED "1;a\rb\r\nab\r\n", CHUNKED_HEAD "/broken!", 0},
	{RES, CHUNKED "1000000000000000\r\n", CHUNKED_HEAD "/broken!", 0},
};

static struct recorder *recorder_new(const struct example *e)
{
	struct recorder *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->expect = e->expect;
	assert_int_equal(http1_new(&r->p, e->kind, &ops, r), 0);
	return r;
}

static void recorder_free(struct recorder *r)
{
	http1_free(r->p);
	free(r);
}

/* Pieces of `piece` bytes, the first of `first`. */
static void feed_pieces(struct recorder *r, struct slice in, size_t first, size_t piece)
{
	enum http1_result result = HTTP1_OK;

	while (in.len) {
		size_t n = first < in.len ? first : in.len;

		result = http1_feed(r->p, (struct slice){in.ptr, n});
		in.ptr += n;
		in.len -= n;
		first = piece;
	}
	http1_eof(r->p);
	put(r, "%s", result == HTTP1_BROKEN ? "!" : result == HTTP1_UPGRADED ? "^" : "");
	assert_int_equal(result == HTTP1_BROKEN, http1_reason(r->p) != HTTP1_FINE);
}

static void check(const struct example *e, size_t first, size_t piece)
{
	struct recorder *r = recorder_new(e);

	feed_pieces(r, slice_of(e->in), first, piece);
	if (strcmp(r->text, e->events) != 0)
		print_error("input: %s\nfirst %zu piece %zu\n", e->in, first, piece);
	assert_string_equal(r->text, e->events);
	recorder_free(r);
}

static void any_split_gives_the_same_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		size_t len = strlen(examples[i].in);

		for (size_t at = 1; at <= len; at++)
			check(&examples[i], at, len);
		for (size_t piece = 1; piece < 5; piece++)
			check(&examples[i], piece, piece);
	}
}

static void feed(struct recorder *r, const char *text, enum http1_result expected)
{
	assert_int_equal(http1_feed(r->p, slice_of(text)), expected);
}

static void gaps_are_skipped_where_length_is_known(void **state)
{
	struct recorder *r = recorder_new(&(struct example){.kind = RES});

	(void)state;
	feed(r, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab", HTTP1_OK);
	assert_int_equal(http1_skip(r->p, 3), HTTP1_OK);
	feed(r, "fHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na", HTTP1_OK);
	assert_int_equal(http1_skip(r->p, 3), HTTP1_OK);
	feed(r, "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", HTTP1_OK);
	assert_int_equal(http1_skip(r->p, 1000), HTTP1_OK);
	assert_true(http1_until_close(r->p));
	http1_eof(r->p);
	assert_string_equal(r->text, "[200 @0|Content-Length=6]+ab?3+f."
				     "[200 @44|Transfer-Encoding=chunked]+a?3."
				     "[200 @105]+x?1000/closed");
	recorder_free(r);
}

/* What follows an upgrade, in both directions. */
static void a_tunnel_is_handed_on(void **state)
{
	static const struct http1_ops tunnel_ops = {.head = on_head,
						    .body = on_body,
						    .body_gap = on_gap,
						    .end = on_end,
						    .tunnel = on_body,
						    .tunnel_gap = on_gap};
	struct recorder *r = recorder_new(&(struct example){.kind = RES});

	(void)state;
	for (int request = 0; request < 2; request++) {
		r->len = 0;
		r->body_open = false;
		http1_free(r->p);
		assert_int_equal(
			http1_new(&r->p, request ? HTTP1_REQUEST : HTTP1_RESPONSE, &tunnel_ops, r),
			0);
		feed(r, request ? "GET / HTTP/1.1\r\n\r\n" : "HTTP/1.1 101 S\r\n\r\n",
		     request ? HTTP1_OK : HTTP1_UPGRADED);
		if (request)
			http1_upgrade(r->p);
		feed(r, "GET / HTTP/1.1\r\n", HTTP1_UPGRADED);
		assert_int_equal(http1_skip(r->p, 9), HTTP1_UPGRADED);
		feed(r, "x", HTTP1_UPGRADED);
		http1_eof(r->p);
		assert_string_equal(r->text, request ? "[GET / @0].+GET / HTTP/1.1\r\n?9+x"
						     : "[101 @0]+GET / HTTP/1.1\r\n?9+x");
	}
	recorder_free(r);
}

static void gaps_in_framing_break(void **state)
{
	static const struct {
		const char *before;
		uint64_t gap;
		const char *events;
	} cases[] = {
		{"", 1, ""},
		{"HTTP/1.1 20", 1, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 3, "[200 @0|Content-Length=2]?2."},
		{CHUNKED, 1, CHUNKED_HEAD "?1/unseen"},
		{CHUNKED "2\r\n", 3, CHUNKED_HEAD "?3/unseen"},
		{CHUNKED "2\r\nab\r\n0\r\n", 1, CHUNKED_HEAD "+ab?1/unseen"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct recorder *r = recorder_new(&(struct example){.kind = RES});

		feed(r, cases[i].before, HTTP1_OK);
		assert_int_equal(http1_skip(r->p, cases[i].gap), HTTP1_BROKEN);
		assert_int_equal(http1_reason(r->p), HTTP1_GAP_IN_FRAMING);
		feed(r, "HTTP/1.1 204 N\r\n\r\n", HTTP1_BROKEN);
		http1_eof(r->p);
		assert_string_equal(r->text, cases[i].events);
		http1_reset(r->p, 500);
		feed(r, "HTTP/1.1 204 N\r\n\r\n", HTTP1_OK);
		assert_non_null(strstr(r->text, "[204 @500]."));
		recorder_free(r);
	}
}

/* A head of `fields` fields of `width` bytes, then Content-Length and a body. */
static void long_head(struct recorder *r, size_t fields, size_t width, const char *last_fields)
{
	static char value[HTTP1_HEAD_MAX * 2];

	assert_true(width < sizeof(value));
	memset(value, 'v', width);
	value[width] = '\0';
	feed(r, "POST / HTTP/1.1\r\n", HTTP1_OK);
	for (size_t i = 0; i < fields; i++) {
		feed(r, "X: ", HTTP1_OK);
		feed(r, value, HTTP1_OK);
		feed(r, "\r\n", HTTP1_OK);
		assert_true(http1_memory(r->p) < HTTP1_HEAD_MAX + 1024);
	}
	feed(r, last_fields, HTTP1_OK);
}

struct seen_head {
	size_t count;
	bool cut;
	uint64_t body;
	bool ended;
};

static void note_head(void *user, const struct http_head *head, uint64_t at)
{
	struct seen_head *s = user;

	(void)at;
	s->count = head->count;
	s->cut = head->cut;
}

static void note_body(void *user, struct slice bytes)
{
	((struct seen_head *)user)->body += bytes.len;
}

static void note_end(void *user, enum message_end how)
{
	((struct seen_head *)user)->ended = how == MESSAGE_COMPLETE;
}

static void oversize_heads_keep_their_framing(void **state)
{
	static const struct http1_ops note_ops = {
		.head = note_head, .body = note_body, .body_gap = on_gap, .end = note_end};
	static const struct {
		size_t fields, width, kept;
		bool cut;
	} cases[] = {
		{126, 10, 127, false}, {200, 10, 128, true}, {3, 30000, 3, true},
		{1, 70000, 1, true},   {1, 62000, 2, false}, {100000, 0, 128, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct recorder *r = recorder_new(&(struct example){.kind = REQ});
		struct seen_head seen = {0};

		http1_free(r->p);
		assert_int_equal(http1_new(&r->p, REQ, &note_ops, &seen), 0);
		long_head(r, cases[i].fields, cases[i].width, "Content-Length: 3\r\n\r\nabcGET");
		assert_int_equal(seen.count, cases[i].kept);
		assert_int_equal(seen.cut, cases[i].cut);
		assert_int_equal(seen.body, 3);
		assert_true(seen.ended);
		recorder_free(r);
	}
}

static void overlong_framing_breaks(void **state)
{
	static char zeros[HTTP1_HEAD_MAX + 2];
	static const struct {
		const char *before;
		enum http1_reason reason;
	} cases[] = {
		{"GET /", HTTP1_HEAD_TOO_LONG},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: ", HTTP1_HEAD_TOO_LONG},
		{"GET / HTTP/1.1\r\n", HTTP1_HEAD_TOO_LONG},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", HTTP1_BAD_CHUNK},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", HTTP1_HEAD_TOO_LONG},
	};

	(void)state;
	memset(zeros, '0', sizeof(zeros) - 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct recorder *r = recorder_new(&(struct example){.kind = REQ});

		feed(r, cases[i].before, HTTP1_OK);
		feed(r, zeros, HTTP1_BROKEN);
		assert_int_equal(http1_reason(r->p), cases[i].reason);
		recorder_free(r);
	}
}

/* The caller's room is not cleared before (found by UBSan: a head of HTTP/1 taken for unseen). */
static void a_head_says_all_of_itself(void **state)
{
	const struct slice text = SLICE("HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
	struct http1_head h = {.kind = HTTP1_RESPONSE};
	struct http_head head;
	size_t used;
	(void)state;

	memset(&head, 1, sizeof(head));
	assert_int_equal(head_feed(&h, text, &used), HEAD_COMPLETE);
	assert_int_equal(used, text.len);
	head_get(&h, &head);
	assert_int_equal(head.status, 200);
	assert_int_equal(head.count, 1);
	assert_false(head.cut);
	assert_false(head.unseen);
	assert_null(head.method.ptr);
	assert_null(head.target.ptr);
	head_reset(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split_gives_the_same_events),
		cmocka_unit_test(a_head_says_all_of_itself),
		cmocka_unit_test(a_tunnel_is_handed_on),
		cmocka_unit_test(gaps_are_skipped_where_length_is_known),
		cmocka_unit_test(gaps_in_framing_break),
		cmocka_unit_test(oversize_heads_keep_their_framing),
		cmocka_unit_test(overlong_framing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
