/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many entries the kernel recycled in the LRU maps while they were in use. It tells nobody, but
 * what was added, less what was taken away, less what is there, is gone by its hand. That is
 * counted here, so that no loss is silent: a recycled connection is looked at anew at its next
 * request, a recycled call is missed.
 */
#ifndef TT_EVICTIONS_H
#define TT_EVICTIONS_H

#include "agent/base/base.h"
#include "bpf/events.h"

struct bpf_map;

struct evictions {
	const struct bpf_map *tables[TT_TABLES];
	const struct bpf_map *stats; /* table_stats */
	/* What user space added and took away. */
	uint64_t added[TT_TABLES], removed[TT_TABLES];
	uint64_t seen_added[TT_TABLES]; /* in all, when last counted */
	uint64_t evicted[TT_TABLES];
};

/*
 * Brings e->evicted up to date; it never falls, and while entries come and go it may lag, never
 * lead. Walks only those maps to which something was added since the last time.
 */
void evictions_count(struct evictions *e);

/* Sums a per-CPU array of 64-bit counters. What cannot be read is 0. */
void percpu_sum(const struct bpf_map *map, uint32_t count, uint64_t *out);

#endif
