/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content codings (RFC 9110 8.4) undone as a stream: gzip, deflate (zlib or raw), br, zstd,
 * identity, stacked up to DECODE_STACK_MAX. A coding is a row of a table in decode.c. Bytes in,
 * bytes out through one call; a bomb stops the message, never the agent. Pure.
 */
#ifndef TT_DECODE_H
#define TT_DECODE_H

#include "agent/base/base.h"

#define DECODE_STACK_MAX   3
#define DECODE_OUT_PIECE   (16u << 10) /* bytes handed out at once */
#define DECODE_RATIO_MAX   200u	       /* output may not pass 200 x input + DECODE_RATIO_SLACK */
#define DECODE_RATIO_SLACK (1u << 20)
#define DECODE_WINDOW_MAX  (8u << 20) /* zstd and brotli window memory */

struct decode;

enum decode_result {
	DECODE_OK,
	DECODE_BROKEN, /* corrupt data; nothing more comes out */
	DECODE_BOMB,   /* ratio or window limit reached; nothing more comes out */
};

typedef void (*decode_out)(void *user, struct slice bytes);

/*
 * content_encoding is the field value ("gzip", "gzip, br", "" or NULL-slice for none). Returns 0,
 * -ENOTSUP for a coding that is not in the table or a deeper stack, -ENOMEM.
 */
int decode_new(struct decode **out, struct slice content_encoding, decode_out sink,
	       void *user) TT_MUST_CHECK;
void decode_free(struct decode *d);
/*
 * What can be decoded of the bytes so far is handed to the sink before the call returns. A body
 * that ends early has given what was there; there is no end call. Bytes after the end of a coding
 * are ignored. After any result but DECODE_OK the same comes again, and nothing out.
 */
enum decode_result decode_feed(struct decode *d, struct slice bytes) TT_MUST_CHECK;
size_t decode_memory(const struct decode *d);

#endif
