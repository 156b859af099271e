/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any split gives the same events; begin, data and end come in that order; they are those of a slow
 * reading, line by line, of the whole text (WHATWG HTML 9.2.6), and of its rest at the end.
 */
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

/* ---- the slow reading ----------------------------------------------------------------------- */

static struct slice line_of(struct slice text)
{
	struct slice line = {text.ptr, 0};

	while (line.len < text.len && line.ptr[line.len] != '\r' && line.ptr[line.len] != '\n')
		line.len++;
	return line;
}

static void skip_line_end(struct slice *text)
{
	size_t n = slice_starts(*text, SLICE("\r\n")) ? 2 : text->len > 0;

	text->ptr += n;
	text->len -= n;
}

/* The value of the field when the line is one of it. */
static bool is_field(struct slice line, struct slice name, struct slice *value)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	struct slice field = {line.ptr, colon ? (size_t)(colon - line.ptr) : line.len};

	if (!slice_eq(field, name))
		return false;
	*value = (struct slice){colon ? colon + 1 : "", colon ? line.len - field.len - 1 : 0};
	if (value->len && value->ptr[0] == ' ') {
		value->ptr++;
		value->len--;
	}
	return true;
}

static void read_line(struct run *r, struct slice line, struct slice *name)
{
	struct slice value;

	if (line.len == 0) {
		if (r->open)
			on_end(r);
		*name = SLICE("");
	} else if (is_field(line, SLICE("data"), &value)) {
		if (r->open)
			on_data(r, SLICE("\n"));
		else
			on_begin(r, *name);
		if (value.len)
			on_data(r, value);
	} else if (is_field(line, SLICE("event"), &value)) {
		*name = value;
		if (name->len > SSE_NAME_MAX)
			name->len = SSE_NAME_MAX;
	}
}

static struct run read_slowly(struct slice text)
{
	struct slice name = SLICE("");
	struct run r = {0};

	if (slice_starts(text, SLICE("\xef\xbb\xbf"))) {
		text.ptr += 3;
		text.len -= 3;
	}
	while (text.len) {
		struct slice line = line_of(text);

		text.ptr += line.len;
		text.len -= line.len;
		skip_line_end(&text);
		read_line(&r, line, &name);
	}
	if (r.open)
		on_end(&r);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole = run((struct cutter){data, size, 0, 0});
	struct run cut = run((struct cutter){data, size, 0, 1 + (uint32_t)size});
	struct run slow = read_slowly((struct slice){(const char *)data, size});

	must_hold(trace_eq(&whole.trace, &cut.trace));
	must_hold(trace_eq(&whole.trace, &slow.trace));
	return 0;
}
