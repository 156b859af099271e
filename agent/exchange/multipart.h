/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the plain fields of a multipart/form-data body (RFC 7578, RFC 2046 section 5.1): bytes in,
 * fields out, in any split. What is a file (it has a filename) passes unread, so that a body of any
 * size takes constant memory. Pure.
 *
 * Bounds: a boundary beyond MULTIPART_BOUNDARY_MAX is none; a field whose name or value is longer
 * than its maximum, or whose header line is, is left out.
 */
#ifndef TT_MULTIPART_H
#define TT_MULTIPART_H

#include "agent/base/base.h"

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 */
#define MULTIPART_NAME_MAX     64
#define MULTIPART_VALUE_MAX    256
#define MULTIPART_LINE_MAX     512

struct multipart_ops {
	void (*field)(void *user, struct slice name, struct slice value); /* borrowed */
};

enum multipart_state {
	MULTIPART_BODY,	     /* of a part, or what stands before the first */
	MULTIPART_DELIMITED, /* right behind a delimiter */
	MULTIPART_DASH,	     /* behind it and one dash of two */
	MULTIPART_PADDING,   /* white space behind it */
	MULTIPART_LINE_END,  /* the CR of its line */
	MULTIPART_HEADER,    /* a part's header lines */
	MULTIPART_END,	     /* the last delimiter was seen: the rest is no matter */
	MULTIPART_BROKEN,
};

/* Opaque; here so that the caller can hold it. */
struct multipart {
	const struct multipart_ops *ops;
	void *user;
	enum multipart_state state;
	size_t matched; /* of the delimiter */
	size_t delimiter_len;
	char delimiter[MULTIPART_BOUNDARY_MAX + 4]; /* CR LF - - boundary */
	bool wanted;				    /* the part is a field */
	bool is_file;
	size_t name_len, value_len, line_len;
	char name[MULTIPART_NAME_MAX];
	char value[MULTIPART_VALUE_MAX];
	char line[MULTIPART_LINE_MAX];
};

/* False when the label is none of multipart/form-data with a boundary of sound length. */
bool multipart_init(struct multipart *m, struct slice content_type, const struct multipart_ops *ops,
		    void *user);

/* False once nothing more can come: the last part is over, or these bytes are no multipart body. */
bool multipart_feed(struct multipart *m, struct slice bytes);

#endif
