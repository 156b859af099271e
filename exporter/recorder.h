/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call becomes rows: its facet, its own row, its hour's roll-up, and a correction when its
 * month is closed, all within the caller's transaction. Used by the ledger's writer, and where a
 * ledger is filled at once (exporter/bulk.h).
 */
#ifndef TT_RECORDER_H
#define TT_RECORDER_H

#include "exporter/queue.h"

struct sqlite3;
struct recorder;

/* What one transaction did with usage that was told before. */
struct recorder_tally {
	uint64_t repeats, conflicts, evicted;
	uint64_t refused; /* rows that the schema refuses, and would for ever */
};

/* Prepares its statements on a database of this version. Returns an SQLite code. */
int recorder_new(struct recorder **out, struct sqlite3 *db) TT_MUST_CHECK;
void recorder_free(struct recorder *r); /* NULL is fine; before its database closes */

/*
 * Writes a group; row->fate says what became of each that has a key. Returns an SQLite code: on
 * failure take the transaction back, and recorder_forget.
 */
int recorder_group(struct recorder *r, const struct rows *group,
		   struct recorder_tally *tally) TT_MUST_CHECK;

/* Writes one call as it is, whatever was told before. Nothing when its event_id is there. */
int recorder_call(struct recorder *r, const struct row *row) TT_MUST_CHECK;

/* The transaction was taken back. NULL is fine. */
void recorder_forget(struct recorder *r);

#endif
