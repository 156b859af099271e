/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow: what tests build wire images from. */
#ifndef TT_TEST_BYTES_H
#define TT_TEST_BYTES_H

#include "agent/base/base.h"

struct bytes {
	char *ptr; /* owned; ends with a 0 that len does not count */
	size_t len;
	size_t cap;
};

static inline void bytes_free(struct bytes *b)
{
	free(b->ptr);
	*b = (struct bytes){0};
}

static inline void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static inline void bytes_add(struct bytes *b, const char *ptr, size_t len)
{
	char *grown;

	if (len >= b->cap - b->len) {
		b->cap = (b->cap + len) * 2 + 64;
		grown = must(realloc(b->ptr, b->cap));
		b->ptr = grown;
	}
	if (len)
		memcpy(b->ptr + b->len, ptr, len);
	b->len += len;
	b->ptr[b->len] = '\0';
}

static inline void bytes_text(struct bytes *b, const char *text)
{
	bytes_add(b, text, strlen(text));
}

/* Without its first n bytes. */
static inline void bytes_drop(struct bytes *b, size_t n)
{
	memmove(b->ptr, b->ptr + n, b->len - n + 1);
	b->len -= n;
}

#endif
