/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line is the label, the rest the body. Any split gives the same fields and the same end;
 * names and values keep their bounds, stand in the body, and a value has an empty line before it
 * and the delimiter behind.
 */
#include "agent/exchange/multipart.h"
#include "tests/fuzz/fuzz.h"

struct run {
	struct multipart form;
	struct trace trace;
	struct slice body;
};

static bool contains(struct slice text, const char *bytes, size_t n)
{
	return memmem(text.ptr, text.len, bytes, n) != NULL;
}

static void on_field(void *user, struct slice name, struct slice value)
{
	char framed[2 + MULTIPART_VALUE_MAX + sizeof(((struct multipart *)0)->delimiter)];
	struct run *r = user;
	size_t n = r->form.delimiter_len;

	must_hold(name.len && name.len <= MULTIPART_NAME_MAX && value.len <= MULTIPART_VALUE_MAX);
	must_hold(contains(r->body, name.ptr, name.len));
	memcpy(framed, "\r\n", 2);
	memcpy(framed + 2, value.ptr, value.len);
	memcpy(framed + 2 + value.len, r->form.delimiter, n);
	must_hold(contains(r->body, framed, 2 + value.len + n));
	trace_event(&r->trace, 'n', name.len);
	trace_bytes(&r->trace, name.ptr, name.len);
	trace_event(&r->trace, 'v', value.len);
	trace_bytes(&r->trace, value.ptr, value.len);
}

static const struct multipart_ops ops = {.field = on_field};

static void run(struct run *r, struct slice label, struct cutter cutter)
{
	struct slice piece;

	memset(r, 0, sizeof(*r));
	r->body = (struct slice){(const char *)cutter.data, cutter.size};
	if (!multipart_init(&r->form, label, &ops, r))
		return;
	must_hold(r->form.delimiter_len <= sizeof(r->form.delimiter));
	while (next_piece(&cutter, &piece) && multipart_feed(&r->form, piece))
		;
	trace_event(&r->trace, 'e', r->form.state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
	size_t n = line ? (size_t)(line - data) : size;
	struct slice label = {(const char *)data, n};
	static struct run whole, cut;

	n += line != NULL;
	run(&whole, label, (struct cutter){data + n, size - n, 0, 0});
	run(&cut, label, (struct cutter){data + n, size - n, 0, 1 + (uint32_t)size});
	must_hold(trace_eq(&whole.trace, &cut.trace));
	return 0;
}
