/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing the fd of a probe waits until no CPU runs its program any more: 20 to 60 ms each, and a
 * host with 20 TLS files has 140 of them. The kernel lets closers wait for one such moment
 * together, so they are closed side by side.
 *
 * The last fd is closed in a child that our own end does not end: a task that is killed while it
 * takes a breakpoint away is interrupted, and the kernel leaves the breakpoint in the code for as
 * long as that process lives ("failed to unregister, leaking uprobe", uprobes.c). The child begins
 * when this process has closed its own.
 */
#ifndef TT_DISARM_H
#define TT_DISARM_H

#include "agent/base/base.h"

#define DISARM_THREADS_MAX 64

/* Closes all fds, in no order, and returns when the last one is closed. */
void disarm_all(const int *fds, size_t count);

#endif
