/* SPDX-License-Identifier: Apache-2.0 */
/* What was given up does not come back, and no one outlives its parent. */
#include "role.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- regaining privilege --------------------------------------------------------------------- */

/* Drops, takes something back or forgets it, and says whether sandbox_verify noticed. */
static int verify_after(const struct sandbox_drop *drop, void (*undo)(void))
{
	char err[SANDBOX_ERROR_MAX] = "";
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		undo();
		_exit(sandbox_verify(drop, err, sizeof(err)) == -EPERM &&
				      strstr(err, "privilege came back")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return exit_status(status);
}

static const gid_t root_group = 0;
static size_t groups_kept;

static void become_nobody_but(uid_t saved, uint64_t permitted, uint64_t effective, bool no_new)
{
	char err[SANDBOX_ERROR_MAX];
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ||
	    syscall(SYS_setgroups, groups_kept, &root_group) ||
	    setresgid(nobody.gid, nobody.gid, nobody.gid) ||
	    setresuid(nobody.uid, nobody.uid, saved) || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) ||
	    sandbox_set_caps(permitted, effective, err, sizeof(err)) ||
	    (no_new && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) || setrlimit(RLIMIT_CORE, &none) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		_exit(FAILED_TO_DROP);
}

static void forget_all(void)
{
}

static void forget_saved_user(void)
{
	become_nobody_but(0, 0, 0, true);
}

static void forget_permitted(void)
{
	become_nobody_but(nobody.uid, SANDBOX_CAP(CAP_BPF), 0, true);
}

static void forget_set_user(void)
{
	become_nobody_but(nobody.uid, SANDBOX_CAP(CAP_SETUID), SANDBOX_CAP(CAP_SETUID), true);
}

static void forget_no_new_privileges(void)
{
	become_nobody_but(nobody.uid, 0, 0, false);
}

static void forget_groups(void)
{
	groups_kept = 1;
	become_nobody_but(nobody.uid, 0, 0, true);
}

static void forget_nothing(void)
{
	become_nobody_but(nobody.uid, 0, 0, true);
}

static void incomplete_drops_are_noticed(void **state)
{
	static const struct {
		const char *what;
		void (*undo)(void);
	} cases[] = {
		{"all", forget_all},
		{"saved user", forget_saved_user},
		{"permitted capability", forget_permitted},
		{"CAP_SETUID", forget_set_user},
		{"no_new_privs", forget_no_new_privileges},
		{"groups", forget_groups},
	};
	const struct sandbox_drop drop = {.identity = &nobody};

	(void)state;
	if (!may_drop())
		skip();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].what);
		assert_int_equal(verify_after(&drop, cases[i].undo), 0);
	}
	/* The same drop, whole, is not complained about. */
	assert_int_equal(verify_after(&drop, forget_nothing), 1);
}

static int complete_child(void)
{
	uint64_t caps = SANDBOX_CAP(CAP_DAC_READ_SEARCH) | SANDBOX_CAP(CAP_SYS_PTRACE);
	struct sandbox_drop drop = {.identity = &nobody,
				    .caps = caps,
				    .groups = {nobody.gid + 1, nobody.gid + 2},
				    .group_count = 2,
				    .parent = getppid()};
	char err[SANDBOX_ERROR_MAX] = "";

	if (sandbox_become(&drop, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	if (sandbox_permitted_caps() != caps || getuid() != nobody.uid || getgid() != nobody.gid)
		return 2;
	for (int bit = 0; bit < cap_max_bits(); bit++) {
		if (cap_get_bound(bit) == 1 && !(caps & SANDBOX_CAP(bit)))
			return 3;
	}
	/* The capability kept is worth something. */
	if (open("/etc/shadow", O_RDONLY) < 0)
		return 4;
	return sandbox_set_caps(SANDBOX_CAP(CAP_SYS_PTRACE), 0, err, sizeof(err)) == 0 &&
			       sandbox_permitted_caps() == SANDBOX_CAP(CAP_SYS_PTRACE) &&
			       open("/etc/shadow", O_RDONLY) < 0
		       ? 0
		       : 5;
}

static void keeps_exactly_what_was_asked(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	if (!may_drop() || access("/etc/shadow", F_OK))
		skip();
	pid = fork();
	if (pid == 0)
		_exit(complete_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(exit_status(status), 0);
}

/* ---- the parent ------------------------------------------------------------------------------ */

static int orphan(void)
{
	struct sandbox_drop drop = *drop_for(0);
	char err[SANDBOX_ERROR_MAX];

	drop.parent = 1 << 22; /* above every pid */
	return sandbox_become(&drop, err, sizeof(err)) == -ESRCH ? 0 : 1;
}

static void an_orphan_is_refused(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(orphan());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(exit_status(status), 0);
}

/* parent dies -> the sandboxed child, which holds the pipe open, dies -> end of file */
static void dies_with_its_parent(void **state)
{
	int ends[2];
	pid_t pid;
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		pid_t middle = getpid();

		if (fork() == 0) {
			struct sandbox_drop drop = *drop_for(0);
			char err[SANDBOX_ERROR_MAX];

			drop.parent = middle;
			if (sandbox_become(&drop, err, sizeof(err)) || write(ends[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		pause();
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	alarm(10);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	alarm(0);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(incomplete_drops_are_noticed),
		cmocka_unit_test(keeps_exactly_what_was_asked),
		cmocka_unit_test(an_orphan_is_refused),
		cmocka_unit_test(dies_with_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
