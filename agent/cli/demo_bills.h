/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bills that two providers would send for made-up calls: each day and model to the picodollar
 * what the ledger has, but for a few differences that are planted and told, so that a
 * reconciliation can be held against them.
 */
#ifndef TT_DEMO_BILLS_H
#define TT_DEMO_BILLS_H

#include "agent/base/money.h"
#include "agent/usage/call.h"

#include <stdio.h>

struct demo_bills;

/* For the DEMO_DAYS days before until_us. NULL without memory. */
struct demo_bills *demo_bills_new(int64_t until_us) TT_MUST_CHECK;
void demo_bills_free(struct demo_bills *b); /* NULL is fine */

/* A priced call goes onto the bill of its provider, if there is one. */
void demo_bills_add(struct demo_bills *b, const struct call *call);

/* The provider of bill i, or NULL behind the last. */
const char *demo_bill_provider(size_t i);

/* Writes a bill as CSV: date, provider, model, amount. Once for each, before what was planted. */
void demo_bill_write(struct demo_bills *b, const char *provider, FILE *out);

struct demo_planted {
	const char *provider, *model; /* model NULL: all */
	const char *what;
	char from[16], to[16]; /* days, [from, to) */
	pusd_sum amount;       /* billed more than is in the ledger; below 0: less */
};

/* The difference i. False behind the last. */
bool demo_bill_planted(const struct demo_bills *b, size_t i, struct demo_planted *out);

#endif
