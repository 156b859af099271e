/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two sides of a reconciliation, summed: the bill's from the store, the ledger's from a query,
 * and how far the ledger was there at all. Both name a model by its id in the price table where it
 * has one.
 */
#ifndef TT_BILL_SIDES_H
#define TT_BILL_SIDES_H

#include "exporter/bills/reconcile.h"
#include "exporter/bills/store.h"
#include "exporter/query.h"
#include "pricing/catalog.h"

#define RECON_NAMES_MAX 512

/* What is compared: whole UTC days, and a part of the bill. "" = all. */
struct recon_scope {
	int64_t from_s, to_s;
	const char *account, *projects, *keys;
	const char *where; /* conditions on the ledger's calls, as given; for messages */
};

/* ---- the bill ---------------------------------------------------------------------------- */

struct billed_side {
	struct recon_bill *bill;
	size_t count, cap;
	struct recon_day *day;
	size_t days, day_cap;
	int64_t left_out; /* imported rows of days whose costs were pulled */
	int64_t early;	  /* pulled bills whose last day was not over then */
	int64_t parts;	  /* rows of pulls that were narrower than the scope: left out */
	char filters[RECON_NAMES_MAX]; /* of pulls of these days, each once; "..." when cut */
};

/*
 * A pull takes part on the days of which one pull of its account and report has all that the scope
 * is of: what was pulled of a part says nothing of the rest. Returns 0, -ENOMEM, -E2BIG (more than
 * RECON_SUMS_MAX), or as the store.
 */
int billed_side_load(struct bill_store *store, const struct recon_scope *scope,
		     const struct catalog *catalog, struct billed_side *out) TT_MUST_CHECK;
void billed_side_free(struct billed_side *side);

/* ---- the ledger -------------------------------------------------------------------------- */

struct ledger_side {
	struct recon_ledger *sum;
	size_t count, cap;
	int64_t calls;	       /* compared */
	bool by_keys;	       /* narrowed to the fingerprints of the scope's keys */
	int64_t foreign_calls; /* at self-hosted hosts and at hosts of no known role: nobody's bill
				*/
};

/*
 * The filter's time is set here. A cost is split over classes by what the catalogue says each of
 * them costs in that price and tier, so that the parts add up to the ledger's own sum. catalog
 * NULL: by units. Where the names in use (agent/base/key_names.h) have a fingerprint for each key
 * of the scope, only calls of these fingerprints count. Returns 0, -ENOMEM, -E2BIG, or as
 * query_spend.
 */
int ledger_side_load(struct query *q, const struct recon_scope *scope,
		     const struct query_filter *filter, const struct catalog *catalog,
		     struct ledger_side *out) TT_MUST_CHECK;
void ledger_side_free(struct ledger_side *side);

/* The name both sides have for a model. */
void recon_model_copy(char dst[CALL_NAME_MAX], const struct catalog *catalog, const char *provider,
		      const char *model);

/* ---- how far the ledger was there -------------------------------------------------------- */

/* A day counts as metered when no host's agent was away for longer in all. */
#define RECON_AWAY_MAX_S 120

struct recon_uptime {
	bool known; /* false: the ledger does not say */
	size_t hosts;
	char host_names[RECON_NAMES_MAX]; /* joined by commas, with "..." when cut */
	int64_t seconds;		  /* that agents ran, summed over hosts */
	int64_t unmetered_seconds;	  /* of these, by the ledger's losses */
	int64_t first_day;
	size_t days;
	uint8_t *metered; /* by day from first_day: 1 = every host was there for all of it */
};

/* Returns 0, -ENOMEM, or as query_runs. */
int recon_uptime_load(struct query *q, const struct recon_scope *scope,
		      struct recon_uptime *out) TT_MUST_CHECK;
void recon_uptime_free(struct recon_uptime *uptime);
bool recon_uptime_has(const struct recon_uptime *uptime, int64_t day);

#endif
