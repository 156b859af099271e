/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells at once that a process is dying. The kernel takes a dying process' memory first and closes
 * its files afterwards, one by one: with the probes of a broker that was killed this takes half a
 * second, in which its sockets look alive and calls pass unseen. A word in shared memory is marked
 * in the first step (Documentation/locking/robust-futexes.rst; exit_mm comes before exit_files).
 */
#ifndef TT_LIFELINE_H
#define TT_LIFELINE_H

#include "agent/base/base.h"

struct lifeline;

/* A page that children inherit. NULL without memory. */
struct lifeline *lifeline_new(void);
/* Unmaps it here; NULL is fine. Not for the process that holds it. */
void lifeline_free(struct lifeline *l);
/*
 * The calling thread's life, from now on. It may hold one, and no robust mutex of libc beside it;
 * `l` must stay as long as the process. The page is gone in children: they could say it is over.
 * Returns 0 or -errno.
 */
int lifeline_hold(struct lifeline *l) TT_MUST_CHECK;
/* For one who only looks: the page becomes read-only here. Returns 0 or -errno. */
int lifeline_watch(struct lifeline *l) TT_MUST_CHECK;
/* True when it was held, and who held it is dying or dead. NULL: false. */
bool lifeline_is_cut(const struct lifeline *l);

#endif
