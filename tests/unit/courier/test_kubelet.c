/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the kubelet is asked, and what its answers make of look-ups. It is a TCP server of the test,
 * without TLS; with it the courier is tried in tests/e2e/test_kubernetes.py.
 */
#include "agent/courier/kubelet.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "agent/courier/libcurl.h"
#include "server.h"

#define START_NS (1000 * NSEC_PER_SEC)
#define MS	 NSEC_PER_MSEC
#define A	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B	 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* ---- the bench ------------------------------------------------------------------------------ */

struct bench {
	struct server server;
	struct fetcher *fetcher;
	struct kubelet *kubelet;
	uint64_t now_ns;
	char url[64];
	unsigned told;
	enum courier_result result; /* the last one */
	struct courier_answer facts;
};

static void on_told(void *user, enum courier_result result, const struct courier_answer *facts)
{
	struct bench *b = user;

	b->told++;
	b->result = result;
	assert_int_equal(facts != NULL, result == COURIER_FOUND);
	b->facts = facts ? *facts : (struct courier_answer){0};
}

static void bench_open(struct bench *b, const char *answer)
{
	struct kubelet_opts opts = {.node = "node-7", .token_file = "/nonexistent/token"};

	*b = (struct bench){.now_ns = START_NS};
	server_start(&b->server, answer);
	snprintf(b->url, sizeof(b->url), "http://127.0.0.1:%u/", b->server.port);
	opts.url = b->url;
	assert_int_equal(fetcher_new(&b->fetcher), 0);
	assert_int_equal(kubelet_new(&b->kubelet, b->fetcher, &opts), 0);
}

static void bench_close(struct bench *b)
{
	kubelet_free(b->kubelet);
	fetcher_free(b->fetcher);
	server_stop(&b->server);
}

static void look_up(struct bench *b, const char *id)
{
	kubelet_look_up(b->kubelet, id, b->now_ns, on_told, b);
}

/* Until so many were told, while the kubelet's clock stands; false when none are for 0.3 s. */
static bool wait_told(struct bench *b, unsigned told)
{
	for (unsigned i = 0; i < 300 && b->told < told; i++) {
		assert_int_equal(fetcher_run(b->fetcher, NULL, 0, 10), 0);
		if (kubelet_due_ms(b->kubelet, b->now_ns, 60000) < 60000 && i > 30)
			return false;
	}
	return b->told >= told;
}

static void expect(struct bench *b, unsigned told, enum courier_result result, const char *pod,
		   unsigned served)
{
	assert_true(wait_told(b, told));
	assert_int_equal(b->told, told);
	assert_int_equal(b->result, result);
	assert_string_equal(b->facts.text[COURIER_POD], pod);
	assert_int_equal(b->server.served, served);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_list_is_believed_for_a_while(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, LIST(POD(A, "web-1")));
	look_up(&b, A);
	expect(&b, 1, COURIER_FOUND, "web-1", 1);
	assert_string_equal(b.facts.text[COURIER_NODE], "node-7"); /* the pod did not say it */
	assert_ptr_equal(strstr(b.server.request, "GET /pods HTTP/1.1\r\n"), b.server.request);
	/* Without TLS no token is read, nor sent. */
	assert_null(strcasestr(b.server.request, "authorization"));
	b.now_ns += KUBELET_FRESH_MS * MS - 1;
	look_up(&b, A);
	expect(&b, 2, COURIER_FOUND, "web-1", 1);
	b.server.answer = LIST(POD(A, "web-2"));
	b.now_ns += 1;
	look_up(&b, A);
	expect(&b, 3, COURIER_FOUND, "web-2", 2);
	bench_close(&b);
}

/* A container that the list does not have may be new: it is asked for at once, and once more. */
static void an_unknown_container_is_asked_for_at_once(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, LIST(POD(A, "web-1")));
	look_up(&b, A);
	expect(&b, 1, COURIER_FOUND, "web-1", 1);
	b.now_ns += KUBELET_GAP_MS * MS;
	look_up(&b, B);
	assert_false(wait_told(&b, 2));
	assert_int_equal(b.server.served, 2);
	b.server.answer = LIST(POD(A, "web-1") "," POD(B, "new-1"));
	assert_int_equal(kubelet_due_ms(b.kubelet, b.now_ns, 60000), KUBELET_GAP_MS + 1);
	b.now_ns += KUBELET_GAP_MS * MS;
	kubelet_run(b.kubelet, b.now_ns);
	expect(&b, 2, COURIER_FOUND, "new-1", 3);
	bench_close(&b);
}

static void a_container_that_stays_unknown_is_told_so(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, LIST(POD(A, "web-1")));
	look_up(&b, B);
	for (unsigned i = 1; i < KUBELET_TRIES; i++) {
		assert_false(wait_told(&b, 1));
		b.now_ns += KUBELET_GAP_MS * MS;
		kubelet_run(b.kubelet, b.now_ns);
	}
	expect(&b, 1, COURIER_UNKNOWN, "", KUBELET_TRIES);
	assert_int_equal(kubelet_due_ms(b.kubelet, b.now_ns, 60000), 60000);
	bench_close(&b);
}

/* Many at once are one question, and the next is not before its time. */
static void questions_are_bounded(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, LIST(POD(A, "web-1")));
	for (unsigned i = 0; i < KUBELET_LOOKUPS_MAX; i++)
		look_up(&b, A);
	assert_int_equal(b.told, 0);
	look_up(&b, A); /* one more than there is room for */
	assert_int_equal(b.told, 1);
	assert_int_equal(b.result, COURIER_FAILED);
	expect(&b, KUBELET_LOOKUPS_MAX + 1, COURIER_FOUND, "web-1", 1);
	look_up(&b, B);
	b.now_ns += KUBELET_GAP_MS * MS - 1;
	kubelet_run(b.kubelet, b.now_ns);
	assert_false(wait_told(&b, KUBELET_LOOKUPS_MAX + 2));
	assert_int_equal(b.server.served, 1);
	/* What is forgotten is not told, and nobody is asked for it. */
	kubelet_forget(b.kubelet, &b);
	b.now_ns += KUBELET_GAP_MS * MS;
	kubelet_run(b.kubelet, b.now_ns);
	assert_int_equal(kubelet_due_ms(b.kubelet, b.now_ns, 60000), 60000);
	assert_int_equal(b.told, KUBELET_LOOKUPS_MAX + 1);
	bench_close(&b);
}

static void a_kubelet_that_fails_is_left_alone_for_a_while(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\nUnauthorized",
		"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: /pods\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"kind\":\"Status\"}",
		"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"items\":[]}",
		"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct bench b;

		bench_open(&b, answers[i]);
		look_up(&b, A);
		expect(&b, 1, COURIER_FAILED, "", 1);
		b.now_ns += KUBELET_RETRY_MS * MS - 1;
		look_up(&b, A);
		assert_int_equal(b.told, 2); /* at once */
		expect(&b, 2, COURIER_FAILED, "", 1);
		b.server.answer = LIST(POD(A, "web-1"));
		b.now_ns += 1;
		look_up(&b, A);
		expect(&b, 3, COURIER_FOUND, "web-1", 2);
		bench_close(&b);
	}
}

static void nobody_there_is_a_failure(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, "");
	shutdown(b.server.fd, SHUT_RDWR); /* refused from now on */
	look_up(&b, A);
	expect(&b, 1, COURIER_FAILED, "", 0);
	bench_close(&b);
}

/* ---- the token ------------------------------------------------------------------------------ */

/* By TLS the token is needed, so nothing is sent without one. */
static void a_token_that_is_none_is_not_sent(void **state)
{
	static const char *const texts[] = {NULL /* no file */, "",	"\n", "a b",
					    "a\r\nX-Evil: 1",	"a\x80"};
	char path[] = "/tmp/tolltap-token.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct kubelet_opts opts = {.url = "https://127.0.0.1:1",
					    .token_file = texts[i] ? path : "/nonexistent/t"};
		struct bench b = {.now_ns = START_NS};

		assert_int_equal(ftruncate(fd, 0), 0);
		if (texts[i])
			assert_int_equal(pwrite(fd, texts[i], strlen(texts[i]), 0),
					 strlen(texts[i]));
		assert_int_equal(fetcher_new(&b.fetcher), 0);
		assert_int_equal(kubelet_new(&b.kubelet, b.fetcher, &opts), 0);
		look_up(&b, A);
		assert_int_equal(b.told, 1);
		assert_int_equal(b.result, COURIER_FAILED);
		kubelet_free(b.kubelet);
		fetcher_free(b.fetcher);
	}
	close(fd);
	unlink(path);
}

/* ---- where it is ---------------------------------------------------------------------------- */

static void a_pod_knows_its_kubelet(void **state)
{
	static const struct {
		const char *url, *node, *service_host, *node_name;
		int rc;
		const char *made_url, *made_node;
	} rows[] = {
		{NULL, NULL, "10.0.0.1", "node-7", 0, "https://node-7:10250", "node-7"},
		{NULL, "n8", "10.0.0.1", "node-7", 0, "https://n8:10250", "n8"},
		{NULL, NULL, NULL, "node-7", 0, NULL, "node-7"},
		{NULL, NULL, "", "node-7", 0, NULL, "node-7"},
		{NULL, NULL, "10.0.0.1", NULL, 0, NULL, NULL},
		{NULL, NULL, "10.0.0.1", "", 0, NULL, NULL},
		{"none", NULL, "10.0.0.1", "node-7", 0, NULL, "node-7"},
		{"https://[::1]:10250", NULL, NULL, NULL, 0, "https://[::1]:10250", NULL},
		{"http://127.0.0.1:10255", NULL, NULL, NULL, 0, "http://127.0.0.1:10255", NULL},
		{"node-7:10250", NULL, NULL, NULL, -EINVAL, NULL, NULL},
		{"file:///etc/passwd", NULL, NULL, NULL, -EINVAL, NULL, NULL},
		{"https://a?x=", NULL, NULL, NULL, -EINVAL, NULL, NULL},
		{NULL, "a b", "10.0.0.1", NULL, -EINVAL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kubelet_opts opts = {.url = rows[i].url, .node = rows[i].node};
		char made[KUBELET_URL_MAX], err[256] = "";
		int rc = kubelet_opts_complete(&opts, rows[i].service_host, rows[i].node_name, made,
					       err, sizeof(err));

		if (rc != rows[i].rc)
			fail_msg("row %zu: %d", i, rc);
		assert_int_equal(rc != 0, err[0] != '\0');
		if (rc)
			continue;
		assert_string_equal(opts.url ? opts.url : "",
				    rows[i].made_url ? rows[i].made_url : "");
		assert_string_equal(opts.node ? opts.node : "",
				    rows[i].made_node ? rows[i].made_node : "");
		assert_string_equal(opts.token_file,
				    "/var/run/secrets/kubernetes.io/serviceaccount/token");
		assert_string_equal(opts.ca_file,
				    "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
	}
}

static int load(void **state)
{
	char err[256];

	(void)state;
	return libcurl_load(err, sizeof(err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_believed_for_a_while),
		cmocka_unit_test(an_unknown_container_is_asked_for_at_once),
		cmocka_unit_test(a_container_that_stays_unknown_is_told_so),
		cmocka_unit_test(questions_are_bounded),
		cmocka_unit_test(a_kubelet_that_fails_is_left_alone_for_a_while),
		cmocka_unit_test(nobody_there_is_a_failure),
		cmocka_unit_test(a_token_that_is_none_is_not_sent),
		cmocka_unit_test(a_pod_knows_its_kubelet),
	};

	return cmocka_run_group_tests_name("kubelet", tests, load, NULL);
}
