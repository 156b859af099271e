/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls each role may make, as tables: nothing here runs. A call that a role's sets do
 * not name is refused. To allow one, add a row with its reason to the narrowest set that needs it.
 */
#ifndef TT_SYSCALLS_H
#define TT_SYSCALLS_H

#include "agent/base/base.h"
#include "agent/privsep/sandbox.h"

#include <seccomp.h>
#include <sys/resource.h>

#define SYSCALL_SETS_MAX   11 /* per role */
#define SYSCALL_LIMITS_MAX 2

enum syscall_verdict {
	SYSCALL_ALLOW,	 /* when (argument & mask) == value; a mask of 0 takes any argument */
	SYSCALL_OWN_PID, /* when the argument is the process's own pid */
	SYSCALL_ABSENT,	 /* fails with ENOSYS, so that libc falls back to a call we can check */
};

struct syscall_rule {
	int nr; /* below 0: this machine has no such call */
	const char *why;
	enum syscall_verdict verdict;
	uint8_t arg;
	uint64_t mask, value;
};

struct syscall_set {
	const struct syscall_rule *rules;
	size_t count;
};

struct syscall_limit {
	int resource; /* RLIMIT_x */
	rlim_t most;  /* 0: no limit in this row */
};

struct syscall_role {
	const struct syscall_set *sets[SYSCALL_SETS_MAX]; /* ends with NULL; never empty */
	uint32_t refusal;				  /* SCMP_ACT_x for all else */
	struct syscall_limit limits[SYSCALL_LIMITS_MAX];
};

extern const struct syscall_role *const syscall_roles[SANDBOX_ROLES];

#endif
