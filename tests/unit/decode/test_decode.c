/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content codings: what the encoders of zlib and zstd give at test time, and one brotli stream,
 * come back whole at every split; flushed parts come out at once; bombs and rubbish stop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "agent/decode/decode.h"

#define TEXT_MAX 4096
#define OUT_MAX	 (1u << 16)

struct bytes {
	size_t len;
	char data[OUT_MAX];
};

struct output {
	size_t len; /* counted beyond the kept bytes too */
	char data[OUT_MAX];
};

static void collect(void *user, struct slice piece)
{
	struct output *o = user;

	assert_true(piece.len > 0 && piece.len <= OUT_MAX);
	if (o->len < sizeof(o->data) && piece.len <= sizeof(o->data) - o->len)
		memcpy(o->data + o->len, piece.ptr, piece.len);
	o->len += piece.len;
}

/* 20 small events, as in brotli_events below. */
static size_t events_text(char *text)
{
	size_t len = 0;

	for (int i = 0; i < 20; i++)
		len += (size_t)snprintf(text + len, TEXT_MAX - len, "data: {\"n\":%d}\n\n", i);
	return len;
}

static const unsigned char brotli_events[] = {
	0xa1, 0xa8, 0x09, 0x00, 0x20, 0x50, 0x6b, 0xa3, 0x7e, 0x25, 0x31, 0x84, 0xe4,
	0xfa, 0x43, 0x0d, 0x86, 0xe2, 0x80, 0x32, 0x38, 0xf7, 0xa9, 0x66, 0x96, 0x60,
	0x78, 0x50, 0xaa, 0x0b, 0x41, 0x3b, 0xcf, 0x91, 0xe5, 0x9b, 0xf6, 0xfd, 0x79,
	0xb6, 0x92, 0x02, 0xe8, 0x18, 0x98, 0x58, 0xd8, 0x38, 0xb8, 0x88, 0x64, 0xda,
	0xa5, 0x50, 0x28, 0x14, 0x0a, 0x85, 0xc2, 0x12, 0x25, 0x01,
};

static void append_deflated(struct bytes *out, int wbits, const char *text, size_t len, int flush)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, wbits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)text;
	z.avail_in = (uInt)len;
	z.next_out = (unsigned char *)out->data + out->len;
	z.avail_out = (uInt)(sizeof(out->data) - out->len);
	assert_true(deflate(&z, flush) >= Z_OK);
	out->len = sizeof(out->data) - z.avail_out;
	deflateEnd(&z);
}

static void append_zstd(struct bytes *out, const char *text, size_t len)
{
	size_t n = ZSTD_compress(out->data + out->len, sizeof(out->data) - out->len, text, len, 3);

	assert_false(ZSTD_isError(n));
	out->len += n;
}

/* The ways in which the text of the events can be coded; "" ends the list. */
enum sample {
	GZIP,
	X_GZIP,
	GZIP_MEMBERS,
	GZIP_PADDED,
	ZLIB,
	RAW,
	BR,
	ZSTD,
	ZSTD_FRAMES,
	PLAIN,
	GZIP_IN_ZSTD,
	THREE,
	SAMPLES
};

static const char *const sample_codings[SAMPLES] = {
	[GZIP] = "gzip",
	[X_GZIP] = "X-GZip",
	[GZIP_MEMBERS] = "gzip",
	[GZIP_PADDED] = "identity, gzip",
	[ZLIB] = "deflate",
	[RAW] = "deflate",
	[BR] = "br",
	[ZSTD] = "zstd",
	[ZSTD_FRAMES] = "zstd",
	[PLAIN] = "identity",
	[GZIP_IN_ZSTD] = "gzip , zstd",
	[THREE] = "deflate,deflate,, gzip",
};

static void make_sample(enum sample which, struct bytes *out, const char *text, size_t len)
{
	static struct bytes inner;

	out->len = inner.len = 0;
	switch (which) {
	case GZIP:
	case X_GZIP:
		append_deflated(out, 31, text, len, Z_FINISH);
		break;
	case GZIP_MEMBERS:
		append_deflated(out, 31, text, 50, Z_FINISH);
		append_deflated(out, 31, text + 50, 0, Z_FINISH);
		append_deflated(out, 31, text + 50, len - 50, Z_FINISH);
		break;
	case GZIP_PADDED:
		append_deflated(out, 31, text, len, Z_FINISH);
		memcpy(out->data + out->len, "\x1f\0\0\x1f\x8b", 5);
		out->len += 5;
		break;
	case ZLIB:
		append_deflated(out, 15, text, len, Z_FINISH);
		break;
	case RAW:
		append_deflated(out, -15, text, len, Z_FINISH);
		break;
	case BR:
		memcpy(out->data, brotli_events, sizeof(brotli_events));
		out->len = sizeof(brotli_events);
		break;
	case ZSTD:
		append_zstd(out, text, len);
		break;
	case ZSTD_FRAMES:
		append_zstd(out, text, 50);
		append_zstd(out, text + 50, len - 50);
		break;
	case GZIP_IN_ZSTD:
		append_deflated(&inner, 31, text, len, Z_FINISH);
		append_zstd(out, inner.data, inner.len);
		break;
	case THREE:
		append_deflated(&inner, -15, text, len, Z_FINISH);
		append_deflated(out, 15, inner.data, inner.len, Z_FINISH);
		inner.len = 0;
		append_deflated(&inner, 31, out->data, out->len, Z_FINISH);
		memcpy(out->data, inner.data, inner.len);
		out->len = inner.len;
		break;
	default:
		memcpy(out->data, text, len);
		out->len = len;
	}
}

static enum decode_result decode_pieces(const char *coding, const struct bytes *in, size_t first,
					size_t piece, struct output *out)
{
	enum decode_result result = DECODE_OK;
	struct decode *d = NULL;

	out->len = 0;
	assert_int_equal(decode_new(&d, slice_of(coding), collect, out), 0);
	for (size_t at = 0; at < in->len;) {
		size_t n = first < in->len - at ? first : in->len - at;

		result = decode_feed(d, (struct slice){in->data + at, n});
		at += n;
		first = piece;
	}
	assert_true(decode_memory(d) < 2 * DECODE_WINDOW_MAX);
	decode_free(d);
	return result;
}

static void any_split_gives_the_same_bytes(void **state)
{
	static struct bytes in;
	static struct output out;
	char text[TEXT_MAX];
	size_t len = events_text(text);

	(void)state;
	for (enum sample which = 0; which < SAMPLES; which++) {
		make_sample(which, &in, text, len);
		for (size_t first = 1; first <= in.len; first++) {
			assert_int_equal(decode_pieces(sample_codings[which], &in, first,
						       first % 3 ? in.len : 1, &out),
					 DECODE_OK);
			assert_int_equal(out.len, len);
			assert_memory_equal(out.data, text, len);
		}
	}
}

/* A server flushes after each event: it must come out with the bytes that carry it. */
static void flushed_events_come_out_at_once(void **state)
{
	static struct bytes in;
	static struct output out;
	char text[TEXT_MAX];
	size_t len = events_text(text);
	static const struct {
		const char *coding;
		int wbits;
	} cases[] = {{"gzip", 31}, {"deflate", 15}, {"deflate", -15}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		in.len = 0;
		append_deflated(&in, cases[i].wbits, text, len, Z_SYNC_FLUSH);
		assert_int_equal(decode_pieces(cases[i].coding, &in, 1, 1, &out), DECODE_OK);
		assert_int_equal(out.len, len);
	}
}

static void flushed_zstd_comes_out_at_once(void **state)
{
	static struct bytes in;
	static struct output out;
	char text[TEXT_MAX];
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_inBuffer from = {text, events_text(text), 0};
	ZSTD_outBuffer to = {in.data, sizeof(in.data), 0};

	(void)state;
	assert_int_equal(ZSTD_compressStream2(z, &to, &from, ZSTD_e_flush), 0);
	in.len = to.pos;
	ZSTD_freeCCtx(z);
	assert_int_equal(decode_pieces("zstd", &in, 1, 1, &out), DECODE_OK);
	assert_int_equal(out.len, from.size);
}

static void cut_streams_give_what_was_there(void **state)
{
	static struct bytes in;
	static struct output out;
	char text[TEXT_MAX];
	size_t len = events_text(text);

	(void)state;
	for (enum sample which = 0; which < SAMPLES; which++) {
		make_sample(which, &in, text, len);
		in.len -= which == GZIP_PADDED ? 8 : 3;
		assert_int_equal(decode_pieces(sample_codings[which], &in, 7, 7, &out), DECODE_OK);
		assert_memory_equal(out.data, text, out.len);
	}
}

static void rubbish_is_broken(void **state)
{
	static struct bytes in = {.len = 64};
	static struct output out;
	static const char *const codings[] = {"gzip", "deflate", "br", "zstd", "gzip, zstd"};

	(void)state;
	memset(in.data, 0xff, in.len);
	for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
		assert_int_equal(decode_pieces(codings[i], &in, 1, 1, &out), DECODE_BROKEN);
		assert_int_equal(out.len, 0);
	}
}

static void a_wrong_checksum_is_broken(void **state)
{
	static struct bytes in;
	static struct output out;
	char text[TEXT_MAX];

	(void)state;
	make_sample(GZIP, &in, text, events_text(text));
	in.data[in.len - 6] ^= 1;
	assert_int_equal(decode_pieces("gzip", &in, in.len, 1, &out), DECODE_BROKEN);
}

static void unknown_and_deep_codings_are_refused(void **state)
{
	static const char *const refused[] = {"compress", "gzip, snappy", "gzip;q=1",
					      "gzip, gzip, gzip, gzip"};
	struct decode *d = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_int_equal(decode_new(&d, slice_of(refused[i]), collect, NULL), -ENOTSUP);
		assert_null(d);
	}
}

/* Zeros of `size` bytes, coded; 64 MiB of them shrink 1000-fold. */
static void make_bomb(struct bytes *out, int wbits, size_t size)
{
	char *zeros = calloc(1, size);

	assert_non_null(zeros);
	out->len = 0;
	append_deflated(out, wbits, zeros, size, Z_FINISH);
	free(zeros);
}

static void bombs_stop(void **state)
{
	static struct bytes in, nested;
	static struct output out;
	size_t bound;

	(void)state;
	make_bomb(&in, 31, 32u << 20);
	bound = DECODE_RATIO_MAX * in.len + DECODE_RATIO_SLACK;
	assert_int_equal(decode_pieces("gzip", &in, in.len, 1, &out), DECODE_BOMB);
	assert_true(out.len <= bound);
	assert_int_equal(decode_pieces("gzip", &in, 1, 1, &out), DECODE_BOMB);
	assert_true(out.len <= bound);
	nested.len = 0;
	append_deflated(&nested, 31, in.data, in.len, Z_FINISH);
	assert_int_equal(decode_pieces("gzip, gzip", &nested, nested.len, 1, &out), DECODE_BOMB);
	assert_true(out.len <= DECODE_RATIO_MAX * nested.len + DECODE_RATIO_SLACK);
}

/* Small bodies may be as repetitive as they like. */
static void slack_spares_small_bodies(void **state)
{
	static struct bytes in;
	static struct output out;

	(void)state;
	make_bomb(&in, 31, DECODE_RATIO_SLACK);
	assert_int_equal(decode_pieces("gzip", &in, 1, 1, &out), DECODE_OK);
	assert_int_equal(out.len, DECODE_RATIO_SLACK);
}

/* The rest of this header and the empty block behind it are a whole frame to skip as well. */
static void a_header_that_looks_like_a_frame(void **state)
{
	static const char head[] = "\x28\xb5\x2f\xfd\x50\x2a\x4d\x18" /* content: 0x184d + 256 */
				   "\x00\x00\x00\x00\xca\x00";	      /* blocks of 0 and 6464 */
	static const char last[] = "\x69\x00\x00";		      /* the last one, of 13 */
	static const size_t pieces[] = {1, 3, 4, 5, 6, 8, 100, OUT_MAX};
	static struct bytes in;
	static struct output out;

	(void)state;
	memset(in.data, 'x', sizeof(in.data));
	memcpy(in.data, head, sizeof(head) - 1);
	memcpy(in.data + sizeof(head) - 1 + 6464, last, sizeof(last) - 1);
	in.len = sizeof(head) - 1 + 6464 + sizeof(last) - 1 + 13;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		assert_int_equal(decode_pieces("zstd", &in, pieces[i], pieces[i], &out), DECODE_OK);
		assert_int_equal(out.len, 0x184d + 256);
	}
}

static void huge_windows_are_refused(void **state)
{
	/* Frame header: magic, descriptor 0, window descriptor 0x70 = 2^24 bytes; a raw block. */
	static struct bytes zstd = {.len = 10, .data = "\x28\xb5\x2f\xfd\x00\x70\x09\x00\x00x"};
	static struct output out;

	(void)state;
	assert_int_equal(decode_pieces("zstd", &zstd, 1, 1, &out), DECODE_BOMB);
	zstd.data[5] = 0x68; /* 2^23: allowed */
	assert_int_equal(decode_pieces("zstd", &zstd, zstd.len, 1, &out), DECODE_OK);
	assert_int_equal(out.len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split_gives_the_same_bytes),
		cmocka_unit_test(flushed_events_come_out_at_once),
		cmocka_unit_test(flushed_zstd_comes_out_at_once),
		cmocka_unit_test(cut_streams_give_what_was_there),
		cmocka_unit_test(rubbish_is_broken),
		cmocka_unit_test(a_wrong_checksum_is_broken),
		cmocka_unit_test(unknown_and_deep_codings_are_refused),
		cmocka_unit_test(bombs_stop),
		cmocka_unit_test(slack_spares_small_bodies),
		cmocka_unit_test(huge_windows_are_refused),
		cmocka_unit_test(a_header_that_looks_like_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
