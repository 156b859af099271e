// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * A probe that only counts: with it the broker asks the running kernel which kinds of link it has,
 * and whether a return probe survives seccomp (agent/privsep/calibrate.h).
 */
#include "bpf/types.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 hits;

SEC("uprobe")
int count_hit(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}
