/* SPDX-License-Identifier: Apache-2.0 */
/* Brotli (RFC 7932); its memory, window included, comes from the budget. */
#include "agent/decode/coding.h"

#include <brotli/decode.h>

static void *br_open(struct coding_budget *budget)
{
	return BrotliDecoderCreateInstance(coding_alloc, coding_release, budget);
}

static void br_close(void *state)
{
	BrotliDecoderDestroyInstance(state);
}

static enum coding_step br_step(void *state, struct slice *in, char *out, size_t size,
				size_t *produced)
{
	const uint8_t *next_in = (const uint8_t *)in->ptr;
	uint8_t *next_out = (uint8_t *)out;
	size_t left = size;
	BrotliDecoderResult result;

	if (BrotliDecoderIsFinished(state)) {
		in->len = 0;
		return CODING_MORE;
	}
	result = BrotliDecoderDecompressStream(state, &in->len, &next_in, &left, &next_out, NULL);
	in->ptr = (const char *)next_in;
	*produced = size - left;
	switch (result) {
	case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
		return CODING_MORE;
	case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
		return CODING_AGAIN;
	case BROTLI_DECODER_RESULT_SUCCESS:
		return in->len ? CODING_AGAIN : CODING_MORE;
	case BROTLI_DECODER_RESULT_ERROR:
		break;
	}
	return CODING_BROKEN;
}

const struct coding coding_br = {
	.name = "br",
	.open = br_open,
	.close = br_close,
	.step = br_step,
	.memory = coding_budget_used,
};
