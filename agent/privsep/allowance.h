/* SPDX-License-Identifier: Apache-2.0 */
/* How much of something is still allowed: a stock that is spent and refills with time. */
#ifndef TT_ALLOWANCE_H
#define TT_ALLOWANCE_H

#include "agent/base/base.h"

struct allowance {
	uint64_t at_ns;
	uint64_t spent_ns; /* of the stock */
};

/*
 * Takes cost_ns of a stock of most_ns, of which 1 ns comes back in every `slowness` ns. False, and
 * nothing is taken: so much is not there. now_ns is CLOCK_MONOTONIC.
 */
bool allowance_take(struct allowance *a, uint64_t now_ns, uint64_t cost_ns, uint64_t most_ns,
		    uint32_t slowness);

#endif
