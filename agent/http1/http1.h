/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of an HTTP/1.1 connection (RFC 9112): bytes and gaps in, heads, body pieces and
 * ends out. Keeps the current head only (HTTP1_HEAD_MAX); bodies pass through. Pure: no clock,
 * file, global or log. Any split of the input gives the same events. After HTTP1_BROKEN nothing
 * more comes out until http1_reset.
 *
 * It never decides what an answer belongs to: the owner says before each response which request it
 * answers (http1_expect), since HEAD, CONNECT and Upgrade change the framing.
 */
#ifndef TT_HTTP1_H
#define TT_HTTP1_H

#include "agent/exchange/message.h"

/*
 * A head may be longer than HTTP1_HEAD_MAX or HTTP_FIELDS_MAX fields: what does not fit is left out
 * (http_head.cut), its framing fields are honoured all the same. Only a start line or a framing
 * field that does not fit breaks the message.
 */
#define HTTP1_HEAD_MAX	    (64u << 10)
#define HTTP1_CHUNK_EXT_MAX (4u << 10) /* a chunk size line */
#define HTTP1_TRAILER_MAX   (64u << 10)

struct http1;

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };

/* What the response parser must know of the request it answers. */
enum http1_expect { HTTP1_EXPECT_NORMAL, HTTP1_EXPECT_HEAD, HTTP1_EXPECT_CONNECT };

enum http1_result {
	HTTP1_OK,	/* all bytes taken; feed more */
	HTTP1_BROKEN,	/* not HTTP/1: see http1_reason */
	HTTP1_UPGRADED, /* 101 or CONNECT 2xx: what follows is not HTTP; stays so */
};

enum http1_reason {
	HTTP1_FINE,
	HTTP1_BAD_START_LINE,
	HTTP1_BAD_FIELD,
	HTTP1_HEAD_TOO_LONG,
	HTTP1_BAD_LENGTH, /* conflicting or malformed Content-Length or Transfer-Encoding */
	HTTP1_BAD_CHUNK,
	HTTP1_OUT_OF_MEMORY,
	HTTP1_GAP_IN_FRAMING, /* bytes missing where a head or chunk size stood */
	HTTP1_REASONS
};
extern const char *const http1_reason_names[HTTP1_REASONS];

struct http1_ops {
	/* The first byte of a head arrived, at this stream position. NULL when not wanted. */
	void (*start)(void *user, uint64_t at);
	/*
	 * A complete head; at = stream position of its first byte. 1xx heads other than 101 come
	 * here too and are followed by no end. The head is borrowed until the call returns. The
	 * owner may call http1_expect from within: the framing of the body is decided after it.
	 */
	void (*head)(void *user, const struct http_head *head, uint64_t at);
	void (*body)(void *user, struct slice bytes); /* transfer-decoded */
	void (*body_gap)(void *user, uint64_t n);     /* n body bytes were not seen */
	/* Every head is followed by one end, except 1xx, 101 and the 2xx of a CONNECT. */
	void (*end)(void *user, enum message_end how);
	/* What follows once HTTP is over: bytes, and n bytes that were not seen. Both may be NULL.
	 */
	void (*tunnel)(void *user, struct slice bytes);
	void (*tunnel_gap)(void *user, uint64_t n);
};

/* Returns 0 or -ENOMEM. Holds at most HTTP1_HEAD_MAX beside itself, and only inside a head. */
int http1_new(struct http1 **out, enum http1_kind kind, const struct http1_ops *ops,
	      void *user) TT_MUST_CHECK;
void http1_free(struct http1 *p);

/* What the next final response answers; back to NORMAL at its end. */
void http1_expect(struct http1 *p, enum http1_expect expect);

/*
 * Feeds bytes that start at the current stream position. Breaking inside a message ends it first:
 * end(MESSAGE_BROKEN), or end(MESSAGE_UNSEEN) when a gap was the cause. Not to be called from an
 * op.
 */
enum http1_result http1_feed(struct http1 *p, struct slice bytes) TT_MUST_CHECK;

/*
 * n bytes were not seen. Inside a Content-Length body (or chunk data) they are skipped by length
 * and reported by body_gap; anywhere else the parser is broken with HTTP1_GAP_IN_FRAMING
 * (an open message gets body_gap and end(MESSAGE_UNSEEN) first).
 */
enum http1_result http1_skip(struct http1 *p, uint64_t n) TT_MUST_CHECK;

/* The other direction was upgraded: what follows here is not HTTP either. Not inside a message. */
void http1_upgrade(struct http1 *p);

/* The stream ended: a read-until-close body is complete, any other open message is cut. */
void http1_eof(struct http1 *p);

/* Forget the current message and wait for a start line at stream position `at`. */
void http1_reset(struct http1 *p, uint64_t at);

bool http1_until_close(const struct http1 *p); /* in a body that only the end of stream ends */
enum http1_reason http1_reason(const struct http1 *p);
size_t http1_memory(const struct http1 *p); /* bytes held, for the memory budget */

#endif
