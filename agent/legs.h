/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bill per call (design section 3, rule 7). A call through a gateway on this host is seen
 * twice: the client's leg to the gateway (the front) and the gateway's to the provider (the
 * upstream). The upstream is the bill; the front is kept, in no sum, and gives its workload and
 * tags to the bill, and its trace and session where the bill has none.
 *
 * Fronts are calls to hosts of role gateway or unknown, upstreams those to providers themselves. A
 * front collapses into an upstream that began and ended within it and has its response id, else its
 * request's body; and, later or without an upstream that was seen, into a call with the same
 * response id and the same usage: a gateway's cache says again what was billed before.
 *
 * An upstream that ends while a front is open waits for it, LEGS_HOLD_NS at most. Pure: time is an
 * argument. Bounds: LEGS_OPEN_MAX fronts, LEGS_HELD_MAX upstreams, LEGS_BILLED_MAX ids; beyond them
 * the oldest goes, counted.
 */
#ifndef TT_LEGS_H
#define TT_LEGS_H

#include "agent/usage/call.h"

#define LEGS_OPEN_MAX	1024
#define LEGS_HELD_MAX	256
#define LEGS_BILLED_MAX 16384
#define LEGS_HOLD_NS	(750 * NSEC_PER_MSEC) /* as long as a call waits for other names */
#define LEGS_ID_MIN	8		      /* shorter response ids are no ids */

struct legs;

/* `call` may be changed; ended_ns is that of legs_done. */
typedef void legs_release(void *user, struct call *call, uint64_t ended_ns);

/* Returns 0 or -ENOMEM. */
int legs_new(struct legs **out, legs_release *release, void *user) TT_MUST_CHECK;
/* Those that wait are released first. NULL is fine. */
void legs_free(struct legs *l);

/* A call begins, known by its event id; ended by legs_done, or by legs_drop when it is no row. */
void legs_begin(struct legs *l, const struct call *call, uint64_t started_ns);
void legs_drop(struct legs *l, const struct call *call);
/* It is over, attributed and not yet priced. Released at once, or as told above. */
void legs_done(struct legs *l, struct call *call, uint64_t started_ns, uint64_t ended_ns);
/* Releases those whose time is over. */
void legs_tick(struct legs *l, uint64_t now_ns);

#endif
