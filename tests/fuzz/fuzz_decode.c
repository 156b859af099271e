/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: which codings. Output stays within the ratio and memory within the windows; nothing
 * comes after broken; any split gives the same bytes, unless a bomb was stopped on the way. What a
 * library undoes at one blow, the stream gives too.
 */
#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "agent/decode/decode.h"
#include "tests/fuzz/fuzz.h"

static const char *const codings[] = {"gzip", "deflate",    "br",	"zstd",
				      "",     "gzip, zstd", "br, gzip", "deflate, br, zstd"};

#define PLAIN_MAX (256u << 10) /* of what is compared */

static uint8_t told[PLAIN_MAX], plain[PLAIN_MAX];

struct run {
	struct trace trace;
	enum decode_result result;
	uint64_t bytes;
};

static void on_bytes(void *user, struct slice piece)
{
	struct run *r = user;

	must_hold(piece.len && r->result == DECODE_OK);
	if (r->bytes < PLAIN_MAX)
		memcpy(told + r->bytes, piece.ptr,
		       piece.len < PLAIN_MAX - r->bytes ? piece.len : PLAIN_MAX - r->bytes);
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

/* ---- at one blow ---------------------------------------------------------------------------- */

/* windows: inflateInit2's, 31 for gzip, 15 for zlib, -15 for raw. Stops behind the first member. */
static ssize_t undo_zlib(struct slice in, int windows)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)in.ptr,
		      .avail_in = (unsigned int)in.len,
		      .next_out = plain,
		      .avail_out = PLAIN_MAX};
	int rc;

	if (inflateInit2(&z, windows) != Z_OK)
		abort();
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return rc == Z_STREAM_END ? (ssize_t)(PLAIN_MAX - z.avail_out) : -1;
}

static ssize_t undo_gzip(struct slice in)
{
	return undo_zlib(in, 31);
}

static ssize_t undo_deflate(struct slice in)
{
	return undo_zlib(in, 15);
}

static ssize_t undo_br(struct slice in)
{
	size_t n = PLAIN_MAX;

	return BrotliDecoderDecompress(in.len, (const uint8_t *)in.ptr, &n, plain) ==
			       BROTLI_DECODER_RESULT_SUCCESS
		       ? (ssize_t)n
		       : -1;
}

static ssize_t undo_zstd(struct slice in)
{
	size_t n = ZSTD_decompress(plain, PLAIN_MAX, in.ptr, in.len);

	return ZSTD_isError(n) ? -1 : (ssize_t)n;
}

static ssize_t (*const undo[])(struct slice in) = {undo_gzip, undo_deflate, undo_br, undo_zstd};

/* A member may follow what was undone, and be broken: it is the beginning that must be the same. */
static void must_be_undone_alike(uint8_t coding, struct slice in, const struct run *ours)
{
	ssize_t len;

	if (coding >= ARRAY_LEN(undo) || ours->result == DECODE_BOMB)
		return;
	len = undo[coding](in);
	if (len < 0)
		return;
	must_hold(ours->bytes >= (uint64_t)len && memcmp(told, plain, (size_t)len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut;
	uint8_t which;
	const char *coding;

	if (size < 2)
		return 0;
	which = data[0] % ARRAY_LEN(codings);
	coding = codings[which];
	whole = run(coding, (struct cutter){data + 1, size - 1, 0, 0});
	must_be_undone_alike(which, (struct slice){(const char *)data + 1, size - 1}, &whole);
	cut = run(coding, (struct cutter){data + 1, size - 1, 0, 1 + (uint32_t)size});
	if (whole.result == DECODE_BOMB || cut.result == DECODE_BOMB)
		return 0;
	must_hold(whole.result == cut.result);
	must_hold(whole.result != DECODE_OK || trace_eq(&whole.trace, &cut.trace));
	return 0;
}
