/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, pods and tags of containers by their id, as far as the courier has told. Asked for at
 * first sight of a process, since a container may be gone when its call ends. At most
 * CONTAINER_NAMES_MAX are remembered, the one unused for longest goes first; names are asked for
 * again now and then, because containers are renamed. A courier that says nothing costs names,
 * nothing else.
 */
#ifndef TT_CONTAINER_NAMES_H
#define TT_CONTAINER_NAMES_H

#include "agent/courier/client.h"

#define CONTAINER_NAMES_MAX	1024
#define CONTAINER_NAME_FRESH_NS (300 * NSEC_PER_SEC) /* then asked for again */
#define CONTAINER_RETRY_NS	(10 * NSEC_PER_SEC)  /* after an answer without a name */

struct container_names;

/* Listens to the client, which must live longer. Returns 0 or -ENOMEM. */
int container_names_new(struct container_names **out, struct courier_client *client) TT_MUST_CHECK;
void container_names_free(struct container_names *n); /* NULL is fine */

/* Asks for the name unless it is known or was asked for lately. */
void container_names_want(struct container_names *n, const char *id);
/*
 * What is known of the container, or NULL; asks nobody. *awaited: a first answer is still due.
 * Borrowed until the next call of container_names_want or courier_client_run.
 */
const struct courier_answer *container_names_get(const struct container_names *n, const char *id,
						 bool *awaited);

/* The engine's socket that the courier may not open, or "". */
const char *container_names_forbidden(const struct container_names *n);

#endif
