/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both directions of one HTTP/2 connection (RFC 9113): bytes and gaps in, heads, body pieces and
 * ends of its streams out, in the words of exchange/message.h. Bodies pass through; what is held is
 * the table of open streams, the block of fields being read and the state of both HPACK decoders,
 * which read every block in wire order. Pure: no clock, file, global or log. Any split of the input
 * gives the same events.
 *
 * It may join late. A direction that lost its place between frames finds it again where a call
 * begins with what can only be a frame; fields of which only the index was seen are left out and
 * the head is marked as cut. A stream whose head was not seen begins with an empty one: no method,
 * no target, status 0; an answer's is followed by a gap, for it may be joined within its body.
 *
 * Not handed on: pushed streams, a client's trailers, priorities, settings, flow control.
 */
#ifndef TT_HTTP2_H
#define TT_HTTP2_H

#include "agent/exchange/message.h"

#define HTTP2_STREAMS_MAX 256	      /* open at once; further ones are left out */
#define HTTP2_BLOCK_MAX	  (64u << 10) /* a head before HPACK; a longer one is not read */
#define HTTP2_HEAD_MAX	  (64u << 10) /* after it; fields that do not fit are left out */
#define HTTP2_TABLE_MAX	  (64u << 10) /* HPACK table of one direction */

#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct http2;

enum http2_side { HTTP2_CLIENT, HTTP2_SERVER }; /* who wrote it */

/* What went wrong; each is told once where it happens. */
enum http2_trouble {
	HTTP2_LOST_PLACE, /* bytes missing between frames, or no frame where one had to be */
	HTTP2_BAD_BLOCK,  /* fields that cannot be decoded, or were not seen whole */
	HTTP2_STREAMS_FULL,
	HTTP2_NO_MEMORY, /* a stream or a head is left out */
	HTTP2_TROUBLES
};

struct http2_stream {
	uint32_t id;
	void *owner; /* what the owner of the parser keeps for it; NULL at first */
};

struct http2_ops {
	/* The first byte of a client's frame arrived that may begin a request. */
	void (*start)(void *user);
	/*
	 * A complete head. A stream begins with the client's. The server's 1xx heads come here too
	 * and are followed by another. The head is borrowed until the call returns.
	 */
	void (*head)(void *user, struct http2_stream *stream, enum http2_side side,
		     const struct http_head *head);
	void (*body)(void *user, struct http2_stream *stream, enum http2_side side,
		     struct slice bytes);
	/* The server's fields behind its body; borrowed. Also where its head was not seen. */
	void (*trailers)(void *user, struct http2_stream *stream, const struct http_head *fields);
	/* n bytes were not seen; 0: it is not known whether and how many. Also before a head. */
	void (*gap)(void *user, struct http2_stream *stream, enum http2_side side, uint64_t n);
	/*
	 * The client's end comes once per stream, then the server's, with or without a head before
	 * it: the last event of the stream.
	 */
	void (*end)(void *user, struct http2_stream *stream, enum http2_side side,
		    enum message_end how);
	void (*trouble)(void *user, enum http2_trouble what);
};

/* Returns 0 or -ENOMEM. late: the connection's beginning, the preface, was not seen. */
int http2_new(struct http2 **out, bool late, const struct http2_ops *ops, void *user) TT_MUST_CHECK;
void http2_free(struct http2 *p); /* NULL is fine; calls nothing */

/*
 * Feeds the next bytes of one direction; call_begins: they are the first ones that one call of the
 * application moved. Not to be called from an op.
 */
void http2_feed(struct http2 *p, enum http2_side side, struct slice bytes, bool call_begins);

/* n bytes were not seen; 0: anything may be missing. */
void http2_skip(struct http2 *p, enum http2_side side, uint64_t n);

/* Ends all streams: MESSAGE_CUT when the connection is gone, MESSAGE_UNSEEN when our view is. */
void http2_end(struct http2 *p, enum message_end how);

/* No frame is being read there: a new protocol may begin. */
bool http2_between_frames(const struct http2 *p, enum http2_side side);
size_t http2_streams(const struct http2 *p);
size_t http2_memory(const struct http2 *p); /* bytes held, for the memory budget */

/* Can these bytes begin a frame, as far as can be told without knowing the connection? */
#define HTTP2_FRAME_HEAD 9
bool http2_frame_likely(const uint8_t head[HTTP2_FRAME_HEAD]);

#endif
