/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who started a process, by the names of its ancestors: a coding agent, a CI runner, cron or a
 * shell. A process can take any name, and one whose parents ended is nobody's child any more: this
 * is as good as `ps`, no proof.
 */
#ifndef TT_ANCESTRY_H
#define TT_ANCESTRY_H

#include "agent/base/procfs.h"

#define ANCESTRY_DEPTH	  16 /* ancestors looked at; who is further away is not found */
#define ANCESTRY_NAME_MAX 32

/* One process on the way up. */
struct ancestor {
	uint32_t parent; /* 0: none */
	uint64_t start_ticks;
	char comm[PROC_COMM_LEN];
	char exe[128];	  /* the file's name; "" = not known */
	char script[128]; /* the name of what an interpreter runs; "" = it is none, or not known */
};

/* Reads a process; false when it is gone. */
typedef bool (*ancestry_read_fn)(void *user, uint32_t pid, struct ancestor *out);

/*
 * The first ancestor of the strongest kind, as KIND/NAME: "agent/claude", "ci/gitlab-runner",
 * "cron/cron", "shell/bash", in that order; "" when there is none. A parent that is younger than
 * its child is another process under the same number.
 */
void ancestry_find(uint32_t parent, uint64_t start_ticks, ancestry_read_fn read, void *user,
		   char *dst, size_t size);

/* True for programs whose own name says nothing: the script's does. */
bool ancestry_is_interpreter(const char *exe);
/*
 * The name of the script in an interpreter's arguments (each ended by 0): the file's name of the
 * first that is no option, without its extension.
 */
void ancestry_script(struct slice arguments, char *dst, size_t size);

#endif
