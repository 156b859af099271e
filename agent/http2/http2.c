/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http2/http2.h"
#include "agent/http2/hpack.h"
#include "agent/http2/streams.h"

#include <errno.h>

/* RFC 9113 6 */
enum frame_type {
	DATA,
	HEADERS,
	PRIORITY,
	RST_STREAM,
	SETTINGS,
	PUSH_PROMISE,
	PING,
	GOAWAY,
	WINDOW_UPDATE,
	CONTINUATION,
	FRAME_TYPES
};

enum frame_flag { END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8, WITH_PRIORITY = 0x20 };
#define ACK END_STREAM /* of SETTINGS and PING */

#define FIXED_MAX	   8
#define FRAME_LENGTH_LEAST 16384 /* SETTINGS_MAX_FRAME_SIZE, unless a peer allows more */
#define SEEK_ID_MAX	   (1u << 24)
#define SEEK_IDS_AHEAD	   (8u * HTTP2_STREAMS_MAX) /* of the last request seen */
#define BLOCK_BYTES_LEAST  512

/* What a frame of each type may look like. */
static const struct frame_rule {
	uint8_t flags; /* those that are defined */
	uint8_t fixed; /* bytes at the payload's start, after the length of the padding */
	enum { ANY, ON_STREAM, ON_CONNECTION } where;
	bool exact; /* the payload is the fixed bytes and no more */
} rules[FRAME_TYPES] = {
	[DATA] = {END_STREAM | PADDED, 0, ON_STREAM, false},
	[HEADERS] = {END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY, 0, ON_STREAM, false},
	[PRIORITY] = {0, 5, ON_STREAM, true},
	[RST_STREAM] = {0, 4, ON_STREAM, true},
	[SETTINGS] = {ACK, 0, ON_CONNECTION, false},
	[PUSH_PROMISE] = {END_HEADERS | PADDED, 4, ON_STREAM, false},
	[PING] = {ACK, 8, ON_CONNECTION, true},
	[GOAWAY] = {0, 8, ON_CONNECTION, false},
	[WINDOW_UPDATE] = {0, 4, ANY, true},
	[CONTINUATION] = {END_HEADERS, 0, ON_STREAM, false},
};

enum state {
	IN_PREFACE, /* the client's first bytes, then -> IN_HEAD */
	SEEKING,    /* until a call begins with what can only be a frame -> IN_FIXED */
	IN_HEAD,    /* the 9 bytes of a frame's head */
	IN_FIXED,   /* `fixed_want` bytes of fixed meaning */
	IN_CONTENT, /* `content_left` bytes of body or block, or of nothing that is read */
	IN_PADDING, /* `padding_left` bytes, then -> IN_HEAD */
	STATES
};

struct frame {
	uint32_t length;
	uint8_t type;
	uint8_t flags;
	uint32_t id;
};

struct direction {
	enum http2_side side;
	enum state state;
	bool armed; /* SEEKING: this call's first bytes are being gathered in head */
	uint8_t head[HTTP2_FRAME_HEAD];
	size_t head_len; /* IN_PREFACE: bytes of it that were seen */
	struct frame frame;
	uint8_t fixed[FIXED_MAX];
	size_t fixed_len, fixed_want;
	uint32_t content_left, padding_left;
	struct hpack hpack;
	/* The block of fields that HEADERS or PUSH_PROMISE began, until END_HEADERS. */
	bool block_open;
	bool block_bad; /* not all of it is here */
	struct frame block_frame;
	char *block;
	size_t block_len, block_cap;
};

struct http2 {
	struct direction directions[2]; /* by enum http2_side */
	struct streams streams;
};

static void tell(struct http2 *p, enum http2_trouble what)
{
	p->streams.ops->trouble(p->streams.user, what);
}

int http2_new(struct http2 **out, bool late, const struct http2_ops *ops, void *user)
{
	struct http2 *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->streams = (struct streams){.ops = ops, .user = user, .unseen = late};
	for (size_t i = 0; i < ARRAY_LEN(p->directions); i++) {
		p->directions[i].side = (enum http2_side)i;
		p->directions[i].hpack.late = late;
		p->directions[i].state = SEEKING;
	}
	if (!late)
		p->directions[HTTP2_CLIENT].state = IN_PREFACE;
	*out = p;
	return 0;
}

void http2_free(struct http2 *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < ARRAY_LEN(p->directions); i++) {
		hpack_free(&p->directions[i].hpack);
		free(p->directions[i].block);
	}
	streams_free(&p->streams);
	free(p);
}

/* ---- blocks of fields ------------------------------------------------------------------------ */

static void drop_block(struct direction *d)
{
	free(d->block);
	d->block = NULL;
	d->block_len = d->block_cap = 0;
	d->block_open = d->block_bad = false;
}

/* Nothing is known of where frames begin. */
static void lose_place(struct http2 *p, struct direction *d)
{
	d->state = SEEKING;
	d->armed = false;
	d->head_len = 0;
	drop_block(d);
	hpack_lose(&d->hpack);
	tell(p, HTTP2_LOST_PLACE);
	streams_lose(&p->streams, d->side);
}

static bool block_room(struct direction *d, size_t n)
{
	size_t cap = d->block_cap ? d->block_cap : BLOCK_BYTES_LEAST;
	char *grown;

	if (n > HTTP2_BLOCK_MAX - d->block_len)
		return false;
	while (cap < d->block_len + n)
		cap *= 2;
	if (cap == d->block_cap)
		return true;
	grown = realloc(d->block, cap);
	if (!grown)
		return false;
	d->block = grown;
	d->block_cap = cap;
	return true;
}

static void block_add(struct direction *d, struct slice bytes)
{
	if (d->block_bad)
		return;
	d->block_bad = !block_room(d, bytes.len);
	if (d->block_bad)
		return;
	memcpy(d->block + d->block_len, bytes.ptr, bytes.len);
	d->block_len += bytes.len;
}

/* Every block is read, whatever it is for: it changes what later ones mean. */
static void read_block(struct http2 *p, struct direction *d, struct http2_fields *fields)
{
	enum hpack_result result;

	if (d->block_bad) {
		hpack_lose(&d->hpack);
		http2_fields_unknown(fields);
		tell(p, HTTP2_BAD_BLOCK);
		return;
	}
	result = hpack_read(&d->hpack, (struct slice){d->block ? d->block : "", d->block_len},
			    fields);
	if (result != HPACK_OK)
		tell(p, result == HPACK_MEMORY ? HTTP2_NO_MEMORY : HTTP2_BAD_BLOCK);
}

static void end_block(struct http2 *p, struct direction *d)
{
	struct http2_fields *fields = malloc(sizeof(*fields));
	struct frame frame = d->block_frame;

	if (!fields) { /* the frames go on */
		drop_block(d);
		hpack_lose(&d->hpack);
		tell(p, HTTP2_NO_MEMORY);
		return;
	}
	read_block(p, d, fields);
	drop_block(d);
	if (frame.type == HEADERS) {
		const struct stream_fields read = {
			.id = frame.id,
			.head = &fields->head,
			.trailing = !fields->pseudo,
			.last = frame.flags & END_STREAM,
		};

		streams_head(&p->streams, d->side, &read);
	}
	free(fields);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static uint32_t read_u32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static struct frame read_frame(const uint8_t *head)
{
	return (struct frame){
		.length = read_u32(head) >> 8,
		.type = head[3],
		.flags = head[4],
		.id = read_u32(head + 5) & 0x7fffffff,
	};
}

static uint32_t fixed_bytes(const struct frame *f)
{
	uint32_t n;

	if (f->type >= FRAME_TYPES)
		return 0;
	n = rules[f->type].fixed;
	if (f->flags & rules[f->type].flags & PADDED)
		n++;
	if (f->flags & rules[f->type].flags & WITH_PRIORITY)
		n += 5;
	return n;
}

/* As RFC 9113 6 wants it; frames of other types are to be ignored (5.5), but text is none. */
static bool frame_fits(const struct frame *f)
{
	const struct frame_rule *rule;

	if (f->type >= FRAME_TYPES)
		return f->length <= FRAME_LENGTH_LEAST;
	rule = &rules[f->type];
	if ((rule->where == ON_STREAM && !f->id) || (rule->where == ON_CONNECTION && f->id))
		return false;
	if (f->type == SETTINGS && (f->length % 6 || (f->flags & ACK && f->length)))
		return false;
	return f->length >= fixed_bytes(f) && (!rule->exact || f->length == rule->fixed);
}

/* Only the block's own CONTINUATION may come before its end (RFC 9113 6.10). */
static bool frame_follows(const struct direction *d, const struct frame *f)
{
	if (d->block_open)
		return f->type == CONTINUATION && f->id == d->block_frame.id;
	return f->type != CONTINUATION && (f->type != PUSH_PROMISE || d->side == HTTP2_SERVER);
}

bool http2_frame_likely(const uint8_t head[HTTP2_FRAME_HEAD])
{
	struct frame f = read_frame(head);

	if (f.length > FRAME_LENGTH_LEAST || f.type >= CONTINUATION || head[5] & 0x80)
		return false;
	if (f.flags & ~rules[f.type].flags || f.id > SEEK_ID_MAX || (f.id && f.id % 2 == 0))
		return false;
	return frame_fits(&f);
}

static bool frame_expected(const struct http2 *p, const uint8_t *head)
{
	uint32_t last = p->streams.last_id;

	return http2_frame_likely(head) && (!last || read_frame(head).id <= last + SEEK_IDS_AHEAD);
}

static void begin_frame(struct http2 *p, struct direction *d)
{
	d->frame = read_frame(d->head);
	d->head_len = 0;
	if (!frame_fits(&d->frame) || !frame_follows(d, &d->frame)) {
		lose_place(p, d);
		return;
	}
	d->fixed_len = 0;
	d->fixed_want = fixed_bytes(&d->frame);
	d->state = IN_FIXED;
	if (d->frame.type == DATA)
		streams_data(&p->streams, d->side, d->frame.id);
}

static void begin_content(struct http2 *p, struct direction *d)
{
	const struct frame *f = &d->frame;
	uint32_t left = f->length - (uint32_t)d->fixed_want;
	bool padded = f->type < FRAME_TYPES && f->flags & rules[f->type].flags & PADDED;

	d->padding_left = padded ? d->fixed[0] : 0;
	if (d->padding_left > left) {
		lose_place(p, d);
		return;
	}
	d->content_left = left - d->padding_left;
	d->state = IN_CONTENT;
	if (f->type != HEADERS && f->type != PUSH_PROMISE)
		return;
	d->block_open = true;
	d->block_frame = *f;
}

static void end_frame(struct http2 *p, struct direction *d)
{
	const struct frame *f = &d->frame;

	d->state = IN_HEAD;
	if (d->block_open && f->flags & END_HEADERS)
		end_block(p, d);
	else if (f->type == DATA && f->flags & END_STREAM)
		streams_half_end(&p->streams, d->side, f->id);
	else if (f->type == RST_STREAM)
		streams_reset(&p->streams, f->id);
	else if (f->type == GOAWAY && d->side == HTTP2_SERVER)
		streams_refused(&p->streams, read_u32(d->fixed) & 0x7fffffff);
}

/* Goes on where nothing is left to wait for. */
static void go_on(struct http2 *p, struct direction *d)
{
	if (d->state == IN_FIXED && d->fixed_len == d->fixed_want)
		begin_content(p, d);
	if (d->state == IN_CONTENT && !d->content_left)
		d->state = IN_PADDING;
	if (d->state == IN_PADDING && !d->padding_left)
		end_frame(p, d);
}

/* ---- one function per state: takes some bytes, returns how many ------------------------------ */

static size_t eat_preface(struct http2 *p, struct direction *d, struct slice bytes)
{
	if (bytes.ptr[0] != HTTP2_PREFACE[d->head_len]) {
		lose_place(p, d);
		return 0;
	}
	if (++d->head_len == sizeof(HTTP2_PREFACE) - 1) {
		d->head_len = 0;
		d->state = IN_HEAD;
	}
	return 1;
}

/* Gathers a frame's head; true when it is whole. */
static bool gather_head(struct http2 *p, struct direction *d, struct slice bytes, size_t *used)
{
	size_t n = sizeof(d->head) - d->head_len;

	if (!d->head_len && !d->block_open && d->side == HTTP2_CLIENT)
		p->streams.ops->start(p->streams.user);
	n = bytes.len < n ? bytes.len : n;
	memcpy(d->head + d->head_len, bytes.ptr, n);
	d->head_len += n;
	*used = n;
	return d->head_len == sizeof(d->head);
}

/* The next call may begin with a frame; until then heads may be missed. */
static void seek_on(struct http2 *p, struct direction *d)
{
	d->armed = false;
	if (!d->hpack.late)
		lose_place(p, d);
}

static size_t eat_seeking(struct http2 *p, struct direction *d, struct slice bytes)
{
	size_t used;

	if (!d->armed)
		return bytes.len;
	if (!gather_head(p, d, bytes, &used))
		return used;
	d->armed = false;
	if (frame_expected(p, d->head))
		begin_frame(p, d);
	else
		seek_on(p, d);
	return used;
}

static size_t eat_head(struct http2 *p, struct direction *d, struct slice bytes)
{
	size_t used;

	if (gather_head(p, d, bytes, &used))
		begin_frame(p, d);
	return used;
}

static size_t eat_fixed(struct http2 *p, struct direction *d, struct slice bytes)
{
	size_t n = d->fixed_want - d->fixed_len;

	(void)p;
	n = bytes.len < n ? bytes.len : n;
	memcpy(d->fixed + d->fixed_len, bytes.ptr, n);
	d->fixed_len += n;
	return n;
}

static size_t eat_content(struct http2 *p, struct direction *d, struct slice bytes)
{
	if (bytes.len > d->content_left)
		bytes.len = d->content_left;
	d->content_left -= (uint32_t)bytes.len;
	if (d->block_open)
		block_add(d, bytes);
	else if (d->frame.type == DATA)
		streams_body(&p->streams, d->side, d->frame.id, bytes);
	return bytes.len;
}

static size_t eat_padding(struct http2 *p, struct direction *d, struct slice bytes)
{
	size_t n = bytes.len < d->padding_left ? bytes.len : d->padding_left;

	(void)p;
	d->padding_left -= (uint32_t)n;
	return n;
}

static size_t (*const eaters[STATES])(struct http2 *p, struct direction *d, struct slice bytes) = {
	[IN_PREFACE] = eat_preface, [SEEKING] = eat_seeking,	[IN_HEAD] = eat_head,
	[IN_FIXED] = eat_fixed,	    [IN_CONTENT] = eat_content, [IN_PADDING] = eat_padding,
};

void http2_feed(struct http2 *p, enum http2_side side, struct slice bytes, bool call_begins)
{
	struct direction *d = &p->directions[side];

	if (call_begins && d->state == SEEKING) {
		d->armed = true;
		d->head_len = 0;
	}
	while (bytes.len) {
		size_t n = eaters[d->state](p, d, bytes);

		bytes.ptr += n;
		bytes.len -= n;
		go_on(p, d);
	}
}

/* ---- gaps and ends --------------------------------------------------------------------------- */

static uint64_t skip_content(struct http2 *p, struct direction *d, uint64_t n)
{
	if (n > d->content_left)
		n = d->content_left;
	d->content_left -= (uint32_t)n;
	if (d->block_open)
		d->block_bad = true;
	else if (d->frame.type == DATA)
		streams_gap(&p->streams, d->side, d->frame.id, n);
	return n;
}

static uint64_t skip_padding(struct direction *d, uint64_t n)
{
	if (n > d->padding_left)
		n = d->padding_left;
	d->padding_left -= (uint32_t)n;
	return n;
}

void http2_skip(struct http2 *p, enum http2_side side, uint64_t n)
{
	struct direction *d = &p->directions[side];

	while (n && (d->state == IN_CONTENT || d->state == IN_PADDING)) {
		n -= d->state == IN_CONTENT ? skip_content(p, d, n) : skip_padding(d, n);
		go_on(p, d);
		if (!n)
			return;
	}
	if (d->state == SEEKING)
		seek_on(p, d);
	else
		lose_place(p, d);
}

void http2_end(struct http2 *p, enum message_end how)
{
	streams_end(&p->streams, how);
}

bool http2_between_frames(const struct http2 *p, enum http2_side side)
{
	const struct direction *d = &p->directions[side];

	return d->state == SEEKING || (d->state == IN_HEAD && !d->head_len && !d->block_open);
}

size_t http2_streams(const struct http2 *p)
{
	return streams_count(&p->streams);
}

size_t http2_memory(const struct http2 *p)
{
	size_t total = sizeof(*p) + streams_memory(&p->streams);

	for (size_t i = 0; i < ARRAY_LEN(p->directions); i++)
		total += p->directions[i].block_cap + p->directions[i].hpack.held;
	return total;
}
