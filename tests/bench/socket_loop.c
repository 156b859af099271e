/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nanoseconds of one system call of each kind: one that is not looked at (getppid), a read of a
 * file, and a send of 1,000 bytes to an echoing child on PORT with the read of its answer. Prints
 * the three.
 *
 * usage: socket_loop PORT COUNT
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES 1000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void move_all(int fd, char *buf, int sends)
{
	for (ssize_t done = 0, n; done < BYTES; done += n) {
		n = sends ? write(fd, buf + done, (size_t)(BYTES - done))
			  : read(fd, buf + done, (size_t)(BYTES - done));
		if (n <= 0)
			exit(n < 0);
	}
}

static _Noreturn void echo(int listener)
{
	int fd = accept(listener, NULL, NULL), one = 1;
	char buf[BYTES];

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (;;) {
		move_all(fd, buf, 0);
		move_all(fd, buf, 1);
	}
}

static int connect_to_echo(int port, pid_t *child)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (void *)&addr, sizeof(addr)) || listen(listener, 1))
		die("bind");
	*child = fork();
	if (*child == 0)
		echo(listener);
	if (connect(fd, (void *)&addr, sizeof(addr)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int main(int argc, char **argv)
{
	int port = argc > 2 ? (int)strtol(argv[1], NULL, 10) : 0;
	int count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
	int zero = open("/dev/zero", O_RDONLY), fd;
	char buf[BYTES] = "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n", byte;
	uint64_t at[4];
	pid_t child;

	fd = connect_to_echo(port, &child);
	move_all(fd, buf, 1); /* the gate knows the connection from here on */
	move_all(fd, buf, 0);
	at[0] = now_ns();
	for (int i = 0; i < count; i++)
		syscall(SYS_getppid);
	at[1] = now_ns();
	for (int i = 0; i < count; i++) {
		if (read(zero, &byte, 1) != 1)
			die("read");
	}
	at[2] = now_ns();
	for (int i = 0; i < count / 10; i++) {
		move_all(fd, buf, 1);
		move_all(fd, buf, 0);
	}
	at[3] = now_ns();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	printf("%.1f %.1f %.1f\n", (double)(at[1] - at[0]) / count, (double)(at[2] - at[1]) / count,
	       (double)(at[3] - at[2]) / (count / 10));
	return 0;
}
