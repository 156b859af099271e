/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: bit 0 request or response, bits 1-2 what is expected, bit 3 whether gaps are made.
 * Any split gives the same events; nothing comes after broken; each head has one end; memory stays
 * in bounds. Where llhttp is at hand, what both take without complaint they take alike.
 */
#include "agent/http1/http1.h"
#include "tests/fuzz/fuzz.h"

#ifdef HAVE_LLHTTP
#include <llhttp.h>
#endif

struct run {
	struct http1 *p;
	struct trace trace;
	enum http1_expect expect;
	bool in_head;
	bool open;   /* a head without its end */
	bool silent; /* broken: nothing may come */
	bool whole; /* every message ended as its framing says, and llhttp reads that framing too */
	struct trace messages; /* what another parser has to see too */
};

static void trace_slice(struct trace *t, char kind, struct slice s)
{
	trace_event(t, kind, s.len);
	trace_bytes(t, s.ptr, s.len);
}

/* "Transfer-Encoding: chunked,": RFC 9110 5.6.1 ignores the empty element, llhttp reads another. */
static bool ends_in_comma(struct slice value)
{
	return value.len && value.ptr[value.len - 1] == ',';
}

/* RFC 9112 6.3: no body, whatever the fields say; llhttp believes the fields. */
static bool is_bodiless(int status)
{
	return status / 100 == 1 || status == 204 || status == 304;
}

static bool has_framing(const struct http_head *head)
{
	return http_head_get(head, "transfer-encoding").ptr ||
	       http_head_get(head, "content-length").ptr;
}

static void on_start(void *user, uint64_t at)
{
	struct run *r = user;

	must_hold(!r->silent && !r->open);
	r->in_head = true;
	trace_event(&r->trace, 's', at);
}

static void on_head(void *user, const struct http_head *head, uint64_t at)
{
	struct run *r = user;

	must_hold(!r->silent && !r->open && head->count <= HTTP_FIELDS_MAX);
	must_hold(head->status ? head->status >= 100 && head->status <= 999
			       : head->method.len && head->target.len);
	trace_event(&r->trace, 'h', at);
	trace_event(&r->trace, 'c', (uint64_t)head->status << 8 | head->count);
	for (size_t i = 0; i < head->count; i++) {
		trace_bytes(&r->trace, head->fields[i].name.ptr, head->fields[i].name.len);
		trace_bytes(&r->trace, head->fields[i].value.ptr, head->fields[i].value.len);
	}
	r->in_head = false;
	r->whole &= !head->cut && !(is_bodiless(head->status) && has_framing(head));
	trace_event(&r->messages, 'h', (uint64_t)head->status);
	if (!head->status) {
		trace_slice(&r->messages, 'm', head->method);
		trace_slice(&r->messages, 't', head->target);
	}
	for (size_t i = 0; i < head->count; i++) {
		r->whole &= !ends_in_comma(head->fields[i].value);
		trace_slice(&r->messages, 'n', head->fields[i].name);
		trace_slice(&r->messages, 'v', head->fields[i].value);
	}
	http1_expect(r->p, r->expect);
	r->open = head->status == 0 || head->status >= 200;
	if (r->expect == HTTP1_EXPECT_CONNECT && head->status / 100 == 2)
		r->open = false;
}

static void on_body(void *user, struct slice bytes)
{
	struct run *r = user;

	must_hold(!r->silent && r->open && bytes.len);
	trace_bytes(&r->trace, bytes.ptr, bytes.len);
	trace_bytes(&r->messages, bytes.ptr, bytes.len);
}

static void on_gap(void *user, uint64_t n)
{
	struct run *r = user;

	must_hold(!r->silent && r->open);
	trace_event(&r->trace, 'g', n);
}

static void on_end(void *user, enum message_end how)
{
	struct run *r = user;

	must_hold(!r->silent && r->open);
	r->open = false;
	r->whole &= how == MESSAGE_COMPLETE || how == MESSAGE_CLOSED;
	trace_event(&r->trace, 'e', how);
	trace_event(&r->messages, 'e', 0);
}

static const struct http1_ops ops = {
	.start = on_start,
	.head = on_head,
	.body = on_body,
	.body_gap = on_gap,
	.end = on_end,
};

static void run(struct run *r, uint8_t mode, struct cutter cutter)
{
	enum http1_result result = HTTP1_OK;
	struct slice piece;

	*r = (struct run){.expect = (enum http1_expect)((mode >> 1) % 3), .whole = true};
	if (http1_new(&r->p, mode & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST, &ops, r))
		abort();
	while (next_piece(&cutter, &piece)) {
		bool gap = mode & 8 && piece.ptr[0] == '?';

		result = gap ? http1_skip(r->p, (uint8_t)piece.ptr[piece.len - 1])
			     : http1_feed(r->p, piece);
		r->silent = result == HTTP1_BROKEN;
		must_hold(r->silent == (http1_reason(r->p) != HTTP1_FINE));
		must_hold(http1_memory(r->p) <= HTTP1_HEAD_MAX + 1024);
	}
	http1_eof(r->p);
	must_hold(!r->open);
	r->whole &= result == HTTP1_OK && !r->in_head;
	trace_event(&r->trace, 'r', result);
	http1_free(r->p);
}

#ifdef HAVE_LLHTTP
/* ---- llhttp as oracle ----------------------------------------------------------------------- */

#define TEXT_MAX 8192

struct other {
	struct trace messages;
	bool lost; /* no place for what it says */
	size_t len, marks;
	char text[TEXT_MAX];		      /* target, then names and values */
	size_t mark[2 * HTTP_FIELDS_MAX + 4]; /* where each begins */
	bool in_value;
};

static struct other *other_of(llhttp_t *p)
{
	return p->data;
}

static int other_begin(llhttp_t *p)
{
	struct other *o = other_of(p);

	o->len = 0;
	o->marks = 0;
	o->in_value = true;
	return 0;
}

static void other_mark(struct other *o)
{
	if (o->marks == ARRAY_LEN(o->mark))
		o->lost = true;
	else
		o->mark[o->marks++] = o->len;
}

static int other_text(llhttp_t *p, const char *at, size_t len)
{
	struct other *o = other_of(p);

	if (o->lost || len > TEXT_MAX - o->len) {
		o->lost = true;
		return 0;
	}
	memcpy(o->text + o->len, at, len);
	o->len += len;
	return 0;
}

static int other_name(llhttp_t *p, const char *at, size_t len)
{
	struct other *o = other_of(p);

	if (o->in_value)
		other_mark(o);
	o->in_value = false;
	return other_text(p, at, len);
}

static int other_value(llhttp_t *p, const char *at, size_t len)
{
	struct other *o = other_of(p);

	if (!o->in_value)
		other_mark(o);
	o->in_value = true;
	return other_text(p, at, len);
}

static struct slice other_part(const struct other *o, size_t i)
{
	size_t end = i + 1 < o->marks ? o->mark[i + 1] : o->len;

	return (struct slice){o->text + o->mark[i], end - o->mark[i]};
}

static int other_head(llhttp_t *p)
{
	struct other *o = other_of(p);
	bool request = p->type == HTTP_REQUEST;

	if (!o->in_value)
		other_mark(o);
	trace_event(&o->messages, 'h', request ? 0 : p->status_code);
	if (request) {
		size_t target_len = o->marks ? o->mark[0] : o->len;

		trace_slice(&o->messages, 'm', slice_of(llhttp_method_name(p->method)));
		trace_slice(&o->messages, 't', (struct slice){o->text, target_len});
	}
	for (size_t i = 0; i + 1 < o->marks; i += 2) {
		trace_slice(&o->messages, 'n', other_part(o, i));
		trace_slice(&o->messages, 'v', slice_trim(other_part(o, i + 1)));
	}
	return 0;
}

static int other_body(llhttp_t *p, const char *at, size_t len)
{
	trace_bytes(&other_of(p)->messages, at, len);
	return 0;
}

/* Trailers are no fields of the head. */
static int other_end(llhttp_t *p)
{
	if (p->type == HTTP_REQUEST || p->status_code >= 200)
		trace_event(&other_of(p)->messages, 'e', 0);
	return 0;
}

/* llhttp keeps the white space of a folded line, RFC 9112 5.2 wants one space. */
static bool is_folded(const uint8_t *data, size_t size)
{
	return memmem(data, size, "\n ", 2) || memmem(data, size, "\n\t", 2);
}

static void must_be_seen_alike(const struct run *ours, uint8_t mode, const uint8_t *data,
			       size_t size)
{
	static const llhttp_settings_t settings = {
		.on_message_begin = other_begin,
		.on_url = other_text,
		.on_header_field = other_name,
		.on_header_value = other_value,
		.on_headers_complete = other_head,
		.on_body = other_body,
		.on_message_complete = other_end,
	};
	static struct other other;
	llhttp_t parser;

	if (!ours->whole || ours->expect != HTTP1_EXPECT_NORMAL || is_folded(data, size))
		return;
	other = (struct other){.in_value = true};
	llhttp_init(&parser, mode & 1 ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
	/* We go on after "Connection: close": whoever wrote on has a reason. */
	llhttp_set_lenient_keep_alive(&parser, 1);
	parser.data = &other;
	if (llhttp_execute(&parser, (const char *)data, size) != HPE_OK ||
	    llhttp_finish(&parser) != HPE_OK || other.lost)
		return;
	must_hold(trace_eq(&ours->messages, &other.messages));
}
#else
static void must_be_seen_alike(const struct run *ours, uint8_t mode, const uint8_t *data,
			       size_t size)
{
	(void)ours;
	(void)mode;
	(void)data;
	(void)size;
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut;
	uint8_t mode;

	if (size < 2)
		return 0;
	mode = data[0];
	run(&whole, mode & 7, (struct cutter){data + 1, size - 1, 0, 0});
	run(&cut, mode & 7, (struct cutter){data + 1, size - 1, 0, 1u + mode});
	must_hold(trace_eq(&whole.trace, &cut.trace));
	must_be_seen_alike(&whole, mode, data + 1, size - 1);
	run(&cut, mode | 8, (struct cutter){data + 1, size - 1, 0, 1u + mode});
	return 0;
}
