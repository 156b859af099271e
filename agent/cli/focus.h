/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls folded into the charges of a FOCUS 1.2 report: one per hour, meter and attribution (all
 * that FOCUS says of who used what at which price), and one per month in which a closed month's
 * charge was corrected. docs/focus.md says of every column where it comes from.
 */
#ifndef TT_CLI_FOCUS_H
#define TT_CLI_FOCUS_H

#include "exporter/charges.h"
#include "exporter/text.h"
#include "pricing/meters.h"

/* Charges of one hour; at more they are given out, and those that come after are charges anew. */
#define FOCUS_ROWS_MAX 100000

/* What a charge is told apart by, as text; "" = not known. */
enum focus_fact {
	FOCUS_ACCOUNT,
	FOCUS_SUB_ACCOUNT,
	FOCUS_PROVIDER,
	FOCUS_ISSUER,
	FOCUS_SERVICE,
	FOCUS_SKU,
	FOCUS_SKU_PRICE,
	FOCUS_RESOURCE,
	FOCUS_MODEL,
	FOCUS_REGION,
	FOCUS_PRICING_CATEGORY,
	FOCUS_TAGS, /* a JSON object */
	FOCUS_BASIS,
	FOCUS_COST_STATE, /* exact, at_least, estimated, unknown */
	FOCUS_UNPRICED,
	FOCUS_BILLING_MODE,
	FOCUS_SERVICE_TIER,
	FOCUS_OPERATION,
	FOCUS_API,
	FOCUS_HOST,
	FOCUS_PRICES,
	FOCUS_FACTS
};

struct focus_charge {
	const char *fact[FOCUS_FACTS];
	int64_t hour;	      /* UTC, since 1970 */
	int meter;	      /* pricing/meters.h */
	int64_t corrected_us; /* the month in which a closed month's charge changed; 0 = the charge
			       */
	__int128 units;
	bool has_units; /* false: a change of price only */
	pusd_sum list, contracted, effective;
	struct unit_price list_price, contracted_price; /* as the table has it */
};

struct catalog;
struct focus;

struct focus_doubts {
	int64_t unknown; /* calls whose cost is not known */
	int64_t doubted; /* whose cost is a lower bound or an estimate */
};

/* each() is told every charge, hour by hour. It returns 0, or a negative value that stops all. */
int focus_new(struct focus **out, const struct catalog *prices,
	      int (*each)(void *user, const struct focus_charge *charge), void *user) TT_MUST_CHECK;
void focus_free(struct focus *f); /* NULL is fine */

/*
 * Folds all of a filter's calls and sums. Returns 0, what each() returned, or -errno; query_failed
 * says that query_error has the reason.
 */
int focus_run(struct focus *f, struct query *q, const struct query_filter *filter,
	      struct focus_doubts *doubts, bool *query_failed) TT_MUST_CHECK;

/* The first microsecond of the UTC month of a time, and behind its last (NULL: not wanted). */
int64_t focus_month(int64_t at_us, int64_t *until_us);

#endif
