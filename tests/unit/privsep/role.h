/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each case runs in a child of its own, since nothing given up comes back. Without root a child
 * keeps its user; without CAP_SETUID the cases that need another user are skipped.
 */
#ifndef TT_TEST_ROLE_H
#define TT_TEST_ROLE_H

#include "agent/privsep/sandbox.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true /* whose run-time needs what the product may not do */
#else
#define SANITIZED false
#endif

#define FAILED_TO_DROP 100

static inline bool may_drop(void)
{
	return sandbox_permitted_caps() & SANDBOX_CAP(CAP_SETUID) && geteuid() == 0;
}

/* The user a test child becomes: no one has this number. */
static const struct identity nobody = {.uid = 61000, .gid = 61001, .name = "test"};

/* What a child does when it has its role; its return value is the exit status. */
typedef int (*child_fn)(void);

static inline const struct sandbox_drop *drop_for(uint64_t caps)
{
	static struct sandbox_drop drop;

	drop = (struct sandbox_drop){
		.identity = may_drop() ? &nobody : NULL, .caps = caps, .parent = getppid()};
	return &drop;
}

/* Runs fn in a child of that role and returns its wait status. */
static inline int run_as(enum sandbox_role role, uint64_t caps, child_fn fn)
{
	char err[SANDBOX_ERROR_MAX] = "";
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_become(drop_for(caps), err, sizeof(err)) ||
		    sandbox_seal(role, err, sizeof(err))) {
			fprintf(stderr, "%s\n", err);
			_exit(FAILED_TO_DROP);
		}
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#endif
