/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs know of the kernel: the uapi headers, and the fields of kernel structs that
 * they read, relocated at load by the running kernel's BTF (CO-RE). All fields exist since 5.5.
 */
#ifndef TT_TYPES_BPF_H
#define TT_TYPES_BPF_H

#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define CORE __attribute__((preserve_access_index))

struct mm_struct {
	unsigned long env_start;
	unsigned long env_end;
} CORE;

struct kernfs_node {
	const char *name;
} CORE;

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} CORE;

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
} CORE;

struct css_set {
	struct cgroup *dfl_cgrp;
} CORE;

struct task_struct {
	__u64 start_time;
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct css_set *cgroups;
	char comm[16];
} CORE;

#undef CORE

#endif
