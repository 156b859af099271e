/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills a new ledger with many calls at once, by the writer's own SQL: rows, facets, roll-ups and
 * outbox are what the writer would have made of the same calls in the same order. What it lacks is
 * the writer's promise: nothing is durable before bulk_close. For made-up data and benches; calls
 * with a usage key are not known to it.
 */
#ifndef TT_BULK_H
#define TT_BULK_H

#include "agent/usage/call.h"

#define BULK_COMMIT_ROWS 50000

struct bulk;

/*
 * Makes DIR and DIR/ledger.db, and takes DIR/lock. Returns 0, or -errno with one line in err;
 * -EEXIST: there is a ledger, which stays as it is.
 */
int bulk_open(struct bulk **out, const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/* Returns 0, or -errno with one line in err; then only bulk_close remains. */
int bulk_add(struct bulk *b, const struct call *call, char *err, size_t err_size) TT_MUST_CHECK;

/* An agent recorded on that host all the time [since_us, until_us). Returns as bulk_add. */
int bulk_run(struct bulk *b, const char *host, int64_t since_us, int64_t until_us, char *err,
	     size_t err_size) TT_MUST_CHECK;

/* Makes all of it durable and frees b. Returns as bulk_add. */
int bulk_close(struct bulk *b, char *err, size_t err_size) TT_MUST_CHECK;

#endif
