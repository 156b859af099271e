/* SPDX-License-Identifier: Apache-2.0 */
/* gzip (RFC 1952, any number of members) and deflate (RFC 1950, or RFC 1951 as some servers send).
 */
#include "agent/decode/coding.h"

#include <zlib.h>

#define WBITS_ZLIB 15
#define WBITS_GZIP (15 + 16)
#define WBITS_RAW  (-15)

enum inflate_state {
	INFLATING,
	SNIFFING,     /* deflate: the first two bytes tell zlib from raw */
	AFTER_MEMBER, /* gzip: another member may follow */
	FINISHED,     /* what follows is ignored */
};

struct inflater {
	z_stream z;
	enum inflate_state state;
	bool gzip;
	bool second_member; /* a broken header then is trailing rubbish */
	unsigned char sniffed[2];
	size_t sniffed_len;
};

static void *zlib_alloc(void *budget, unsigned int items, unsigned int size)
{
	return coding_alloc(budget, (size_t)items * size);
}

static struct inflater *inflater_open(struct coding_budget *budget, int wbits)
{
	struct inflater *f = coding_alloc(budget, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct inflater){
		.z = {.zalloc = zlib_alloc, .zfree = coding_release, .opaque = budget}};
	if (inflateInit2(&f->z, wbits) == Z_OK)
		return f;
	coding_release(budget, f);
	return NULL;
}

static void *gzip_open(struct coding_budget *budget)
{
	struct inflater *f = inflater_open(budget, WBITS_GZIP);

	if (f)
		f->gzip = true;
	return f;
}

static void *deflate_open(struct coding_budget *budget)
{
	struct inflater *f = inflater_open(budget, WBITS_ZLIB);

	if (f)
		f->state = SNIFFING;
	return f;
}

static void inflater_close(void *state)
{
	struct inflater *f = state;
	void *budget = f->z.opaque;

	inflateEnd(&f->z);
	coding_release(budget, f);
}

static enum coding_step inflate_step(struct inflater *f, struct slice *in, char *out, size_t size,
				     size_t *produced)
{
	uInt take = in->len < UINT32_MAX ? (uInt)in->len : UINT32_MAX;
	int result;

	f->z.next_in = (unsigned char *)(uintptr_t)in->ptr;
	f->z.avail_in = take;
	f->z.next_out = (unsigned char *)out;
	f->z.avail_out = (uInt)size;
	result = inflate(&f->z, Z_SYNC_FLUSH);
	*produced = size - f->z.avail_out;
	in->ptr += take - f->z.avail_in;
	in->len -= take - f->z.avail_in;
	if (result == Z_STREAM_END) {
		f->state = f->gzip ? AFTER_MEMBER : FINISHED;
		return in->len ? CODING_AGAIN : CODING_MORE;
	}
	if (result != Z_OK && result != Z_BUF_ERROR) {
		if (!f->second_member || f->z.total_out)
			return CODING_BROKEN;
		f->state = FINISHED;
		return CODING_AGAIN;
	}
	return in->len || !f->z.avail_out ? CODING_AGAIN : CODING_MORE;
}

/* RFC 1950 2.2: method 8, window at most 32 KiB, and the check makes it a multiple of 31. */
static bool is_zlib_header(const unsigned char b[2])
{
	return (b[0] & 0x0f) == 8 && b[0] >> 4 <= 7 && (b[0] << 8 | b[1]) % 31 == 0;
}

static enum coding_step sniff_step(struct inflater *f, struct slice *in, char *out, size_t size,
				   size_t *produced)
{
	struct slice sniffed = {(const char *)f->sniffed, sizeof(f->sniffed)};
	enum coding_step step;

	f->sniffed[f->sniffed_len++] = (unsigned char)in->ptr[0];
	in->ptr++;
	in->len--;
	if (f->sniffed_len < sizeof(f->sniffed))
		return in->len ? CODING_AGAIN : CODING_MORE;
	if (!is_zlib_header(f->sniffed) && inflateReset2(&f->z, WBITS_RAW) != Z_OK)
		return CODING_BROKEN;
	f->state = INFLATING;
	/* Two bytes of input fit any state of the inflater: it takes both or is at its end. */
	step = inflate_step(f, &sniffed, out, size, produced);
	return step == CODING_BROKEN || !in->len ? step : CODING_AGAIN;
}

/* A member begins with 0x1f; anything else after one is padding. */
static enum coding_step next_member(struct inflater *f, const struct slice *in)
{
	f->second_member = true;
	f->state = in->ptr[0] == '\x1f' && inflateReset(&f->z) == Z_OK ? INFLATING : FINISHED;
	return CODING_AGAIN;
}

static enum coding_step inflater_step(void *state, struct slice *in, char *out, size_t size,
				      size_t *produced)
{
	struct inflater *f = state;

	switch (f->state) {
	case INFLATING:
		return inflate_step(f, in, out, size, produced);
	case SNIFFING:
		return sniff_step(f, in, out, size, produced);
	case AFTER_MEMBER:
		return next_member(f, in);
	case FINISHED:
		break;
	}
	in->len = 0;
	return CODING_MORE;
}

#define ZLIB_ROW(row_name, opener)                                                                \
	{                                                                                         \
		.name = row_name, .open = opener, .close = inflater_close, .step = inflater_step, \
		.memory = coding_budget_used,                                                     \
	}

const struct coding coding_gzip = ZLIB_ROW("gzip", gzip_open);
const struct coding coding_x_gzip = ZLIB_ROW("x-gzip", gzip_open);
const struct coding coding_deflate = ZLIB_ROW("deflate", deflate_open);
