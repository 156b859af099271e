/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was lost and is known to be lost: the ledger's table `losses`, one row per hour and reason
 * so that a crash loop cannot fill it, never removed. Sums that cover such a time are lower bounds.
 */
#ifndef TT_LOSSES_H
#define TT_LOSSES_H

#include "agent/base/base.h"

struct sqlite3;

enum loss_reason {
	LOSS_WORKER_CRASH, /* the worker died; its probes stayed attached */
	LOSS_AGENT_CRASH,  /* the whole agent died, and its probes with it */
	LOSS_HOST_CRASH,   /* the host went down under the agent: the counts may be seconds old */
	LOSS_NOT_WRITTEN,  /* the disk refused or was too slow, and the queue was full */
	LOSS_DAMAGED,	   /* rows that were durable cannot be read any more */
	LOSS_REPLACED,	   /* ledger.db is not the file of the last run: the number is not known */
	LOSS_REASONS
};
extern const char *const loss_reason_names[LOSS_REASONS];

struct loss {
	enum loss_reason reason;
	int64_t since_us;	    /* wall clock: nothing is missing before */
	int64_t at_us;		    /* and nothing from here on by this occasion */
	uint64_t calls;		    /* lost; an upper bound */
	uint64_t rows;		    /* of them those that were measured already */
	uint64_t unmetered_seconds; /* nothing was attached, rounded up */
	bool goes_on;		    /* part of an occasion that is there already */
};

/* Adds to the row of its hour and reason. Returns an SQLite code. */
int losses_add(struct sqlite3 *db, const struct loss *loss) TT_MUST_CHECK;

/* Sets the counters of all reasons to the ledger's sums: they go on over restarts. */
void losses_publish(struct sqlite3 *db);

#endif
