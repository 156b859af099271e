/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct message {
	uint32_t a, b;
};

static int ends[2];

static int setup(void **state)
{
	(void)state;
	return channel_pair(ends);
}

static int teardown(void **state)
{
	(void)state;
	closep(&ends[0]);
	closep(&ends[1]);
	return 0;
}

static void carries_a_message_and_a_descriptor(void **state)
{
	const struct message sent = {1, 2};
	_cleanup_(closep) int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	struct message got;
	struct stat a, b;
	uint32_t pid;
	int fd;

	(void)state;
	assert_int_equal(channel_want_credentials(ends[1]), 0);
	assert_int_equal(channel_send(ends[0], &sent, sizeof(sent), file), 0);
	assert_int_equal(channel_recv(ends[1], &got, sizeof(got), &fd, &pid), 0);
	assert_memory_equal(&got, &sent, sizeof(got));
	assert_int_equal(pid, getpid());
	assert_int_equal(fstat(file, &a), 0);
	assert_int_equal(fstat(fd, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(channel_send(ends[0], &sent, sizeof(sent), -1), 0);
	assert_int_equal(channel_recv(ends[1], &got, sizeof(got), &fd, &pid), 0);
	assert_int_equal(fd, -1);
}

static void refuses_another_length(void **state)
{
	char bytes[64] = {0};
	struct message got = {7, 7};
	int fd = -2;

	(void)state;
	for (size_t len = 1; len <= sizeof(bytes); len++) {
		int want = len == sizeof(got) ? 0 : -EBADMSG;

		assert_int_equal(channel_send(ends[0], bytes, len, -1), 0);
		assert_int_equal(channel_recv(ends[1], &got, sizeof(got), &fd, NULL), want);
	}
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A peer that adds descriptors must not fill our table. */
static void closes_what_was_not_asked_for(void **state)
{
	char control[CMSG_SPACE(3 * sizeof(int))] = {0};
	struct message m = {0};
	struct iovec part = {&m, sizeof(m)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	int fds[3] = {0, 1, 2}, before, fd;

	(void)state;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(head), fds, sizeof(fds));
	before = open_descriptors();
	assert_int_equal(sendmsg(ends[0], &message, 0), sizeof(m));
	assert_int_equal(channel_recv(ends[1], &m, sizeof(m), &fd, NULL), -EBADMSG);
	assert_int_equal(open_descriptors(), before);
}

static void tells_the_end(void **state)
{
	struct message m = {0};
	int fd;

	(void)state;
	closep(&ends[0]);
	assert_int_equal(channel_recv(ends[1], &m, sizeof(m), &fd, NULL), -EPIPE);
	assert_int_equal(channel_send(ends[1], &m, sizeof(m), -1), -EPIPE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(carries_a_message_and_a_descriptor),
		TEST(refuses_another_length),
		TEST(closes_what_was_not_asked_for),
		TEST(tells_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
