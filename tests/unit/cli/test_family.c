/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/family.h"

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void wait_as(const char *name, int ready_fd)
{
	prctl(PR_SET_NAME, name, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)!write(ready_fd, "x", 1);
	for (;;)
		pause();
}

static const struct family_member *member(const struct family_member *members, size_t count,
					  const char *comm)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(members[i].comm, comm))
			return &members[i];
	}
	return NULL;
}

static void finds_all_below(void **state)
{
	struct family_member members[FAMILY_MAX];
	const struct family_member *child, *grandchild;
	cJSON *rows = cJSON_CreateArray();
	size_t count;
	pid_t pid;
	int ends[2];
	char bytes[1];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0 && fork() == 0)
		wait_as("grand\033child", ends[1]);
	if (pid == 0)
		wait_as("child", ends[1]);
	assert_int_equal(read(ends[0], bytes, 1), 1);
	assert_int_equal(read(ends[0], bytes, 1), 1);
	count = family_of(getpid(), members);
	assert_int_equal(members[0].pid, getpid());
	assert_false(members[0].no_new_privs);
	child = member(members, count, "child");
	grandchild = member(members, count, "grand?child");
	assert_non_null(child);
	assert_non_null(grandchild);
	assert_int_equal(child->pid, pid);
	assert_true(child->no_new_privs);
	assert_false(child->filtered);
	assert_int_equal(child->uid, getuid());

	family_add(rows, members, count);
	assert_int_equal(cJSON_GetArraySize(rows), count);
	cJSON_Delete(rows);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(family_of(pid, members), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(finds_all_below)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
