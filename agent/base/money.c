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

pusd_sum pusd_divide(pusd_sum a, pusd_sum b)
{
	unsigned __int128 v = magnitude(a), divisor = magnitude(b);
	unsigned __int128 quotient = v / divisor, rest = v % divisor;

	/* rest * 2 may be more than 128 bits hold */
	if (rest > divisor - rest || (rest == divisor - rest && (quotient & 1)))
		quotient++;
	return a < 0 ? -(pusd_sum)quotient : (pusd_sum)quotient;
}

/* ---- decimal text ---------------------------------------------------------------------------- */

/* digits times 10^exponent, and what was left out of the digits. */
struct decimal {
	unsigned __int128 digits;
	int exponent;
	bool rest; /* something but zeros stands behind the digits */
};

/* So many that one more still fits 128 bits, and saturated exponents are beyond any use. */
#define DIGITS_MAX   ((unsigned __int128)INT64_MAX * INT64_MAX / 10)
#define EXPONENT_MAX 1000

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
		if (!isdigit((unsigned char)text.ptr[at]))
			return false;
		value = value < EXPONENT_MAX ? value * 10 + (text.ptr[at] - '0') : EXPONENT_MAX;
	}
	*exponent = negative ? -value : value;
	return true;
}

static bool read_decimal(struct slice text, struct decimal *d)
{
	bool any = false, point = false;
	int exponent, shift = 0;
	size_t i;

	*d = (struct decimal){0};
	for (i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '.' && !point) {
			point = true;
			continue;
		}
		if (!isdigit((unsigned char)c))
			break;
		any = true;
		if (d->digits > DIGITS_MAX) {
			d->rest |= c != '0';
			shift += !point;
			continue;
		}
		d->digits = d->digits * 10 + (unsigned)(c - '0');
		shift -= point;
	}
	if (!any || !parse_exponent(text, i, &exponent))
		return false;
	d->exponent = exponent + shift;
	return true;
}

/* Rounded half up; *exact tells whether anything was rounded. False when it overflows. */
static bool scale_decimal(struct decimal d, int scale, int64_t *out, bool *exact)
{
	unsigned last = 0; /* digit cut off */

	for (d.exponent += scale; d.digits && d.exponent > 0; d.exponent--) {
		if (d.digits > INT64_MAX)
			return false;
		d.digits *= 10;
	}
	for (; (d.digits || last) && d.exponent < 0; d.exponent++) {
		d.rest |= last != 0;
		last = (unsigned)(d.digits % 10);
		d.digits /= 10;
	}
	*exact = !d.rest && last == 0;
	d.digits += last >= 5;
	if (d.digits > INT64_MAX)
		return false;
	*out = (int64_t)d.digits;
	return true;
}

bool decimal_parse(struct slice text, int scale, int64_t *out)
{
	struct decimal d;
	int64_t value;
	bool exact;

	if (!read_decimal(text, &d) || !scale_decimal(d, scale, &value, &exact) || !exact)
		return false;
	*out = value;
	return true;
}

bool decimal_parse_rounded(struct slice text, int scale, int64_t *out)
{
	struct decimal d;
	bool exact;

	return read_decimal(text, &d) && scale_decimal(d, scale, out, &exact);
}
