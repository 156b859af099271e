/* SPDX-License-Identifier: Apache-2.0 */
#include "pricing/meters.h"

#include "pricing/table.h"

#include <stdio.h>

#define WEIGHTS_MAX ((__int128)1 << 62) /* of their sum, so that products fit */

/* ---- the meters -------------------------------------------------------------------------- */

static const char *const tool_nouns[TOOL_UNITS] = {
	[TOOL_WEB_SEARCH] = "Searches",
	[TOOL_FILE_SEARCH] = "Searches",
	[TOOL_CODE_INTERPRETER] = "Sessions",
	[TOOL_IMAGES] = "Images",
	[TOOL_AUDIO_SECONDS] = "Seconds",
	[TOOL_CHARACTERS] = "Characters",
	[TOOL_PAGES] = "Pages",
	[TOOL_SEARCH_UNITS] = "Units",
};

const char *meter_name(int meter)
{
	if (meter < METER_TOOLS)
		return token_kind_names[meter];
	if (meter < METER_REQUEST)
		return tool_unit_names[meter - METER_TOOLS];
	return meter == METER_REQUEST ? "request" : "duration";
}

const char *meter_unit(int meter)
{
	if (meter < METER_TOOLS)
		return "Tokens";
	if (meter < METER_REQUEST)
		return tool_nouns[meter - METER_TOOLS] ? tool_nouns[meter - METER_TOOLS] : "Units";
	return meter == METER_REQUEST ? "Requests" : "Microseconds";
}

static enum price_kind kind_of(int meter)
{
	if (meter < METER_TOOLS)
		return price_of_token[meter];
	if (meter < METER_REQUEST)
		return price_of_tool[meter - METER_TOOLS];
	return meter == METER_REQUEST ? PRICE_REQUEST : PRICE_DURATION;
}

int64_t meter_per(int meter)
{
	int64_t per = price_kinds[kind_of(meter)].per, power = 1;

	while (power < per)
		power *= 10;
	return power == per ? per : 1;
}

/* ---- unit prices ------------------------------------------------------------------------- */

bool unit_price_equal(struct unit_price a, struct unit_price b)
{
	return a.num == b.num && a.den == b.den;
}

bool unit_price_costs(struct unit_price price, int meter, __int128 units, pusd_sum cost)
{
	__int128 owed, told;

	return price.den && !__builtin_mul_overflow(units, price.num, &owed) &&
	       !__builtin_mul_overflow(cost, price.den, &told) &&
	       !__builtin_mul_overflow(told, (__int128)meter_per(meter), &told) && owed == told;
}

/* Long division: every digit is exact, or there is no such decimal. */
bool unit_price_format(struct unit_price price, char *dst, size_t size)
{
	__int128 den, rest;
	char whole[PUSD_TEXT_MAX];
	size_t n;

	if (!price.den || __builtin_mul_overflow(price.den, (__int128)PUSD_PER_USD, &den) ||
	    den > WEIGHTS_MAX << 60)
		return false;
	rest = price.num % den;
	/* An integer of dollars, printed by the one printer of money. */
	pusd_format(whole, price.num / den * PUSD_PER_USD);
	n = (size_t)snprintf(dst, size, "%s", whole);
	for (int digits = 0; rest; digits++) {
		if (digits == METER_DIGITS_MAX || n + 2 >= size)
			return false;
		if (digits == 0)
			dst[n++] = '.';
		dst[n++] = (char)('0' + (int)(rest * 10 / den));
		rest = rest * 10 % den;
	}
	dst[n] = '\0';
	return true;
}

static __int128 gcd(__int128 a, __int128 b)
{
	while (b) {
		__int128 rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* The term's price for meter_per units, with all that multiplies it. */
static struct unit_price price_of(const struct price_terms *terms, const struct price_term *t)
{
	struct factor tokens = price_kinds[t->kind].token ? terms->tokens : FACTOR_ONE;
	__int128 num = t->pusd, den = price_kinds[t->kind].per / meter_per(t->meter), common;

	if (__builtin_mul_overflow(num, (__int128)tokens.num, &num) ||
	    __builtin_mul_overflow(num, (__int128)terms->all.num, &num) ||
	    __builtin_mul_overflow(den, (__int128)tokens.den, &den) ||
	    __builtin_mul_overflow(den, (__int128)terms->all.den, &den))
		return (struct unit_price){0};
	common = gcd(num, den);
	return (struct unit_price){num / common, den / common};
}

/* ---- shares ------------------------------------------------------------------------------ */

/* What a meter weighs; where all is 0 the first has it all. */
static void split(pusd_sum total, const int64_t *weight, int count, pusd_sum *part)
{
	bool negative = total < 0;
	unsigned __int128 amount = (unsigned __int128)(negative ? -total : total), left = amount;
	__int128 sum = 0, rest[METERS];
	int64_t scaled[METERS];
	int shift = 0;

	for (int i = 0; i < count; i++)
		sum += weight[i];
	for (; sum >> shift >= WEIGHTS_MAX; shift++)
		;
	sum = 0;
	for (int i = 0; i < count; i++)
		sum += scaled[i] = weight[i] >> shift;
	if (sum == 0)
		sum = scaled[0] = 1;
	for (int i = 0; i < count; i++) {
		__int128 times = (__int128)(amount % (unsigned __int128)sum) * scaled[i];

		part[i] = (pusd_sum)(amount / (unsigned __int128)sum) * scaled[i] + times / sum;
		rest[i] = times % sum;
		left -= (unsigned __int128)part[i];
	}
	for (; left; left--) {
		int most = 0;

		for (int i = 1; i < count; i++)
			most = rest[i] > rest[most] ? i : most;
		part[most]++;
		rest[most] = -1;
	}
	for (int i = 0; negative && i < count; i++)
		part[i] = -part[i];
}

/* What the table asks for a meter, rounded down; false when that is more than can be said. */
static bool weigh(const struct price_terms *terms, const struct meter_share *shares, int count,
		  int64_t *weight)
{
	bool any = false;

	memset(weight, 0, METERS * sizeof(*weight));
	for (int i = 0; i < terms->count; i++) {
		const struct price_term *t = &terms->term[i];
		struct unit_price price = price_of(terms, t);
		__int128 amount;

		if (!price.den || __builtin_mul_overflow(price.num, (__int128)t->units, &amount))
			return false;
		amount /= price.den * meter_per(t->meter);
		if (amount > INT64_MAX)
			return false;
		for (int k = 0; k < count; k++) {
			if (shares[k].meter == t->meter)
				weight[k] = (int64_t)amount;
		}
		any |= amount > 0;
	}
	return any;
}

/* Tokens where there are any, else all that is counted. */
static void weigh_units(const struct meter_share *shares, int count, int64_t *weight)
{
	bool tokens = count && shares[0].meter < METER_TOOLS;

	for (int i = 0; i < count; i++)
		weight[i] = !tokens || shares[i].meter < METER_TOOLS ? shares[i].units : 0;
}

static void add_share(struct meter_share *shares, int *count, int meter, int64_t units)
{
	if (units > 0)
		shares[(*count)++] = (struct meter_share){.meter = meter, .units = units};
}

static bool has_term(const struct price_terms *terms, int meter)
{
	for (int i = 0; i < terms->count; i++) {
		if (terms->term[i].meter == meter)
			return true;
	}
	return false;
}

static int find_meters(const struct call *call, int64_t calls, const struct price_terms *list,
		       const struct price_terms *cost, struct meter_share *shares)
{
	int count = 0;

	for (int i = 0; call->usage.known && i < TOKEN_KINDS; i++)
		add_share(shares, &count, i, call->usage.tokens[i]);
	for (int i = 0; i < TOOL_UNITS; i++)
		add_share(shares, &count, METER_TOOLS + i, call->usage.tool_units[i]);
	if (has_term(list, METER_REQUEST) || has_term(cost, METER_REQUEST))
		add_share(shares, &count, METER_REQUEST, calls);
	if (has_term(list, METER_DURATION) || has_term(cost, METER_DURATION))
		add_share(shares, &count, METER_DURATION, call->duration_us);
	if (count == 0)
		add_share(shares, &count, METER_REQUEST, calls > 0 ? calls : 1);
	return count;
}

static void put_prices(const struct price_terms *terms, struct meter_share *shares, int count,
		       size_t offset)
{
	for (int i = 0; i < terms->count; i++) {
		for (int k = 0; k < count; k++) {
			if (shares[k].meter == terms->term[i].meter)
				*(struct unit_price *)((char *)&shares[k] + offset) =
					price_of(terms, &terms->term[i]);
		}
	}
}

/* What cost nothing by no price: an own server, an error that is not billed, an empty answer. */
static void put_free(struct meter_share *shares, int count, bool list, bool cost)
{
	const struct unit_price nothing = {0, 1};

	for (int i = 0; i < count; i++) {
		if (list)
			shares[i].list_price = nothing;
		if (cost)
			shares[i].cost_price = nothing;
	}
}

static void split_by_table(const struct price_terms *first, const struct price_terms *second,
			   pusd_sum total, const struct meter_share *shares, int count,
			   pusd_sum *part)
{
	int64_t weight[METERS];

	if (!weigh(first, shares, count, weight) && !weigh(second, shares, count, weight))
		weigh_units(shares, count, weight);
	split(total > 0 ? total : 0, weight, count, part);
}

int meter_shares(const struct catalog *c, const struct call *call, int64_t calls, pusd_sum list,
		 pusd_sum cost, struct meter_share shares[METERS])
{
	struct price_terms list_terms = {0}, cost_terms = {0};
	pusd_sum part[METERS];
	int count;

	if (c)
		price_terms(c, call, &list_terms, &cost_terms);
	count = find_meters(call, calls, &list_terms, &cost_terms, shares);
	put_free(shares, count, list == 0 && !list_terms.count, cost == 0 && !cost_terms.count);
	put_prices(&list_terms, shares, count, offsetof(struct meter_share, list_price));
	put_prices(&cost_terms, shares, count, offsetof(struct meter_share, cost_price));
	split_by_table(&cost_terms, &list_terms, cost, shares, count, part);
	for (int i = 0; i < count; i++)
		shares[i].cost = part[i];
	split_by_table(&list_terms, &cost_terms, list, shares, count, part);
	for (int i = 0; i < count; i++)
		shares[i].list = part[i];
	return count;
}

void meter_split_like(const struct meter_share *shares, int count, pusd_sum total,
		      pusd_sum parts[METERS])
{
	int64_t weight[METERS];
	bool by_cost = false;
	int shift = 0;

	for (int i = 0; i < count; i++)
		by_cost |= shares[i].cost > 0;
	for (int i = 0; i < count; i++) {
		while ((by_cost ? shares[i].cost : shares[i].list) >> shift > INT64_MAX)
			shift++;
	}
	for (int i = 0; i < count; i++)
		weight[i] = (int64_t)((by_cost ? shares[i].cost : shares[i].list) >> shift);
	split(total, weight, count, parts);
}
