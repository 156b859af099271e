/* SPDX-License-Identifier: Apache-2.0 */
/* The courier as a process of its own, asked through its channel. */
#include "agent/courier/courier.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "agent/courier/containers.h"
#include "agent/privsep/sandbox.h"
#include "engine.h"

#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WEB "[{\"Id\":\"" ID "\",\"Names\":[\"/web\"],\"Image\":\"nginx:1.25\"}]"

struct process {
	pid_t pid;
	int ours, its;
};

static bool sealed;	     /* the next ones give up what the product's courier gives up */
static bool without_libcurl; /* the next ones have none */

/* The child's whole life: what it is told comes as arguments. */
static int run(int channel_fd, char *socket)
{
	const struct courier_opts opts = {.container_sockets = &socket,
					  .container_socket_count = 1};
	const struct sandbox_drop drop = {.parent = getppid()};
	char err[SANDBOX_ERROR_MAX] = "";

	if ((sealed && sandbox_become(&drop, err, sizeof(err))) ||
	    (!without_libcurl && courier_prepare(err, sizeof(err))) ||
	    (sealed && sandbox_seal(SANDBOX_COURIER, err, sizeof(err)))) {
		print_error("%s\n", err);
		return EXIT_FAILURE;
	}
	return courier_run(channel_fd, &opts);
}

/*
 * On the channel there is, as the supervisor starts one after another. The child begins anew: the
 * engine's threads may hold an allocator's lock while it is forked.
 */
static void process_start(struct process *p, const char *socket)
{
	char channel[16], how[2] = {(char)('0' + sealed + 2 * without_libcurl), '\0'};

	snprintf(channel, sizeof(channel), "%d", p->its);
	p->pid = fork();
	if (p->pid == 0) {
		fcntl(p->its, F_SETFD, 0);
		execl("/proc/self/exe", "courier", channel, socket, how, NULL);
		_exit(EXIT_FAILURE);
	}
}

static _Noreturn void be_courier(char **argv)
{
	sealed = (argv[3][0] - '0') & 1;
	without_libcurl = (argv[3][0] - '0') & 2;
	/* At an orderly exit a sanitizer would look for leaks, which the sandbox does not allow. */
	_exit(run((int)strtol(argv[1], NULL, 10), argv[2]));
}

static void process_new(struct process *p, const char *socket)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	p->ours = fds[0];
	p->its = fds[1];
	process_start(p, socket);
}

/* Its exit code, or 256 + the signal it died of; -1 when it does not end. */
static int process_wait(struct process *p)
{
	int status;

	for (int i = 0; i < 500; i++) {
		if (waitpid(p->pid, &status, WNOHANG) == p->pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
		usleep(10000);
	}
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &status, 0);
	return -1;
}

static void process_end(struct process *p)
{
	kill(p->pid, SIGTERM);
	assert_int_equal(process_wait(p), 0);
	closep(&p->ours);
	closep(&p->its);
}

static void ask(struct process *p, uint64_t id)
{
	struct courier_request request;

	assert_true(courier_request_make(&request, id, COURIER_CONTAINER, SLICE(ID)));
	assert_int_equal(send(p->ours, &request, sizeof(request), 0), sizeof(request));
}

static bool hear(struct process *p, struct courier_answer *out, int timeout_ms)
{
	struct pollfd fd = {.fd = p->ours, .events = POLLIN};
	char datagram[sizeof(struct courier_answer) + 1];
	ssize_t n;

	if (poll(&fd, 1, timeout_ms) != 1)
		return false;
	n = recv(p->ours, datagram, sizeof(datagram), MSG_DONTWAIT);
	return n > 0 && courier_answer_read(out, (struct slice){datagram, (size_t)n});
}

static void it_answers_and_ends_when_told(void **state)
{
	struct courier_answer answer;
	struct process p;
	struct engine e;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	ask(&p, 5);
	assert_true(hear(&p, &answer, 5000));
	assert_int_equal(answer.id, 5);
	assert_int_equal(answer.result, COURIER_FOUND);
	assert_string_equal(answer.text[COURIER_NAME], "web");
	process_end(&p);
	engine_stop(&e);
}

/* More than run at once: the rest waits in the socket and each is answered once. */
static void requests_wait_for_their_turn(void **state)
{
	enum { REQUESTS = 8 * CONTAINERS_LOOKUPS_MAX };
	bool seen[REQUESTS] = {false};
	struct process p;
	struct engine e;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	for (uint64_t i = 0; i < REQUESTS; i++)
		ask(&p, i);
	for (int i = 0; i < REQUESTS; i++) {
		struct courier_answer answer;

		assert_true(hear(&p, &answer, 5000));
		assert_int_equal(answer.result, COURIER_FOUND);
		assert_true(answer.id < REQUESTS && !seen[answer.id]);
		seen[answer.id] = true;
	}
	assert_int_equal(e.served, REQUESTS);
	process_end(&p);
	engine_stop(&e);
}

/* As many as a worker may ask for at once wait in the socket until it reads them. */
static void answers_wait_until_they_are_read(void **state)
{
	struct courier_answer answer;
	struct process p;
	struct engine e;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	for (uint64_t i = 0; i < COURIER_OUTSTANDING_MAX; i++)
		ask(&p, i);
	for (int i = 0; i < 500 && e.served < COURIER_OUTSTANDING_MAX; i++)
		usleep(10000);
	usleep(300000);
	for (int i = 0; i < COURIER_OUTSTANDING_MAX; i++)
		assert_true(hear(&p, &answer, 1000));
	process_end(&p);
	engine_stop(&e);
}

static void what_is_no_request_is_dropped(void **state)
{
	struct courier_request bad = {.kind = COURIER_KINDS};
	struct courier_answer answer;
	struct process p;
	struct engine e;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	assert_int_equal(send(p.ours, "x", 1, 0), 1);
	assert_int_equal(send(p.ours, &bad, sizeof(bad), 0), sizeof(bad));
	ask(&p, 9);
	assert_true(hear(&p, &answer, 5000));
	assert_int_equal(answer.id, 9);
	assert_false(hear(&p, &answer, 100));
	process_end(&p);
	engine_stop(&e);
}

static void it_ends_with_the_channel(void **state)
{
	struct process p;

	(void)state;
	process_new(&p, "/nonexistent/engine.sock");
	closep(&p.its); /* the supervisor's copy would keep it open */
	closep(&p.ours);
	assert_int_equal(process_wait(&p), 0);
}

/* What was asked while it was dead is answered by the next one. */
static void its_successor_takes_over(void **state)
{
	struct courier_answer answer;
	struct process p;
	struct engine e;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	ask(&p, 1);
	assert_true(hear(&p, &answer, 5000));
	kill(p.pid, SIGKILL);
	assert_int_equal(process_wait(&p), 256 + SIGKILL);
	ask(&p, 2);
	process_start(&p, e.path);
	assert_true(hear(&p, &answer, 5000));
	assert_int_equal(answer.id, 2);
	process_end(&p);
	engine_stop(&e);
}

/* Ctrl-C reaches the whole group, a closed terminal too: both are the supervisor's to decide. */
static void other_signals_do_not_end_it(void **state)
{
	struct courier_answer answer;
	struct process p;
	struct engine e;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	ask(&p, 1);
	assert_true(hear(&p, &answer, 5000));
	kill(p.pid, SIGINT);
	kill(p.pid, SIGHUP);
	ask(&p, 2);
	assert_true(hear(&p, &answer, 5000));
	process_end(&p);
	engine_stop(&e);
}

/* A worker that does not read its answers does not stop the look-ups, nor the end. */
static void a_worker_that_does_not_read_is_not_waited_for(void **state)
{
	struct process p;
	struct engine e;
	unsigned asked = 0;

	(void)state;
	engine_start(&e, HTTP_OK(WEB));
	process_new(&p, e.path);
	for (; asked < 2000; asked++)
		ask(&p, asked); /* blocks while the courier has many: it must go on reading */
	for (int i = 0; i < 1000 && e.served < 2000; i++)
		usleep(10000);
	assert_int_equal(e.served, 2000);
	process_end(&p);
	engine_stop(&e);
}

/* This program is linked as the product is: no process but a courier maps a TLS library for it. */
static void libcurl_is_not_linked(void **state)
{
	(void)state;
	assert_null(dlopen("libcurl.so.4", RTLD_NOW | RTLD_NOLOAD));
}

/* A host that has none: nothing is asked, nothing hangs, and the worker knows. */
static void without_libcurl_every_request_fails(void **state)
{
	struct courier_answer answer;
	struct process p;

	(void)state;
	without_libcurl = true;
	process_new(&p, "/nonexistent/engine.sock");
	without_libcurl = false;
	for (uint64_t i = 0; i < 20; i++)
		ask(&p, i);
	for (uint64_t i = 0; i < 20; i++) {
		assert_true(hear(&p, &answer, 5000));
		assert_int_equal(answer.id, i);
		assert_int_equal(answer.result, COURIER_FAILED);
	}
	process_end(&p);
}

/* Nothing that it has to do is refused to it. */
static void it_works_in_its_sandbox(void **state)
{
	sealed = true;
	it_answers_and_ends_when_told(state);
	requests_wait_for_their_turn(state);
	answers_wait_until_they_are_read(state);
	its_successor_takes_over(state);
	sealed = false;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libcurl_is_not_linked),
		cmocka_unit_test(it_answers_and_ends_when_told),
		cmocka_unit_test(requests_wait_for_their_turn),
		cmocka_unit_test(answers_wait_until_they_are_read),
		cmocka_unit_test(what_is_no_request_is_dropped),
		cmocka_unit_test(it_ends_with_the_channel),
		cmocka_unit_test(its_successor_takes_over),
		cmocka_unit_test(other_signals_do_not_end_it),
		cmocka_unit_test(a_worker_that_does_not_read_is_not_waited_for),
		cmocka_unit_test(without_libcurl_every_request_fails),
		cmocka_unit_test(it_works_in_its_sandbox),
	};

	if (argc == 4)
		be_courier(argv);
	return cmocka_run_group_tests_name("courier", tests, NULL, NULL);
}
