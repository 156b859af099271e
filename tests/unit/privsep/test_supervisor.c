/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor over children that do nothing but wait. */
#include "agent/privsep/supervisor.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/capability.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/cli/cli.h"
#include "agent/privsep/sandbox.h"

#define CHILD_CODE 42

static int up[2], go[2]; /* the child is up; it may end */

static void nothing(void *user)
{
	(void)user;
}

/* It has not come to say what it wants of signals. */
static int wait_for_word(void *user)
{
	char byte = 'u';

	(void)user;
	if (write(up[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
		return 1;
	return CHILD_CODE;
}

static const struct supervised waiter = {.name = "waiter", .run = wait_for_word};

static int ready_fd;
static struct supervisor_board *board;

/* The whole is ready; it fails once and is told to end all when it is started again. */
static int fail_then_give_up(void *user)
{
	const uint64_t one = 1;
	const struct timespec until_read = {.tv_nsec = 200000000};

	(void)user;
	if (board->process[0].restarts)
		return CHILD_CODE;
	if (write(ready_fd, &one, sizeof(one)) != sizeof(one))
		return CHILD_CODE;
	nanosleep(&until_read, NULL);
	return 1;
}

static void tell_end(void *user)
{
	(void)user;
	(void)!write(up[1], "e", 1);
}

static const struct supervised quitter = {.name = "quitter",
					  .restarts = true,
					  .fatal_code = CHILD_CODE,
					  .run = fail_then_give_up,
					  .ended = tell_end};

static pid_t start_supervisor(const struct supervised *process)
{
	struct supervisor_opts opts = {
		.processes = process,
		.count = 1,
		.ready = nothing,
		.stopping = nothing,
		.caps = sandbox_permitted_caps() & SANDBOX_CAP(CAP_KILL),
	};
	pid_t pid;

	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		board = supervisor_board_new();
		ready_fd = eventfd(0, EFD_NONBLOCK);
		opts.board = board;
		opts.ready_fd = ready_fd;
		_exit(supervisor_run(&opts));
	}
	return pid;
}

static void a_hangup_at_the_start_harms_nobody(void **state)
{
	const struct timespec while_told = {.tv_nsec = 200000000};
	pid_t pid = start_supervisor(&waiter);
	char byte;
	int status;

	(void)state;
	assert_int_equal(read(up[0], &byte, 1), 1);
	kill(pid, SIGHUP);
	nanosleep(&while_told, NULL);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CHILD_CODE);
}

static void a_fatal_code_ends_all(void **state)
{
	pid_t pid = start_supervisor(&quitter);
	char ends[3];
	int status;

	(void)state;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_FAILED);
	close(up[1]);
	assert_int_equal(read(up[0], ends, sizeof(ends)), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hangup_at_the_start_harms_nobody),
		cmocka_unit_test(a_fatal_code_ends_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
