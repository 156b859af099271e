/* SPDX-License-Identifier: Apache-2.0 */
/* Builds wire bytes for replay tests: files, heads, content codings, transfer framings. */
#ifndef TT_TEST_WIRE_H
#define TT_TEST_WIRE_H

#include "tests/replay/bytes.h"

#include <brotli/encode.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

/* The whole file; ptr is NULL when it cannot be read. */
static struct bytes file_bytes(const char *dir, const char *name)
{
	struct bytes b = {0};
	char path[4096], piece[65536];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return b;
	bytes_add(&b, "", 0);
	while ((n = fread(piece, 1, sizeof(piece), f)))
		bytes_add(&b, piece, n);
	fclose(f);
	return b;
}

/* ---- content codings ------------------------------------------------------------------------ */

enum coding { CODING_NONE, CODING_GZIP, CODING_BR, CODING_ZSTD, CODINGS };
static const char *const coding_names[CODINGS] = {"", "gzip", "br", "zstd"};

static struct bytes gzip(const struct bytes *in, bool inflate_it)
{
	z_stream z = {.next_in = (Bytef *)in->ptr, .avail_in = (uInt)in->len};
	struct bytes out = {0};
	char piece[16384];
	int rc = inflate_it ? inflateInit2(&z, 31)
			    : deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);

	bytes_add(&out, "", 0);
	while (rc == Z_OK) {
		z.next_out = (Bytef *)piece;
		z.avail_out = sizeof(piece);
		rc = inflate_it ? inflate(&z, Z_NO_FLUSH) : deflate(&z, Z_FINISH);
		bytes_add(&out, piece, sizeof(piece) - z.avail_out);
	}
	inflate_it ? inflateEnd(&z) : deflateEnd(&z);
	return out;
}

static struct bytes encode(const struct bytes *in, enum coding coding)
{
	struct bytes out = {0};
	size_t room = in->len + in->len / 2 + 1024;

	if (coding == CODING_GZIP)
		return gzip(in, false);
	if (coding == CODING_NONE) {
		bytes_add(&out, in->ptr, in->len);
		return out;
	}
	out.ptr = must(malloc(room + 1));
	out.len = room;
	if (coding == CODING_ZSTD)
		out.len = ZSTD_compress(out.ptr, room, in->ptr, in->len, 3);
	else if (!BrotliEncoderCompress(4, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, in->len,
					(const uint8_t *)in->ptr, &out.len, (uint8_t *)out.ptr))
		abort();
	return out;
}

/* ---- framing ----------------------------------------------------------------------------------
 */

#define FRAMED_BY_LENGTH 0 /* else the size of each chunk */
#define CHUNKS_AT_RANDOM (SIZE_MAX - 1)
#define CHUNK_MOST	 97 /* bytes of those */

/* The same sizes in every run. */
static size_t chunk_size(size_t chunk, uint32_t *state)
{
	if (chunk != CHUNKS_AT_RANDOM)
		return chunk;
	*state = *state * 1664525 + 1013904223;
	return 1 + (*state >> 16) % CHUNK_MOST;
}

static bool is_framing_field(const char *line)
{
	static const char *const fields[] = {
		"transfer-encoding:", "content-length:", "content-encoding:"};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (strncasecmp(line, fields[i], strlen(fields[i])) == 0)
			return true;
	}
	return false;
}

static void add_body(struct bytes *out, const struct bytes *body, size_t chunk)
{
	uint32_t state = 1;
	char line[64];

	if (chunk == FRAMED_BY_LENGTH) {
		bytes_add(out, body->ptr, body->len);
		return;
	}
	for (size_t at = 0, n; at < body->len; at += n) {
		n = chunk_size(chunk, &state);
		if (n > body->len - at)
			n = body->len - at;
		snprintf(line, sizeof(line), "%zx\r\n", n);
		bytes_text(out, line);
		bytes_add(out, body->ptr + at, n);
		bytes_text(out, "\r\n");
	}
	bytes_text(out, "0\r\n\r\n");
}

/* One message: head with its framing fields replaced, body coded and framed anew. */
static inline struct bytes message(const struct bytes *head, const struct bytes *plain,
				   enum coding coding, size_t chunk)
{
	struct bytes out = {0}, body = encode(plain, coding);
	char line[64];

	for (const char *p = head->ptr; *p && strncmp(p, "\r\n", 2) != 0;) {
		const char *end = strchr(p, '\n');

		end = end ? end + 1 : p + strlen(p);
		if (!is_framing_field(p))
			bytes_add(&out, p, (size_t)(end - p));
		p = end;
	}
	if (coding != CODING_NONE) {
		snprintf(line, sizeof(line), "Content-Encoding: %s\r\n", coding_names[coding]);
		bytes_text(&out, line);
	}
	if (chunk == FRAMED_BY_LENGTH)
		snprintf(line, sizeof(line), "Content-Length: %zu\r\n\r\n", body.len);
	else
		snprintf(line, sizeof(line), "Transfer-Encoding: chunked\r\n\r\n");
	bytes_text(&out, line);
	add_body(&out, &body, chunk);
	bytes_free(&body);
	return out;
}

#endif
