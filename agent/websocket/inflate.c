/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/websocket/inflate.h"

#include "agent/decode/decode.h"

#define WBITS_RAW (-15) /* the largest window reads what any smaller one wrote */

enum ws_reason ws_inflate_begin(struct ws_inflate *f, bool takeover)
{
	f->in_bytes = f->out_bytes = 0;
	if (f->ready) {
		if (!takeover) {
			f->ended = false;
			inflateReset(&f->z);
		}
		return WS_FINE;
	}
	memset(&f->z, 0, sizeof(f->z));
	if (inflateInit2(&f->z, WBITS_RAW) != Z_OK)
		return WS_NO_MEMORY;
	f->ready = true;
	f->ended = false;
	return WS_FINE;
}

/* One step: input is taken, output is given. */
static enum ws_reason step(struct ws_inflate *f, ws_sink sink, void *user)
{
	char out[DECODE_OUT_PIECE];
	uInt before = f->z.avail_in;
	size_t produced;
	int result;

	f->z.next_out = (unsigned char *)out;
	f->z.avail_out = sizeof(out);
	result = inflate(&f->z, Z_SYNC_FLUSH);
	produced = sizeof(out) - f->z.avail_out;
	f->in_bytes += before - f->z.avail_in;
	f->out_bytes += produced;
	if (f->out_bytes > DECODE_RATIO_MAX * f->in_bytes + DECODE_RATIO_SLACK)
		return WS_BOMB;
	if (produced)
		sink(user, (struct slice){out, produced});
	if (result == Z_STREAM_END)
		f->ended = true;
	else if (result == Z_MEM_ERROR)
		return WS_NO_MEMORY;
	else if (result != Z_OK && result != Z_BUF_ERROR)
		return WS_BAD_DEFLATE;
	return WS_FINE;
}

enum ws_reason ws_inflate_feed(struct ws_inflate *f, struct slice bytes, ws_sink sink, void *user)
{
	enum ws_reason reason = WS_FINE;

	while (bytes.len && reason == WS_FINE) {
		uInt take = bytes.len < UINT32_MAX ? (uInt)bytes.len : UINT32_MAX;

		f->z.next_in = (unsigned char *)(uintptr_t)bytes.ptr;
		f->z.avail_in = take;
		do {
			if (f->ended) {
				/* The window stays (RFC 7692 7.2.3.4 and 7.2.3.5). */
				inflateResetKeep(&f->z);
				f->ended = false;
			}
			reason = step(f, sink, user);
		} while (reason == WS_FINE && (f->z.avail_in || !f->z.avail_out));
		bytes.ptr += take;
		bytes.len -= take;
	}
	return reason;
}

/* zlib says in data_type: right behind a block, with no bit of the next one read. */
static bool is_between_blocks(const struct ws_inflate *f)
{
	return (f->z.data_type & (128 | 63)) == 128;
}

static void drop(void *user, struct slice piece)
{
	(void)user;
	(void)piece;
}

enum ws_reason ws_inflate_end(struct ws_inflate *f)
{
	uint64_t before = f->out_bytes;
	enum ws_reason reason;

	/* Peers end a message at a final block, or send an empty one as nothing at all. */
	if (f->ended || !f->in_bytes)
		return WS_FINE;
	/* The end of an empty block: behind any other place it gives text, or no end of a block. */
	reason = ws_inflate_feed(f, (struct slice){"\0\0\xff\xff", 4}, drop, NULL);
	if (reason != WS_FINE)
		return reason;
	return f->out_bytes == before && is_between_blocks(f) ? WS_FINE : WS_BAD_DEFLATE;
}

void ws_inflate_free(struct ws_inflate *f)
{
	if (f->ready)
		inflateEnd(&f->z);
	f->ready = false;
}
