/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/money.h"

#include <ctype.h>
#include <stdio.h>

static unsigned __int128 magnitude(pusd_sum amount)
{
	return amount < 0 ? -(unsigned __int128)amount : (unsigned __int128)amount;
}

/* Decimal digits of v, at least `width` of them. Returns the end. */
static char *put_digits(char *p, unsigned __int128 v, int width)
{
	char digits[40];
	int n = 0;

	do {
		digits[n++] = (char)('0' + (int)(v % 10));
		v /= 10;
	} while (v || n < width);
	while (n)
		*p++ = digits[--n];
	return p;
}

char *pusd_format(char *dst, pusd_sum amount)
{
	unsigned __int128 v = magnitude(amount);
	unsigned __int128 fraction = v % PUSD_PER_USD;
	char *p = dst;

	if (amount < 0)
		*p++ = '-';
	p = put_digits(p, v / PUSD_PER_USD, 1);
	if (fraction) {
		*p++ = '.';
		p = put_digits(p, fraction, 12);
		while (p[-1] == '0')
			p--;
	}
	*p = '\0';
	return dst;
}

char *pusd_format_rounded(char *dst, pusd_sum amount, int decimals)
{
	unsigned __int128 v = magnitude(amount), unit = 1, units, rest;
	char *p = dst;

	for (int i = decimals; i < 12; i++)
		unit *= 10;
	units = v / unit;
	rest = v % unit;
	if (rest * 2 > unit || (rest * 2 == unit && (units & 1)))
		units++;
	v = 1;
	for (int i = 0; i < decimals; i++)
		v *= 10;
	if (amount < 0 && units)
		*p++ = '-';
	p = put_digits(p, units / v, 1);
	if (decimals) {
		*p++ = '.';
		p = put_digits(p, units % v, decimals);
	}
	*p = '\0';
	return dst;
}

/* The optional exponent at text[at]; false when malformed. An absent one is 0. */
static bool parse_exponent(struct slice text, size_t at, int *exponent)
{
	bool negative = false;
	int value = 0;

	*exponent = 0;
	if (at == text.len)
		return true;
	if (text.ptr[at] != 'e' && text.ptr[at] != 'E')
		return false;
	if (++at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+'))
		negative = text.ptr[at++] == '-';
	if (at == text.len)
		return false;
	for (; at < text.len; at++) {
		if (!isdigit((unsigned char)text.ptr[at]) || value > 99)
			return false;
		value = value * 10 + (text.ptr[at] - '0');
	}
	*exponent = negative ? -value : value;
	return true;
}

bool decimal_parse(struct slice text, int scale, int64_t *out)
{
	int64_t value = 0;
	int fraction = 0, exponent = 0;
	bool digits = false, point = false;
	size_t i;

	for (i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '.' && !point) {
			point = true;
			continue;
		}
		if (!isdigit((unsigned char)c))
			break;
		digits = true;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, c - '0', &value))
			return false;
		fraction += point;
	}
	if (!digits || !parse_exponent(text, i, &exponent))
		return false;
	for (exponent += scale - fraction; exponent > 0 && value; exponent--) {
		if (__builtin_mul_overflow(value, 10, &value))
			return false;
	}
	for (; exponent < 0 && value; exponent++) {
		if (value % 10)
			return false;
		value /= 10;
	}
	*out = value;
	return true;
}
