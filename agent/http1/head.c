/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http1/head.h"

#include <limits.h>

#define METHOD_MAX    24   /* longest method token taken for one */
#define LINE_RESERVE  1024 /* room to read a line's name after the kept lines are full */
#define BUF_FIRST     1024
#define LENGTH_DIGITS 18 /* any such Content-Length fits 63 bits */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9110 5.6.2 */
static bool is_tchar(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Real methods are upper case; a narrow rule finds out early that a stream is no HTTP. */
static bool is_method_char(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static enum head_result broken(struct http1_head *h, enum http1_reason reason)
{
	h->reason = reason;
	return HEAD_BROKEN;
}

static struct slice current_line(const struct http1_head *h)
{
	return (struct slice){h->buf + h->line_at, h->len - h->line_at};
}

/* Cuts `line` at the first `sep`: *before is what stands left of it. False when there is none. */
static bool split_at(struct slice *line, char sep, struct slice *before)
{
	const char *p = line->len ? memchr(line->ptr, sep, line->len) : NULL;

	if (!p)
		return false;
	*before = (struct slice){line->ptr, (size_t)(p - line->ptr)};
	*line = (struct slice){p + 1, line->len - before->len - 1};
	return true;
}

/* ---- start lines -------------------------------------------------------------------------- */

/* "HTTP/1.x"; higher minor versions are HTTP/1 too (RFC 9110 2.5). */
static bool is_version(struct slice s)
{
	return s.len == 8 && slice_starts(s, SLICE("HTTP/1.")) && is_digit(s.ptr[7]);
}

static bool parse_request_line(struct slice line, struct http_head *out)
{
	if (!split_at(&line, ' ', &out->method) || !split_at(&line, ' ', &out->target))
		return false;
	return out->method.len && out->target.len && is_version(line);
}

static bool parse_status_line(struct slice line, struct http_head *out)
{
	const char *code = line.ptr + 9;

	if (line.len < 12 || !is_version((struct slice){line.ptr, 8}) || line.ptr[8] != ' ')
		return false;
	if (!is_digit(code[0]) || !is_digit(code[1]) || !is_digit(code[2]) || code[0] == '0')
		return false;
	if (line.len > 12 && line.ptr[12] != ' ')
		return false;
	out->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
	return true;
}

static bool parse_start_line(enum http1_kind kind, struct slice line, struct http_head *out)
{
	return kind == HTTP1_REQUEST ? parse_request_line(line, out) : parse_status_line(line, out);
}

/* Is c possible at position `at` of the start line? Says "no HTTP" before a line is complete. */
static bool start_byte_possible(const struct http1_head *h, size_t at, char c)
{
	if (h->kind == HTTP1_RESPONSE)
		return at >= 7 || c == "HTTP/1."[at];
	if (at > METHOD_MAX || memchr(h->buf, ' ', at))
		return true;
	return c == ' ' ? at > 0 : at < METHOD_MAX && is_method_char(c);
}

/* ---- framing fields ----------------------------------------------------------------------- */

typedef bool (*framing_take)(struct http1_framing *f, struct slice value);

/* One or more equal numbers, in one field or in several (RFC 9112 6.3 point 5). */
static bool take_length(struct http1_framing *f, struct slice value)
{
	struct slice item;
	bool more;

	do {
		uint64_t n = 0;

		more = split_at(&value, ',', &item);
		item = slice_trim(more ? item : value);
		if (!item.len || item.len > LENGTH_DIGITS)
			return false;
		for (size_t i = 0; i < item.len; i++) {
			if (!is_digit(item.ptr[i]))
				return false;
			n = n * 10 + (uint64_t)(item.ptr[i] - '0');
		}
		if (f->has_length && f->length != n)
			return false;
		f->has_length = true;
		f->length = n;
	} while (more);
	return true;
}

/* Codings of all fields form one list; chunked may stand once, and last (RFC 9112 6.1). */
static bool take_coding(struct http1_framing *f, struct slice value)
{
	struct slice item;
	bool more;

	/* A list without an element (RFC 9110 5.6.1) names no coding: the length counts. */
	do {
		more = split_at(&value, ',', &item);
		item = slice_trim(more ? item : value);
		if (!item.len)
			continue;
		f->has_coding = true;
		if (f->chunked_last)
			return false;
		f->chunked_last = slice_ieq(item, SLICE("chunked"));
	} while (more);
	return true;
}

static const struct framing_row {
	struct slice name;
	framing_take take;
} framing_rows[] = {
	{{"Content-Length", 14}, take_length},
	{{"Transfer-Encoding", 17}, take_coding},
};

static const struct framing_row *framing_row(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(framing_rows); i++) {
		if (slice_ieq(name, framing_rows[i].name))
			return &framing_rows[i];
	}
	return NULL;
}

/* ---- lines -------------------------------------------------------------------------------- */

/* "name: value". No space before the colon: it is how framing is smuggled (RFC 9112 5.1). */
static bool parse_field(struct slice line, struct http_field *out)
{
	if (!split_at(&line, ':', &out->name) || !out->name.len)
		return false;
	for (size_t i = 0; i < out->name.len; i++) {
		if (!is_tchar(out->name.ptr[i]))
			return false;
	}
	out->value = slice_trim(line);
	return true;
}

static bool has_forbidden_byte(struct slice line)
{
	return memchr(line.ptr, '\r', line.len) || memchr(line.ptr, '\0', line.len);
}

/* The line being read is complete: keep it, or take its framing and forget it. */
static enum head_result finish_line(struct http1_head *h)
{
	struct slice line = current_line(h);
	const struct framing_row *row;
	struct http_head start;
	struct http_field field;
	bool keep;

	h->line_ended = false;
	if (h->dropping) {
		h->dropping = false;
		h->len = h->line_at;
		return HEAD_MORE;
	}
	if (has_forbidden_byte(line))
		return broken(h, h->in_fields ? HTTP1_BAD_FIELD : HTTP1_BAD_START_LINE);
	if (!h->in_fields) {
		if (!parse_start_line(h->kind, line, &start))
			return broken(h, HTTP1_BAD_START_LINE);
		h->in_fields = keep = true;
	} else {
		if (!parse_field(line, &field))
			return broken(h, HTTP1_BAD_FIELD);
		row = framing_row(field.name);
		if (row && !row->take(&h->framing, field.value))
			return broken(h, HTTP1_BAD_LENGTH);
		keep = h->fields < HTTP_FIELDS_MAX && h->len <= HTTP1_HEAD_MAX - LINE_RESERVE;
		h->fields += keep;
		h->cut |= !keep;
	}
	if (keep)
		h->buf[h->len++] = '\n';
	else
		h->len = h->line_at;
	h->line_at = h->len;
	return HEAD_MORE;
}

/* No room for this line: skip its rest if it can't matter for the framing. */
static enum head_result drop_line(struct http1_head *h)
{
	struct slice line = current_line(h), name;

	if (!h->in_fields || !split_at(&line, ':', &name) || framing_row(name))
		return broken(h, HTTP1_HEAD_TOO_LONG);
	h->dropping = true;
	h->cut = true;
	return HEAD_MORE;
}

/* Heads hold credentials: no copy of one is left behind in freed memory. */
static void wipe(struct http1_head *h)
{
	if (h->buf)
		explicit_bzero(h->buf, h->cap);
	free(h->buf);
}

/* Room for one more byte and the LF that closes the line. */
static enum head_result grow(struct http1_head *h)
{
	size_t cap = h->cap ? h->cap * 2 : BUF_FIRST;
	char *buf;

	if (h->len + 2 <= h->cap)
		return HEAD_MORE;
	if (h->cap == HTTP1_HEAD_MAX)
		return drop_line(h);
	buf = malloc(cap);
	if (!buf)
		return broken(h, HTTP1_OUT_OF_MEMORY);
	if (h->len)
		memcpy(buf, h->buf, h->len);
	wipe(h);
	h->buf = buf;
	h->cap = cap;
	return HEAD_MORE;
}

static enum head_result put_byte(struct http1_head *h, char c)
{
	size_t at = h->len - h->line_at;

	if (!h->dropping && grow(h) == HEAD_BROKEN)
		return HEAD_BROKEN;
	if (h->dropping)
		return HEAD_MORE;
	if (!h->in_fields && c != '\r' && !start_byte_possible(h, at, c))
		return broken(h, HTTP1_BAD_START_LINE);
	h->buf[h->len++] = c;
	return HEAD_MORE;
}

/* LF: the end of a line, or of the head when nothing stands before it. */
static enum head_result end_line(struct http1_head *h)
{
	if (!h->dropping && h->len > h->line_at && h->buf[h->len - 1] == '\r')
		h->len--;
	if (!h->dropping && h->len == h->line_at)
		return h->in_fields ? HEAD_COMPLETE : broken(h, HTTP1_BAD_START_LINE);
	h->line_ended = true;
	return h->in_fields ? HEAD_MORE : finish_line(h);
}

static enum head_result head_byte(struct http1_head *h, char c)
{
	/* A line that begins with space continues the last one (obs-fold, RFC 9112 5.2). */
	if (h->line_ended && !is_space(c) && finish_line(h) == HEAD_BROKEN)
		return HEAD_BROKEN;
	h->line_ended = false;
	return c == '\n' ? end_line(h) : put_byte(h, c);
}

enum head_result head_feed(struct http1_head *h, struct slice bytes, size_t *used)
{
	enum head_result result = HEAD_MORE;
	size_t i = 0;

	while (i < bytes.len && result == HEAD_MORE)
		result = head_byte(h, bytes.ptr[i++]);
	*used = i;
	return result;
}

void head_get(const struct http1_head *h, struct http_head *out)
{
	struct slice rest = {h->buf, h->line_at}, line = {NULL, 0};

	out->method = out->target = (struct slice){NULL, 0};
	out->status = 0;
	out->count = 0;
	out->cut = h->cut;
	out->unseen = false;
	/* Each line was validated when it was kept. */
	if (!split_at(&rest, '\n', &line) || !parse_start_line(h->kind, line, out))
		return;
	while (out->count < HTTP_FIELDS_MAX && split_at(&rest, '\n', &line)) {
		if (parse_field(line, &out->fields[out->count]))
			out->count++;
	}
}

void head_reset(struct http1_head *h)
{
	wipe(h);
	*h = (struct http1_head){.kind = h->kind};
}
