/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML 9.2) as a stream: bytes in, for each event its name and its data
 * in pieces, so that no data line has to fit in memory. Lines may end in LF, CRLF or CR; a BOM is
 * skipped; comments are dropped; `data:` with or without the space. Pure.
 */
#ifndef TT_SSE_H
#define TT_SSE_H

#include "agent/base/base.h"

#define SSE_NAME_MAX 128 /* longer event names are cut */

struct sse_ops {
	/*
	 * The first data byte of a new event is about to come. `event:` lines that stand before the
	 * data are known here; name is "" when there was none.
	 */
	void (*begin)(void *user, struct slice name);
	void (*data)(void *user, struct slice piece); /* lines joined by '\n' */
	void (*end)(void *user);		      /* the blank line, or end of stream */
};

struct sse {
	const struct sse_ops *ops;
	void *user;
	uint8_t state;
	uint8_t field;
	bool in_event; /* begin was called */
	bool after_cr;
	bool need_newline; /* a further data line joins with '\n' */
	uint8_t bom;
	size_t field_len;
	size_t name_len;
	char field_name[8];
	char name[SSE_NAME_MAX];
};

void sse_init(struct sse *s, const struct sse_ops *ops, void *user);
void sse_feed(struct sse *s, struct slice bytes);
void sse_eof(struct sse *s); /* dispatches an event that lacks its blank line */

#endif
