/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header blocks of one direction (RFC 7541), by libnghttp2's inflater, in wire order. It may
 * begin late or miss blocks: then the dynamic table is filled with placeholders, so that an entry
 * from before reads as unknown, and all later ones are right: the newest is always index 62 and the
 * oldest go first. Private to agent/http2.
 *
 * Bounds: HTTP2_TABLE_MAX of table, HTTP2_HEAD_MAX of one head. A change of the table's size needs
 * no SETTINGS: the encoder says it in the block (RFC 7541 4.2).
 */
#ifndef TT_HTTP2_HPACK_H
#define TT_HTTP2_HPACK_H

#include "agent/http2/http2.h"

#include <nghttp2/nghttp2.h>

/* Zeroed: a direction seen from its first block. It stays where it is once it has read one. */
struct hpack {
	nghttp2_hd_inflater *inflater; /* NULL until the first block */
	nghttp2_mem mem;	       /* the inflater points here */
	bool late;		       /* entries from before are unknown */
	size_t held;		       /* bytes allocated by the inflater */
};

/* One head being gathered; `head` points into `text`. */
struct http2_fields {
	struct http_head head;
	bool pseudo; /* any name with a colon, or one that is unknown */
	size_t len;
	char text[HTTP2_HEAD_MAX];
};

/* Nothing is known of a head but that it was there. */
void http2_fields_unknown(struct http2_fields *out);

enum hpack_result {
	HPACK_OK,
	HPACK_BROKEN, /* out is as http2_fields_unknown leaves it; the next block may be sound */
	HPACK_MEMORY, /* the same, for want of memory */
};

/* A block was not seen whole: nothing of the table is known any more. */
void hpack_lose(struct hpack *h);
void hpack_free(struct hpack *h);

/* Reads a whole block. */
enum hpack_result hpack_read(struct hpack *h, struct slice block,
			     struct http2_fields *out) TT_MUST_CHECK;

#endif
