/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of containers by their id, from the engines on this host: Docker and podman alike answer
 * GET /containers/json on their UNIX socket. That list is asked, not the container's own page:
 * the page holds the container's environment, and with it its keys. All sockets and the kubelet
 * are asked at once; the first that knows the container answers, but of a pod's container the
 * kubelet has the last word. At most CONTAINERS_LOOKUPS_MAX run at a time.
 */
#ifndef TT_COURIER_CONTAINERS_H
#define TT_COURIER_CONTAINERS_H

#include "agent/courier/fetch.h"
#include "agent/courier/kubelet.h"

#define CONTAINERS_LOOKUPS_MAX 8
#define CONTAINERS_SOCKETS_MAX 8
#define CONTAINERS_BYTES_MAX   (512u << 10) /* of an engine's answer */

struct containers;

struct containers_opts {
	/*
	 * Absolute paths, kept; none: those of Docker and podman, where they exist; a "none" among
	 * them: no engine is ever asked.
	 */
	char *const *sockets;
	size_t socket_count;
	struct label_rules rules;
	struct kubelet *kubelet; /* the caller's; NULL: none */
};

/*
 * answer is called once for each look-up, maybe before
 * containers_look_up returns. Returns 0 or -ENOMEM.
 */
int containers_new(struct containers **out, struct fetcher *fetcher,
		   const struct containers_opts *opts,
		   void (*answer)(void *user, const struct courier_answer *answer),
		   void *user) TT_MUST_CHECK;
void containers_free(struct containers *c); /* running look-ups end unanswered; NULL is fine */

/* True when one more look-up may be started. */
bool containers_ready(const struct containers *c);
void containers_look_up(struct containers *c, const struct courier_request *request,
			uint64_t now_ns);

/*
 * Pure: reads name, image and labels of container `id` in an engine's list, and the pod that
 * Kubernetes had the engine run it for. False when it is not in it or the text is no such list;
 * *broken tells which.
 */
bool containers_parse(struct slice json, const char *id, const struct label_rules *rules,
		      struct courier_answer *out, bool *broken);

#endif
