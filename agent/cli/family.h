/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of the running agent as /proc shows them to anyone: the supervisor and what it has
 * started, with the user and the capabilities of each.
 */
#ifndef TT_CLI_FAMILY_H
#define TT_CLI_FAMILY_H

#include "agent/cli/cli.h"

#include <sys/types.h>

#define FAMILY_MAX 32

struct cJSON;

struct family_member {
	pid_t pid;
	char comm[64];
	uid_t uid;
	uint64_t caps; /* permitted */
	bool no_new_privs;
	bool filtered; /* by seccomp */
};

/* The process and all below it, parents first. Returns how many were found, at most FAMILY_MAX. */
size_t family_of(pid_t pid, struct family_member *members);

/* As a table; nothing when there are none. */
void family_print(const struct family_member *members, size_t count);
/* As objects of a JSON array. */
void family_add(struct cJSON *rows, const struct family_member *members, size_t count);

#endif
