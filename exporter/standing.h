/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ledger says today and this month come to, as it stands: with reprices, late calls and
 * all runs. The counters of exporter/aggregate.h say what this run recorded at first and never
 * fall; this is the gauge family beside them.
 */
#ifndef TT_STANDING_H
#define TT_STANDING_H

#include "agent/base/base.h"
#include "exporter/text.h"

#define STANDING_SERIES_MAX 2000 /* per period: provider, basis and billing mode */

struct sqlite3;
struct standing;

int standing_new(struct standing **out) TT_MUST_CHECK;
void standing_free(struct standing *s); /* NULL is fine */

/*
 * Reads the sums of the day and the month (of the zone in force, exporter/calendar.h) in which
 * now_us lies. One whose first hour is cut by the zone and whose calls are gone by
 * retention is not told. Keeps the old ones when it fails. Returns an SQLite code; one thread at a
 * time.
 */
int standing_refresh(struct standing *s, struct sqlite3 *db, int64_t now_us) TT_MUST_CHECK;

/* tolltap_ledger_cost_usd{period,provider,basis,billing_mode}. Thread-safe. */
void standing_put(struct standing *s, struct text *out, bool openmetrics);

#endif
