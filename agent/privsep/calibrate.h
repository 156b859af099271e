/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the running kernel what it can do by doing it, on a function of this very binary: arms each
 * kind of link, then lets a child under a strict seccomp filter call the hooked function. From 6.11
 * the return trampoline is a system call; a kernel without the fix (6.12.57, 6.14) lets the filter
 * kill the child, and would let it kill the host's sandboxed programs (hazards 3.1).
 */
#ifndef TT_CALIBRATE_H
#define TT_CALIBRATE_H

#include "agent/privsep/probes.h"

/*
 * Fills kernel_release, btf, multi, session, trampoline_safe; attach and returns are the best
 * choice. Returns 0, or -errno with one line in err: -EPERM, -ENOTSUP.
 */
int calibrate(struct probe_caps *out, char *err, size_t err_size) TT_MUST_CHECK;

#endif
