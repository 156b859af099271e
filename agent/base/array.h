/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays that grow by one: as many elements as were asked for, twice as much room each time. */
#ifndef TT_ARRAY_H
#define TT_ARRAY_H

#include "agent/base/base.h"

#define ARRAY_FIRST 16

/*
 * Room for one more element of `size` bytes behind `count` of them; *items is NULL and *cap 0 at
 * first, and the caller frees *items. False without memory: what is there stays. The bound on count
 * is the caller's.
 */
static inline TT_MUST_CHECK bool array_room(void **items, size_t *cap, size_t count, size_t size)
{
	size_t more = *cap ? 2 * *cap : ARRAY_FIRST, bytes;
	void *grown;

	if (count < *cap)
		return true;
	if (__builtin_mul_overflow(more, size, &bytes)) /* sanitizers would end us for asking */
		return false;
	grown = realloc(*items, bytes);
	if (!grown)
		return false;
	*items = grown;
	*cap = more;
	return true;
}

#endif
