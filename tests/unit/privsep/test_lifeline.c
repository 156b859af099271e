/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/privsep/lifeline.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int hear; /* 'h' once it holds the line; its end when its files are closed */
};

/* Holds the line until it is killed, or `returns` at once. */
static struct child child_start(struct lifeline *l, bool returns)
{
	struct child child;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	child.pid = fork();
	if (child.pid == 0) {
		if (lifeline_hold(l) || write(fds[1], "h", 1) != 1)
			_exit(1);
		while (!returns)
			pause();
		_exit(0);
	}
	close(fds[1]);
	child.hear = fds[0];
	return child;
}

static void child_end(struct child *child)
{
	assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
	close(child->hear);
}

static void a_kill_is_seen_before_its_files_close(void **state)
{
	struct lifeline *l = lifeline_new();
	struct child child = child_start(l, false);
	char byte;

	(void)state;
	assert_int_equal(read(child.hear, &byte, 1), 1);
	assert_int_equal(lifeline_watch(l), 0);
	assert_false(lifeline_is_cut(l));
	kill(child.pid, SIGKILL);
	assert_int_equal(read(child.hear, &byte, 1), 0);
	assert_true(lifeline_is_cut(l));
	child_end(&child);
	lifeline_free(l);
}

static void an_exit_is_seen_too(void **state)
{
	struct lifeline *l = lifeline_new();
	struct child child = child_start(l, true);

	(void)state;
	child_end(&child);
	assert_true(lifeline_is_cut(l));
	lifeline_free(l);
}

/* Whom the holder starts, a decoder of strangers' files, may not say that it is dead. */
static void children_of_the_holder_do_not_have_it(void **state)
{
	struct lifeline *l = lifeline_new();
	unsigned char there;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(mincore(l, 1, &there), 0);
	pid = fork();
	if (pid == 0) {
		if (lifeline_hold(l))
			_exit(1);
		pid = fork();
		if (pid == 0)
			_exit(mincore(l, 1, &there) == 0 || errno != ENOMEM);
		_exit(waitpid(pid, &status, 0) != pid || status != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(lifeline_is_cut(l));
	lifeline_free(l);
}

static void what_nobody_held_is_not_cut(void **state)
{
	struct lifeline *l = lifeline_new();

	(void)state;
	assert_false(lifeline_is_cut(l));
	assert_false(lifeline_is_cut(NULL));
	lifeline_free(l);
	lifeline_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_is_seen_before_its_files_close),
		cmocka_unit_test(an_exit_is_seen_too),
		cmocka_unit_test(children_of_the_holder_do_not_have_it),
		cmocka_unit_test(what_nobody_held_is_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
