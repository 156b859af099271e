/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ledger lets go of: detail only. Calls go by whole days (UTC), their roll-ups, journal and
 * corrections stay. Never the calls of a month that is not closed (exporter/periods.h), of the last
 * USAGE_KEYS_DAYS, in which usage may be told again, or of which a consumer has not acknowledged
 * the outbox. The file does not shrink; its free pages are used again, and a backup has none.
 */
#ifndef TT_RETENTION_H
#define TT_RETENTION_H

#include "agent/base/base.h"

#define RETENTION_BATCH 2000 /* calls that go in one transaction */

struct sqlite3;

struct retention {
	int64_t days;	   /* older calls go; 0 = none do by age */
	int64_t max_bytes; /* beyond it the oldest days go; 0 = none do by size */
};

struct retention_step {
	int64_t deleted;
	bool more;	      /* there are more to go: call again */
	int64_t waits_for_us; /* calls of this month would go, were it closed; 0 = none */
};

/* At most one batch. Returns an SQLite code; nothing is changed then. */
int retention_step(struct sqlite3 *db, const struct retention *opts, int64_t now_us,
		   struct retention_step *out) TT_MUST_CHECK;

/* Bytes of the pages that hold something. */
int64_t retention_used_bytes(struct sqlite3 *db);

#endif
