/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that demo and exec start and end. Every wait is bounded and ends early when the user
 * interrupts; nothing is left behind when this process dies.
 */
#ifndef TT_CLI_CHILD_H
#define TT_CLI_CHILD_H

#include "agent/base/base.h"

#include <sys/types.h>

struct passwd;

struct child {
	pid_t pid;   /* 0 = not running */
	int out;     /* read end of its stdout, or -1 */
	int in;	     /* write end of its stdin, or -1 */
	int status;  /* as waitpid gives it, once it ended */
	char *lines; /* stdout not yet taken as lines, CHILD_LINES_MAX bytes */
	size_t used;
};

#define CHILD_INIT	((struct child){.out = -1, .in = -1})
#define CHILD_LINES_MAX 4096

struct child_options {
	bool pipe_out;		   /* read its stdout by child_line */
	bool pipe_in;		   /* its stdin ends when we do; else /dev/null */
	const char *stderr_file;   /* created 0600; NULL: ours */
	bool silent;		   /* stdout to /dev/null */
	bool foreground;	   /* keeps our stdin, and may outlive us */
	char *const *environment;  /* NULL: ours */
	const struct passwd *user; /* becomes this user, with all groups; NULL: as we are */
};

/* argv[0] is looked up in PATH. Returns 0 or -errno. */
int child_start(struct child *c, char *const *argv, const struct child_options *o) TT_MUST_CHECK;

/*
 * The next line of its stdout without the newline; a longer line than the buffer is cut. Returns 1
 * and the line, 0 at the end of output, -ETIMEDOUT, -EINTR, or -errno.
 */
int child_line(struct child *c, char *line, size_t size, int timeout_ms) TT_MUST_CHECK;

/* Waits for its end. Returns true when it ended (status filled), false after the time. */
bool child_wait(struct child *c, int timeout_ms);
/*
 * Closes its stdin if that is a pipe and waits a bounded time, then SIGTERM, then SIGKILL. Safe on
 * CHILD_INIT and twice.
 */
void child_stop(struct child *c);
/* The exit code as a shell gives it: 128 + signal when one ended it. */
int child_code(const struct child *c);

/* Runs to the end. Returns the exit code, or -errno when it could not start, -EINTR. */
int child_run(char *const *argv, const struct child_options *o) TT_MUST_CHECK;

/* SIGINT, SIGTERM and SIGHUP set a flag from now on and interrupt waits. */
void child_catch_signals(void);
int child_caught_signal(void); /* 0 = none */
/* Takes the flag away; *sent_to_us is false when the terminal sent it to the whole group. */
int child_take_signal(bool *sent_to_us);

/* Starts `tolltap run` with these flags and waits for its line "ready". */
struct agent_options {
	const char *self;
	char *const *flags; /* NULL-ended, at most AGENT_FLAGS_MAX */
	const char *log;    /* its messages go there */
	bool use_sudo;
};
#define AGENT_FLAGS_MAX 64
/*
 * Returns -1 when it is ready, else its exit code (or EXIT_FAILED) with its last message in why.
 * End it by child_stop: it ends when our end of its stdin closes, so it never outlives us, also
 * under sudo.
 */
int agent_start(struct child *c, const struct agent_options *o, char *why, size_t why_size);

/* True when a program of this name is in PATH. */
bool program_exists(const char *name);
/* This executable, for starting other commands of it. dst is PATH_MAX. False when unknown. */
bool program_self(char *dst, size_t size);
/* True when we are root, or sudo works without a question; *use_sudo says which. */
bool privilege_at_hand(bool *use_sudo);

/* bytes random bytes as hex; dst holds 2 * bytes + 1. Returns 0 or -EIO. */
int random_hex(char *dst, size_t bytes) TT_MUST_CHECK;

/* A directory 0700 below $TMPDIR or /tmp; dst is PATH_MAX. Returns 0 or -errno. */
int temp_dir(char *dst, size_t size) TT_MUST_CHECK;
void remove_tree(const char *dir);

#endif
