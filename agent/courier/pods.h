/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pods of a node as its kubelet lists them at /pods: a v1.PodList. Of each container only what
 * a row can bear is kept: names, image, node, owner and the wanted labels. The list also holds what
 * the pods' specs say of their environments, so nobody else reads it and none of that is kept.
 * Pure: bytes in, a table out.
 */
#ifndef TT_COURIER_PODS_H
#define TT_COURIER_PODS_H

#include "agent/courier/labels.h"

#define PODS_CONTAINERS_MAX                                                                       \
	2048			 /* kept of one list, 3 KiB each; a node runs 110 pods by default \
				  */
#define PODS_VALUES_MAX 1000000u /* of JSON in one list, about 64 bytes each while it is read */

struct pod_container {
	char id[COURIER_CONTAINER_ID + 1];
	struct courier_answer facts; /* COURIER_FOUND; id and kind are 0 */
};

struct pod_list {
	struct pod_container *item;
	size_t count;
	size_t left_out; /* containers beyond PODS_CONTAINERS_MAX */
};

/*
 * Tags: `workload` is "Kind/name" of what owns the pod in the end: the Deployment over a
 * ReplicaSet, the CronJob over a Job; the rest by the rules. Pods and containers that are not of
 * the known form are passed over. Returns 0 and a list for pods_free, -EBADMSG when the text is no
 * such list or has too many values, -ENOMEM.
 */
int pods_parse(struct pod_list *out, struct slice json,
	       const struct label_rules *rules) TT_MUST_CHECK;
void pods_free(struct pod_list *list); /* leaves an empty one */

/* The container's facts, or NULL. */
const struct courier_answer *pods_find(const struct pod_list *list, const char *id);

#endif
