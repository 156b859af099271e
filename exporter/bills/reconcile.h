/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was billed against what was recorded: the difference of each provider, UTC day, model, tier
 * and class, as causes that add up to it exactly. Pure integer arithmetic on sums; how it decides
 * is docs/bills.md.
 */
#ifndef TT_BILL_RECONCILE_H
#define TT_BILL_RECONCILE_H

#include "exporter/bills/bill.h"

#define RECON_SUMS_MAX 1000000 /* of either side */

typedef __int128 bill_sum; /* of money or of units */

/* Where a sum belongs. Both sides name models and tiers alike. */
struct recon_key {
	char provider[32];
	int64_t day;
	char model[CALL_NAME_MAX];
	char tier[BILL_TIER_MAX]; /* "" on the bill's side = not told apart */
	enum bill_class class;
};

/* Whether an amount is a count times a unit price that somebody could have listed. */
enum recon_price { PRICE_UNTRIED, PRICE_IS_ONE, PRICE_IS_NONE };

struct recon_bill {
	struct recon_key key;
	bool has_quantity, has_own, has_amount;
	bill_sum quantity;
	bill_sum own; /* units told beside amounts: taken where the bill counts none otherwise */
	bill_sum amount, slack; /* 10^-12 of the currency; what rounding may have taken */
	char currency[BILL_CURRENCY_MAX];
	enum recon_price price;
};

struct recon_ledger {
	struct recon_key key;
	bill_sum quantity, cost_pusd;
	/* Of these, in calls whose usage is estimated or partial. */
	bill_sum estimated_quantity, estimated_pusd;
	/* Calls that have any of the model and tier; the same in each of its classes. */
	int64_t calls, estimated_calls;
	int64_t list_pusd; /* the catalogue's price of a million, or -1 */
};

/* A provider's day that some bill is of: days without are not compared. */
struct recon_day {
	char provider[32];
	int64_t day;
	bool money; /* what is not in the bill was not billed */
	bool usage; /* what is not counted in it was not used */
};

enum recon_cause {
	CAUSE_PRICE,	   /* the same units at another unit price */
	CAUSE_CLASS,	   /* the same units counted in other classes of their side */
	CAUSE_COVERAGE,	   /* units that only one side has */
	CAUSE_ESTIMATED,   /* what calls of estimated or partial usage may be off by */
	CAUSE_UNEXPLAINED, /* the rest */
	RECON_CAUSES
};

extern const char *const recon_cause_names[RECON_CAUSES];

enum recon_state {
	RECON_BOTH,	      /* billed and seen */
	RECON_UNTRACKED,      /* billed and never seen, in a day that the ledger was there for */
	RECON_NOT_COVERED,    /* billed, where the ledger was not there for all of it */
	RECON_NOT_BILLED,     /* seen and not billed */
	RECON_NO_AMOUNT,      /* the bill has counts but no money here */
	RECON_OTHER_CURRENCY, /* the bill's money is not the ledger's */
	RECON_STATES
};

extern const char *const recon_state_names[RECON_STATES];

struct recon_row {
	struct recon_key key;
	char currency[BILL_CURRENCY_MAX];
	enum recon_state state;
	bool has_billed_quantity;
	bill_sum billed_quantity;
	bool has_ledger_quantity; /* false where classes are not told apart */
	bill_sum ledger_quantity;
	bool has_drift; /* else the amounts below it say what there is, and no cause does */
	bill_sum billed, ledger;
	bill_sum drift; /* billed - ledger = the sum of the causes */
	bill_sum cause[RECON_CAUSES];
};

struct recon_rows {
	struct recon_row *row;
	size_t count, cap;
};

/*
 * Compares. Both lists are changed (sorted, and classes, tiers and models made one where the other
 * side does not tell them apart). Rows come by provider, day, model, tier, currency and class; all
 * that is billed and never seen is RECON_UNTRACKED. Returns 0, -ENOMEM, -E2BIG.
 */
int reconcile(struct recon_bill *bills, size_t bill_count, struct recon_ledger *sums,
	      size_t sum_count, const struct recon_day *days, size_t day_count,
	      struct recon_rows *out) TT_MUST_CHECK;
void recon_rows_free(struct recon_rows *rows);

/*
 * Is amount, give or take slack, quantity times a price of few digits for any power of ten of
 * units? Five at most, and no more than make one step of the price, in money, 200 times the slack:
 * so of amounts that were not priced by the unit at most one in a hundred is.
 */
bool recon_is_price(bill_sum amount, bill_sum slack, bill_sum quantity);

#endif
