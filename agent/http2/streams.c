/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http2/streams.h"

#include "agent/base/hash.h"

struct stream {
	struct http2_stream shown;
	bool headed[2], ended[2]; /* by enum http2_side */
	bool in_table;
	UT_hash_handle hh;
};

static const struct http_head no_head = {.cut = true, .unseen = true};

static struct stream *find(const struct streams *st, uint32_t id)
{
	struct stream *s;

	HASH_FIND(hh, st->by_id, &id, sizeof(id), s);
	return s;
}

static struct stream *add(struct streams *st, uint32_t id)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->shown.id = id;
	s->in_table = true;
	HASH_ADD(hh, st->by_id, shown.id, sizeof(s->shown.id), s);
	if (s->in_table)
		return s;
	free(s);
	return NULL;
}

/* Begins a stream with the client's head; NULL when it is left out. */
static struct stream *begin(struct streams *st, uint32_t id, const struct http_head *head)
{
	struct stream *s = NULL;

	if (HASH_COUNT(st->by_id) >= HTTP2_STREAMS_MAX) {
		st->ops->trouble(st->user, HTTP2_STREAMS_FULL);
		return NULL;
	}
	s = add(st, id);
	if (!s) {
		st->ops->trouble(st->user, HTTP2_NO_MEMORY);
		return NULL;
	}
	s->headed[HTTP2_CLIENT] = true;
	st->ops->head(st->user, &s->shown, HTTP2_CLIENT, head);
	return s;
}

static bool was_left(const struct streams *st, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(st->left); i++) {
		if (st->left[i] == id)
			return true;
	}
	return false;
}

/* The stream, also one whose head may have been missed. Pushed streams are even: none is known. */
static struct stream *find_or_begin(struct streams *st, uint32_t id)
{
	struct stream *s = find(st, id);

	if (!s && st->unseen && id % 2 && !was_left(st, id))
		s = begin(st, id, &no_head);
	return s;
}

static void drop(struct streams *st, struct stream *s)
{
	HASH_DELETE(hh, st->by_id, s);
	free(s);
}

static void end_client(struct streams *st, struct stream *s, enum message_end how)
{
	if (s->ended[HTTP2_CLIENT])
		return;
	s->ended[HTTP2_CLIENT] = true;
	st->ops->end(st->user, &s->shown, HTTP2_CLIENT, how);
}

/* The answer is over, and with it the stream: the rest of a request has no reader (RFC 9113 8.1).
 */
static void close_stream(struct streams *st, struct stream *s, enum message_end how)
{
	if (how != MESSAGE_COMPLETE || !s->ended[HTTP2_CLIENT])
		st->left[st->left_at++ % ARRAY_LEN(st->left)] = s->shown.id;
	end_client(st, s, how == MESSAGE_COMPLETE ? MESSAGE_CUT : how);
	st->ops->end(st->user, &s->shown, HTTP2_SERVER, how);
	drop(st, s);
}

static void end_half(struct streams *st, struct stream *s, enum http2_side side)
{
	if (side == HTTP2_CLIENT)
		end_client(st, s, MESSAGE_COMPLETE);
	else
		close_stream(st, s, MESSAGE_COMPLETE);
}

static struct stream *client_head(struct streams *st, const struct stream_fields *fields)
{
	struct stream *s = find(st, fields->id);

	if (s || fields->id <= st->last_id || fields->trailing)
		return s;
	st->last_id = fields->id;
	return begin(st, fields->id, fields->head);
}

static struct stream *server_head(struct streams *st, const struct stream_fields *fields)
{
	struct stream *s = find_or_begin(st, fields->id);

	if (!s)
		return NULL;
	if (s->headed[HTTP2_SERVER] || (fields->trailing && !fields->head->status)) {
		st->ops->trailers(st->user, &s->shown, fields->head);
		return s;
	}
	s->headed[HTTP2_SERVER] = fields->head->status / 100 != 1;
	st->ops->head(st->user, &s->shown, HTTP2_SERVER, fields->head);
	return s;
}

void streams_head(struct streams *st, enum http2_side side, const struct stream_fields *fields)
{
	struct stream *s;

	if (fields->id % 2 == 0)
		return;
	s = side == HTTP2_CLIENT ? client_head(st, fields) : server_head(st, fields);
	if (s && fields->last)
		end_half(st, s, side);
}

void streams_data(struct streams *st, enum http2_side side, uint32_t id)
{
	struct stream *s = find_or_begin(st, id);

	if (!s || s->headed[side] || s->ended[side])
		return;
	s->headed[side] = true;
	st->ops->head(st->user, &s->shown, side, &no_head);
	if (side == HTTP2_SERVER)
		st->ops->gap(st->user, &s->shown, side, 0);
}

void streams_body(struct streams *st, enum http2_side side, uint32_t id, struct slice bytes)
{
	struct stream *s = find(st, id);

	if (s && !s->ended[side])
		st->ops->body(st->user, &s->shown, side, bytes);
}

void streams_gap(struct streams *st, enum http2_side side, uint32_t id, uint64_t n)
{
	struct stream *s = find(st, id);

	if (s && !s->ended[side])
		st->ops->gap(st->user, &s->shown, side, n);
}

void streams_half_end(struct streams *st, enum http2_side side, uint32_t id)
{
	struct stream *s = find(st, id);

	if (s)
		end_half(st, s, side);
}

void streams_reset(struct streams *st, uint32_t id)
{
	struct stream *s = find(st, id);

	if (s)
		close_stream(st, s, MESSAGE_CUT);
}

void streams_refused(struct streams *st, uint32_t last_id)
{
	struct stream *s, *tmp;

	HASH_ITER (hh, st->by_id, s, tmp) {
		if (s->shown.id > last_id)
			close_stream(st, s, MESSAGE_CUT);
	}
}

void streams_lose(struct streams *st, enum http2_side side)
{
	struct stream *s, *tmp;

	st->unseen = true;
	HASH_ITER (hh, st->by_id, s, tmp) {
		if (!s->ended[side])
			st->ops->gap(st->user, &s->shown, side, 0);
	}
}

void streams_end(struct streams *st, enum message_end how)
{
	struct stream *s, *tmp;

	HASH_ITER (hh, st->by_id, s, tmp)
		close_stream(st, s, how);
}

void streams_free(struct streams *st)
{
	struct stream *s, *tmp;

	HASH_ITER (hh, st->by_id, s, tmp)
		drop(st, s);
}

size_t streams_count(const struct streams *st)
{
	return HASH_COUNT(st->by_id);
}

size_t streams_memory(const struct streams *st)
{
	return HASH_COUNT(st->by_id) * sizeof(struct stream);
}
