/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/http.h"

#include "agent/base/log.h"
#include "exporter/landing.h"
#include "exporter/text.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX	       64
#define CONNECTIONS_PER_IP_MAX 32
#define CONNECTION_BYTES       (32u << 10) /* request line, headers and bookkeeping */
#define IDLE_TIMEOUT_S	       30
#define WHY_MAX		       256

struct http_server {
	struct MHD_Daemon *daemon;
	struct http_env env;
	int epoll_fd;
	int port;
};

/* ---- answers ----------------------------------------------------------------------------- */

/* What a resource answers; body is owned by the answer when `freed`. */
struct answer {
	int status;
	const char *type;
	const char *policy; /* Content-Security-Policy, or NULL */
	char *body;
	size_t len;
	bool freed;
};

static struct answer fixed(int status, const char *type, const char *body)
{
	return (struct answer){
		.status = status, .type = type, .body = (char *)body, .len = strlen(body)};
}

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_JSON  "application/json"
#define TEXT_PROM  "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_OM	   "application/openmetrics-text; version=1.0.0; charset=utf-8"

static struct answer no_memory(void)
{
	return fixed(503, TEXT_PLAIN, "no memory for this answer\n");
}

static struct answer owned(const char *type, char *body, size_t len)
{
	return (struct answer){
		.status = 200, .type = type, .body = body, .len = len, .freed = true};
}

static struct answer get_metrics(struct http_server *s, const char *accept)
{
	bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
	size_t len;
	char *body;

	if (s->env.refresh)
		s->env.refresh(s->env.user);
	if (aggregate_render(s->env.aggregate, openmetrics, &body, &len))
		return no_memory();
	return owned(openmetrics ? TEXT_OM : TEXT_PROM, body, len);
}

static struct answer get_healthz(struct http_server *s, const char *accept)
{
	(void)s;
	(void)accept;
	return fixed(200, TEXT_PLAIN, "ok\n");
}

static struct answer get_readyz(struct http_server *s, const char *accept)
{
	struct text why = TEXT_INIT(WHY_MAX + 2);
	char reason[WHY_MAX] = "";
	struct answer answer;

	(void)accept;
	if (!s->env.ready || s->env.ready(s->env.user, reason, sizeof(reason)))
		return fixed(200, TEXT_PLAIN, "ready\n");
	text_printf(&why, "%s\n", *reason ? reason : "not ready");
	if (!text_cstr(&why))
		return no_memory();
	answer = owned(TEXT_PLAIN, why.ptr, why.len);
	answer.status = 503;
	return answer;
}

static struct answer get_status(struct http_server *s, const char *accept)
{
	struct text json = TEXT_INIT(16u << 20);
	_cleanup_(freep) char *data = NULL;

	(void)accept;
	if (s->env.status_json)
		data = s->env.status_json(s->env.user);
	if (!data)
		return fixed(503, TEXT_JSON,
			     "{\"status\":\"error\",\"error\":\"the status is not known\"}\n");
	text_puts(&json, "{\"status\":\"success\",\"data\":");
	text_puts(&json, data);
	text_puts(&json, "}\n");
	if (!text_cstr(&json)) {
		text_free(&json);
		return no_memory();
	}
	return owned(TEXT_JSON, json.ptr, json.len);
}

static struct answer get_landing(struct http_server *s, const char *accept)
{
	struct answer answer = fixed(200, "text/html; charset=utf-8", landing_page);

	(void)s;
	(void)accept;
	answer.policy = LANDING_POLICY;
	return answer;
}

static const struct {
	const char *path;
	struct answer (*get)(struct http_server *s, const char *accept);
} resources[] = {
	{"/", get_landing},	 {"/metrics", get_metrics},	 {"/healthz", get_healthz},
	{"/readyz", get_readyz}, {"/api/v1/status", get_status},
};

static struct answer answer_for(struct http_server *s, struct MHD_Connection *connection,
				const char *path, const char *method)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return fixed(405, TEXT_PLAIN, "only GET and HEAD\n");
	for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
		if (!strcmp(resources[i].path, path))
			return resources[i].get(s, accept);
	}
	return fixed(404, TEXT_PLAIN, "not here; see /\n");
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		answer->len, answer->body,
		answer->freed ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response) {
		if (answer->freed)
			free(answer->body);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", answer->type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (answer->policy)
		MHD_add_response_header(response, "Content-Security-Policy", answer->policy);
	if (answer->status == 405)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	result = MHD_queue_response(connection, (unsigned)answer->status, response);
	MHD_destroy_response(response);
	return result;
}

/*
 * Called once for the head and again for a body; the answer is queued at the first call, so that a
 * body is never taken.
 */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	struct answer answer = answer_for(user, connection, url, method);

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	return send_answer(connection, &answer);
}

/* A peer's broken request is its own affair: the library's messages are for debugging. */
__attribute__((format(printf, 2, 0))) static void library_log(void *user, const char *fmt,
							      va_list args)
{
	char line[256];

	(void)user;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("http", "%s", line);
}

/* ---- listening --------------------------------------------------------------------------- */

static int bad_address(const char *address, char *err, size_t err_size)
{
	snprintf(
		err, err_size,
		"--web.listen-address: '%.100s' is no address; write HOST:PORT, [V6]:PORT or :PORT",
		address);
	return -EINVAL;
}

/* Splits at the last colon; brackets around an IPv6 host are dropped. */
static int split_address(const char *address, char *host, size_t host_size, const char **port)
{
	const char *colon = strrchr(address, ':');
	struct slice name = {address, colon ? (size_t)(colon - address) : 0};

	if (!colon || !colon[1] || strlen(colon + 1) > 5 ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return -EINVAL;
	if (name.len > 1 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']') {
		name.ptr++;
		name.len -= 2;
	} else if (memchr(name.ptr, ':', name.len)) {
		return -EINVAL;
	}
	*port = colon + 1;
	return slice_copy(host, host_size, name) ? 0 : -EINVAL;
}

static int listen_one(const struct addrinfo *info)
{
	_cleanup_(closep) int fd =
		socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       info->ai_protocol);
	int on = 1, off = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, CONNECTIONS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Without a host the IPv6 wildcard comes first: it takes IPv4 too. */
static int listen_any(const struct addrinfo *found, bool wildcard)
{
	int fd = -EADDRNOTAVAIL;

	for (const struct addrinfo *i = found; wildcard && i && fd < 0; i = i->ai_next) {
		if (i->ai_family == AF_INET6)
			fd = listen_one(i);
	}
	for (const struct addrinfo *i = found; i && fd < 0; i = i->ai_next)
		fd = listen_one(i);
	return fd;
}

static int listen_failed(int code, const char *address, char *err, size_t err_size)
{
	const char *what = code == -EADDRINUSE ? "address in use" : strerror(-code);

	snprintf(err, err_size, "cannot listen on %s: %s; choose another --web.listen-address",
		 address, what);
	return code;
}

int http_listen(const char *address, char *err, size_t err_size)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	char host[256];
	const char *port;
	int fd;

	if (split_address(address, host, sizeof(host), &port) || strtol(port, NULL, 10) > 65535)
		return bad_address(address, err, err_size);
	if (getaddrinfo(*host ? host : NULL, port, &hints, &found))
		return listen_failed(-EADDRNOTAVAIL, address, err, err_size);
	fd = listen_any(found, !*host);
	freeaddrinfo(found);
	return fd < 0 ? listen_failed(fd, address, err, err_size) : fd;
}

static int port_of(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char port[16];

	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&at, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV))
		return 0;
	return (int)strtol(port, NULL, 10);
}

/* ---- life -------------------------------------------------------------------------------- */

static int start_daemon(struct http_server *s, int fd)
{
	const union MHD_DaemonInfo *info;

	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, s,
		MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_IP_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_END);
	if (!s->daemon)
		return -ENOMEM;
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	s->epoll_fd = info ? info->epoll_fd : -1;
	return s->epoll_fd < 0 ? -ENOSYS : 0;
}

int http_server_new(struct http_server **out, int listen_fd, const struct http_env *env)
{
	struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		close(listen_fd);
		return -ENOMEM;
	}
	s->env = *env;
	s->port = port_of(listen_fd);
	r = start_daemon(s, listen_fd);
	if (!s->daemon)
		close(listen_fd); /* else the daemon closes it */
	if (r) {
		http_server_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	free(s);
}

int http_server_fd(const struct http_server *s)
{
	return s->epoll_fd;
}

void http_server_run(struct http_server *s)
{
	MHD_run(s->daemon);
}

int http_server_timeout_ms(const struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
		return -1;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}
