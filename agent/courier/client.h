/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of the courier. Nothing here blocks: a courier that is dead, hangs or talks
 * nonsense costs late answers and counters. The same socket serves one courier after another, and
 * one worker after another, so an answer counts only if its id is one this client waits for; at
 * most COURIER_OUTSTANDING_MAX are waited for, each COURIER_PATIENCE_NS.
 */
#ifndef TT_COURIER_CLIENT_H
#define TT_COURIER_CLIENT_H

#include "agent/courier/wire.h"

#define COURIER_PATIENCE_NS (3 * NSEC_PER_SEC) /* longer than the courier gives its sources */
#define COURIER_ANSWERS_MAX 64		       /* read at once; a flood waits its turn */

struct courier_client;

/* fd stays the caller's and is made non-blocking. now_ns is CLOCK_MONOTONIC. 0 or -errno. */
int courier_client_new(struct courier_client **out, int fd, uint64_t now_ns) TT_MUST_CHECK;
void courier_client_free(struct courier_client *c); /* NULL is fine */

/* Who gets the answers of a kind, each asked key exactly once: COURIER_LATE when none came. */
void courier_client_listen(struct courier_client *c, enum courier_kind kind,
			   void (*answered)(void *user, const char *key,
					    const struct courier_answer *answer),
			   void *user);

/*
 * Asks, unless the same is already asked. Returns 0 when an answer will be delivered, -EBUSY when
 * too many are outstanding or the courier does not read, -EINVAL for a bad key, -EPIPE when there
 * is no courier any more.
 */
int courier_client_ask(struct courier_client *c, enum courier_kind kind,
		       struct slice key) TT_MUST_CHECK;

/* Readable when courier_client_run has work. */
int courier_client_fd(const struct courier_client *c);
void courier_client_run(struct courier_client *c);

/* Tells the time and gives up what is late. Call it every second or more often. */
void courier_client_tick(struct courier_client *c, uint64_t now_ns);
uint64_t courier_client_now_ns(const struct courier_client *c);

#endif
