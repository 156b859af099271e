/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: the grammar of one (RFC 8259 6), and a fast run over many that nobody reads. A 50 MB
 * embedding is little else. Pure.
 */
#ifndef TT_JSON_NUMBER_H
#define TT_JSON_NUMBER_H

#include "agent/base/base.h"

/* Where in a number. */
enum json_number {
	NUMBER_NONE, /* before it, or the byte is no part of it */
	NUMBER_MINUS,
	NUMBER_ZERO, /* may end */
	NUMBER_INT,  /* may end */
	NUMBER_DOT,
	NUMBER_FRAC, /* may end */
	NUMBER_E,
	NUMBER_SIGN,
	NUMBER_EXP, /* may end */
};

/* The place after c. */
enum json_number json_number_next(enum json_number at, char c);

/* True where a number may end. */
bool json_number_whole(enum json_number at);

/*
 * The first byte at or after p that stands neither in numbers nor between them: '+' to '9', 'e',
 * 'E' and white space are passed, whatever their order.
 */
const char *json_skim_numbers(const char *p, const char *end);

#endif
