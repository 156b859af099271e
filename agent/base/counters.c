/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/counters.h"

#include <stdatomic.h>

const struct counter_row counter_rows[COUNTERS] = {
#define X(symbol, family, labels) [COUNTER_##symbol] = {family, labels},
	TT_COUNTERS(X)
#undef X
};

static _Atomic uint64_t values[COUNTERS];

void counter_add(enum counter which, uint64_t n)
{
	atomic_fetch_add_explicit(&values[which], n, memory_order_relaxed);
}

void counter_set(enum counter which, uint64_t n)
{
	atomic_store_explicit(&values[which], n, memory_order_relaxed);
}

uint64_t counter_get(enum counter which)
{
	return atomic_load_explicit(&values[which], memory_order_relaxed);
}
