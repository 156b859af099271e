/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of gRPC calls: over HTTP/2, in frames and pieces of several sizes, on many streams at
 * once, joined late, their messages compressed or not, with and without trailers.
 */
#ifndef TT_TEST_GRPC_H
#define TT_TEST_GRPC_H

#include "multiplexed.h"

#define GRPC_HEAD 5

static bool is_grpc(const struct cassette *c)
{
	return strcmp(text_member(c, "transport"), "grpc") == 0;
}

struct grpc_form {
	enum { PLAIN, GZIP, DEFLATE } coding;
	size_t streams, frame, piece;
	bool trailers;
};

static struct bytes deflated(const struct bytes *in)
{
	uLongf room = compressBound((uLong)in->len);
	struct bytes out = {.ptr = must(malloc(room)), .cap = room};

	if (compress((Bytef *)out.ptr, &room, (const Bytef *)in->ptr, (uLong)in->len) != Z_OK)
		abort();
	out.len = room;
	return out;
}

/* Each message coded for itself, its flag set. */
static struct bytes coded(const struct bytes *body, int coding)
{
	struct bytes out = {0};

	bytes_add(&out, "", 0);
	for (size_t at = 0; at < body->len;) {
		const uint8_t *p = (const uint8_t *)body->ptr + at;
		size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
		const struct bytes plain = {.ptr = body->ptr + at + GRPC_HEAD, .len = n};
		struct bytes message = coding == GZIP ? gzip(&plain, false) : deflated(&plain);
		const char head[GRPC_HEAD] = {1, (char)(message.len >> 24),
					      (char)(message.len >> 16), (char)(message.len >> 8),
					      (char)message.len};

		bytes_add(&out, head, sizeof(head));
		bytes_add(&out, message.ptr, message.len);
		bytes_free(&message);
		at += GRPC_HEAD + n;
	}
	return out;
}

static struct bytes message_bytes(const struct bytes *body, int coding)
{
	struct bytes out = {0};

	if (coding != PLAIN)
		return coded(body, coding);
	bytes_add(&out, body->ptr, body->len);
	return out;
}

static void end_answer(struct h2_writer *w, uint32_t id, bool trailers)
{
	const nghttp2_nv status = h2_nv(SLICE("grpc-status"), SLICE("0"));

	if (trailers)
		h2_head(w, id, &status, 1, H2_END_STREAM, SIZE_MAX);
	else
		h2_frame(w, NGHTTP2_DATA, H2_END_STREAM, id, "", 0);
}

/* One answer on each of so many streams from `first` on, their frames in turn. */
static void answers(struct h2_writer *w, const struct cassette *c, const struct grpc_form *form,
		    uint32_t first)
{
	struct bytes body = message_bytes(&c->response_body, form->coding);

	for (size_t i = 0; i < form->streams; i++)
		h2_message_head(w, first + (uint32_t)(2 * i), &c->response_head, "");
	for (size_t at = 0; at < body.len; at += form->frame) {
		size_t n = body.len - at < form->frame ? body.len - at : form->frame;

		for (size_t i = 0; i < form->streams; i++)
			h2_frame(w, NGHTTP2_DATA, 0, first + (uint32_t)(2 * i), body.ptr + at, n);
	}
	for (size_t i = 0; i < form->streams; i++)
		end_answer(w, first + (uint32_t)(2 * i), form->trailers);
	bytes_free(&body);
}

static void name_form(char variant[128], const struct grpc_form *form)
{
	snprintf(variant, 128, "gRPC coding %d streams %zu frame %zu piece %zu trailers %d",
		 form->coding, form->streams, form->frame, form->piece, form->trailers);
}

static void play_grpc(const struct cassette *c, const struct grpc_form *form,
		      struct outcome_seen *seen)
{
	struct bytes asked = message_bytes(&c->request_body, form->coding);
	struct h2_peers peers;

	peers_init(&peers);
	interleave(&peers.client, &c->request_head, &asked, CODING_NONE, form->streams,
		   form->frame);
	answers(&peers.server, c, form, 1);
	replay(&peers.client.out, &peers.server.out, form->piece, false, seen);
	peers_free(&peers);
	bytes_free(&asked);
}

static void run_form(const struct cassette *c, const struct outcome_seen *want,
		     const struct grpc_form *form)
{
	static struct outcome_seen seen;
	char variant[128];

	seen.against = want;
	play_grpc(c, form, &seen);
	name_form(variant, form);
	same_many(c, want, &seen, form->streams, variant);
}

/*
 * The request's head is not seen, so that the answer has to tell; or it is, and what of both heads
 * came before in a call that is not seen is missing.
 */
static void run_grpc_late(const struct cassette *c, const struct outcome_seen *want,
			  const struct grpc_form *form, bool path_seen)
{
	static struct outcome_seen seen;
	uint32_t id = path_seen ? 3 : 1;
	struct late_start start;
	struct h2_peers peers;
	size_t at = 0;

	peers_init(&peers);
	if (path_seen) {
		write_on(&peers.client, 1, &c->request_head, &c->request_body, CODING_NONE);
		answers(&peers.server, c, form, 1);
		start = (struct late_start){peers.client.out.len, peers.server.out.len};
	}
	h2_message_head(&peers.client, id, &c->request_head, "");
	if (!path_seen)
		start = (struct late_start){peers.client.out.len, peers.server.out.len};
	h2_data_piece(&peers.client, id, &c->request_body, &at, SIZE_MAX);
	answers(&peers.server, c, form, id);
	bytes_drop(&peers.client.out, start.client);
	bytes_drop(&peers.server.out, start.server);
	replay_at(want->row[0].host, &peers.client.out, &peers.server.out, form->piece, false,
		  &seen);
	peers_free(&peers);
	assert_int_equal(seen.rows, 1);
	if (!same_late(c, &want->row[0], &seen.row[0], path_seen))
		fail_msg("%s: another row joined late, path %sseen", c->name,
			 path_seen ? "" : "not ");
}

static void run_grpc(const struct cassette *c)
{
	static const struct grpc_form forms[] = {
		{PLAIN, 1, 16384, SIZE_MAX, true},
		{PLAIN, 1, 16384, SIZE_MAX, false},
		{PLAIN, 1, 1, 1, true},
		{PLAIN, 1, 13, 61, true},
		{PLAIN, STREAMS, 509, 4096, true},
		{GZIP, 1, 16384, SIZE_MAX, true},
		{GZIP, 1, 13, 61, true},
		{GZIP, STREAMS, 509, 4096, true},
		{DEFLATE, 1, 16384, SIZE_MAX, true},
		{DEFLATE, 1, 1, 1, true},
		{DEFLATE, STREAMS, 1000, 1, true},
	};
	static struct outcome_seen first;

	play_grpc(c, &forms[0], &first);
	check_seen(c, &first, false);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		run_form(c, &first, &forms[i]);
		if (forms[i].streams != 1)
			continue;
		run_grpc_late(c, &first, &forms[i], true);
		run_grpc_late(c, &first, &forms[i], false);
	}
}

#endif
