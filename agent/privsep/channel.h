/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the agent's own processes: whole, of bounded size, with at most one descriptor
 * and with the sender's credentials from the kernel. Nothing is parsed here.
 */
#ifndef TT_CHANNEL_H
#define TT_CHANNEL_H

#include "agent/base/base.h"

/* A connected pair of SOCK_SEQPACKET sockets, close-on-exec. Returns 0 or -errno. */
int channel_pair(int fds[2]) TT_MUST_CHECK;

/*
 * Sends one message and, when pass_fd >= 0, a duplicate of that descriptor. Returns 0 or -errno:
 * -EPIPE the peer is gone, -EAGAIN only on a socket that was made non-blocking.
 */
int channel_send(int fd, const void *data, size_t len, int pass_fd) TT_MUST_CHECK;

/*
 * Receives exactly one message of exactly `len` bytes. *passed_fd becomes the descriptor that came
 * with it or -1, the caller's to close. sender_pid, if not NULL, is filled where the socket has
 * SO_PASSCRED (channel_want_credentials), else 0. Returns 0, -EPIPE at the end, -EBADMSG for
 * another length or more than one descriptor (all closed), or -errno.
 */
int channel_recv(int fd, void *data, size_t len, int *passed_fd,
		 uint32_t *sender_pid) TT_MUST_CHECK;

/* After a fork: closes every descriptor above the standard ones but these; -1 is passed over. */
void channel_keep_only(const int *fds, size_t count);

/* From now on each message carries its sender's pid. Returns 0 or -errno. */
int channel_want_credentials(int fd) TT_MUST_CHECK;

#endif
