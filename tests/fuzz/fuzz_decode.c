/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: which codings. Output stays within the ratio and memory within the windows; nothing
 * comes after broken; any split gives the same bytes, unless a bomb was stopped on the way.
 */
#include "agent/decode/decode.h"
#include "tests/fuzz/fuzz.h"

static const char *const codings[] = {"gzip", "deflate",    "br",	"zstd",
				      "",     "gzip, zstd", "br, gzip", "deflate, br, zstd"};

struct run {
	struct trace trace;
	enum decode_result result;
	uint64_t bytes;
};

static void on_bytes(void *user, struct slice piece)
{
	struct run *r = user;

	must_hold(piece.len && r->result == DECODE_OK);
	r->bytes += piece.len;
	trace_bytes(&r->trace, piece.ptr, piece.len);
}

static struct run run(const char *coding, struct cutter cutter)
{
	struct run r = {.result = DECODE_OK};
	struct slice piece;
	struct decode *d;

	if (decode_new(&d, slice_of(coding), on_bytes, &r))
		abort();
	while (next_piece(&cutter, &piece)) {
		r.result = decode_feed(d, piece);
		must_hold(r.bytes <= DECODE_RATIO_MAX * cutter.at + DECODE_RATIO_SLACK);
		must_hold(decode_memory(d) <= 3 * 2 * DECODE_WINDOW_MAX);
	}
	decode_free(d);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut;
	const char *coding;

	if (size < 2)
		return 0;
	coding = codings[data[0] % ARRAY_LEN(codings)];
	whole = run(coding, (struct cutter){data + 1, size - 1, 0, 0});
	cut = run(coding, (struct cutter){data + 1, size - 1, 0, 1 + (uint32_t)size});
	if (whole.result == DECODE_BOMB || cut.result == DECODE_BOMB)
		return 0;
	must_hold(whole.result == cut.result);
	must_hold(whole.result != DECODE_OK || trace_eq(&whole.trace, &cut.trace));
	return 0;
}
