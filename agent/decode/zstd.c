/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zstandard (RFC 8878, any number of frames), window bounded as RFC 9659 asks. Each frame's magic
 * is checked here: the library may also take the formats before the standard, whole inputs of them
 * only.
 */
#include "agent/decode/coding.h"

#include <zstd.h>
#include <zstd_errors.h>

#define WINDOW_LOG_MAX 23
_Static_assert(1u << WINDOW_LOG_MAX == DECODE_WINDOW_MAX, "one window limit for all codings");

#define MAGIC_LEN	4
#define HEADER_REST_MAX 14 /* RFC 8878 3.1.1.1: of a frame's header, behind the magic */

struct unzstd {
	ZSTD_DCtx *z;
	unsigned char magic[MAGIC_LEN];
	size_t magic_len;   /* MAGIC_LEN: inside a frame */
	size_t header_left; /* bytes that may still be the frame's header: given one by one */
	bool some_frame;    /* rubbish now is no frame but padding */
	bool finished;
};

static void zstd_close(void *state)
{
	struct unzstd *u = state;

	ZSTD_freeDCtx(u->z);
	free(u);
}

/* The library has no stable allocation hook: its own limit bounds it, its own size is asked. */
static void *zstd_open(struct coding_budget *budget)
{
	struct unzstd *u = calloc(1, sizeof(*u));

	(void)budget;
	if (!u)
		return NULL;
	u->z = ZSTD_createDCtx();
	if (u->z &&
	    !ZSTD_isError(ZSTD_DCtx_setParameter(u->z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return u;
	zstd_close(u);
	return NULL;
}

/*
 * libzstd (1.5.4) looks for a whole frame at the front of what it is given, also while it waits for
 * the rest of a header: a header whose rest looks like a magic is taken for another frame. One byte
 * never does.
 */
static size_t to_take(const struct unzstd *u, struct slice in)
{
	return u->header_left && in.len ? 1 : in.len;
}

static enum coding_step decompress_step(struct unzstd *u, struct slice *in, char *out, size_t size,
					size_t *produced)
{
	ZSTD_inBuffer input = {in->ptr, to_take(u, *in), 0};
	ZSTD_outBuffer output = {out, size, 0};
	size_t result = ZSTD_decompressStream(u->z, &output, &input);

	*produced = output.pos;
	in->ptr += input.pos;
	in->len -= input.pos;
	u->header_left -= u->header_left ? input.pos : 0;
	if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
		return CODING_LIMIT;
	if (ZSTD_isError(result))
		return CODING_BROKEN;
	if (result == 0) {
		u->some_frame = true;
		u->magic_len = 0;
		u->header_left = 0;
	}
	return in->len || output.pos == size ? CODING_AGAIN : CODING_MORE;
}

/* RFC 8878 3.1.1 and 3.1.2: a frame, or one to skip. Little endian. */
static bool is_frame(const unsigned char m[MAGIC_LEN])
{
	return (m[0] == 0x28 && m[1] == 0xb5 && m[2] == 0x2f && m[3] == 0xfd) ||
	       (m[0] >> 4 == 0x5 && m[1] == 0x2a && m[2] == 0x4d && m[3] == 0x18);
}

static enum coding_step magic_step(struct unzstd *u, struct slice *in, char *out, size_t size,
				   size_t *produced)
{
	struct slice magic = {(const char *)u->magic, MAGIC_LEN};
	enum coding_step step;

	if (!in->len)
		return CODING_MORE;
	u->magic[u->magic_len++] = (unsigned char)in->ptr[0];
	in->ptr++;
	in->len--;
	if (u->magic_len < MAGIC_LEN)
		return CODING_AGAIN;
	if (!is_frame(u->magic)) {
		u->finished = true;
		return u->some_frame ? CODING_AGAIN : CODING_BROKEN;
	}
	step = decompress_step(u, &magic, out, size, produced);
	u->header_left = HEADER_REST_MAX;
	return step == CODING_MORE ? CODING_AGAIN : step;
}

static enum coding_step zstd_step(void *state, struct slice *in, char *out, size_t size,
				  size_t *produced)
{
	struct unzstd *u = state;

	if (u->finished) {
		in->len = 0;
		return CODING_MORE;
	}
	if (u->magic_len < MAGIC_LEN)
		return magic_step(u, in, out, size, produced);
	return decompress_step(u, in, out, size, produced);
}

static size_t zstd_memory(const void *state, const struct coding_budget *budget)
{
	const struct unzstd *u = state;

	(void)budget;
	return sizeof(*u) + ZSTD_sizeof_DCtx(u->z);
}

const struct coding coding_zstd = {
	.name = "zstd",
	.open = zstd_open,
	.close = zstd_close,
	.step = zstd_step,
	.memory = zstd_memory,
};
