/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of children that may hang in the kernel, on a file system that does not answer: they are
 * killed, and nobody waits for them for long.
 */
#ifndef TT_ENDING_H
#define TT_ENDING_H

#include <sys/types.h>

#include "agent/base/base.h"

#define ENDING_MAX     64  /* children that hang at one time */
#define ENDING_WAIT_MS 100 /* what a killed one may take before it counts as hanging */

/* Killed children that are still there; {0} is an empty list. */
struct ending {
	pid_t pid[ENDING_MAX];
};

/* Kills a child and reaps it, at once or by a later call. */
void ending_end(struct ending *e, pid_t pid);

/* True while so many hang that no further child should be started. */
bool ending_full(struct ending *e);

#endif
