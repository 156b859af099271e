/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/disarm.h"

#include "agent/privsep/channel.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

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

void disarm_all(const int *fds, size_t count)
{
	pid_t pid = count ? fork() : -1;

	if (pid == 0) {
		channel_keep_only(fds, count);
		close_side_by_side(fds, count);
		_exit(0);
	}
	if (pid < 0) {
		close_side_by_side(fds, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]); /* not the last */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
