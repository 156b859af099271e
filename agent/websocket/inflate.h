/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed messages of one direction (RFC 7692 7.2.2): raw deflate, each message without the
 * empty block that ended it, with or without the window of the message before. Private to
 * agent/websocket.
 */
#ifndef TT_WEBSOCKET_INFLATE_H
#define TT_WEBSOCKET_INFLATE_H

#include <zlib.h>

#include "agent/websocket/websocket.h"

struct ws_inflate {
	z_stream z;
	bool ready; /* z is initialised */
	bool ended; /* a final block passed: what follows is a new stream over the same window */
	uint64_t in_bytes, out_bytes; /* of the message */
};

typedef void (*ws_sink)(void *user, struct slice piece);

/* A compressed message begins. WS_FINE or WS_NO_MEMORY. */
enum ws_reason ws_inflate_begin(struct ws_inflate *f, bool takeover) TT_MUST_CHECK;
/* WS_FINE, WS_BAD_DEFLATE, WS_BOMB or WS_NO_MEMORY. */
enum ws_reason ws_inflate_feed(struct ws_inflate *f, struct slice bytes, ws_sink sink,
			       void *user) TT_MUST_CHECK;
/* The message is over: checks that its last block is. */
enum ws_reason ws_inflate_end(struct ws_inflate *f) TT_MUST_CHECK;
void ws_inflate_free(struct ws_inflate *f);

#endif
