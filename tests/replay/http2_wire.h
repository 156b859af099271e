/* SPDX-License-Identifier: Apache-2.0 */
/* Builds one direction of an HTTP/2 connection; libnghttp2's deflater encodes the fields. */
#ifndef TT_TEST_HTTP2_WIRE_H
#define TT_TEST_HTTP2_WIRE_H

#include "agent/http2/http2.h"
#include "tests/replay/bytes.h"

#include <nghttp2/nghttp2.h>

enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8, H2_WITH_PRIORITY = 32 };
#define H2_FIELDS_MAX 64

struct h2_writer {
	struct bytes out;
	nghttp2_hd_deflater *deflater;
};

static inline void h2_writer_init(struct h2_writer *w)
{
	*w = (struct h2_writer){0};
	if (nghttp2_hd_deflate_new(&w->deflater, 4096))
		abort();
}

static inline void h2_writer_free(struct h2_writer *w)
{
	nghttp2_hd_deflate_del(w->deflater);
	bytes_free(&w->out);
}

static inline void h2_frame(struct h2_writer *w, int type, int flags, uint32_t id, const void *ptr,
			    size_t len)
{
	const char head[9] = {(char)(len >> 16), (char)(len >> 8), (char)len,
			      (char)type,	 (char)flags,	   (char)(id >> 24),
			      (char)(id >> 16),	 (char)(id >> 8),  (char)id};

	bytes_add(&w->out, head, sizeof(head));
	bytes_add(&w->out, ptr, len);
}

/* How a connection begins. */
static inline void h2_hello(struct h2_writer *client, struct h2_writer *server)
{
	bytes_text(&client->out, HTTP2_PREFACE);
	h2_frame(client, NGHTTP2_SETTINGS, 0, 0, "", 0);
	h2_frame(server, NGHTTP2_SETTINGS, 0, 0, "", 0);
}

static inline void h2_data(struct h2_writer *w, uint32_t id, const char *text, int flags)
{
	h2_frame(w, NGHTTP2_DATA, flags, id, text, strlen(text));
}

/* The block of these fields, as the peer's next block has to be. */
static inline struct bytes h2_block(struct h2_writer *w, const nghttp2_nv *fields, size_t count)
{
	struct bytes block = {0};
	size_t room = nghttp2_hd_deflate_bound(w->deflater, fields, count);
	ssize_t n;

	block.ptr = must(malloc(room + 1));
	block.cap = room + 1;
	n = nghttp2_hd_deflate_hd(w->deflater, (uint8_t *)block.ptr, room, fields, count);
	if (n < 0)
		abort();
	block.len = (size_t)n;
	return block;
}

static inline nghttp2_nv h2_nv(struct slice name, struct slice value)
{
	return (nghttp2_nv){(uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
			    NGHTTP2_NV_FLAG_NONE};
}

/* HEADERS, and CONTINUATION when a frame may carry `most` bytes only. */
static inline void h2_head(struct h2_writer *w, uint32_t id, const nghttp2_nv *fields, size_t count,
			   int flags, size_t most)
{
	struct bytes block = h2_block(w, fields, count);
	size_t at = 0;
	int type = NGHTTP2_HEADERS;

	do {
		size_t n = block.len - at < most ? block.len - at : most;
		int last = at + n == block.len ? H2_END_HEADERS : 0;

		h2_frame(w, type, flags | last, id, block.ptr + at, n);
		at += n;
		type = NGHTTP2_CONTINUATION;
		flags = 0;
	} while (at < block.len);
	bytes_free(&block);
}

/* Fields that HTTP/2 says by itself (RFC 9113 8.2.2), or that a coding replaces. */
static inline bool h2_left_out(struct slice name)
{
	static const char *const names[] = {"connection",     "transfer-encoding",
					    "content-length", "content-encoding",
					    "keep-alive",     "host"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_eq(name, slice_of(names[i])))
			return true;
	}
	return false;
}

/* One word of a start line, from *at on. */
static inline struct slice h2_word(const char **at)
{
	size_t n = strcspn(*at, " \r\n");
	struct slice word = {*at, n};

	*at += n + ((*at)[n] == ' ');
	return word;
}

/* Pseudo-header fields in place of a start line, up to *line. Returns their count. */
static inline size_t h2_pseudo_of(char *head, nghttp2_nv *out, char **line)
{
	size_t n = 0;

	for (*line = head; *line && **line == ':' && n < 5; (*line)++) {
		char *name = *line, *colon = strchr(name + 1, ':');
		struct slice value = {colon + 1, strcspn(colon + 1, "\r\n")};

		out[n++] = h2_nv((struct slice){name, (size_t)(colon - name)}, slice_trim(value));
		*line = strchr(name, '\n');
		if (!*line)
			abort();
	}
	--*line; /* the line end before what follows */
	return n;
}

/*
 * The fields of a head as HTTP/1.1 or HTTP/2 writes it, whose names become lower case in place.
 * Returns their count.
 */
static inline size_t h2_fields_of(char *head, nghttp2_nv *out)
{
	const char *at = head;
	struct slice first = h2_word(&at), second = h2_word(&at);
	size_t n = 0;
	char *line = strchr(head, '\n');

	if (head[0] == ':') {
		n = h2_pseudo_of(head, out, &line);
	} else if (slice_starts(first, SLICE("HTTP/"))) {
		out[n++] = h2_nv(SLICE(":status"), second);
	} else {
		out[n++] = h2_nv(SLICE(":method"), first);
		out[n++] = h2_nv(SLICE(":scheme"), SLICE("https"));
		out[n++] = h2_nv(SLICE(":path"), second);
	}
	while (line && line[1] && line[1] != '\r' && line[1] != '\n' && n < H2_FIELDS_MAX - 2) {
		char *name = line + 1, *colon = strchr(name, ':');
		struct slice value;

		line = strchr(name, '\n');
		if (!colon || (line && colon > line))
			continue;
		for (char *c = name; c < colon; c++)
			*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
		value = slice_trim((struct slice){colon + 1, strcspn(colon + 1, "\r\n")});
		if (slice_eq((struct slice){name, (size_t)(colon - name)}, SLICE("host")))
			out[n++] = h2_nv(SLICE(":authority"), value);
		else if (!h2_left_out((struct slice){name, (size_t)(colon - name)}))
			out[n++] = h2_nv((struct slice){name, (size_t)(colon - name)}, value);
	}
	return n;
}

/* The DATA frame of body from *at on, at most `most` bytes. */
static inline void h2_data_piece(struct h2_writer *w, uint32_t id, const struct bytes *body,
				 size_t *at, size_t most)
{
	size_t n = body->len - *at < most ? body->len - *at : most;
	int flags = *at + n == body->len ? H2_END_STREAM : 0;

	h2_frame(w, NGHTTP2_DATA, flags, id, body->ptr + *at, n);
	*at += n;
}

/* The HEADERS of a message that is written in HTTP/1.1; coding as in Content-Encoding, or "". */
static inline void h2_message_head(struct h2_writer *w, uint32_t id, const struct bytes *head,
				   const char *coding)
{
	nghttp2_nv fields[H2_FIELDS_MAX];
	struct bytes text = {0};
	size_t count;

	bytes_add(&text, head->ptr, head->len);
	count = h2_fields_of(text.ptr, fields);
	if (coding[0])
		fields[count++] = h2_nv(SLICE("content-encoding"), slice_of(coding));
	h2_head(w, id, fields, count, 0, SIZE_MAX);
	bytes_free(&text);
}

#endif
