/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table `rollup`, a row per hour (UTC) and facet: written with its calls, summed anew here from
 * them, and compared with them. Hours before SCHEMA_DETAIL_SINCE have no calls any more and are
 * left alone.
 */
#ifndef TT_ROLLUP_H
#define TT_ROLLUP_H

#include "agent/base/base.h"

struct sqlite3;

/* Where calls are there in full: a midnight (UTC), 0 = all of them are. */
int64_t rollup_detail_since_us(struct sqlite3 *db);

/* Are the calls of an hour all there? Within a transaction: retention takes them away meanwhile. */
bool rollup_has_detail(struct sqlite3 *db, int64_t hour);

/*
 * Sums an hour anew, within a transaction; one without its calls is left as it is. Returns an
 * SQLite code.
 */
int rollup_hour(struct sqlite3 *db, int64_t hour) TT_MUST_CHECK;

/*
 * Sums all hours anew, one transaction each; `progress` (or NULL) is told. Returns an SQLite code.
 */
int rollup_rebuild(struct sqlite3 *db, void (*progress)(int64_t done, int64_t all)) TT_MUST_CHECK;

/* How many roll-up rows are not what their calls say, *first_hour the first of them. */
int rollup_check(struct sqlite3 *db, int64_t *wrong, int64_t *first_hour) TT_MUST_CHECK;

#endif
