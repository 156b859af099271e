/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kubelet of a test: a TCP server on a thread that answers every request with the same bytes, or
 * not at all, without TLS.
 */
#ifndef TT_TEST_SERVER_H
#define TT_TEST_SERVER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define POD(id, name)                                                               \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"shop\"},\"status\":{" \
	"\"containerStatuses\":[{\"name\":\"c\",\"containerID\":\"containerd://" id "\"}]}}"
#define LIST(pods) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"items\":[" pods "]}"

struct server {
	int fd;
	unsigned port;
	const char *_Atomic answer; /* NULL: none ever comes */
	atomic_uint served;
	char request[1024]; /* the last one */
	pthread_t thread;
};

static void serve(struct server *s, int fd)
{
	size_t len = 0;
	ssize_t n;

	memset(s->request, 0, sizeof(s->request));
	while (len < sizeof(s->request) - 1 && !strstr(s->request, "\r\n\r\n")) {
		n = read(fd, s->request + len, sizeof(s->request) - 1 - len);
		if (n <= 0)
			return;
		len += (size_t)n;
	}
	s->served++;
	for (char any; !s->answer && read(fd, &any, 1) > 0;)
		;
	if (s->answer)
		(void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
}

static void *server_main(void *arg)
{
	struct server *s = arg;

	for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0; close(fd))
		serve(s, fd);
	return NULL;
}

static void server_start(struct server *s, const char *answer)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*s = (struct server){.answer = answer};
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &len), 0);
	s->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

#endif
