/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of one HTTP/1 message (RFC 9112 2 to 5): bytes in until the empty line, then a
 * http_head and what the framing fields say. Private to agent/http1.
 */
#ifndef TT_HTTP1_HEAD_H
#define TT_HTTP1_HEAD_H

#include "agent/http1/http1.h"

/* What Content-Length and Transfer-Encoding of one head say together (RFC 9112 6). */
struct http1_framing {
	bool has_length;
	bool has_coding;   /* Transfer-Encoding: beats Content-Length */
	bool chunked_last; /* chunked is the final transfer coding */
	uint64_t length;
};

struct http1_head {
	enum http1_kind kind;
	enum http1_reason reason; /* HTTP1_FINE until it is broken */
	char *buf;		  /* kept lines, each closed by LF, then the line being read */
	size_t len, cap;
	size_t line_at;	 /* where the line being read begins in buf */
	bool in_fields;	 /* the start line is complete */
	bool line_ended; /* LF seen; the next byte tells whether the line is folded */
	bool dropping;	 /* the rest of an overlong line is skipped */
	bool cut;
	size_t fields;
	struct http1_framing framing;
};

enum head_result { HEAD_MORE, HEAD_COMPLETE, HEAD_BROKEN };

/* Takes bytes up to and with the empty line; *used tells how many. */
enum head_result head_feed(struct http1_head *h, struct slice bytes, size_t *used) TT_MUST_CHECK;
/* The complete head as slices into h's buffer. */
void head_get(const struct http1_head *h, struct http_head *out);
/* Releases the buffer and waits for the next head. */
void head_reset(struct http1_head *h);

#endif
