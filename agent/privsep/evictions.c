/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/evictions.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "agent/privsep/walk.h"

void percpu_sum(const struct bpf_map *map, uint32_t count, uint64_t *out)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_(freep) uint64_t *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;

	for (uint32_t i = 0; i < count; i++) {
		out[i] = 0;
		if (!values || bpf_map_lookup_elem(bpf_map__fd(map), &i, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			out[i] += values[cpu];
	}
}

/*
 * What was added before the count and taken away until after it: an entry that moves meanwhile can
 * only make the difference smaller.
 */
void evictions_count(struct evictions *e)
{
	uint64_t before[TT_TABLE_STATS], after[TT_TABLE_STATS];

	percpu_sum(e->stats, TT_TABLE_STATS, before);
	for (int i = 0; i < TT_TABLES; i++) {
		uint64_t added = before[TT_ADDED_FIRST + i] + e->added[i];
		int64_t present, gone;

		if (added == e->seen_added[i])
			continue;
		present = map_walk(e->tables[i], NULL, NULL);
		if (present < 0)
			continue;
		percpu_sum(e->stats, TT_TABLE_STATS, after);
		gone = (int64_t)(added - after[TT_REMOVED_FIRST + i] - e->removed[i]) - present;
		if (gone > (int64_t)e->evicted[i])
			e->evicted[i] = (uint64_t)gone;
		e->seen_added[i] = added;
	}
}
