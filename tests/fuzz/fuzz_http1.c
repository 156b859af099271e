/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: bit 0 request or response, bits 1-2 what is expected, bit 3 whether gaps are made.
 * Any split gives the same events; nothing comes after broken; each head has one end; memory stays
 * in bounds.
 */
#include "agent/http1/http1.h"
#include "tests/fuzz/fuzz.h"

struct run {
	struct http1 *p;
	struct trace trace;
	enum http1_expect expect;
	bool open;   /* a head without its end */
	bool silent; /* broken: nothing may come */
};

static void on_start(void *user, uint64_t at)
{
	struct run *r = user;

	must_hold(!r->silent && !r->open);
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
	trace_event(&r->trace, 'e', how);
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

	*r = (struct run){.expect = (enum http1_expect)((mode >> 1) % 3)};
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
	trace_event(&r->trace, 'r', result);
	http1_free(r->p);
}

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
	run(&cut, mode | 8, (struct cutter){data + 1, size - 1, 0, 1u + mode});
	return 0;
}
