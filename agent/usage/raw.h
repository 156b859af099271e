/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider's own usage numbers, kept beside the disjoint kinds as a compact JSON object of the
 * same nesting. Only numbers are taken, only keys of [A-Za-z0-9_]; a repeated key replaces the
 * earlier number. Bounded: RAW_STORE_MAX while reading, CALL_RAW_MAX as text; what does not fit, in
 * them or in a double, is left out whole.
 */
#ifndef TT_RAW_H
#define TT_RAW_H

#include "agent/base/base.h"

#define RAW_STORE_MAX 4096

struct raw_store {
	size_t used;
	char text[RAW_STORE_MAX]; /* "path=number\n", entries of one object side by side */
};

/* path as json_value.tail: "a.b", list elements as "[index]". */
void raw_store_set(struct raw_store *s, struct slice path, struct slice number);

/* Writes {"a":{"b":1}} into dst, "" when nothing was set. size is at least 3. */
void raw_store_render(const struct raw_store *s, char *dst, size_t size);

#endif
