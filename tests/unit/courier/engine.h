/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container engine of a test: a UNIX socket with an HTTP server on a thread that answers every
 * request with the same bytes, or not at all.
 */
#ifndef TT_TEST_ENGINE_H
#define TT_TEST_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct engine {
	char path[108];
	const char *answer; /* the whole of it; NULL: none ever comes */
	size_t answer_len;
	size_t repeat;	    /* the last byte so many times more */
	atomic_int served;  /* requests answered */
	char request[1024]; /* the last one */
	int fd;
	pthread_t thread;
};

static void engine_serve(struct engine *e, int fd)
{
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(e->request) - 1 && !strstr(e->request, "\r\n\r\n")) {
		n = read(fd, e->request + len, sizeof(e->request) - 1 - len);
		if (n <= 0)
			return;
		len += (size_t)n;
		e->request[len] = '\0';
	}
	for (char any; !e->answer && read(fd, &any, 1) > 0;)
		;
	n = send(fd, e->answer, e->answer_len, MSG_NOSIGNAL);
	for (size_t i = 0; i < e->repeat && n > 0; i++)
		n = send(fd, e->answer + e->answer_len - 1, 1, MSG_NOSIGNAL);
	e->served++;
}

/* One after another: a client that waits for nothing is never in the way of the next. */
static void *engine_main(void *arg)
{
	struct engine *e = arg;

	for (int fd; (fd = accept(e->fd, NULL, NULL)) >= 0; close(fd)) {
		memset(e->request, 0, sizeof(e->request));
		engine_serve(e, fd);
	}
	return NULL;
}

/* answer: a string that lives as long as the engine does. */
static void engine_start(struct engine *e, const char *answer)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static unsigned count;

	*e = (struct engine){.answer = answer, .answer_len = answer ? strlen(answer) : 0};
	snprintf(e->path, sizeof(e->path), "/tmp/tolltap-engine.%d.%u", getpid(), count++);
	memcpy(address.sun_path, e->path, sizeof(e->path));
	unlink(e->path);
	e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(e->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(e->fd, 64), 0);
	assert_int_equal(pthread_create(&e->thread, NULL, engine_main, e), 0);
}

static void engine_stop(struct engine *e)
{
	shutdown(e->fd, SHUT_RDWR);
	pthread_join(e->thread, NULL);
	close(e->fd);
	unlink(e->path);
}

#define HTTP_OK(body) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" body

#endif
