/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/walk.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#define BATCH 256 /* entries read at a time; above the longest chain of a bucket */

int64_t map_walk(const struct bpf_map *map, void (*visit)(void *user, const void *key), void *user)
{
	size_t key_size = bpf_map__key_size(map);
	_cleanup_(freep) char *keys = calloc(BATCH, key_size);
	_cleanup_(freep) char *values = calloc(BATCH, bpf_map__value_size(map));
	uint32_t at = 0, most = 2 * bpf_map__max_entries(map);
	int64_t total = 0;
	int rc = 0;

	if (!keys || !values)
		return -ENOMEM;
	for (uint32_t round = 0; !rc && round < most; round++) {
		uint32_t count = BATCH;

		rc = bpf_map_lookup_batch(bpf_map__fd(map), round ? &at : NULL, &at, keys, values,
					  &count, NULL);
		if (rc && rc != -ENOENT) /* which says that nothing follows */
			return rc;
		for (uint32_t i = 0; visit && i < count; i++)
			visit(user, keys + i * key_size);
		total += count;
	}
	return rc ? total : -E2BIG;
}
