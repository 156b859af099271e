/* SPDX-License-Identifier: Apache-2.0 */
/*
 * History changes only here: recorded calls are priced again with a table as it is now. What a call
 * was recorded with stays in `journal`, the reprice itself in `reprices`. Tokens, times and names
 * never change. A row whose price, cost and basis would stay as they are is left alone, with the
 * table's hash it has.
 *
 * Calls of closed months (exporter/periods.h) are left as they are unless told otherwise; then each
 * change is a row of `corrections` too.
 */
#ifndef TT_REPRICE_H
#define TT_REPRICE_H

#include "exporter/query.h"
#include "pricing/catalog.h"

#define REPRICE_BATCH 2000 /* rows changed in one transaction */

struct sqlite3;

/* What is to be repriced, by whom. */
struct reprice {
	const struct catalog *catalog;
	const struct query_filter *filter;
	const char *filter_text; /* as the user wrote it, for the journal */
	const char *by;
	int64_t now_us;
	bool closed; /* closed months too */
};

/* What changes for one call. */
struct reprice_change {
	const struct call *before, *after;
	bool in_closed; /* its month is closed, and it is to be left as it is */
};

/*
 * Calls each for every call that would change, in the order of recording; writes nothing. each
 * returns 0, or a negative value that stops it and is returned. Returns 0, or -errno with one line
 * in err.
 */
int reprice_preview(const char *dir, const struct reprice *opts,
		    int (*each)(void *user, const struct reprice_change *change), void *user,
		    char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Changes them, hour by hour and REPRICE_BATCH at a time. `progress` (or NULL) is told how many
 * hours are done. What was changed before a failure stays, journaled; the same again goes on
 * behind it. Sets *changed, and *id to the reprice's. Returns 0, or -errno with one line in err:
 * -EBUSY another program holds the ledger.
 */
int reprice_apply(const char *dir, const struct reprice *opts, int64_t *changed, int64_t *id,
		  void (*progress)(int64_t done, int64_t all), char *err,
		  size_t err_size) TT_MUST_CHECK;

/* The shared heart: the call as `catalog` prices it now. False when nothing of it changes. */
bool reprice_call(const struct catalog *catalog, const struct call *before, struct call *after);

#endif
