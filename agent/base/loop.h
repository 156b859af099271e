/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's one event loop: epoll over a fixed number of sources, each an fd with a function.
 * Nothing called from it may block.
 */
#ifndef TT_LOOP_H
#define TT_LOOP_H

#include "agent/base/base.h"

#define LOOP_SOURCES_MAX 16

struct loop {
	int epoll_fd;
	size_t count;
	bool stop;
	struct loop_source {
		int fd;
		void (*ready)(void *user);
		void *user;
	} source[LOOP_SOURCES_MAX];
};

/* Returns 0 or -errno. loop_close is safe after a failure and on a zeroed loop with epoll_fd -1. */
int loop_open(struct loop *loop) TT_MUST_CHECK;
void loop_close(struct loop *loop);

/* Calls ready(user) whenever fd is readable. fd stays the caller's. Returns 0 or -errno. */
int loop_add(struct loop *loop, int fd, void (*ready)(void *user), void *user) TT_MUST_CHECK;

/* Waits at most timeout_ms (-1: for ever) and calls what is ready. Returns 0 or -errno. */
int loop_once(struct loop *loop, int timeout_ms) TT_MUST_CHECK;

/* A timerfd that fires every period_ns, to be added to a loop; -errno on failure. */
int timer_open(uint64_t period_ns) TT_MUST_CHECK;
void timer_drain(int fd);

#endif
