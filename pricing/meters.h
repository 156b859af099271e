/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call's cost falls on. A meter is each kind of token and each counted unit, and the request
 * and its duration where these have a price. The recorded cost is what is split: the shares sum to
 * it to the picodollar, whatever the table says today.
 *
 * The weight of a meter is what the table asks for it; where the call was priced by the same table,
 * its share is exactly that. Where the table has no price for the call (its cost came from the
 * provider, or the model is no longer listed) the weights are its tokens, else its other units.
 * Shares are rounded down, and the picodollars left go to the largest remainders, of equal ones to
 * the meter that comes first.
 */
#ifndef TT_METERS_H
#define TT_METERS_H

#include "agent/base/money.h"
#include "agent/usage/call.h"

enum {
	METER_TOOLS = TOKEN_KINDS,		  /* the tool units, in order */
	METER_REQUEST = METER_TOOLS + TOOL_UNITS, /* also of a call that counts nothing else */
	METER_DURATION,				  /* microseconds */
	METERS
};

struct catalog;

const char *meter_name(int meter); /* "input_uncached", "web_search", "request", ... */
const char *meter_unit(int meter); /* what it counts: "Tokens", "Images", ... */

/*
 * How many units one price is for: a power of ten, so that both are exact decimals. Meters whose
 * prices are for another number (an hour) are priced by the unit.
 */
int64_t meter_per(int meter);

/* A price for meter_per units: num / den picodollars; den 0 = not known. */
struct unit_price {
	__int128 num, den;
};
bool unit_price_equal(struct unit_price a, struct unit_price b);
/* True when so many units at this price cost exactly that. */
bool unit_price_costs(struct unit_price price, int meter, __int128 units, pusd_sum cost);
/* Exact decimal dollars. False when it has none of at most METER_DIGITS_MAX digits. */
#define METER_DIGITS_MAX 30
bool unit_price_format(struct unit_price price, char *dst, size_t size);

struct meter_share {
	int meter;
	int64_t units;
	pusd_sum list, cost;
	struct unit_price list_price, cost_price;
};

/*
 * Splits cost and list (below 0 = not known: 0) of a call, or of `calls` of them that are summed in
 * one, over its meters. c may be NULL: there is no table. Returns how many there are, at least one.
 */
int meter_shares(const struct catalog *c, const struct call *call, int64_t calls, pusd_sum list,
		 pusd_sum cost, struct meter_share shares[METERS]);

/* Splits another amount in the proportion of the shares' cost, or of their list where that is 0. */
void meter_split_like(const struct meter_share *shares, int count, pusd_sum total,
		      pusd_sum parts[METERS]);

#endif
