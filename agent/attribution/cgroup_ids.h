/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of cgroups by their id (the inode number of the cgroup2 directory), for processes that were
 * gone before /proc could be asked. Learnt by walking the cgroup2 tree when an unknown id is asked
 * for; cgroups that are removed stay known until the table is full.
 */
#ifndef TT_CGROUP_IDS_H
#define TT_CGROUP_IDS_H

#include "agent/base/base.h"

#define CGROUP_IDS_MAX	   8192
#define CGROUP_DEPTH_MAX   24
#define CGROUP_WALK_GAP_NS (10ULL * NSEC_PER_SEC) /* between two walks */

struct cgroup_ids;

int cgroup_ids_new(struct cgroup_ids **out) TT_MUST_CHECK;
void cgroup_ids_free(struct cgroup_ids *ids);
/* The path below the cgroup2 mount ("/system.slice/x.service"), or NULL when unknown. */
const char *cgroup_ids_path(struct cgroup_ids *ids, uint64_t id, uint64_t now_ns);

#endif
