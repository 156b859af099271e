/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/websocket/websocket.h"

#include "agent/websocket/inflate.h"

#include <errno.h>

#define HEADER_MAX     14
#define CONTROL_MAX    125 /* bytes of a control frame's payload */
#define UNMASK_PIECE   4096
#define OPCODE_CONTROL 8
#define MESSAGE_OBJECT '{' /* what messages begin with where a lost place is looked for */

enum opcode { OP_CONTINUATION, OP_TEXT, OP_BINARY, OP_CLOSE = OPCODE_CONTROL, OP_PING, OP_PONG };

enum state {
	IN_HEADER,
	IN_PAYLOAD,
	SEEKING, /* the place is lost: bytes are dropped */
	CLOSED,	 /* a Close frame passed: bytes are dropped */
	BROKEN,
};

struct ws {
	const struct ws_ops *ops;
	void *user;
	bool masked;
	struct ws_deflate deflate;
	enum state state;
	enum ws_reason reason;
	bool trying; /* what looked like a frame is being read; its message decides */

	uint8_t header[HEADER_MAX];
	size_t header_len;
	uint8_t opcode;
	bool fin;
	uint64_t left; /* of the payload */
	uint8_t mask[4];
	unsigned int mask_at;

	bool open;     /* a message is being read */
	bool begun;    /* and its begin was told */
	bool dropping; /* its rest is not told */
	bool compressed;
	struct ws_inflate inflate;
};

/* ---- what goes wrong ----------------------------------------------------------------------- */

static void tell_lost(struct ws *w, enum ws_reason why)
{
	w->begun = false;
	w->dropping = true;
	w->ops->lost(w->user, why);
}

static void fail(struct ws *w, enum ws_reason why)
{
	w->open = false;
	if (w->trying) {
		w->state = SEEKING;
		return;
	}
	w->state = BROKEN;
	w->reason = why;
	tell_lost(w, why);
}

/* What the messages to come are compressed against was not seen. */
static bool needs_all(const struct ws *w)
{
	return w->deflate.on && w->deflate.takeover;
}

/* The message being read is lost; those after it are not, unless they build on it. */
static void lose_message(struct ws *w, enum ws_reason why)
{
	if (w->trying || (w->compressed && needs_all(w)))
		fail(w, why);
	else if (!w->dropping)
		tell_lost(w, why);
}

static void lose_place(struct ws *w)
{
	if (needs_all(w)) {
		fail(w, WS_GAP);
		return;
	}
	w->open = false;
	w->state = SEEKING;
	tell_lost(w, WS_GAP);
}

/* ---- payload ------------------------------------------------------------------------------- */

/* The first byte of a message decides whether a place that was tried is the right one. */
static bool is_right_place(struct ws *w, struct slice piece)
{
	if (!w->trying)
		return true;
	if (piece.ptr[0] != MESSAGE_OBJECT)
		return false;
	w->trying = false;
	return true;
}

static void deliver(void *user, struct slice piece)
{
	struct ws *w = user;

	if (w->dropping || w->state != IN_PAYLOAD)
		return;
	if (!is_right_place(w, piece)) {
		fail(w, WS_BAD_FRAME);
		return;
	}
	if (!w->begun) {
		w->begun = true;
		w->ops->begin(w->user);
	}
	w->ops->data(w->user, piece);
}

static void take(struct ws *w, struct slice piece)
{
	enum ws_reason reason;

	if (!w->compressed) {
		deliver(w, piece);
		return;
	}
	if (w->dropping)
		return;
	reason = ws_inflate_feed(&w->inflate, piece, deliver, w);
	if (reason != WS_FINE && w->state == IN_PAYLOAD)
		lose_message(w, reason);
}

static void take_masked(struct ws *w, struct slice bytes)
{
	char plain[UNMASK_PIECE];

	while (bytes.len && w->state == IN_PAYLOAD) {
		size_t n = bytes.len < sizeof(plain) ? bytes.len : sizeof(plain);

		for (size_t i = 0; i < n; i++)
			plain[i] = bytes.ptr[i] ^ (char)w->mask[w->mask_at++ & 3];
		take(w, (struct slice){plain, n});
		bytes.ptr += n;
		bytes.len -= n;
	}
	explicit_bzero(plain, sizeof(plain));
}

static void end_message(struct ws *w)
{
	enum ws_reason reason = WS_FINE;

	if (w->compressed && !w->dropping)
		reason = ws_inflate_end(&w->inflate);
	if (reason != WS_FINE)
		lose_message(w, reason);
	else if (w->trying) /* an empty message proves no place */
		fail(w, WS_BAD_FRAME);
	if (w->state != IN_PAYLOAD)
		return;
	w->open = false;
	if (w->dropping)
		return;
	if (!w->begun)
		w->ops->begin(w->user);
	w->ops->end(w->user);
}

static void end_frame(struct ws *w)
{
	if (w->opcode < OPCODE_CONTROL && w->fin)
		end_message(w);
	if (w->state != IN_PAYLOAD)
		return;
	w->state = IN_HEADER;
	w->header_len = 0;
	if (w->opcode == OP_CLOSE) {
		w->state = CLOSED;
		w->ops->close(w->user);
	}
}

static size_t eat_payload(struct ws *w, struct slice bytes)
{
	size_t n = bytes.len < w->left ? bytes.len : (size_t)w->left;
	struct slice piece = {bytes.ptr, n};

	w->left -= n;
	if (w->opcode < OPCODE_CONTROL && w->masked)
		take_masked(w, piece);
	else if (w->opcode < OPCODE_CONTROL)
		take(w, piece);
	if (w->state == IN_PAYLOAD && !w->left)
		end_frame(w);
	return n;
}

/* ---- headers ------------------------------------------------------------------------------- */

static size_t length_bytes(uint8_t length)
{
	return length == 127 ? 8 : length == 126 ? 2 : 0;
}

static size_t header_need(const struct ws *w)
{
	if (w->header_len < 2)
		return 2;
	return 2 + length_bytes(w->header[1] & 127) + (w->masked ? 4 : 0);
}

/* The first two bytes alone tell most of what is no frame. */
static bool is_frame(const struct ws *w)
{
	uint8_t opcode = w->header[0] & 15, length = w->header[1] & 127;
	bool rsv1 = w->header[0] & 64, fin = w->header[0] & 128;

	if ((w->header[0] & 48) || (w->header[1] >= 128) != w->masked)
		return false;
	if (opcode >= OPCODE_CONTROL)
		return opcode <= OP_PONG && fin && !rsv1 && length <= CONTROL_MAX;
	if (opcode > OP_BINARY || (opcode == OP_CONTINUATION) != w->open)
		return false;
	return !rsv1 || (w->deflate.on && opcode != OP_CONTINUATION);
}

static uint64_t frame_length(const struct ws *w)
{
	size_t n = length_bytes(w->header[1] & 127);
	uint64_t length = 0;

	if (!n)
		return w->header[1] & 127;
	for (size_t i = 0; i < n; i++)
		length = length << 8 | w->header[2 + i];
	return length;
}

/* Peers must use the shortest form (RFC 6455 5.2): where one is only guessed, it is asked for. */
static bool is_length(const struct ws *w, uint64_t length)
{
	uint8_t form = w->header[1] & 127;

	if (length >> 63)
		return false;
	return !w->trying || form < 126 || length >= (form == 126 ? 126 : 65536);
}

static void begin_message(struct ws *w)
{
	enum ws_reason reason = WS_FINE;

	w->open = true;
	w->begun = w->dropping = false;
	w->compressed = w->header[0] & 64;
	if (w->compressed)
		reason = ws_inflate_begin(&w->inflate, w->deflate.takeover);
	if (reason != WS_FINE)
		lose_message(w, reason);
}

static void end_header(struct ws *w)
{
	uint64_t length = frame_length(w);

	if (!is_length(w, length)) {
		fail(w, WS_BAD_FRAME);
		return;
	}
	w->opcode = w->header[0] & 15;
	w->fin = w->header[0] & 128;
	w->left = length;
	w->mask_at = 0;
	if (w->masked)
		memcpy(w->mask, w->header + w->header_len - 4, 4);
	w->state = IN_PAYLOAD;
	if (w->opcode == OP_TEXT || w->opcode == OP_BINARY)
		begin_message(w);
	if (w->state == IN_PAYLOAD && !length)
		end_frame(w);
}

static size_t eat_header(struct ws *w, struct slice bytes)
{
	w->header[w->header_len++] = (uint8_t)bytes.ptr[0];
	if (w->header_len == 2 && !is_frame(w))
		fail(w, WS_BAD_FRAME);
	else if (w->header_len >= 2 && w->header_len == header_need(w))
		end_header(w);
	return 1;
}

/* ---- bytes and gaps ------------------------------------------------------------------------ */

static enum ws_result result_of(const struct ws *w)
{
	return w->state == BROKEN ? WS_BROKEN : WS_OK;
}

enum ws_result ws_feed(struct ws *w, struct slice bytes)
{
	while (bytes.len && w->state <= IN_PAYLOAD) {
		size_t n = w->state == IN_HEADER ? eat_header(w, bytes) : eat_payload(w, bytes);

		bytes.ptr += n;
		bytes.len -= n;
	}
	return result_of(w);
}

static void skip_payload(struct ws *w, uint64_t n)
{
	w->left -= n;
	w->mask_at += (unsigned int)(n & 3);
	if (w->opcode < OPCODE_CONTROL)
		lose_message(w, WS_GAP);
	if (w->state == IN_PAYLOAD && !w->left)
		end_frame(w);
}

enum ws_result ws_skip(struct ws *w, uint64_t n)
{
	if (w->trying && w->state <= IN_PAYLOAD)
		fail(w, WS_GAP);
	else if (w->state == IN_PAYLOAD && n && n <= w->left)
		skip_payload(w, n);
	else if (w->state <= IN_PAYLOAD)
		lose_place(w);
	return result_of(w);
}

void ws_call_begins(struct ws *w)
{
	if (w->state != SEEKING)
		return;
	w->state = IN_HEADER;
	w->header_len = 0;
	w->trying = true;
}

/* ---- life ---------------------------------------------------------------------------------- */

int ws_new(struct ws **out, enum ws_side side, struct ws_deflate deflate, const struct ws_ops *ops,
	   void *user)
{
	struct ws *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->ops = ops;
	w->user = user;
	w->masked = side == WS_CLIENT;
	w->deflate = deflate;
	*out = w;
	return 0;
}

void ws_free(struct ws *w)
{
	if (!w)
		return;
	ws_inflate_free(&w->inflate);
	free(w);
}

enum ws_reason ws_reason(const struct ws *w)
{
	return w->reason;
}

size_t ws_memory(const struct ws *w)
{
	return sizeof(*w) + (w->inflate.ready ? WS_INFLATE_BYTES : 0);
}
