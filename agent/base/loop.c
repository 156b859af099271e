/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int loop_open(struct loop *loop)
{
	*loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_close(struct loop *loop)
{
	closep(&loop->epoll_fd);
}

int loop_add(struct loop *loop, int fd, void (*ready)(void *user), void *user)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (loop->count == LOOP_SOURCES_MAX)
		return -ENOSPC;
	event.data.u32 = (uint32_t)loop->count;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	loop->source[loop->count++] = (struct loop_source){fd, ready, user};
	return 0;
}

int loop_once(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_SOURCES_MAX];
	int n = epoll_wait(loop->epoll_fd, events, LOOP_SOURCES_MAX, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		const struct loop_source *source = &loop->source[events[i].data.u32];

		source->ready(source->user);
	}
	return 0;
}

int timer_open(uint64_t period_ns)
{
	struct timespec period = {
		.tv_sec = (time_t)(period_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(period_ns % NSEC_PER_SEC),
	};
	struct itimerspec spec = {.it_interval = period, .it_value = period};
	_cleanup_(closep) int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

void timer_drain(int fd)
{
	uint64_t expirations;

	while (read(fd, &expirations, sizeof(expirations)) > 0)
		;
}
