/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP side: /metrics, /healthz, /readyz and a landing page, by libmicrohttpd on an external
 * epoll: no threads of its own. Loopback unless told otherwise.
 */
#ifndef TT_HTTP_H
#define TT_HTTP_H

#include "exporter/aggregate.h"

struct http_server;

struct http_env {
	struct aggregate *aggregate;
	/* False and a reason when the agent cannot meter or record. */
	bool (*ready)(void *user, char *why, size_t why_size);
	/* status.json's text; the caller frees it. NULL on no memory. */
	char *(*status_json)(void *user);
	/* Called before each /metrics render, to refresh counters kept elsewhere. */
	void (*refresh)(void *user);
	void *user;
};

/*
 * Listens on HOST:PORT, [V6]:PORT or :PORT. Whoever may open sockets does it, for a server that may
 * not. Returns a descriptor, or -errno with one line in err.
 */
int http_listen(const char *address, char *err, size_t err_size) TT_MUST_CHECK;

/* Serves on a listening socket, which is taken also on failure. Returns 0 or -errno. */
int http_server_new(struct http_server **out, int listen_fd,
		    const struct http_env *env) TT_MUST_CHECK;
void http_server_free(struct http_server *s);
int http_server_fd(const struct http_server *s); /* poll for input, then call http_server_run */
void http_server_run(struct http_server *s);
/* Milliseconds until http_server_run is due without input; -1 = never. */
int http_server_timeout_ms(const struct http_server *s);
/* The bound port (useful with port 0). */
int http_server_port(const struct http_server *s);

#endif
