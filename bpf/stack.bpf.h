/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From 6.13 the kernel gives a kprobe program of 64 bytes of stack or more one stack per CPU,
 * trusting that such a program never runs twice on a CPU at a time. Uprobe programs do: a kernel
 * that preempts (PREEMPT_LAZY or full) switches to another task in the midst of one, and that task
 * enters the same program. The two then write over each other's variables, pointers included, and
 * the kernel crashes (seen on 7.2). A program with a tail call is left on the task's own stack.
 */
#ifndef TT_STACK_BPF_H
#define TT_STACK_BPF_H

#include "bpf/types.bpf.h"

/*
 * To be called in every program. The verifier counts the tail call before it finds that it cannot
 * be reached and removes it; clang must not find that out.
 */
static __always_inline void use_task_stack(struct pt_regs *ctx)
{
	__u64 never;

	asm volatile("%0 = 0" : "=r"(never));
	if (never)
		bpf_tail_call(ctx, NULL, 0);
}

#endif
