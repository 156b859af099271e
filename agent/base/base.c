/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/base.h"

#include <unistd.h>

bool slice_is_hex(struct slice s, size_t digits)
{
	if (s.len != digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if ((s.ptr[i] < '0' || s.ptr[i] > '9') && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
			return false;
	}
	return true;
}

size_t slice_utf8_length(struct slice s)
{
	static const struct {
		unsigned char first, last, low, high; /* first byte's range, second byte's range */
		size_t len;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	const unsigned char *p = (const unsigned char *)s.ptr;

	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (s.len < forms[i].len || p[1] < forms[i].low || p[1] > forms[i].high)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].len;
	}
	return 0;
}

/* C0, DEL, and C1 (U+0080 to U+009F): what could steer a terminal. */
static bool is_control(struct slice s)
{
	unsigned char first = (unsigned char)s.ptr[0];

	if (first == 0xc2)
		return (unsigned char)s.ptr[1] < 0xa0;
	return first < 0x20 || first == 0x7f;
}

bool slice_copy(char *dst, size_t size, struct slice src)
{
	size_t at = 0;

	while (src.len) {
		size_t n = slice_utf8_length(src), taken = n ? n : 1;

		if (taken >= size - at)
			break;
		if (n == 0 || is_control(src))
			memset(dst + at, '?', taken);
		else
			memmove(dst + at, src.ptr, taken);
		at += taken;
		src.ptr += taken;
		src.len -= taken;
	}
	dst[at] = '\0';
	return src.len == 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct slice percent_decode(char *dst, size_t size, struct slice src)
{
	struct slice plain = {dst, 0};

	for (size_t i = 0; i < src.len && plain.len < size; i++) {
		bool coded = src.ptr[i] == '%' && src.len - i > 2 &&
			     hex_digit(src.ptr[i + 1]) >= 0 && hex_digit(src.ptr[i + 2]) >= 0;

		dst[plain.len++] =
			coded ? (char)(hex_digit(src.ptr[i + 1]) << 4 | hex_digit(src.ptr[i + 2]))
			      : src.ptr[i];
		i += coded ? 2 : 0;
	}
	return plain;
}

void freep(void *p)
{
	free(*(void **)p);
}

void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
