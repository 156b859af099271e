/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/disarm.h"

#include "agent/privsep/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARENT_LOOK_MS 20

struct closing {
	const int *fds;
	size_t count;
	atomic_size_t next;
};

static void *close_some(void *user)
{
	struct closing *c = user;
	size_t i;

	while ((i = atomic_fetch_add(&c->next, 1)) < c->count)
		close(c->fds[i]);
	return NULL;
}

static void close_side_by_side(const int *fds, size_t count)
{
	struct closing c = {.fds = fds, .count = count};
	pthread_t threads[DISARM_THREADS_MAX];
	size_t started = 0;

	/* This thread closes too: without any other, all are closed one by one. */
	while (started < DISARM_THREADS_MAX && started + 1 < count &&
	       pthread_create(&threads[started], NULL, close_some, &c) == 0)
		started++;
	close_some(&c);
	while (started)
		pthread_join(threads[--started], NULL);
}

/*
 * Until the parent has let go of all of them, or has ended: its fds must not be the last. The end
 * of the pipe would not tell, as children of other threads may hold it open.
 */
static void wait_for_parent(int gate, pid_t parent)
{
	struct pollfd p = {.fd = gate, .events = POLLIN};

	while (getppid() == parent && poll(&p, 1, PARENT_LOOK_MS) <= 0)
		;
}

static void close_in_child(const int *fds, size_t count, int gate, pid_t parent)
{
	wait_for_parent(gate, parent);
	channel_keep_only(fds, count);
	close_side_by_side(fds, count);
	_exit(0);
}

void disarm_all(const int *fds, size_t count)
{
	_cleanup_(closep) int read_end = -1;
	int gate[2] = {-1, -1};
	pid_t parent = getpid(), pid = -1;

	if (count && pipe2(gate, O_CLOEXEC) == 0)
		pid = fork();
	read_end = gate[0];
	if (pid == 0)
		close_in_child(fds, count, read_end, parent);
	if (pid < 0) {
		closep(&gate[1]);
		close_side_by_side(fds, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]); /* not the last: the child has not begun */
	while (write(gate[1], "", 1) < 0 && errno == EINTR)
		;
	close(gate[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
