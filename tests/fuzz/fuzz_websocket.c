/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a WebSocket: the first byte says whose it is and what was agreed, the rest are
 * frames. Any split gives the same events; begin, data and end or lost come in that order, nothing
 * after a Close frame or when broken; memory is bounded. A slow reading, frame by frame into whole
 * messages with zlib at one blow, finds the same messages up to where the input leaves the
 * standard. With gaps (a flag of the first byte) the order and the bounds hold.
 */
#include <zlib.h>

#include "agent/websocket/websocket.h"
#include "tests/fuzz/fuzz.h"

enum { SAYS_SERVER = 1, SAYS_DEFLATE = 2, SAYS_TAKEOVER = 4, SAYS_GAPS = 8 };

struct run {
	struct trace trace; /* all events; pieces are hashed as one text */
	bool open, over, broken;
	size_t whole; /* messages that ended */
	struct trace messages;
};

static void on_begin(void *user)
{
	struct run *r = user;

	must_hold(!r->open && !r->over);
	r->open = true;
	trace_event(&r->trace, 'b', 0);
	trace_event(&r->messages, 'm', 0);
}

static void on_data(void *user, struct slice piece)
{
	struct run *r = user;

	must_hold(r->open && !r->over && piece.len);
	trace_bytes(&r->trace, piece.ptr, piece.len);
	trace_bytes(&r->messages, piece.ptr, piece.len);
}

static void on_end(void *user)
{
	struct run *r = user;

	must_hold(r->open && !r->over);
	r->open = false;
	r->whole++;
	trace_event(&r->trace, 'e', r->whole);
}

static void on_lost(void *user, enum ws_reason why)
{
	struct run *r = user;

	must_hold(!r->over && why > WS_FINE && why <= WS_NO_MEMORY);
	r->open = false;
	trace_event(&r->trace, 'l', why);
}

static void on_close(void *user)
{
	struct run *r = user;

	must_hold(!r->over);
	r->over = true;
	trace_event(&r->trace, 'c', 0);
}

static const struct ws_ops ops = {
	.begin = on_begin, .data = on_data, .end = on_end, .lost = on_lost, .close = on_close};

static struct ws_deflate agreed(uint8_t says)
{
	return (struct ws_deflate){.on = says & SAYS_DEFLATE,
				   .takeover = (says & SAYS_DEFLATE) && (says & SAYS_TAKEOVER)};
}

static struct ws *open_side(uint8_t says, struct run *r)
{
	struct ws *w;

	if (ws_new(&w, says & SAYS_SERVER ? WS_SERVER : WS_CLIENT, agreed(says), &ops, r))
		abort();
	return w;
}

static void feed(struct ws *w, struct run *r, struct slice piece)
{
	bool broken = ws_feed(w, piece) == WS_BROKEN;

	must_hold(broken || !r->broken);
	must_hold(broken == (ws_reason(w) != WS_FINE));
	r->broken = broken;
	r->over |= broken;
	must_hold(ws_memory(w) <= WS_INFLATE_BYTES + 1024);
}

static struct run run(uint8_t says, struct cutter cutter)
{
	struct run r = {0};
	struct ws *w = open_side(says, &r);
	struct slice piece;

	while (next_piece(&cutter, &piece))
		feed(w, &r, piece);
	ws_free(w);
	return r;
}

/* Steps of a byte (of which the low bits are a length), so many bytes fed or not seen. */
static void run_gaps(uint8_t says, const uint8_t *data, size_t size)
{
	struct run r = {0};
	struct ws *w = open_side(says, &r);

	while (size > 1) {
		size_t n = data[0] & 63;
		bool gap = data[0] & 64;

		if (data[0] & 128)
			ws_call_begins(w);
		data++;
		size--;
		n = n < size ? n : size;
		if (gap)
			r.over |= ws_skip(w, n) == WS_BROKEN;
		else
			feed(w, &r, (struct slice){(const char *)data, n});
		data += n;
		size -= n;
	}
	ws_free(w);
}

/* ---- the slow reading ----------------------------------------------------------------------- */

#define MESSAGE_MAX (1u << 20)

struct reading {
	const uint8_t *data;
	size_t size;
	uint8_t says;
	uint8_t message[MESSAGE_MAX];
	size_t len;
	bool open, compressed;
	z_stream z;
	uint8_t text[MESSAGE_MAX];
	struct run found;
};

struct whole_frame {
	bool fin, rsv1;
	uint8_t opcode, form; /* how its length is written */
	const uint8_t *mask, *payload;
	uint64_t len;
};

/* False where no whole frame of the standard stands. */
static bool read_frame(struct reading *r, struct whole_frame *f)
{
	bool masked = !(r->says & SAYS_SERVER);
	size_t at = 2, bytes;

	if (r->size < 2 || (r->data[0] & 0x30) || (r->data[1] >> 7) != masked)
		return false;
	*f = (struct whole_frame){.fin = r->data[0] & 0x80,
				  .rsv1 = r->data[0] & 0x40,
				  .opcode = r->data[0] & 15,
				  .form = r->data[1] & 127};
	f->len = f->form;
	bytes = f->len == 127 ? 8 : f->len == 126 ? 2 : 0;
	if (r->size < 2 + bytes + (masked ? 4 : 0))
		return false;
	for (f->len = bytes ? 0 : f->len; at < 2 + bytes; at++)
		f->len = f->len << 8 | r->data[at];
	f->mask = masked ? r->data + at : NULL;
	at += masked ? 4 : 0;
	if (f->len > r->size - at)
		return false;
	f->payload = r->data + at;
	r->data += at + f->len;
	r->size -= at + f->len;
	return true;
}

static bool is_right(const struct reading *r, const struct whole_frame *f)
{
	if (f->opcode >= 8)
		return f->opcode <= 10 && f->fin && !f->rsv1 && f->form <= 125;
	if (f->opcode > 2 || (f->opcode == 0) != r->open)
		return false;
	return !f->rsv1 || ((r->says & SAYS_DEFLATE) && f->opcode);
}

/* The message in text, or false when it is not a sound one of a size that is compared. */
static bool inflate_whole(struct reading *r, size_t *len)
{
	if (!(r->says & SAYS_TAKEOVER) && inflateReset(&r->z) != Z_OK)
		abort();
	memcpy(r->message + r->len, "\0\0\xff\xff", 4);
	r->z.next_in = r->message;
	r->z.avail_in = (uInt)(r->len + 4);
	r->z.next_out = r->text;
	r->z.avail_out = MESSAGE_MAX;
	if (inflate(&r->z, Z_SYNC_FLUSH) != Z_OK || r->z.avail_in || !r->z.avail_out)
		return false;
	*len = MESSAGE_MAX - r->z.avail_out;
	return r->len > 0 && (r->z.data_type & 0xff) == 128;
}

static bool end_whole(struct reading *r)
{
	const uint8_t *text = r->message;
	size_t len = r->len;

	if (r->compressed) {
		text = r->text;
		if (!inflate_whole(r, &len))
			return false;
	}
	trace_event(&r->found.messages, 'm', 0);
	trace_bytes(&r->found.messages, text, len);
	r->found.whole++;
	r->open = false;
	return true;
}

static bool take_frame(struct reading *r, const struct whole_frame *f)
{
	if (f->opcode >= 8)
		return f->opcode != 8;
	if (!r->open) {
		r->len = 0;
		r->compressed = f->rsv1;
	}
	r->open = true;
	for (uint64_t i = 0; i < f->len; i++)
		r->message[r->len++] = f->payload[i] ^ (f->mask ? f->mask[i & 3] : 0);
	return !f->fin || end_whole(r);
}

static struct run read_slowly(uint8_t says, const uint8_t *data, size_t size)
{
	static struct reading r;
	struct whole_frame f;

	memset(&r.found, 0, sizeof(r.found));
	memset(&r.z, 0, sizeof(r.z));
	r.data = data;
	r.size = size;
	r.says = says;
	r.open = false;
	if (inflateInit2(&r.z, -15) != Z_OK)
		abort();
	while (read_frame(&r, &f) && is_right(&r, &f) && take_frame(&r, &f))
		;
	inflateEnd(&r.z);
	return r.found;
}

/* The first n messages of a run: what it found later, or not to the end, is not compared. */
static struct run first_messages(uint8_t says, const uint8_t *data, size_t size, size_t n)
{
	struct run r = {0};
	struct ws *w = open_side(says, &r);

	for (size_t i = 0; i < size && r.whole < n; i++)
		feed(w, &r, (struct slice){(const char *)data + i, 1});
	ws_free(w);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut, slow, first;
	uint8_t says;

	if (!size)
		return 0;
	says = *data++;
	size--;
	if (says & SAYS_GAPS) {
		run_gaps(says, data, size);
		return 0;
	}
	whole = run(says, (struct cutter){data, size, 0, 0});
	cut = run(says, (struct cutter){data, size, 0, 1 + (uint32_t)size});
	must_hold(trace_eq(&whole.trace, &cut.trace));
	slow = read_slowly(says, data, size);
	first = first_messages(says, data, size, slow.whole);
	must_hold(first.whole == slow.whole && trace_eq(&first.messages, &slow.messages));
	return 0;
}
