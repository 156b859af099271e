/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/text.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT_FIRST_BYTES 256

/* Room for `more` bytes and a 0 behind them. */
static bool text_reserve(struct text *t, size_t more)
{
	size_t cap = t->cap ? t->cap : TEXT_FIRST_BYTES;
	char *grown;

	if (t->failed || t->len >= t->max || more >= t->max - t->len) {
		t->failed = true;
		return false;
	}
	if (more < t->cap - t->len)
		return true;
	while (cap - t->len <= more)
		cap *= 2;
	grown = realloc(t->ptr, cap);
	if (!grown) {
		t->failed = true;
		return false;
	}
	t->ptr = grown;
	t->cap = cap;
	return true;
}

void text_append(struct text *t, const void *bytes, size_t len)
{
	if (!text_reserve(t, len))
		return;
	if (len)
		memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
}

void text_puts(struct text *t, const char *s)
{
	text_append(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0 || !text_reserve(t, (size_t)n))
		return;
	va_start(args, fmt);
	vsnprintf(t->ptr + t->len, (size_t)n + 1, fmt, args);
	va_end(args);
	t->len += (size_t)n;
}

void text_json_string(struct text *t, struct slice s)
{
	text_puts(t, "\"");
	while (s.len) {
		unsigned char c = (unsigned char)s.ptr[0];
		size_t n = slice_utf8_length(s);

		if (n == 0)
			text_puts(t, "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			text_printf(t, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_printf(t, "\\u%04x", c);
		else
			text_append(t, s.ptr, n);
		n = n ? n : 1;
		s.ptr += n;
		s.len -= n;
	}
	text_puts(t, "\"");
}

const char *text_cstr(struct text *t)
{
	if (!text_reserve(t, 0))
		return NULL;
	t->ptr[t->len] = '\0';
	return t->ptr;
}

void text_free(struct text *t)
{
	free(t->ptr);
	*t = TEXT_INIT(t->max);
}
