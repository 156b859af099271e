/* SPDX-License-Identifier: Apache-2.0 */
/* What a child in its role inherits, and an attempt that some roles are refused. */
#ifndef TT_TEST_INHERITED_H
#define TT_TEST_INHERITED_H

#include "role.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int listener; /* or the file a decoder reads */
static struct sockaddr_in peer_address;

static inline int listen_on(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
	return fd;
}

static inline long try_code_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	return fd < 0 ? fd : (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
}

#endif
