/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of a request until its end tells whether they are to be counted, and by which table:
 * most are not. What is held is wiped when it goes.
 *
 * Bounds: TEXT_HOLD_MAX bytes of a request, TEXT_POOL_MAX of all that share a pool. What does not
 * fit is only told of by its length.
 */
#ifndef TT_TEXT_HOLD_H
#define TT_TEXT_HOLD_H

#include "agent/tokens/tokens.h"

#define TEXT_HOLD_MAX (128u << 10)
#define TEXT_POOL_MAX (4u << 20)

struct text_hold {
	char *bytes; /* each text ends with a byte that UTF-8 has not */
	size_t len, size;
	uint64_t beyond_bytes; /* that did not fit */
	size_t *pool;	       /* sum of the sizes; shared */
};

void text_hold_add(struct text_hold *h, struct slice text);
void text_hold_end(struct text_hold *h); /* of one text; an empty one is none */
/* Hands each text to `text`, in order, and frees all; NULL: frees only. */
void text_hold_take(struct text_hold *h, void (*text)(void *user, struct slice text), void *user);

#endif
