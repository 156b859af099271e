// SPDX-License-Identifier: Apache-2.0
/*
 * What a program may do to a meter by its mere number of things.
 *
 * usage: attack idle COUNT		COUNT connections, each with a request that never ends
 *        attack storm SECONDS RATE	RATE processes a second that start and end
 *        attack map FILE...		the files mapped, as libraries are
 *
 * idle and map print `open` and hold what they have until their standard input ends; storm prints
 * how many processes there were.
 */
#include "tests/load/pair.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNENDED                                  \
	"POST /v1/chat/completions HTTP/1.1\r\n" \
	"Host: api.openai.com\r\nContent-Length: 1000\r\n\r\n{\"model\":\"gpt-4o-mini\","
#define STARTERS   4  /* one alone waits for each of its programs to begin */
#define LIVING_MAX 16 /* processes of each at a time */

extern char **environ;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A key that both know: a handshake costs next to nothing. */
static unsigned give_key(unsigned char *key, unsigned size)
{
	memset(key, 'k', size < 16 ? size : 16);
	return size < 16 ? size : 16;
}

static unsigned client_key(SSL *ssl, const char *hint, char *name, unsigned name_size,
			   unsigned char *key, unsigned size)
{
	(void)ssl;
	(void)hint;
	snprintf(name, name_size, "attack");
	return give_key(key, size);
}

static unsigned server_key(SSL *ssl, const char *name, unsigned char *key, unsigned size)
{
	(void)ssl;
	(void)name;
	return give_key(key, size);
}

static void make_cheap(SSL_CTX *client, SSL_CTX *server)
{
	SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
	if (SSL_CTX_set_cipher_list(client, "PSK-AES128-GCM-SHA256") != 1 ||
	    SSL_CTX_set_cipher_list(server, "PSK-AES128-GCM-SHA256") != 1)
		die("no cipher");
	SSL_CTX_set_psk_client_callback(client, client_key);
	SSL_CTX_set_psk_server_callback(server, server_key);
}

static void hold(void)
{
	char byte;

	puts("open");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static int idle(size_t count)
{
	struct pair *pairs = calloc(count, sizeof(*pairs));
	SSL_CTX *client, *server;

	if (!pairs)
		die("no memory");
	pair_contexts(&client, &server);
	make_cheap(client, server);
	for (size_t i = 0; i < count; i++) {
		pairs[i] = pair_connect(client, server, "api.openai.com");
		pair_ask(&pairs[i], UNENDED, strlen(UNENDED));
	}
	hold();
	for (size_t i = 0; i < count; i++)
		pair_free(&pairs[i]);
	free(pairs);
	return 0;
}

/* Every fourth becomes another program, which maps a TLS library as this one does. */
static void start_one(unsigned long serial)
{
	char *argv[] = {"attack", "nothing", NULL};
	pid_t pid;

	if (serial % 4 == 0) {
		if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ))
			die("posix_spawn");
		return;
	}
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		_exit(0);
}

/* Returns how many were started. */
static unsigned long start_many(uint64_t begin_ns, uint64_t end_ns, uint64_t rate)
{
	unsigned long started = 0, living = 0;

	for (uint64_t now = begin_ns; now < end_ns; now = now_ns()) {
		const struct timespec soon = {.tv_nsec = 500000};

		while (living < LIVING_MAX && started < (now - begin_ns) * rate / 1000000000u) {
			start_one(started++);
			living++;
		}
		while (living && waitpid(-1, NULL, living < LIVING_MAX ? WNOHANG : 0) > 0)
			living--;
		nanosleep(&soon, NULL);
	}
	while (wait(NULL) > 0)
		;
	return started;
}

static int storm(uint64_t seconds, uint64_t rate)
{
	uint64_t begin_ns = now_ns(), end_ns = begin_ns + seconds * 1000000000u;
	unsigned long sum = 0,
		      *started = mmap(NULL, STARTERS * sizeof(*started), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (started == MAP_FAILED)
		die("mmap");
	for (int i = 0; i < STARTERS; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		started[i] = start_many(begin_ns, end_ns, rate / STARTERS);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < STARTERS; i++)
		sum += started[i];
	printf("%lu\n", sum);
	return 0;
}

static int map(char **paths)
{
	for (; *paths; paths++) {
		int fd = open(*paths, O_RDONLY | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) ||
		    mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) ==
			    MAP_FAILED)
			die("map");
		close(fd);
	}
	hold();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0;
	if (argc == 3 && strcmp(argv[1], "idle") == 0)
		return idle(strtoul(argv[2], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "storm") == 0)
		return storm(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
	if (argc > 1 && strcmp(argv[1], "map") == 0)
		return map(argv + 2);
	die("usage: attack idle COUNT | storm SECONDS RATE | map FILE...");
}
