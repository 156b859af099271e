/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_client PORT SECONDS: one chat call over a connection that is open for SECONDS before it.
 * -DSTRICT: under a seccomp filter that knows what this program needs and kills it for all else.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char request[] =
	"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nConnection: close\r\n"
	"Content-Length: 67\r\n\r\n"
	"{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

#ifdef STRICT
#include "strict.h"
#else
static int restrict_self(void)
{
	return 0;
}
#endif

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
	double seconds;
	char answer[4096];

	if (argc != 3 || !ssl)
		return 2;
	address.sin_port = htons((unsigned short)strtoul(argv[1], NULL, 10));
	seconds = strtod(argv[2], NULL);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) || !SSL_set_fd(ssl, fd) ||
	    !SSL_set_tlsext_host_name(ssl, "api.openai.com") || SSL_connect(ssl) != 1)
		return 3;
	nanosleep(&(struct timespec){.tv_sec = (time_t)seconds,
				     .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)},
		  NULL);
	if (restrict_self() || SSL_write(ssl, request, sizeof(request) - 1) <= 0)
		return 4;
	while (SSL_read(ssl, answer, sizeof(answer)) > 0)
		;
	return 0;
}
