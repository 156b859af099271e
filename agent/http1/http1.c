/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http1/http1.h"
#include "agent/http1/head.h"

#include <errno.h>

const char *const http1_reason_names[HTTP1_REASONS] = {
	[HTTP1_FINE] = "fine",
	[HTTP1_BAD_START_LINE] = "bad_start_line",
	[HTTP1_BAD_FIELD] = "bad_field",
	[HTTP1_HEAD_TOO_LONG] = "head_too_long",
	[HTTP1_BAD_LENGTH] = "bad_length",
	[HTTP1_BAD_CHUNK] = "bad_chunk",
	[HTTP1_OUT_OF_MEMORY] = "out_of_memory",
	[HTTP1_GAP_IN_FRAMING] = "gap_in_framing",
};

#define CHUNK_DIGITS 15 /* hex digits of a chunk size: 60 bits */

enum state {
	AT_START,	/* between messages: empty lines are skipped, else -> IN_HEAD */
	IN_HEAD,	/* until its empty line, then by framing */
	IN_LENGTH,	/* `left` body bytes, then -> AT_START */
	IN_UNTIL_CLOSE, /* all bytes are body; http1_eof ends it */
	IN_CHUNK_SIZE,	/* hex digits, then -> IN_CHUNK_EXT */
	IN_CHUNK_EXT,	/* rest of the size line; LF -> IN_CHUNK_DATA, or IN_TRAILER after size 0 */
	IN_CHUNK_DATA,	/* `left` bytes, then -> IN_CHUNK_END */
	IN_CHUNK_END,	/* CR LF or LF, then -> IN_CHUNK_SIZE */
	IN_TRAILER,	/* field lines are skipped; the empty one -> AT_START */
	UPGRADED,	/* final: bytes are handed on as they are */
	BROKEN,		/* final until http1_reset */
	STATES
};

struct http1 {
	enum http1_kind kind;
	enum http1_expect expect;
	enum http1_reason reason;
	enum state state;
	const struct http1_ops *ops;
	void *user;
	uint64_t position; /* of the next byte in the stream */
	uint64_t head_at;
	uint64_t left;	/* of the body or the chunk */
	uint32_t line;	/* bytes of the current chunk size line, chunk end or trailer line */
	uint32_t total; /* bytes of the trailer section */
	char last;	/* byte before, for CR LF */
	struct http1_head head;
};

int http1_new(struct http1 **out, enum http1_kind kind, const struct http1_ops *ops, void *user)
{
	struct http1 *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->kind = p->head.kind = kind;
	p->ops = ops;
	p->user = user;
	*out = p;
	return 0;
}

void http1_free(struct http1 *p)
{
	if (!p)
		return;
	head_reset(&p->head);
	free(p);
}

void http1_expect(struct http1 *p, enum http1_expect expect)
{
	p->expect = expect;
}

/* Between the head and the end of a message that has an end. */
static bool in_body(const struct http1 *p)
{
	return p->state > IN_HEAD && p->state < UPGRADED;
}

static void end_message(struct http1 *p, enum message_end how, enum state next)
{
	p->state = next;
	p->expect = HTTP1_EXPECT_NORMAL;
	p->ops->end(p->user, how);
}

static void fail(struct http1 *p, enum http1_reason reason)
{
	p->reason = reason;
	head_reset(&p->head);
	if (in_body(p))
		end_message(p, reason == HTTP1_GAP_IN_FRAMING ? MESSAGE_UNSEEN : MESSAGE_BROKEN,
			    BROKEN);
	p->state = BROKEN;
}

static void enter_line(struct http1 *p, enum state state)
{
	p->state = state;
	p->line = 0;
	p->last = 0;
}

/* ---- framing of the body (RFC 9112 6.3) ---------------------------------------------------- */

static void begin_length(struct http1 *p, uint64_t length)
{
	p->left = length;
	p->state = IN_LENGTH;
	if (!length)
		end_message(p, MESSAGE_COMPLETE, AT_START);
}

static void begin_chunks(struct http1 *p)
{
	p->left = 0;
	enter_line(p, IN_CHUNK_SIZE);
}

static void begin_request_body(struct http1 *p, const struct http1_framing *f)
{
	p->state = IN_LENGTH; /* the message is open: failing ends it */
	if (f->has_coding && !f->chunked_last)
		fail(p, HTTP1_BAD_LENGTH);
	else if (f->has_coding)
		begin_chunks(p);
	else
		begin_length(p, f->length);
}

static bool answers_with_tunnel(const struct http1 *p, int status)
{
	return status == 101 || (p->expect == HTTP1_EXPECT_CONNECT && status / 100 == 2);
}

static void begin_response_body(struct http1 *p, int status, const struct http1_framing *f)
{
	if (answers_with_tunnel(p, status))
		p->state = UPGRADED;
	else if (status / 100 == 1)
		p->state = AT_START;
	else if (p->expect == HTTP1_EXPECT_HEAD || status == 204 || status == 304)
		begin_length(p, 0);
	else if (f->chunked_last)
		begin_chunks(p);
	else if (f->has_coding || !f->has_length)
		p->state = IN_UNTIL_CLOSE;
	else
		begin_length(p, f->length);
}

static void finish_head(struct http1 *p)
{
	struct http1_framing framing = p->head.framing;
	struct http_head head;
	int status;

	head_get(&p->head, &head);
	status = head.status;
	p->ops->head(p->user, &head, p->head_at);
	head_reset(&p->head);
	if (p->kind == HTTP1_REQUEST)
		begin_request_body(p, &framing);
	else
		begin_response_body(p, status, &framing);
}

/* ---- one function per state: takes some bytes, returns how many ---------------------------- */

/* Empty lines before a start line are skipped (RFC 9112 2.2). */
static size_t eat_start(struct http1 *p, struct slice bytes)
{
	if (bytes.ptr[0] == '\r' || bytes.ptr[0] == '\n')
		return 1;
	p->state = IN_HEAD;
	p->head_at = p->position;
	if (p->ops->start)
		p->ops->start(p->user, p->head_at);
	return 0;
}

static size_t eat_head(struct http1 *p, struct slice bytes)
{
	size_t used;

	switch (head_feed(&p->head, bytes, &used)) {
	case HEAD_MORE:
		break;
	case HEAD_COMPLETE:
		finish_head(p);
		break;
	case HEAD_BROKEN:
		fail(p, p->head.reason);
		break;
	}
	return used;
}

/* Body bytes that are here, of the `left` ones. */
static size_t eat_counted(struct http1 *p, struct slice bytes)
{
	size_t n = bytes.len < p->left ? bytes.len : (size_t)p->left;

	p->left -= n;
	p->ops->body(p->user, (struct slice){bytes.ptr, n});
	return n;
}

static size_t eat_length(struct http1 *p, struct slice bytes)
{
	size_t n = eat_counted(p, bytes);

	if (!p->left)
		end_message(p, MESSAGE_COMPLETE, AT_START);
	return n;
}

static size_t eat_until_close(struct http1 *p, struct slice bytes)
{
	p->ops->body(p->user, bytes);
	return bytes.len;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t eat_chunk_size(struct http1 *p, struct slice bytes)
{
	int digit = hex_value(bytes.ptr[0]);

	if (digit >= 0 && p->line < CHUNK_DIGITS) {
		p->left = p->left << 4 | (uint64_t)digit;
		p->line++;
		return 1;
	}
	if (digit >= 0 || !p->line || !strchr(";\r\n\t ", bytes.ptr[0]) || !bytes.ptr[0])
		fail(p, HTTP1_BAD_CHUNK);
	else
		p->state = IN_CHUNK_EXT;
	return 0;
}

/* Extensions mean nothing here; a CR that ends no line is how chunks are smuggled. */
static size_t eat_chunk_ext(struct http1 *p, struct slice bytes)
{
	char c = bytes.ptr[0];

	if (c == '\n') {
		enter_line(p, p->left ? IN_CHUNK_DATA : IN_TRAILER);
		p->total = 0;
	} else if (p->last == '\r' || ++p->line > HTTP1_CHUNK_EXT_MAX) {
		fail(p, HTTP1_BAD_CHUNK);
	} else {
		p->last = c;
	}
	return 1;
}

static size_t eat_chunk_data(struct http1 *p, struct slice bytes)
{
	size_t n = eat_counted(p, bytes);

	if (!p->left)
		enter_line(p, IN_CHUNK_END);
	return n;
}

static size_t eat_chunk_end(struct http1 *p, struct slice bytes)
{
	if (bytes.ptr[0] == '\n')
		begin_chunks(p);
	else if (bytes.ptr[0] == '\r' && p->line == 0)
		p->line = 1;
	else
		fail(p, HTTP1_BAD_CHUNK);
	return 1;
}

static size_t eat_trailer(struct http1 *p, struct slice bytes)
{
	char c = bytes.ptr[0];
	bool empty = p->line == 0 || (p->line == 1 && p->last == '\r');

	if (++p->total > HTTP1_TRAILER_MAX) {
		fail(p, HTTP1_HEAD_TOO_LONG);
	} else if (c == '\n' && empty) {
		end_message(p, MESSAGE_COMPLETE, AT_START);
	} else if (c == '\n') {
		enter_line(p, IN_TRAILER);
	} else {
		p->line++;
		p->last = c;
	}
	return 1;
}

static size_t eat_tunnel(struct http1 *p, struct slice bytes)
{
	if (p->ops->tunnel)
		p->ops->tunnel(p->user, bytes);
	return bytes.len;
}

static size_t eat_all(struct http1 *p, struct slice bytes)
{
	(void)p;
	return bytes.len;
}

static size_t (*const eaters[STATES])(struct http1 *p, struct slice bytes) = {
	[AT_START] = eat_start,
	[IN_HEAD] = eat_head,
	[IN_LENGTH] = eat_length,
	[IN_UNTIL_CLOSE] = eat_until_close,
	[IN_CHUNK_SIZE] = eat_chunk_size,
	[IN_CHUNK_EXT] = eat_chunk_ext,
	[IN_CHUNK_DATA] = eat_chunk_data,
	[IN_CHUNK_END] = eat_chunk_end,
	[IN_TRAILER] = eat_trailer,
	[UPGRADED] = eat_tunnel,
	[BROKEN] = eat_all,
};

static enum http1_result result_of(const struct http1 *p)
{
	if (p->state == BROKEN)
		return HTTP1_BROKEN;
	return p->state == UPGRADED ? HTTP1_UPGRADED : HTTP1_OK;
}

enum http1_result http1_feed(struct http1 *p, struct slice bytes)
{
	while (bytes.len) {
		size_t n = eaters[p->state](p, bytes);

		p->position += n;
		bytes.ptr += n;
		bytes.len -= n;
	}
	return result_of(p);
}

/* ---- gaps and ends ------------------------------------------------------------------------- */

/* Bytes are missing where a head, a chunk size or an end of line stood. */
static void lose_framing(struct http1 *p, uint64_t n)
{
	if (in_body(p))
		p->ops->body_gap(p->user, n);
	fail(p, HTTP1_GAP_IN_FRAMING);
}

static void skip_length(struct http1 *p, uint64_t n)
{
	uint64_t within = n < p->left ? n : p->left;

	p->left -= within;
	p->ops->body_gap(p->user, within);
	if (!p->left)
		end_message(p, MESSAGE_COMPLETE, AT_START);
	if (n > within)
		lose_framing(p, n - within);
}

static void skip_chunk_data(struct http1 *p, uint64_t n)
{
	if (n > p->left) {
		lose_framing(p, n);
		return;
	}
	p->left -= n;
	p->ops->body_gap(p->user, n);
	if (!p->left)
		enter_line(p, IN_CHUNK_END);
}

enum http1_result http1_skip(struct http1 *p, uint64_t n)
{
	if (!n)
		return result_of(p);
	p->position += n;
	if (p->state == IN_LENGTH)
		skip_length(p, n);
	else if (p->state == IN_CHUNK_DATA)
		skip_chunk_data(p, n);
	else if (p->state == IN_UNTIL_CLOSE)
		p->ops->body_gap(p->user, n);
	else if (p->state < UPGRADED)
		lose_framing(p, n);
	else if (p->state == UPGRADED && p->ops->tunnel_gap)
		p->ops->tunnel_gap(p->user, n);
	return result_of(p);
}

void http1_upgrade(struct http1 *p)
{
	head_reset(&p->head);
	p->state = UPGRADED;
}

void http1_eof(struct http1 *p)
{
	head_reset(&p->head);
	if (in_body(p))
		end_message(p, p->state == IN_UNTIL_CLOSE ? MESSAGE_CLOSED : MESSAGE_CUT, AT_START);
	else if (p->state == IN_HEAD)
		p->state = AT_START;
}

void http1_reset(struct http1 *p, uint64_t at)
{
	head_reset(&p->head);
	p->state = AT_START;
	p->expect = HTTP1_EXPECT_NORMAL;
	p->reason = HTTP1_FINE;
	p->position = at;
}

bool http1_until_close(const struct http1 *p)
{
	return p->state == IN_UNTIL_CLOSE;
}

enum http1_reason http1_reason(const struct http1 *p)
{
	return p->reason;
}

size_t http1_memory(const struct http1 *p)
{
	return sizeof(*p) + p->head.cap;
}
