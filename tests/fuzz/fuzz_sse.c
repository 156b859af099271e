/* SPDX-License-Identifier: Apache-2.0 */
/* Any split gives the same events; begin, data and end come in that order. */
#include "agent/sse/sse.h"
#include "tests/fuzz/fuzz.h"

struct run {
	struct trace trace;
	bool open;
	uint64_t bytes;
};

static void on_begin(void *user, struct slice name)
{
	struct run *r = user;

	must_hold(!r->open && name.len <= SSE_NAME_MAX);
	r->open = true;
	trace_event(&r->trace, 'b', name.len);
	trace_bytes(&r->trace, name.ptr, name.len);
}

static void on_data(void *user, struct slice piece)
{
	struct run *r = user;

	must_hold(r->open && piece.len);
	r->bytes += piece.len;
	trace_bytes(&r->trace, piece.ptr, piece.len);
}

static void on_end(void *user)
{
	struct run *r = user;

	must_hold(r->open);
	r->open = false;
	trace_event(&r->trace, 'e', r->bytes);
}

static const struct sse_ops ops = {.begin = on_begin, .data = on_data, .end = on_end};

static struct run run(struct cutter cutter)
{
	struct run r = {0};
	struct slice piece;
	struct sse s;

	sse_init(&s, &ops, &r);
	while (next_piece(&cutter, &piece))
		sse_feed(&s, piece);
	sse_eof(&s);
	must_hold(!r.open && r.bytes <= cutter.size);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole = run((struct cutter){data, size, 0, 0});
	struct run cut = run((struct cutter){data, size, 0, 1 + (uint32_t)size});

	must_hold(trace_eq(&whole.trace, &cut.trace));
	return 0;
}
