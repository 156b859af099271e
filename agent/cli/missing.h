/* SPDX-License-Identifier: Apache-2.0 */
/* Calls whose usage is missing, by workload and reason, and what can be done about each. */
#ifndef TT_MISSING_H
#define TT_MISSING_H

#include "exporter/query.h"

#define MISSING_WORKLOADS_MAX 12 /* told one by one; the rest as a number */

/*
 * Tells one line for each workload and reason since since_us, those with most calls first. Returns
 * 0, or -errno as query_spend does (query_error).
 */
int missing_tell(struct query *q, int64_t since_us, void (*tell)(void *user, const char *line),
		 void *user) TT_MUST_CHECK;

#endif
