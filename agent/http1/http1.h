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

#define HTTP1_HEAD_MAX (64u << 10)

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
	HTTP1_TOO_MANY_FIELDS,
	HTTP1_BAD_LENGTH, /* conflicting or malformed Content-Length */
	HTTP1_BAD_CHUNK,
	HTTP1_GAP_IN_FRAMING, /* bytes missing where a head or chunk size stood */
	HTTP1_REASONS
};
extern const char *const http1_reason_names[HTTP1_REASONS];

struct http1_ops {
	/*
	 * A complete head; at = stream position of its first byte. 1xx heads other than 101 come
	 * here too and are followed by no end. The head is borrowed until the call returns.
	 */
	void (*head)(void *user, const struct http_head *head, uint64_t at);
	void (*body)(void *user, struct slice bytes); /* transfer-decoded */
	void (*body_gap)(void *user, uint64_t n);     /* n body bytes were not seen */
	void (*end)(void *user, enum message_end how);
};

/* Returns 0 or -ENOMEM; *out changes only on success. Memory: sizeof plus at most HTTP1_HEAD_MAX.
 */
int http1_new(struct http1 **out, enum http1_kind kind, const struct http1_ops *ops,
	      void *user) TT_MUST_CHECK;
void http1_free(struct http1 *p);

void http1_expect(struct http1 *p, enum http1_expect expect);

/* Feeds bytes that start at stream position p's current one. */
enum http1_result http1_feed(struct http1 *p, struct slice bytes) TT_MUST_CHECK;

/*
 * n bytes were not seen. Inside a Content-Length body (or chunk data) they are skipped by length
 * and reported by body_gap; anywhere else the parser is broken with HTTP1_GAP_IN_FRAMING.
 */
enum http1_result http1_skip(struct http1 *p, uint64_t n) TT_MUST_CHECK;

/* The stream ended: a read-until-close body is complete, any other open message is cut. */
void http1_eof(struct http1 *p);

/* Forget the current message and wait for a start line at stream position `at`. */
void http1_reset(struct http1 *p, uint64_t at);

bool http1_idle(const struct http1 *p); /* between messages */
enum http1_reason http1_reason(const struct http1 *p);
size_t http1_memory(const struct http1 *p); /* bytes held, for the memory budget */

#endif
