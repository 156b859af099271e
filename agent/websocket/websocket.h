/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a WebSocket connection (RFC 6455), with permessage-deflate (RFC 7692): bytes and
 * gaps in, messages out in pieces. Masks, fragments and control frames between them are undone;
 * nothing of a payload is kept, so that messages of any size pass. Pure: no clock, file, global or
 * log. Any split of the input gives the same events. Text and binary messages are told alike: peers
 * send JSON in both.
 */
#ifndef TT_WEBSOCKET_H
#define TT_WEBSOCKET_H

#include "agent/base/base.h"

/* zlib's state and window, held by a direction once a compressed message was seen on it. */
#define WS_INFLATE_BYTES (48u << 10)

enum ws_side { WS_CLIENT, WS_SERVER, WS_SIDES }; /* who writes: a client masks, a server does not */

enum ws_result {
	WS_OK,	   /* all bytes taken; feed more */
	WS_BROKEN, /* this direction cannot be read any more, see ws_reason; stays so */
};

enum ws_reason {
	WS_FINE,
	WS_GAP,		/* bytes were not seen */
	WS_BAD_FRAME,	/* no frame of this direction and its extensions */
	WS_BAD_DEFLATE, /* compressed data are corrupt */
	WS_BOMB,	/* a message passes the ratio of agent/decode */
	WS_NO_MEMORY,
};

/* What was agreed for one direction. */
struct ws_deflate {
	bool on;
	bool takeover; /* the window lives on from message to message */
};

struct ws_ops {
	/* Followed by pieces, none of them empty, and one end or lost unless the bytes end before.
	 */
	void (*begin)(void *user);
	void (*data)(void *user, struct slice piece); /* unmasked, inflated; borrowed */
	void (*end)(void *user);
	/*
	 * Something is missing here: the rest of the open message, whole messages, or both. The
	 * open message is over with it.
	 */
	void (*lost)(void *user, enum ws_reason why);
	void (*close)(void *user); /* a Close frame: nothing comes after it */
};

struct ws;

/*
 * Reads a Sec-WebSocket-Extensions field of an answer ("" or a NULL slice: none) into what holds
 * for both directions. False when it names what is not known here: frames cannot be read then.
 */
bool ws_extensions(struct slice field, struct ws_deflate out[WS_SIDES]) TT_MUST_CHECK;

/* Returns 0 or -ENOMEM. ops and user stay the caller's. */
int ws_new(struct ws **out, enum ws_side side, struct ws_deflate deflate, const struct ws_ops *ops,
	   void *user) TT_MUST_CHECK;
void ws_free(struct ws *w); /* NULL is fine */

enum ws_result ws_feed(struct ws *w, struct slice bytes) TT_MUST_CHECK;

/*
 * n bytes were not seen; 0: it is not known how many. Inside a payload they are skipped by its
 * length and cost that message. Anywhere else the place is lost: it is found again at the start of
 * a call (ws_call_begins) that begins with a frame which holds an object of JSON. A direction whose
 * compression carries its window on cannot go on after either, and is broken.
 */
enum ws_result ws_skip(struct ws *w, uint64_t n) TT_MUST_CHECK;

/* The next bytes are the first of a read or write of the application: frames like to begin there.
 */
void ws_call_begins(struct ws *w);

enum ws_reason ws_reason(const struct ws *w);
size_t ws_memory(const struct ws *w);

#endif
