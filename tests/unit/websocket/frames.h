/* SPDX-License-Identifier: Apache-2.0 */
/* Builds WebSocket frames for tests: masks, fragments, compressed messages. */
#ifndef TT_TEST_FRAMES_H
#define TT_TEST_FRAMES_H

#include <zlib.h>

#include "agent/websocket/websocket.h"

struct frames {
	char *ptr; /* owned */
	size_t len, cap;
	bool masked;
	bool deflate, takeover;
	z_stream z;
	uint32_t seed; /* of masks */
};

static void frames_add(struct frames *f, const void *ptr, size_t len)
{
	if (f->len + len > f->cap) {
		f->cap = (f->cap + len) * 2;
		f->ptr = realloc(f->ptr, f->cap);
		if (!f->ptr)
			abort();
	}
	if (len)
		memcpy(f->ptr + f->len, ptr, len);
	f->len += len;
}

static void frames_init(struct frames *f, enum ws_side side, struct ws_deflate deflate)
{
	*f = (struct frames){
		.masked = side == WS_CLIENT, .deflate = deflate.on, .takeover = deflate.takeover};
	if (f->deflate && deflateInit2(&f->z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
}

static void frames_free(struct frames *f)
{
	if (f->deflate)
		deflateEnd(&f->z);
	free(f->ptr);
	f->ptr = NULL;
}

static void frames_mask(struct frames *f, const char *ptr, size_t len)
{
	uint8_t mask[4];

	for (size_t i = 0; i < sizeof(mask); i++) {
		f->seed = f->seed * 1664525u + 1013904223u;
		mask[i] = (uint8_t)(f->seed >> 24);
	}
	frames_add(f, mask, sizeof(mask));
	for (size_t i = 0; i < len; i++) {
		char c = ptr[i] ^ (char)mask[i & 3];

		frames_add(f, &c, 1);
	}
}

/* One frame as it stands: first is the byte of flags and opcode. */
static void frame(struct frames *f, uint8_t first, const void *payload, size_t len)
{
	uint8_t mask = f->masked ? 128 : 0, head[10] = {first};
	size_t n = 2;

	if (len < 126) {
		head[1] = (uint8_t)len | mask;
	} else {
		size_t bytes = len < 65536 ? 2 : 8;

		head[1] = (bytes == 2 ? 126 : 127) | mask;
		for (size_t i = 0; i < bytes; i++)
			head[n++] = (uint8_t)((uint64_t)len >> 8 * (bytes - 1 - i));
	}
	frames_add(f, head, n);
	if (f->masked)
		frames_mask(f, payload, len);
	else
		frames_add(f, payload, len);
}

/* A message in frames of at most `piece` bytes, with a ping between them. */
static void frames_cut(struct frames *f, uint8_t first, const char *ptr, size_t len, size_t piece)
{
	size_t at = 0;

	do {
		size_t n = len - at < piece ? len - at : piece;

		frame(f, (at ? 0 : first) | (at + n == len ? 128 : 0), ptr + at, n);
		at += n;
		if (at < len)
			frame(f, 0x89, "ping", 4);
	} while (at < len);
}

/* A text message, compressed when that was agreed. */
static void frames_text(struct frames *f, const char *text, size_t len, size_t piece)
{
	size_t room = len + len / 8 + 64;
	char *out;

	if (!f->deflate) {
		frames_cut(f, 1, text, len, piece);
		return;
	}
	if (!len) { /* an empty block, as RFC 7692 7.2.3.6 has it */
		frames_cut(f, 0x41, "", 1, piece);
		return;
	}
	out = malloc(room);
	if (!out || (!f->takeover && deflateReset(&f->z) != Z_OK))
		abort();
	f->z.next_in = (Bytef *)(uintptr_t)text;
	f->z.avail_in = (uInt)len;
	f->z.next_out = (Bytef *)out;
	f->z.avail_out = (uInt)room;
	if (deflate(&f->z, Z_SYNC_FLUSH) != Z_OK || f->z.avail_in)
		abort();
	frames_cut(f, 0x41, out, room - f->z.avail_out - 4, piece);
	free(out);
}

#endif
