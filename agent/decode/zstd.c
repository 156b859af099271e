/* SPDX-License-Identifier: Apache-2.0 */
/* Zstandard (RFC 8878, any number of frames), window bounded as RFC 9659 asks. */
#include "agent/decode/coding.h"

#include <zstd.h>
#include <zstd_errors.h>

#define WINDOW_LOG_MAX 23
_Static_assert(1u << WINDOW_LOG_MAX == DECODE_WINDOW_MAX, "one window limit for all codings");

/* The library has no stable allocation hook: its own limit bounds it, its own size is asked. */
static void *zstd_open(struct coding_budget *budget)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();

	(void)budget;
	if (z && !ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return z;
	ZSTD_freeDCtx(z);
	return NULL;
}

static void zstd_close(void *state)
{
	ZSTD_freeDCtx(state);
}

static enum coding_step zstd_step(void *state, struct slice *in, char *out, size_t size,
				  size_t *produced)
{
	ZSTD_inBuffer input = {in->ptr, in->len, 0};
	ZSTD_outBuffer output = {out, size, 0};
	size_t result = ZSTD_decompressStream(state, &output, &input);

	*produced = output.pos;
	in->ptr += input.pos;
	in->len -= input.pos;
	if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
		return CODING_LIMIT;
	if (ZSTD_isError(result))
		return CODING_BROKEN;
	return in->len || output.pos == size ? CODING_AGAIN : CODING_MORE;
}

static size_t zstd_memory(const void *state, const struct coding_budget *budget)
{
	(void)budget;
	return ZSTD_sizeof_DCtx(state);
}

const struct coding coding_zstd = {
	.name = "zstd",
	.open = zstd_open,
	.close = zstd_close,
	.step = zstd_step,
	.memory = zstd_memory,
};
