/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML 9.2) as a stream: bytes in, for each event its name and its data
 * in pieces, so that no data line has to fit in memory. Lines may end in LF, CRLF or CR; a BOM is
 * skipped; comments are dropped; `data:` with or without the space. Pure.
 */
#ifndef TT_SSE_H
#define TT_SSE_H

#include "agent/base/base.h"

#define SSE_NAME_MAX  128 /* longer event names are cut */
#define SSE_FIELD_MAX 8	  /* longer field names are none of ours */

struct sse_ops {
	/*
	 * The first data line of a new event began. `name` is that of the `event:` lines before it
	 * (the last one counts), "" when there was none. An `event:` line after the first data line
	 * comes too late to be told and is dropped: no known provider sends one.
	 */
	void (*begin)(void *user, struct slice name);
	void (*data)(void *user, struct slice piece); /* lines joined by '\n'; never empty */
	void (*end)(void *user);		      /* the blank line, or end of stream */
};

/* Embedded by its owner; nothing in it needs to be freed. */
struct sse {
	const struct sse_ops *ops;
	void *user;
	uint8_t state;
	uint8_t bom;   /* bytes of the BOM matched; all three when it passed or was absent */
	bool in_event; /* begin was called */
	bool after_cr; /* an LF now belongs to the line end before */
	uint8_t field_len;
	uint8_t name_len;
	char field[SSE_FIELD_MAX];
	char name[SSE_NAME_MAX];
};

void sse_init(struct sse *s, const struct sse_ops *ops, void *user);
void sse_feed(struct sse *s, struct slice bytes);
void sse_eof(struct sse *s); /* dispatches an event that lacks its blank line */

#endif
