/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random streams of well-formed messages, some then damaged in one byte, are parsed here and by
 * Node's parser (llhttp). Well-formed ones must give the same events; of the damaged ones those
 * that both take must. Skipped where there is no node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/http1/http1.h"

#define STREAMS	   600
#define TEXT_MAX   8192
#define ORACLE_CMD "node tests/unit/http1/oracle.js %s 2>/dev/null"

struct text {
	size_t len;
	char data[TEXT_MAX];
};

struct sample {
	enum http1_kind kind;
	bool damaged;
	struct text in;
	struct text ours;
};

static struct sample samples[STREAMS];
static uint32_t seed = 20240601;

static uint32_t pick(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void put(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->data + t->len, sizeof(t->data) - t->len, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(t->data) - t->len);
	t->len += (size_t)n;
}

/* ---- making streams ------------------------------------------------------------------------ */

static void put_fields(struct text *t)
{
	static const char *const fields[] = {"Host: a.example", "X-Empty:", "accept:*/*  ",
					     "X: y: z", "Date:\tnow"};

	for (uint32_t n = pick(4); n; n--)
		put(t, "%s\r\n", fields[pick(ARRAY_LEN(fields))]);
}

static void put_body(struct text *t, uint32_t len)
{
	while (len--)
		put(t, "%c", (int)('a' + pick(26)));
}

static void put_length_body(struct text *t)
{
	uint32_t len = pick(20);

	put(t, "Content-%s: %u\r\n\r\n", pick(2) ? "Length" : "length", len);
	put_body(t, len);
}

static void put_chunked_body(struct text *t)
{
	put(t, "Transfer-Encoding: chunked\r\n\r\n");
	for (uint32_t chunks = pick(4); chunks; chunks--) {
		uint32_t len = 1 + pick(30);

		put(t, pick(2) ? "%x" : "%04X", len);
		put(t, "%s\r\n", pick(3) ? "" : ";ext=\"v\"");
		put_body(t, len);
		put(t, "\r\n");
	}
	put(t, "0\r\n%s\r\n", pick(3) ? "" : "Trailer-Field: t\r\n");
}

static void put_message(struct text *t, enum http1_kind kind, bool last)
{
	static const char *const requests[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
	static const char *const answers[] = {"200 OK", "404 Not Found", "500 ", "429 Too Many"};

	if (kind == HTTP1_REQUEST)
		put(t, "%s%s /path?%u HTTP/1.1\r\n", pick(5) ? "" : "\r\n",
		    requests[pick(ARRAY_LEN(requests))], pick(100));
	else
		put(t, "%sHTTP/1.1 %s\r\n", pick(6) ? "" : "HTTP/1.1 103 Early Hints\r\n\r\n",
		    answers[pick(ARRAY_LEN(answers))]);
	put_fields(t);
	switch (pick(3)) {
	case 0:
		put_length_body(t);
		break;
	case 1:
		put_chunked_body(t);
		break;
	default: /* no framing: no body in a request, until the end in an answer */
		if (kind == HTTP1_RESPONSE && !last)
			put(t, "Content-Length: 0\r\n");
		put(t, "\r\n");
	}
}

static void make_stream(struct sample *s)
{
	s->kind = pick(2) ? HTTP1_REQUEST : HTTP1_RESPONSE;
	for (uint32_t n = 1 + pick(3); n; n--)
		put_message(&s->in, s->kind, n == 1);
	s->damaged = pick(2);
	if (s->damaged)
		s->in.data[pick((uint32_t)s->in.len)] = "\r\n :0a,;\t\0G"[pick(11)];
}

/* ---- our events, in the oracle's form ------------------------------------------------------ */

static void on_head(void *user, const struct http_head *head, uint64_t at)
{
	struct text *t = user;

	(void)at;
	if (head->status)
		put(t, "(%d ", head->status);
	else
		put(t, "(%.*s %.*s ", SLICE_FMT(head->method), SLICE_FMT(head->target));
	for (size_t i = 0; i < head->count; i++)
		put(t, "%s%.*s=%.*s", i ? "|" : "", SLICE_FMT(head->fields[i].name),
		    SLICE_FMT(head->fields[i].value));
	put(t, ")");
}

static void on_body(void *user, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		put(user, "%02x", (unsigned char)bytes.ptr[i]);
}

static void on_gap(void *user, uint64_t n)
{
	(void)user;
	(void)n;
	fail();
}

static void on_end(void *user, enum message_end how)
{
	put(user, how == MESSAGE_COMPLETE || how == MESSAGE_CLOSED ? "." : "!");
}

static void parse(struct sample *s)
{
	static const struct http1_ops ops = {
		.head = on_head, .body = on_body, .body_gap = on_gap, .end = on_end};
	struct http1 *p;

	assert_int_equal(http1_new(&p, s->kind, &ops, &s->ours), 0);
	if (http1_feed(p, (struct slice){s->in.data, s->in.len}) == HTTP1_BROKEN)
		put(&s->ours, "!");
	http1_eof(p);
	http1_free(p);
}

/* ---- comparing ----------------------------------------------------------------------------- */

static bool accepted(const char *events)
{
	return !strchr(events, '!');
}

static bool write_streams(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return false;
	for (size_t i = 0; i < STREAMS; i++) {
		struct sample *s = &samples[i];

		fputs(s->kind == HTTP1_REQUEST ? "request " : "response ", f);
		for (size_t at = 0; at < s->in.len; at++)
			fprintf(f, "%02x", (unsigned char)s->in.data[at]);
		fputc('\n', f);
	}
	return fclose(f) == 0;
}

static void compare(const struct sample *s, const char *theirs, unsigned int *both)
{
	const char *ours = s->ours.data;

	if (s->damaged && (!accepted(ours) || !accepted(theirs)))
		return;
	if (strcmp(ours, theirs) != 0)
		print_error("stream: %s\n", s->in.data);
	assert_string_equal(ours, theirs);
	++*both;
}

static void llhttp_sees_the_same(void **state)
{
	char path[] = "/tmp/http1-oracle-XXXXXX", command[128], line[2 * TEXT_MAX];
	int fd = mkstemp(path);
	unsigned int both = 0, lines = 0;
	FILE *oracle;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < STREAMS; i++) {
		make_stream(&samples[i]);
		parse(&samples[i]);
	}
	assert_true(write_streams(path));
	snprintf(command, sizeof(command), ORACLE_CMD, path);
	oracle = popen(command, "r");
	assert_non_null(oracle);
	while (lines < STREAMS && fgets(line, sizeof(line), oracle)) {
		line[strcspn(line, "\n")] = '\0';
		compare(&samples[lines++], line, &both);
	}
	pclose(oracle);
	unlink(path);
	if (!lines)
		skip(); /* no node, or one without its parser's binding */
	assert_int_equal(lines, STREAMS);
	print_message("%u streams compared, %u taken by both\n", lines, both);
	assert_true(both > STREAMS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(llhttp_sees_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
