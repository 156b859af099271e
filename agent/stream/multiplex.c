/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that speaks HTTP/2: how it is found out, and whose exchange a stream is. */
#include "agent/base/counters.h"
#include "agent/stream/stream.h"

#include <errno.h>

static enum http2_side side_of(enum chunk_dir dir)
{
	return dir == CHUNK_WRITE ? HTTP2_CLIENT : HTTP2_SERVER;
}

/* ---- what the parser says -------------------------------------------------------------------- */

static void on_start(void *user)
{
	struct conn *c = user;

	c->start_entry_ns = c->chunk->entry_ns;
}

/* A stream that is found by its answer has no request that was seen. */
static struct exchange_start start_of(const struct conn *c, const struct http2_stream *stream)
{
	bool asked = c->chunk->dir == CHUNK_WRITE;

	return (struct exchange_start){
		.conn = c->id,
		.entry_ns = asked ? c->start_entry_ns : c->chunk->entry_ns,
		.index_in_record = stream->id,
		.candidate = c->chunk->candidate,
		.host_hint = c->host,
	};
}

/* RFC 8441: what asks for a WebSocket in HTTP/2's words is a GET with an upgrade in HTTP/1.1's. */
static bool is_extended_connect(const struct http_head *head)
{
	return slice_eq(head->method, SLICE("CONNECT")) && http_head_get(head, "upgrade").len;
}

static void on_request_head(struct conn *c, struct http2_stream *stream,
			    const struct http_head *head)
{
	struct exchange_start start = start_of(c, stream);
	bool upgrade = is_extended_connect(head);
	struct http_head asked = *head;
	struct exchange *x;
	struct pair *pair;

	if (upgrade)
		asked.method = SLICE("GET");
	if (exchange_begin(&x, c->env, &start, &asked)) {
		counter_add(COUNTER_DECODE_MEMORY, 1);
		return;
	}
	pair = pairs_add(&c->pairs, x);
	if (!pair) {
		counter_add(COUNTER_DECODE_MEMORY, 1);
		exchange_abandon(x, MESSAGE_UNSEEN, c->now_ns);
		exchange_free(x);
		return;
	}
	pair->upgrade = upgrade;
	stream->owner = pair;
}

/* What follows is a session that is read, or no HTTP and none of ours. */
static void begin_tunnel(struct conn *c, struct pair *pair)
{
	pair->session = exchange_is_session(pair->x);
	if (pair->session)
		c->had_session = true;
	else
		counter_add(COUNTER_CONN_BLIND_UPGRADE, 1);
}

static void on_answer_head(struct conn *c, struct pair *pair, const struct http_head *head)
{
	struct http_head answered = *head;
	bool tunnel = head->status / 100 == 2 && (pair->upgrade || exchange_is_connect(pair->x));

	if (head->status / 100 == 1)
		return; /* the real answer is still to come (RFC 9110 15.2) */
	if (tunnel && pair->upgrade)
		answered.status = 101;
	pair->answered = true;
	exchange_response_head(pair->x, &answered, c->now_ns);
	if (tunnel)
		begin_tunnel(c, pair);
}

static void on_head(void *user, struct http2_stream *stream, enum http2_side side,
		    const struct http_head *head)
{
	if (side == HTTP2_CLIENT)
		on_request_head(user, stream, head);
	else if (stream->owner)
		on_answer_head(user, stream->owner, head);
}

static void on_trailers(void *user, struct http2_stream *stream, const struct http_head *fields)
{
	struct pair *pair = stream->owner;

	(void)user;
	if (pair && !pair->session)
		exchange_response_trailers(pair->x, fields);
}

static enum chunk_dir dir_of(enum http2_side side)
{
	return side == HTTP2_CLIENT ? CHUNK_WRITE : CHUNK_READ;
}

static void leave_blind_session(struct pair *pair)
{
	if (!exchange_is_blind(pair->x))
		return;
	pair->session = false;
	counter_add(COUNTER_CONN_BLIND_UPGRADE, 1);
}

static void on_body(void *user, struct http2_stream *stream, enum http2_side side,
		    struct slice bytes)
{
	struct pair *pair = stream->owner;
	struct conn *c = user;

	if (pair && pair->session) {
		exchange_session_bytes(pair->x, dir_of(side), bytes, false, c->now_ns);
		leave_blind_session(pair);
	} else if (pair && side == HTTP2_CLIENT) {
		exchange_request_body(pair->x, bytes);
	} else if (pair) {
		exchange_response_body(pair->x, bytes, c->now_ns);
	}
}

static void on_gap(void *user, struct http2_stream *stream, enum http2_side side, uint64_t n)
{
	struct pair *pair = stream->owner;
	struct conn *c = user;

	if (pair && pair->session) {
		exchange_session_gap(pair->x, dir_of(side), n, c->now_ns);
		leave_blind_session(pair);
	} else if (pair && side == HTTP2_CLIENT) {
		exchange_request_gap(pair->x, n);
	} else if (pair) {
		exchange_response_gap(pair->x, n);
	}
}

static void on_end(void *user, struct http2_stream *stream, enum http2_side side,
		   enum message_end how)
{
	struct pair *pair = stream->owner;
	struct conn *c = user;

	if (!pair)
		return;
	if (side == HTTP2_CLIENT) {
		pair->sent = true;
		exchange_request_end(pair->x, how);
		return;
	}
	if (pair->answered)
		exchange_response_end(pair->x, how, c->now_ns);
	else
		exchange_abandon(pair->x, how, c->now_ns);
	pairs_remove(&c->pairs, pair);
	stream->owner = NULL;
}

static void on_trouble(void *user, enum http2_trouble what)
{
	static const enum counter counters[HTTP2_TROUBLES] = {
		[HTTP2_LOST_PLACE] = COUNTER_DECODE_HTTP2,
		[HTTP2_BAD_BLOCK] = COUNTER_DECODE_HPACK,
		[HTTP2_STREAMS_FULL] = COUNTER_DECODE_HTTP2_STREAMS,
		[HTTP2_NO_MEMORY] = COUNTER_DECODE_MEMORY,
	};

	(void)user;
	counter_add(counters[what], 1);
}

static const struct http2_ops ops = {
	.start = on_start,
	.head = on_head,
	.body = on_body,
	.trailers = on_trailers,
	.gap = on_gap,
	.end = on_end,
	.trouble = on_trouble,
};

/* ---- which protocol it is -------------------------------------------------------------------- */

enum guess { GUESS_MORE, GUESS_NO, GUESS_PREFACE, GUESS_FRAME };

static enum guess guess(const struct sniff *s, enum chunk_dir dir)
{
	struct slice preface = {HTTP2_PREFACE, s->len};

	if (dir == CHUNK_WRITE && slice_eq((struct slice){s->bytes, s->len}, preface))
		return s->len == sizeof(s->bytes) ? GUESS_PREFACE : GUESS_MORE;
	if (s->len < HTTP2_FRAME_HEAD)
		return GUESS_MORE;
	return s->len == HTTP2_FRAME_HEAD && http2_frame_likely((const uint8_t *)s->bytes)
		       ? GUESS_FRAME
		       : GUESS_NO;
}

/* Takes bytes one by one until they are told; *used of them then belong to the sniffed start. */
static enum guess sniff(struct sniff *s, enum chunk_dir dir, struct slice data, size_t *used)
{
	enum guess g = GUESS_MORE;

	for (*used = 0; *used < data.len && g == GUESS_MORE; (*used)++) {
		s->bytes[s->len++] = data.ptr[*used];
		g = guess(s, dir);
	}
	s->over = g != GUESS_MORE;
	return g;
}

/* Does the call that is being fed tell that this is HTTP/2? Then the parser is there, and *rest is
 * what of the chunk it has not been fed. */
static bool find_out(struct conn *c, const struct chunk *chunk, bool call_begins,
		     struct slice *rest)
{
	struct sniff *s = &c->sniff[chunk->dir];
	enum guess g;
	size_t used;

	if (call_begins)
		*s = (struct sniff){0};
	if (s->over || c->sides[chunk->dir].place == PLACE_SURE)
		return false;
	g = sniff(s, chunk->dir, chunk->data, &used);
	if (g != GUESS_PREFACE && (g != GUESS_FRAME || c->pairs.first))
		return false;
	pairs_abandon(&c->pairs, MESSAGE_UNSEEN, c->now_ns);
	c->joined_late = g == GUESS_FRAME;
	if (http2_new(&c->http2, c->joined_late, &ops, c)) {
		counter_add(COUNTER_DECODE_MEMORY, 1);
		c->ignored = true;
		return false;
	}
	http2_feed(c->http2, side_of(chunk->dir), (struct slice){s->bytes, s->len}, true);
	*rest = (struct slice){chunk->data.ptr + used, chunk->data.len - used};
	return true;
}

/* A connection that only looked like HTTP/2, or another one in its memory. */
static bool begins_anew(const struct conn *c, const struct chunk *chunk, bool call_begins)
{
	return call_begins && chunk->dir == CHUNK_WRITE &&
	       http2_between_frames(c->http2, HTTP2_CLIENT) && conversation_start(chunk->data);
}

bool multiplex_feed(struct conn *c, const struct chunk *chunk, bool call_begins)
{
	struct slice rest = chunk->data;

	if (c->http2 && begins_anew(c, chunk, call_begins))
		multiplex_end(c, MESSAGE_UNSEEN);
	if (c->http2) {
		http2_feed(c->http2, side_of(chunk->dir), rest, call_begins);
		return true;
	}
	if (!find_out(c, chunk, call_begins, &rest))
		return c->ignored;
	http2_feed(c->http2, side_of(chunk->dir), rest, false);
	return true;
}

void multiplex_skip(struct conn *c, enum chunk_dir dir, uint64_t n)
{
	http2_skip(c->http2, side_of(dir), n);
}

void multiplex_end(struct conn *c, enum message_end how)
{
	if (!c->http2)
		return;
	http2_end(c->http2, how);
	http2_free(c->http2);
	c->http2 = NULL;
}
