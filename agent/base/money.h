/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Money is an integer count of picodollars (10^-12 USD). Never a float, on no path. One call fits
 * int64 (9.2 million USD); sums are 128 bits wide.
 */
#ifndef TT_MONEY_H
#define TT_MONEY_H

#include "agent/base/base.h"

typedef __int128 pusd_sum; /* the one typedef: a scalar unit */

#define PUSD_PER_USD  1000000000000LL
#define PUSD_TEXT_MAX 48

/*
 * Exact decimal dollars without trailing zeros and without exponent: "0.0000125", "3", "-1.5".
 * dst holds at least PUSD_TEXT_MAX bytes. Returns dst.
 */
char *pusd_format(char *dst, pusd_sum amount);

/* Dollars for people: rounded half even to `decimals` (0 to 12) digits. Returns dst. */
char *pusd_format_rounded(char *dst, pusd_sum amount, int decimals);

/* a / b to the nearest integer, ties to even; b is above 0. */
pusd_sum pusd_divide(pusd_sum a, pusd_sum b);

/*
 * Parses plain or exponent decimal text ("2.5", "1.25e-06") times 10^scale into an exact integer.
 * False when it is not a number, is negative, has digits below the unit (inexact) or overflows.
 */
bool decimal_parse(struct slice text, int scale, int64_t *out);

/*
 * The same, rounded half up to the unit: gateways print binary floating point, so that amounts come
 * with noise below the picodollar (0.00019199999999999998).
 */
bool decimal_parse_rounded(struct slice text, int scale, int64_t *out);

#endif
