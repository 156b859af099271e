/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the path of a control group says of the process in it. Container engines, the kubelet and
 * systemd make these paths by fixed forms; cgroup.c has them as a table, one row per form. Pure.
 */
#ifndef TT_CGROUP_H
#define TT_CGROUP_H

#include "agent/capture/chunk.h"
#include "agent/usage/call.h"

/* "" = the path does not say. */
struct cgroup_facts {
	/* Of the innermost container: 64 hex digits; or its name where it goes by that (LXC,
	 * systemd-nspawn). */
	char container_id[80];
	char container[CALL_NAME_MAX];
	char pod_uid[40]; /* with dashes; of a static pod 32 hex digits */
	/* Of the innermost service or scope. One outside a container is left out: it runs the
	 * container, not the process. */
	char unit[CALL_NAME_MAX];
	/* Of this host's systemd, not of one in a container. */
	char slice[CALL_NAME_MAX];
	char login_session[32]; /* "3", "c1" */
	bool login_known;
	uint32_t login_uid;
};

void cgroup_read(struct slice path, struct cgroup_facts *out);
/* True when the path is that of a container or a pod. */
bool cgroup_is_container(const struct cgroup_facts *facts);

/*
 * The path of /proc/PID/cgroup text that says most: one of a container, else that of version 2,
 * else systemd's, else the first; "/" when none says anything. On hybrid hosts a container may
 * stand in the lines of version 1 alone. *unified: it is that of version 2, or none.
 */
struct slice cgroup_path(struct slice text, bool *unified);

/*
 * The path of names from the innermost outward, as in conn_open; "" when there are none. What does
 * not fit is left out at its front: ids of containers and units stand at its end.
 */
void cgroup_join(const char (*names)[CONN_CGROUP_NAME], char *dst, size_t size);

#endif
