/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a hash map of the kernel in batches: entry by entry a full table would take tens of
 * milliseconds of system calls.
 */
#ifndef TT_WALK_H
#define TT_WALK_H

#include "agent/base/base.h"

struct bpf_map;

/*
 * Each bucket is read at one moment; visit may be NULL, and may delete the key it is given. Returns
 * the number of entries or -errno.
 */
int64_t map_walk(const struct bpf_map *map, void (*visit)(void *user, const void *key), void *user);

#endif
