/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a ledger true to itself? Every sum that is kept is made again from what it is a sum of, and
 * every closed month is what it was closed with and its corrections. Reads one moment of a live
 * ledger and changes nothing.
 */
#ifndef TT_VERIFY_H
#define TT_VERIFY_H

#include "exporter/query.h"

/* One finding: what was looked at, whether it is in order, and what exactly. */
struct verify_finding {
	const char *what; /* "roll-ups", "closed months", ... */
	bool ok;
	char detail[256];
};

/*
 * Calls found() for every check. Sets *wrong to the number of those that are not in order. Returns
 * 0, or -errno when it could not be read (query_error).
 */
int verify_ledger(struct query *q, void (*found)(void *user, const struct verify_finding *finding),
		  void *user, int *wrong) TT_MUST_CHECK;

#endif
