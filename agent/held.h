/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended calls that wait for what another process still has to say of them (the name of their
 * container). They wait HELD_NS from their end at most, so that a row is visible two seconds after
 * its call whatever happens there: the timer's half second, the group commit's quarter and the disk
 * are still to come. At most HELD_CALLS_MAX wait; one more lets the oldest go at once. Nothing is
 * lost here, and nothing waits in vain: what was held goes out in the end, complete or not.
 */
#ifndef TT_HELD_H
#define TT_HELD_H

#include "agent/usage/call.h"

#define HELD_CALLS_MAX 256 /* about 14 KiB each */
#define HELD_NS	       (750 * NSEC_PER_MSEC)

struct held_calls;

struct held_ops {
	/* Completes a call if that is possible now. */
	bool (*complete)(void *user, struct call *call);
	void (*release)(void *user, struct call *call);
};

/* Returns 0 or -ENOMEM. */
int held_calls_new(struct held_calls **out, const struct held_ops *ops, void *user) TT_MUST_CHECK;
/* All are released first. NULL is fine. */
void held_calls_free(struct held_calls *h);

/* Keeps a copy; without memory for it, releases the call at once. */
void held_calls_add(struct held_calls *h, struct call *call, uint64_t ended_ns);
/* Releases those that can be completed and those whose time is over. */
void held_calls_sweep(struct held_calls *h, uint64_t now_ns);

#endif
