/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups at engines that answer rightly, wrongly, at length, elsewhere or never. */
#include "agent/courier/containers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "agent/courier/libcurl.h"
#include "engine.h"
#include "server.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WEB   "[{\"Id\":\"" ID "\",\"Names\":[\"/web\"],\"Image\":\"nginx:1.25\"}]"

static const struct label_rules no_rules;

/* ---- the list ------------------------------------------------------------------------------- */

static void lists_are_read(void **state)
{
	static const struct {
		const char *json;
		bool found, broken;
		const char *name, *image;
	} rows[] = {
		{WEB, true, false, "web", "nginx:1.25"},
		{"[]", false, false, "", ""},
		{"[{\"Id\":\"" OTHER "\",\"Names\":[\"/web\"]}]", false, false, "", ""},
		{"[{\"Id\":\"" OTHER "\",\"Names\":[\"/b\"]},{\"Id\":\"" ID
		 "\",\"Names\":[\"/a\"]}]",
		 true, false, "a", ""},
		/* links of the old kind come with the name of another container in front */
		{"[{\"Id\":\"" ID "\",\"Names\":[\"/app/db\",\"/postgres\"]}]", true, false,
		 "postgres", ""},
		{"[{\"Id\":\"" ID "\",\"Names\":[\"plain\"],\"Image\":7}]", true, false, "plain",
		 ""},
		{"[{\"Id\":\"" ID "\",\"Names\":[\"/a\\u001b[2J\\nb\"]}]", true, false, "a?[2J?b",
		 ""},
		{"[{\"Id\":\"" ID "\",\"Names\":[\"/a\\u0000b\"]}]", true, false, "a", ""},
		{"[{\"Id\":\"" ID "\",\"Names\":[]}]", false, true, "", ""},
		{"[{\"Id\":\"" ID "\",\"Names\":[\"/\",7,null]}]", false, true, "", ""},
		{"[{\"Id\":\"" ID "\",\"Names\":\"web\"}]", false, true, "", ""},
		{"[{\"Id\":\"" ID "\"}]", false, true, "", ""},
		{"{\"Id\":\"" ID "\",\"Names\":[\"/web\"]}", false, true, "", ""},
		{"[1,null,\"" ID "\",[]]", false, false, "", ""},
		{"{\"message\":\"page not found\"}", false, true, "", ""},
		{"[{\"Id\":\"" ID "\",\"Names\":[\"/web\"", false, true, "", ""},
		{"<html>", false, true, "", ""},
		{"", false, true, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct courier_answer answer = {.result = COURIER_UNKNOWN};
		bool broken;
		bool found =
			containers_parse(slice_of(rows[i].json), ID, &no_rules, &answer, &broken);

		if (found != rows[i].found || broken != rows[i].broken ||
		    strcmp(answer.text[COURIER_NAME], rows[i].name) != 0 ||
		    strcmp(answer.text[COURIER_IMAGE], rows[i].image) != 0 ||
		    (answer.result == COURIER_FOUND) != found)
			fail_msg("row %zu: found %d broken %d name '%s' image '%s'", i, found,
				 broken, answer.text[COURIER_NAME], answer.text[COURIER_IMAGE]);
	}
}

static void labels_are_read(void **state)
{
	char *const items[] = {(char[]){"com.example.team=team"}};
	const struct label_rules rules = {items, 1};
	static const char json[] =
		"[{\"Id\":\"" ID "\",\"Names\":[\"/k8s_web_web-1_shop_0\"],\"Labels\":{"
		"\"com.example.team\":\"checkout\",\"com.example.secret\":\"s\","
		"\"tolltap.io/tags\":\"a=1, b = 2 ,c=,=d,e\",\"tolltap.io/ignore\":\"%s\","
		"\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.name\":\"web-1\"%s}}"
		"]";
	char text[1024];
	bool broken;

	(void)state;
	struct courier_answer answer = {0};

	snprintf(text, sizeof(text), json, "false", "");
	assert_true(containers_parse(slice_of(text), ID, &rules, &answer, &broken));
	assert_int_equal(answer.tag_count, 3);
	assert_string_equal(answer.tag[0].key, "team");
	assert_string_equal(answer.tag[0].value, "checkout");
	assert_string_equal(answer.tag[2].key, "b");
	assert_string_equal(answer.tag[2].value, "2");
	assert_int_equal(answer.ignored, 0);
	/* Not all that names a container of a pod: it is the engine's. */
	assert_string_equal(answer.text[COURIER_NAME], "k8s_web_web-1_shop_0");
	assert_string_equal(answer.text[COURIER_POD], "");
	answer = (struct courier_answer){0};
	snprintf(text, sizeof(text), json, "true", ",\"io.kubernetes.container.name\":\"web\"");
	assert_true(containers_parse(slice_of(text), ID, &rules, &answer, &broken));
	assert_int_equal(answer.ignored, 1);
	assert_string_equal(answer.text[COURIER_NAME], "web");
	assert_string_equal(answer.text[COURIER_NAMESPACE], "shop");
	assert_string_equal(answer.text[COURIER_POD], "web-1");
}

/* ---- look-ups ------------------------------------------------------------------------------- */

struct bench {
	struct fetcher *fetcher;
	struct kubelet *kubelet;
	struct containers *containers;
	unsigned answers;
	struct courier_answer last;
};

static void on_answer(void *user, const struct courier_answer *answer)
{
	struct bench *b = user;

	b->answers++;
	b->last = *answer;
}

static const char *kubelet_url; /* of the next bench; NULL: none is asked */

static void bench_open(struct bench *b, char *const *sockets, size_t count)
{
	const struct kubelet_opts kubelet = {.url = kubelet_url,
					     .token_file = "/nonexistent/token"};
	struct containers_opts opts = {.sockets = sockets, .socket_count = count};

	*b = (struct bench){0};
	assert_int_equal(fetcher_new(&b->fetcher), 0);
	if (kubelet_url)
		assert_int_equal(kubelet_new(&b->kubelet, b->fetcher, &kubelet), 0);
	opts.kubelet = b->kubelet;
	assert_int_equal(containers_new(&b->containers, b->fetcher, &opts, on_answer, b), 0);
}

static void bench_close(struct bench *b)
{
	containers_free(b->containers);
	kubelet_free(b->kubelet);
	fetcher_free(b->fetcher);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t now_ns(void)
{
	return (uint64_t)now_ms() * NSEC_PER_MSEC;
}

static void start(struct bench *b, uint64_t id)
{
	struct courier_request request;

	assert_true(courier_request_make(&request, id, COURIER_CONTAINER, SLICE(ID)));
	containers_look_up(b->containers, &request, now_ns());
}

/* Until so many answers came; it takes no longer than the fetcher allows. */
static void wait_answers(struct bench *b, unsigned count)
{
	int64_t deadline = now_ms() + FETCH_MS_MAX + 3000;

	while (b->answers < count && now_ms() < deadline) {
		if (b->kubelet)
			kubelet_run(b->kubelet, now_ns());
		assert_int_equal(fetcher_run(b->fetcher, NULL, 0, 100), 0);
	}
	assert_int_equal(b->answers, count);
}

static void look_up(struct bench *b, char *const *sockets, size_t count)
{
	struct courier_answer valid;

	bench_open(b, sockets, count);
	start(b, 42);
	wait_answers(b, 1);
	bench_close(b);
	assert_int_equal(b->last.id, 42);
	assert_true(courier_answer_read(&valid,
					(struct slice){(const char *)&b->last, sizeof(b->last)}));
}

static void look_up_at(struct bench *b, struct engine *e)
{
	char *sockets[] = {e->path};

	look_up(b, sockets, 1);
}

static void a_name_is_found(void **state)
{
	struct engine e;
	struct bench b;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	look_up_at(&b, &e);
	assert_int_equal(b.last.result, COURIER_FOUND);
	assert_string_equal(b.last.text[COURIER_NAME], "web");
	assert_string_equal(b.last.text[COURIER_IMAGE], "nginx:1.25");
	/* The page of the container would hold its environment: it is the list that is asked. */
	assert_ptr_equal(strstr(e.request, "GET /containers/json?"), e.request);
	assert_non_null(strstr(e.request, "%7B%22id%22%3A%5B%22" ID "%22%5D%7D "));
	engine_stop(&e);
}

/* Each way an engine can be of no use, and what the answer calls it. */
static void other_answers_have_their_result(void **state)
{
	static const struct {
		const char *answer;
		enum courier_result result;
	} rows[] = {
		{HTTP_OK("[]"), COURIER_UNKNOWN},
		{"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"message\":\"no\"}",
		 COURIER_FAILED},
		{"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n" WEB, COURIER_FAILED},
		{"HTTP/1.1 204 No Content\r\n\r\n", COURIER_FAILED},
		{HTTP_OK("[{\"Id\":"), COURIER_FAILED},
		{HTTP_OK(""), COURIER_FAILED},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" WEB, COURIER_FAILED}, /* cut */
		{"SSH-2.0-OpenSSH\r\n", COURIER_FAILED},
		{"", COURIER_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct engine e;
		struct bench b;

		engine_start(&e, rows[i].answer);
		look_up_at(&b, &e);
		engine_stop(&e);
		if (b.last.result != rows[i].result)
			fail_msg("row %zu: result %u", i, b.last.result);
		assert_string_equal(b.last.text[COURIER_NAME], "");
	}
}

/* Wherever a redirect leads, it is not followed: neither to TCP nor to the same socket. */
static void a_redirect_is_not_followed(void **state)
{
	struct engine e;
	struct bench b;

	(void)state;
	engine_start(&e, "HTTP/1.1 302 Found\r\nLocation: /containers/json\r\n"
			 "Connection: close\r\n\r\n" WEB);
	look_up_at(&b, &e);
	assert_int_equal(b.last.result, COURIER_FAILED);
	assert_int_equal(e.served, 1);
	engine_stop(&e);
}

static void a_huge_answer_is_cut_off(void **state)
{
	struct engine e;
	struct bench b;

	(void)state;
	engine_start(&e, HTTP_OK("[ "));
	e.repeat = 64u << 20; /* blanks, one write each: it ends when we hang up */
	look_up_at(&b, &e);
	assert_int_equal(b.last.result, COURIER_FAILED);
	engine_stop(&e);
}

static void an_engine_that_hangs_is_given_up(void **state)
{
	int64_t started = now_ms();
	struct engine e;
	struct bench b;

	(void)state;
	engine_start(&e, NULL);
	look_up_at(&b, &e);
	assert_int_equal(b.last.result, COURIER_FAILED);
	assert_in_range(now_ms() - started, FETCH_MS_MAX - 50, FETCH_MS_MAX + 1500);
	engine_stop(&e);
}

static void the_first_that_knows_answers(void **state)
{
	int64_t started = now_ms();
	struct engine hanging, empty, right;
	struct bench b;

	(void)state;
	engine_start(&hanging, NULL);
	engine_start(&empty, HTTP_OK("[]"));
	engine_start(&right, HTTP_OK(WEB));
	{
		char *sockets[] = {hanging.path, "/nonexistent/engine.sock", empty.path,
				   right.path};

		look_up(&b, sockets, 4);
	}
	assert_int_equal(b.last.result, COURIER_FOUND);
	assert_true(now_ms() - started < FETCH_MS_MAX / 2);
	engine_stop(&hanging);
	engine_stop(&empty);
	engine_stop(&right);
}

static void a_missing_socket_is_no_failure(void **state)
{
	char *sockets[] = {"/nonexistent/engine.sock"};
	struct bench b;

	(void)state;
	look_up(&b, sockets, 1);
	assert_int_equal(b.last.result, COURIER_UNKNOWN);
}

static void none_asks_nobody(void **state)
{
	struct engine e;
	struct bench b;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	{
		char *sockets[] = {e.path, "none"};

		look_up(&b, sockets, 2);
	}
	assert_int_equal(b.last.result, COURIER_UNKNOWN);
	assert_int_equal(e.served, 0);
	engine_stop(&e);
}

/* Another user's socket: it is named, so that the operator can be told. */
static void a_closed_socket_is_named(void **state)
{
	struct engine e;
	pid_t child;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	engine_start(&e, HTTP_OK(WEB));
	assert_int_equal(chmod(e.path, 0600), 0);
	child = fork();
	if (child == 0) {
		struct bench b;

		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(2);
		look_up_at(&b, &e);
		_exit(b.last.result == COURIER_FORBIDDEN &&
				      !strcmp(b.last.text[COURIER_NAME], e.path)
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(e.served, 0);
	engine_stop(&e);
}

static void look_ups_are_bounded(void **state)
{
	struct engine e;
	struct bench b;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	{
		char *sockets[] = {e.path};

		bench_open(&b, sockets, 1);
	}
	for (unsigned i = 0; i < CONTAINERS_LOOKUPS_MAX; i++) {
		assert_true(containers_ready(b.containers));
		start(&b, i);
	}
	assert_false(containers_ready(b.containers));
	wait_answers(&b, CONTAINERS_LOOKUPS_MAX);
	assert_true(containers_ready(b.containers));
	/* Stopping with look-ups on their way leaves nothing behind (the sanitizer build looks). */
	start(&b, 1);
	bench_close(&b);
	engine_stop(&e);
}

/* ---- beside the kubelet --------------------------------------------------------------------- */

#define OF_POD                                                                               \
	"[{\"Id\":\"" ID "\",\"Names\":[\"/k8s_web_0\"],\"Labels\":{"                        \
	"\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.name\":\"by-engine\"," \
	"\"io.kubernetes.container.name\":\"web\"}}]"

static void look_up_beside(struct bench *b, const char *engine, const char *kubelet)
{
	struct server s;
	struct engine e;
	char url[64];

	engine_start(&e, engine);
	server_start(&s, kubelet);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", s.port);
	kubelet_url = url;
	look_up_at(b, &e);
	kubelet_url = NULL;
	server_stop(&s);
	engine_stop(&e);
}

static void the_kubelet_has_the_last_word_of_pods(void **state)
{
	static const struct {
		const char *engine, *kubelet, *pod, *container;
		enum courier_result result;
	} rows[] = {
		{HTTP_OK(OF_POD), LIST(POD(ID, "web-1")), "web-1", "c", COURIER_FOUND},
		{HTTP_OK(OF_POD), LIST(POD(OTHER, "web-1")), "by-engine", "web", COURIER_FOUND},
		{HTTP_OK(OF_POD), "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n", "by-engine",
		 "web", COURIER_FOUND},
		{HTTP_OK("[]"), LIST(POD(ID, "web-1")), "web-1", "c", COURIER_FOUND},
		{HTTP_OK(WEB), LIST(POD(OTHER, "web-1")), "", "web", COURIER_FOUND},
		{HTTP_OK("[]"), LIST(POD(OTHER, "web-1")), "", "", COURIER_UNKNOWN},
		{HTTP_OK("[]"), "", "", "", COURIER_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench b;

		look_up_beside(&b, rows[i].engine, rows[i].kubelet);
		if (b.last.result != rows[i].result ||
		    strcmp(b.last.text[COURIER_POD], rows[i].pod) != 0 ||
		    strcmp(b.last.text[COURIER_NAME], rows[i].container) != 0)
			fail_msg("row %zu: %u, pod '%s', container '%s'", i, b.last.result,
				 b.last.text[COURIER_POD], b.last.text[COURIER_NAME]);
	}
}

/* The name of a container that is the engine's own does not wait for a kubelet that hangs. */
static void an_engines_own_container_waits_for_no_kubelet(void **state)
{
	int64_t started = now_ms();
	struct bench b;

	(void)state;
	look_up_beside(&b, HTTP_OK(WEB), NULL);
	assert_int_equal(b.last.result, COURIER_FOUND);
	assert_true(now_ms() - started < FETCH_MS_MAX / 2);
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
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(labels_are_read),
		cmocka_unit_test(a_name_is_found),
		cmocka_unit_test(other_answers_have_their_result),
		cmocka_unit_test(a_redirect_is_not_followed),
		cmocka_unit_test(a_huge_answer_is_cut_off),
		cmocka_unit_test(an_engine_that_hangs_is_given_up),
		cmocka_unit_test(the_first_that_knows_answers),
		cmocka_unit_test(a_missing_socket_is_no_failure),
		cmocka_unit_test(none_asks_nobody),
		cmocka_unit_test(a_closed_socket_is_named),
		cmocka_unit_test(look_ups_are_bounded),
		cmocka_unit_test(the_kubelet_has_the_last_word_of_pods),
		cmocka_unit_test(an_engines_own_container_waits_for_no_kubelet),
	};

	return cmocka_run_group_tests_name("containers", tests, load, NULL);
}
