/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When records were lost. The counters of the kernel and of the reader only grow; a look at them
 * tells that some were lost since the look before, not when. What is read out of the ring is older
 * than the last look, so "more than at the call's begin" would not do: the counters may have told
 * of a loss already when the reader came upon the begin of the call that it cut.
 */
#ifndef TT_LOST_H
#define TT_LOST_H

#include "agent/base/base.h"

struct lost {
	uint64_t sum;
	uint64_t known_ns; /* no loss before then is missing in sum */
	uint64_t last_ns;  /* the last one lay before then; 0 = there was none */
};

/* A look at the counters: asked at asked_ns, answered by answered_ns (CLOCK_MONOTONIC). */
void lost_note(struct lost *l, uint64_t sum, uint64_t asked_ns, uint64_t answered_ns);
/* May a record made in between have been lost? True as well when the last look was too early. */
bool lost_between(const struct lost *l, uint64_t from_ns, uint64_t until_ns);

#endif
