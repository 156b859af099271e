/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: the process an operator starts and systemd watches. It forks the others, keeps
 * three capabilities to fork them again, and from then on reads nothing but signals and the ends of
 * its children. Which processes there are is its caller's table.
 */
#ifndef TT_SUPERVISOR_H
#define TT_SUPERVISOR_H

#include "agent/base/base.h"

#define SUPERVISED_MAX	     4
#define SUPERVISOR_STOP_MS   10000 /* a process may take to end in order */
#define SUPERVISOR_KILL_MS   1000  /* and when it was killed */
#define SUPERVISOR_SETTLED_S 60	   /* so long alive, and the next death waits no longer */
#define SUPERVISOR_BACKOFF_S 30	   /* longest wait before a restart */

/*
 * What every process may know of the others. Only the supervisor writes it, and it reads nothing of
 * it: a child that is not itself any more could write there too.
 */
struct supervisor_board {
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	struct {
		uint32_t pid; /* 0: not running */
		uint32_t restarts;
	} process[SUPERVISED_MAX];
};

struct supervised {
	const char *name;
	bool restarts;	/* is started again when it ends; the end of any other ends all */
	int fatal_code; /* with which it says that all must end, told as EXIT_FAILED; 0: none */
	/* In the supervisor, before each fork. Returns 0 or -errno. NULL: nothing to do. */
	int (*prepare)(void *user);
	/*
	 * In the child, whose signals are as a new process has them, but that it ignores SIGHUP.
	 * Returns its exit code.
	 */
	int (*run)(void *user);
	/* In the supervisor, after each fork. NULL: nothing to do. */
	void (*started)(void *user, uint32_t pid);
	/* In the supervisor, when it is no more. NULL: nothing to do. */
	void (*ended)(void *user);
};

struct supervisor_opts {
	const struct supervised *processes; /* started in this order, stopped in the reverse */
	size_t count;
	void *user;
	const struct supervisor_board *board; /* of supervisor_board_new */
	int ready_fd; /* an eventfd: a process says that the whole is ready */
	void (*ready)(void *user);
	void (*stopping)(void *user);
	size_t hangup_to; /* the process that is told of SIGHUP */
	uint64_t caps;	  /* what the supervisor keeps for itself */
};

/* A page that children inherit. NULL without memory. */
struct supervisor_board *supervisor_board_new(void);
/* In this process; NULL is fine. */
void supervisor_board_free(struct supervisor_board *board);

/*
 * Starts all, seals itself and keeps them running until SIGINT or SIGTERM. A process that ends
 * before the whole is ready ends all; what it printed is the message. Returns the exit code: of the
 * process whose end ended all, or of the last in the table at an orderly stop.
 */
int supervisor_run(const struct supervisor_opts *opts) TT_MUST_CHECK;

#endif
