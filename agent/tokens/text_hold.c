/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tokens/text_hold.h"

#define TEXT_END    '\xff' /* never in UTF-8 (RFC 3629 3) */
#define BROKEN	    '\xfe' /* nor is this one: stands for the other in text that is none */
#define FIRST_BYTES 1024

static bool grow(struct text_hold *h, size_t wanted)
{
	size_t size = h->size ? h->size : FIRST_BYTES;
	char *bytes;

	while (size < wanted)
		size *= 2;
	if (size == h->size)
		return true;
	if (size > TEXT_HOLD_MAX || *h->pool + size - h->size > TEXT_POOL_MAX)
		return false;
	bytes = malloc(size); /* not realloc: the old bytes are wiped */
	if (!bytes)
		return false;
	if (h->len)
		memcpy(bytes, h->bytes, h->len);
	if (h->size)
		explicit_bzero(h->bytes, h->size);
	free(h->bytes);
	h->bytes = bytes;
	*h->pool += size - h->size;
	h->size = size;
	return true;
}

void text_hold_add(struct text_hold *h, struct slice text)
{
	if (!text.len)
		return;
	if (h->beyond_bytes || !grow(h, h->len + text.len + 1)) {
		h->beyond_bytes += text.len;
		return;
	}
	memcpy(h->bytes + h->len, text.ptr, text.len);
	for (char *p = h->bytes + h->len, *end = p + text.len;
	     (p = memchr(p, TEXT_END, (size_t)(end - p)));)
		*p = BROKEN;
	h->len += text.len;
}

void text_hold_end(struct text_hold *h)
{
	if (h->len && h->bytes[h->len - 1] != TEXT_END)
		h->bytes[h->len++] = TEXT_END; /* there is room: grow() left it */
}

void text_hold_take(struct text_hold *h, void (*text)(void *user, struct slice text), void *user)
{
	text_hold_end(h);
	for (size_t from = 0; text && from < h->len;) {
		const char *at = h->bytes + from, *end = memchr(at, TEXT_END, h->len - from);

		text(user, (struct slice){at, (size_t)(end - at)});
		from += (size_t)(end - at) + 1;
	}
	if (h->size)
		explicit_bzero(h->bytes, h->size);
	free(h->bytes);
	if (h->size)
		*h->pool -= h->size;
	*h = (struct text_hold){.pool = h->pool};
}
