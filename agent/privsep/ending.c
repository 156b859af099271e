/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/ending.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

static bool reaped(pid_t pid)
{
	pid_t got;

	do
		got = waitpid(pid, NULL, WNOHANG);
	while (got < 0 && errno == EINTR);
	return got != 0;
}

/* A place for one more, NULL when there is none. */
static pid_t *reap(struct ending *e)
{
	pid_t *place = NULL;

	for (size_t i = 0; i < ENDING_MAX; i++) {
		if (e->pid[i] && reaped(e->pid[i]))
			e->pid[i] = 0;
		if (!e->pid[i])
			place = &e->pid[i];
	}
	return place;
}

static void wait_for_end(pid_t pid)
{
	_cleanup_(closep) int fd = pidfd_open(pid, 0);
	struct pollfd end = {.fd = fd, .events = POLLIN};

	(void)!poll(&end, 1, ENDING_WAIT_MS);
}

void ending_end(struct ending *e, pid_t pid)
{
	pid_t *place = reap(e);

	kill(pid, SIGKILL);
	wait_for_end(pid);
	/* Without a place it stays a zombie until its parent ends: ending_full was not asked. */
	if (!reaped(pid) && place)
		*place = pid;
}

bool ending_full(struct ending *e)
{
	return !reap(e);
}
