/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage that is told again is counted once: the ledger's table `usage_keys` says which was, by what
 * it is of (struct usage_key) and what it counts. It is asked and written in the transaction that
 * writes the call, so whatever ends the agent, a call and its key are there together or not at all.
 *
 * An entry stands for USAGE_KEYS_DAYS from when it was first seen. Of more than USAGE_KEYS_MAX the
 * oldest go before their time: tolltap_usage_keys_evicted_total.
 */
#ifndef TT_USAGE_KEYS_H
#define TT_USAGE_KEYS_H

#include "agent/usage/call.h"

#define USAGE_KEY_BYTES	 16
#define USAGE_KEYS_DAYS	 30
#define USAGE_KEYS_MAX	 4000000 /* about 140 bytes each */
#define USAGE_KEYS_SWEEP 5000	 /* so many may go with one transaction */

struct sqlite3;
struct usage_keys;

enum usage_fate {
	USAGE_NEW,
	USAGE_REPEAT,	/* counted before: no row */
	USAGE_CONFLICT, /* counted before, with other usage: a row beside the others */
};

/* What one call tells, as it is kept. */
struct usage_told {
	struct usage_key key; /* set: false = a call of no key */
	uint8_t usage[USAGE_KEY_BYTES];
};

/* That of a call; none when its usage is not known. */
struct usage_told usage_told_of(const struct call *call);

/* Prepares its statements on the writer's database. Returns an SQLite code. */
int usage_keys_new(struct usage_keys **out, struct sqlite3 *db) TT_MUST_CHECK;
void usage_keys_free(struct usage_keys *k); /* NULL is fine; before its database closes */

/* All below within one transaction; each returns an SQLite code. now_us: the wall clock. */

/* Lets go what is past its time, and what is too much: *evicted of them. */
int usage_keys_sweep(struct usage_keys *k, int64_t now_us, uint64_t *evicted) TT_MUST_CHECK;
int usage_keys_find(struct usage_keys *k, const struct usage_told *told,
		    enum usage_fate *fate) TT_MUST_CHECK;
/* The call's row is seq, 0 for a repeat. A conflict marks it and those it differs from. */
int usage_keys_note(struct usage_keys *k, const struct usage_told *told, enum usage_fate fate,
		    int64_t seq, int64_t now_us) TT_MUST_CHECK;

#endif
