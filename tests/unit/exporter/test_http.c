/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/http.h"
#include "sample.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct aggregate *aggregate;
static struct http_server *server;
static char err[512];
static char got[256 << 10];
static bool is_ready = true;
static int refreshed;

static bool ready(void *user, char *why, size_t why_size)
{
	(void)user;
	snprintf(why, why_size, "the disk refuses rows");
	return is_ready;
}

static char *status_json(void *user)
{
	(void)user;
	return strdup("{\"pid\":7}");
}

static void refresh(void *user)
{
	(void)user;
	refreshed++;
}

static struct http_env env = {.ready = ready, .status_json = status_json, .refresh = refresh};

/* Listens and serves: what the agent's processes do one after the other. */
static int serve(struct http_server **out, const char *address)
{
	int fd = http_listen(address, err, sizeof(err));

	return fd < 0 ? fd : http_server_new(out, fd, &env);
}

static int setup(void **state)
{
	struct call call;

	(void)state;
	if (aggregate_new(&aggregate))
		return -1;
	sample_call(&call, 0);
	aggregate_add(aggregate, &call, call.model);
	env.aggregate = aggregate;
	return serve(&server, "127.0.0.1:0");
}

static int teardown(void **state)
{
	(void)state;
	http_server_free(server);
	aggregate_free(aggregate);
	return 0;
}

static int dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)http_server_port(server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* One turn of the agent's loop: waits on both ends. False when the client has the end of stream. */
static bool turn(int fd, size_t *len)
{
	struct pollfd fds[2] = {{.fd = http_server_fd(server), .events = POLLIN},
				{.fd = fd, .events = POLLIN}};
	int wait = http_server_timeout_ms(server);
	ssize_t n;

	poll(fds, 2, wait < 0 || wait > 1000 ? 1000 : wait);
	http_server_run(server);
	if (!(fds[1].revents & (POLLIN | POLLHUP)))
		return true;
	n = recv(fd, got + *len, sizeof(got) - 1 - *len, MSG_DONTWAIT);
	if (n > 0)
		*len += (size_t)n;
	got[*len] = '\0';
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void ask(const char *request)
{
	int fd = dial();
	size_t len = 0;

	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	for (int i = 0; i < 2000 && turn(fd, &len); i++)
		;
	close(fd);
}

#define GET(path, more) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" more "\r\n"

static void expect_answer(const char *request, const char *status, const char *type,
			  const char *body_part)
{
	char line[64], header[128];

	ask(request);
	snprintf(line, sizeof(line), "HTTP/1.1 %s", status);
	snprintf(header, sizeof(header), "Content-Type: %s\r\n", type);
	if (strncmp(got, line, strlen(line)) || !strstr(got, header) || !strstr(got, body_part))
		fail_msg("expected %s, %s, %s; got:\n%.2000s", status, type, body_part, got);
}

static void test_resources(void **state)
{
	(void)state;
	expect_answer(GET("/healthz", ""), "200", "text/plain; charset=utf-8", "\r\n\r\nok\n");
	expect_answer(GET("/readyz", ""), "200", "text/plain; charset=utf-8", "\r\n\r\nready\n");
	is_ready = false;
	expect_answer(GET("/readyz", ""), "503", "text/plain; charset=utf-8",
		      "\r\n\r\nthe disk refuses rows\n");
	is_ready = true;
	expect_answer(GET("/api/v1/status", ""), "200", "application/json",
		      "\r\n\r\n{\"status\":\"success\",\"data\":{\"pid\":7}}\n");
	expect_answer(GET("/", ""), "200", "text/html; charset=utf-8", "<title>Tolltap</title>");
	assert_non_null(strstr(got, "Content-Security-Policy: default-src 'none'"));
	expect_answer(GET("/nothing", ""), "404", "text/plain; charset=utf-8", "see /");
}

static void test_metrics(void **state)
{
	int before = refreshed;

	(void)state;
	expect_answer(GET("/metrics", ""), "200", "text/plain; version=0.0.4; charset=utf-8",
		      "\ntolltap_cost_usd_total{");
	assert_null(strstr(got, "# EOF"));
	expect_answer(GET("/metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*\r\n"),
		      "200", "application/openmetrics-text; version=1.0.0; charset=utf-8",
		      "\n# EOF\n");
	assert_int_equal(refreshed - before, 2);
}

static void test_methods(void **state)
{
	(void)state;
	expect_answer("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200",
		      "text/plain; version=0.0.4; charset=utf-8", "\r\n\r\n");
	assert_null(strstr(got, "tolltap_cost"));
	expect_answer("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		      "Content-Length: 2\r\n\r\nhi",
		      "405", "text/plain; charset=utf-8", "only GET and HEAD");
	assert_non_null(strstr(got, "Allow: GET, HEAD\r\n"));
}

/* Garbage and a client that says nothing do not keep others from their answer. */
static void test_bad_clients(void **state)
{
	int silent = dial();

	(void)state;
	ask("\x16\x03\x01 nonsense\r\n\r\n");
	expect_answer(GET("/healthz", ""), "200", "text/plain; charset=utf-8", "ok\n");
	close(silent);
}

static void test_refused_addresses(void **state)
{
	static const char *const bad[] = {
		"",	  "localhost", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http",
		"::1:80", ":-1"};
	struct http_server *second = NULL;
	char address[64], expected[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(serve(&second, bad[i]), -EINVAL);
	snprintf(address, sizeof(address), "127.0.0.1:%d", http_server_port(server));
	snprintf(expected, sizeof(expected),
		 "cannot listen on %s: address in use; choose another --web.listen-address",
		 address);
	assert_int_equal(serve(&second, address), -EADDRINUSE);
	assert_string_equal(err, expected);
	assert_int_equal(serve(&second, "192.0.2.1:0"), -EADDRNOTAVAIL);
	assert_null(second);
	assert_int_equal(serve(&second, ":0"), 0);
	assert_true(http_server_port(second) > 0);
	http_server_free(second);
}

/* ":PORT" is every address: the IPv4 client of the other tests reaches it. */
static void test_wildcard(void **state)
{
	struct http_server *loopback = server;

	(void)state;
	assert_int_equal(serve(&server, ":0"), 0);
	expect_answer(GET("/healthz", ""), "200", "text/plain; charset=utf-8", "ok\n");
	http_server_free(server);
	server = loopback;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resources),	  cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_methods),		  cmocka_unit_test(test_bad_clients),
		cmocka_unit_test(test_refused_addresses), cmocka_unit_test(test_wildcard),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
