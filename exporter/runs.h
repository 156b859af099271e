/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an agent recorded here: the ledger's table `runs`, a row per span and host. A run that
 * begins within RUNS_JOIN_S of the last sign of life goes on with its span, so that a crash loop
 * does not fill the table; what was not metered between is in `losses`. Never removed.
 */
#ifndef TT_RUNS_H
#define TT_RUNS_H

#include "agent/base/base.h"

#define RUNS_JOIN_S 60

struct sqlite3;

/*
 * A run begins now. seen_us: the last sign of life of the one before, 0 = not known; its span ends
 * there when the ledger knows no later one. Within a transaction. Returns an SQLite code.
 */
int runs_begin(struct sqlite3 *db, const char *host, int64_t seen_us, int64_t now_us) TT_MUST_CHECK;

/* The run that began last is alive. Returns an SQLite code. */
int runs_seen(struct sqlite3 *db, int64_t now_us) TT_MUST_CHECK;

#endif
