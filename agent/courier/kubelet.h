/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pods of this node, asked of its kubelet (GET URL/pods) as the service account that a token
 * file names. The last list is kept and believed KUBELET_FRESH_MS; a container that is not in it
 * has the list asked for at once, since it may be new, but no two questions begin within
 * KUBELET_GAP_MS, and none within KUBELET_RETRY_MS of one that failed. The token is read again
 * each time, because it is renewed, and is sent by TLS only.
 */
#ifndef TT_COURIER_KUBELET_H
#define TT_COURIER_KUBELET_H

#include "agent/courier/fetch.h"
#include "agent/courier/pods.h"

#define KUBELET_BYTES_MAX   (8u << 20) /* of one list: 250 pods of 30 KiB */
#define KUBELET_FRESH_MS    30000
#define KUBELET_GAP_MS	    300
#define KUBELET_RETRY_MS    5000
#define KUBELET_TRIES	    2 /* lists without a container before it is unknown: it may be new */
#define KUBELET_LOOKUPS_MAX 8
#define KUBELET_URL_MAX	    512 /* with its end */

struct kubelet_opts {
	const char *url; /* "https://NODE:10250" or "http://..."; kept, as all of these */
	const char *token_file;
	const char *ca_file;
	const char *node; /* what the node is called when a pod does not say it; NULL: unknown */
	struct label_rules rules;
};

/*
 * Completes what the operator said (NULL: nothing) by what holds in a pod: the service account's
 * files, and the address of the node's kubelet when both KUBERNETES_SERVICE_HOST and NODE_NAME are
 * in the environment (here: arguments, NULL or "" when not set). The URL "none", or none at all,
 * leaves opts->url NULL: no kubelet is asked. made holds a URL that is made here. Returns 0, or
 * -EINVAL with one line in err when the URL is none.
 */
int kubelet_opts_complete(struct kubelet_opts *opts, const char *service_host,
			  const char *node_name, char made[KUBELET_URL_MAX], char *err,
			  size_t err_size) TT_MUST_CHECK;

struct kubelet;

/* Returns 0 or -ENOMEM. */
int kubelet_new(struct kubelet **out, struct fetcher *fetcher,
		const struct kubelet_opts *opts) TT_MUST_CHECK;
void kubelet_free(struct kubelet *k); /* running look-ups end unanswered; NULL is fine */

/*
 * Looks a container up, at most KUBELET_LOOKUPS_MAX at a time. done is called once, maybe before
 * this returns: facts are borrowed, and NULL unless the result is COURIER_FOUND. With
 * COURIER_FORBIDDEN it is the token file that may not be read.
 */
void kubelet_look_up(struct kubelet *k, const char *id, uint64_t now_ns,
		     void (*done)(void *user, enum courier_result result,
				  const struct courier_answer *facts),
		     void *user);
/* Ends the user's look-up without a call of done. */
void kubelet_forget(struct kubelet *k, const void *user);

/* Asks when it is time to. */
void kubelet_run(struct kubelet *k, uint64_t now_ns);
/* How long until kubelet_run has something to do; at most `most`. */
int kubelet_due_ms(const struct kubelet *k, uint64_t now_ns, int most) TT_MUST_CHECK;

/* The token file, for a message. */
const char *kubelet_token_file(const struct kubelet *k);

#endif
