/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_TAKEN_MAX                                                              \
	8 /* room for what a hostile peer may add; all but one is a broken message \
	   */

/* Room for the control messages of one message, aligned as cmsg(3) asks. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(FDS_TAKEN_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

int channel_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) ? -errno : 0;
}

int channel_want_credentials(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ? -errno : 0;
}

int channel_send(int fd, const void *data, size_t len, int pass_fd)
{
	struct iovec part = {(void *)(uintptr_t)data, len};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control = {0};
	ssize_t n;

	if (pass_fd >= 0) {
		struct cmsghdr *head;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int));
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &pass_fd, sizeof(pass_fd));
	}
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Takes what came beside the bytes. Returns the count of descriptors; only the first is kept. */
static size_t take_control(struct msghdr *message, int *fd, uint32_t *pid)
{
	size_t fds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && len == sizeof(struct ucred)) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			*pid = (uint32_t)cred.pid;
		}
		for (size_t i = 0; c->cmsg_type == SCM_RIGHTS && i < len / sizeof(int); i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (fds++ == 0)
				*fd = got;
			else
				close(got);
		}
	}
	return fds;
}

int channel_recv(int fd, void *data, size_t len, int *passed_fd, uint32_t *sender_pid)
{
	struct iovec part = {data, len};
	union control control;
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	_cleanup_(closep) int got = -1;
	uint32_t pid = 0;
	size_t fds;
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fds = take_control(&message, &got, &pid);
	if (n == 0)
		return -EPIPE;
	if ((size_t)n != len || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || fds > 1)
		return -EBADMSG;
	*passed_fd = TAKE_FD(got);
	if (sender_pid)
		*sender_pid = pid;
	return 0;
}

void channel_keep_only(const int *fds, size_t count)
{
	unsigned from = STDERR_FILENO + 1;

	/* The gaps between what is kept, smallest first. */
	for (;;) {
		unsigned next = ~0u;

		for (size_t i = 0; i < count; i++) {
			if (fds[i] >= 0 && (unsigned)fds[i] >= from && (unsigned)fds[i] < next)
				next = (unsigned)fds[i];
		}
		if (next > from)
			close_range(from, next == ~0u ? ~0u : next - 1, 0);
		if (next == ~0u)
			return;
		from = next + 1;
	}
}
