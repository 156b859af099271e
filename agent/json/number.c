/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json/number.h"

enum json_number json_number_next(enum json_number at, char c)
{
	bool digit = c >= '0' && c <= '9', e = c == 'e' || c == 'E';

	switch (at) {
	case NUMBER_NONE:
		if (c == '-')
			return NUMBER_MINUS;
		__attribute__((fallthrough));
	case NUMBER_MINUS:
		return c == '0' ? NUMBER_ZERO : digit ? NUMBER_INT : NUMBER_NONE;
	case NUMBER_ZERO:
		return c == '.' ? NUMBER_DOT : e ? NUMBER_E : NUMBER_NONE;
	case NUMBER_INT:
		return digit ? NUMBER_INT : c == '.' ? NUMBER_DOT : e ? NUMBER_E : NUMBER_NONE;
	case NUMBER_DOT:
		return digit ? NUMBER_FRAC : NUMBER_NONE;
	case NUMBER_FRAC:
		return digit ? NUMBER_FRAC : e ? NUMBER_E : NUMBER_NONE;
	case NUMBER_E:
		return digit ? NUMBER_EXP : c == '+' || c == '-' ? NUMBER_SIGN : NUMBER_NONE;
	case NUMBER_SIGN:
	case NUMBER_EXP:
		return digit ? NUMBER_EXP : NUMBER_NONE;
	}
	return NUMBER_NONE;
}

bool json_number_whole(enum json_number at)
{
	return at == NUMBER_ZERO || at == NUMBER_INT || at == NUMBER_FRAC || at == NUMBER_EXP;
}

/* 1 for a byte to stop at. Without branches, so that a block of them becomes vector code. */
static inline uint8_t stops(uint8_t c)
{
	uint8_t number = (uint8_t)(c - '+') <= '9' - '+', exponent = (c | 0x20) == 'e',
		space = (c == ' ') | (c == '\n') | (c == '\r') | (c == '\t');

	return !(number | exponent | space);
}

#define BLOCK_BYTES 32

static bool block_passes(const char *p)
{
	uint8_t stop = 0;

	for (int i = 0; i < BLOCK_BYTES; i++)
		stop |= stops((uint8_t)p[i]);
	return !stop;
}

const char *json_skim_numbers(const char *p, const char *end)
{
	while (end - p >= BLOCK_BYTES && block_passes(p))
		p += BLOCK_BYTES;
	while (p < end && !stops((uint8_t)*p))
		p++;
	return p;
}
