/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a report that charges every hour is made of, beside the calls (query_events): the sums that
 * stand for calls that are gone by retention, and what changed in closed months. Calls and sums
 * together are all of query_spend's.
 */
#ifndef TT_CHARGES_H
#define TT_CHARGES_H

#include "exporter/query.h"

/*
 * UTC hours since 1970, in order, whose calls are gone and whose sums stand for them: all that are
 * whole in the filter's times. A filter by what only calls have finds none, or
 * fails as query_check_calls. Free *hours.
 */
int query_summed_hours(struct query *q, const struct query_filter *filter, int64_t **hours,
		       size_t *count) TT_MUST_CHECK;

/* Calls of an hour and facet that are gone. call has what they share, and tokens and units summed.
 */
struct charge_sum {
	const struct call *call;
	int64_t calls;
	pusd_sum list, cost;
};

/*
 * Calls each() for the sums of one hour that stand for its calls; the filter's times do not count.
 * A filter by what only calls have finds none. each returns 0, or a negative value that is
 * returned.
 */
int query_sums(struct query *q, const struct query_filter *filter, int64_t hour,
	       int (*each)(void *user, const struct charge_sum *sum), void *user) TT_MUST_CHECK;
/* Whether what is found of calls in a summed hour (they came late) is in its sums as well. */
bool query_sums_have_all(const struct query *q);

/* A change of a call's cost after its month was closed. */
struct charge_correction {
	int64_t seq; /* of the call */
	int64_t at_us;
	bool late; /* the call itself came then */
	int64_t list_pusd, cost_pusd;
};

/* Of the calls in the filter's times, by seq. Free *corrections. */
int query_corrections(struct query *q, const struct query_filter *filter,
		      struct charge_correction **corrections, size_t *count) TT_MUST_CHECK;

#endif
