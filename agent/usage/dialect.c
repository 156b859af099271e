/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/dialect.h"

void raw_clear(int64_t raw[RAW_FIELDS])
{
	for (int i = 0; i < RAW_FIELDS; i++)
		raw[i] = RAW_ABSENT;
}

int64_t usage_take(int64_t *rest, int64_t part, bool *clamped)
{
	int64_t taken = part < *rest ? part : *rest;

	if (taken < part)
		*clamped = true;
	*rest -= taken;
	return taken;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The signed integer after 'e'; saturates at +-1000. */
static bool exponent_parse(struct slice text, int *out)
{
	bool negative = text.len && text.ptr[0] == '-';
	size_t i = text.len && (negative || text.ptr[0] == '+');
	int value = 0;

	if (i == text.len)
		return false;
	for (; i < text.len; i++) {
		if (!is_digit(text.ptr[i]))
			return false;
		value = value < 100 ? value * 10 + (text.ptr[i] - '0') : 1000;
	}
	*out = negative ? -value : value;
	return true;
}

/*
 * Unlike decimal_parse this rounds: gateways print binary floating point, so amounts come with
 * noise below the picodollar (0.00019199999999999998).
 */
bool usd_to_pusd(struct slice text, int64_t *out)
{
	__int128 value = 0;
	int scale = 12, exponent = 0;
	size_t i;
	bool digits = false, fraction = false;

	for (i = 0; i < text.len && (is_digit(text.ptr[i]) || (text.ptr[i] == '.' && !fraction));
	     i++) {
		if (text.ptr[i] == '.') {
			fraction = true;
			continue;
		}
		digits = true;
		if (value > (__int128)INT64_MAX * 1000000) {
			if (!fraction)
				return false;
			continue; /* digits far below the picodollar */
		}
		value = value * 10 + (text.ptr[i] - '0');
		scale -= fraction;
	}
	if (!digits)
		return false;
	if (i < text.len &&
	    ((text.ptr[i] | 0x20) != 'e' ||
	     !exponent_parse((struct slice){text.ptr + i + 1, text.len - i - 1}, &exponent)))
		return false;
	for (scale += exponent; value && scale > 0; scale--) {
		value *= 10;
		if (value > INT64_MAX)
			return false;
	}
	for (; value && scale < 0; scale++)
		value = scale == -1 ? (value + 5) / 10 : value / 10;
	if (value > INT64_MAX)
		return false;
	*out = (int64_t)value;
	return true;
}
