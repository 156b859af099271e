/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/cli/child.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct child shell(const char *script, const struct child_options *options)
{
	char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)script, NULL};
	struct child c = CHILD_INIT;

	assert_int_equal(child_start(&c, argv, options), 0);
	return c;
}

static void exit_codes_are_a_shells(void **state)
{
	static const struct {
		const char *script;
		int code;
	} rows[] = {{"exit 0", 0}, {"exit 7", 7}, {"kill -9 $$", 137}, {"kill -15 $$", 143}};
	char *const absent[] = {"/nonexistent/program", NULL};
	char *const no_program[] = {"/tmp", NULL};
	const struct child_options quiet = {.stderr_file = "/dev/null"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)rows[i].script, NULL};

		assert_int_equal(child_run(argv, &quiet), rows[i].code);
	}
	assert_int_equal(child_run(absent, &quiet), 127);
	assert_int_equal(child_run(no_program, &quiet), 126);
}

static void lines_come_whole_however_they_are_written(void **state)
{
	static const char script[] = "printf 'one\\ntw'; sleep 0.05; printf 'o\\n\\nlast'";
	static const char *const lines[] = {"one", "two", "", "last"};
	const struct child_options options = {.pipe_out = true};
	struct child c = shell(script, &options);
	char line[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(child_line(&c, line, sizeof(line), 2000), 1);
		assert_string_equal(line, lines[i]);
	}
	assert_int_equal(child_line(&c, line, sizeof(line), 2000), 0);
	child_stop(&c);
}

static void a_line_longer_than_the_buffer_is_cut(void **state)
{
	const struct child_options options = {.pipe_out = true};
	struct child c = shell("head -c 10000 /dev/zero | tr '\\0' x; echo; echo end", &options);
	char line[8];
	int lines = 0;

	(void)state;
	while (child_line(&c, line, sizeof(line), 2000) == 1)
		lines++;
	assert_string_equal(line, "end");
	assert_int_equal(lines, 10000 / CHILD_LINES_MAX + 2);
	child_stop(&c);
}

static void waits_are_bounded(void **state)
{
	const struct child_options options = {.pipe_out = true};
	struct child c = shell("exec sleep 30", &options);
	char line[8];

	(void)state;
	assert_int_equal(child_line(&c, line, sizeof(line), 30), -ETIMEDOUT);
	assert_false(child_wait(&c, 30));
	child_stop(&c);
	assert_int_equal(child_code(&c), 128 + SIGTERM);
	child_stop(&c);
}

static void closing_its_stdin_asks_it_to_end(void **state)
{
	const struct child_options options = {.pipe_in = true};
	struct child c = shell("read -r line; exit 5", &options);

	(void)state;
	child_stop(&c);
	assert_int_equal(child_code(&c), 5);
}

/* A stand-in for `tolltap run`, in DIR/agent. */
static void write_agent(const char *dir, const char *script, char *path)
{
	FILE *f;

	snprintf(path, PATH_MAX, "%.*s/agent", PATH_MAX - 8, dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
}

static void an_agent_is_ready_or_says_why_not(void **state)
{
	static const struct {
		const char *script;
		int rc;
		const char *why;
	} rows[] = {
		{"echo not ready yet; echo ready; exec sleep 30", -1, NULL},
		{"echo 'no BTF here' >&2; exit 5", 5, "no BTF here"},
		{"echo already ready; exit 4", 4, "said nothing"},
		{"exit 0", 1, "said nothing"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char dir[PATH_MAX], path[PATH_MAX], log[PATH_MAX + 8], why[256] = "";
		char *const flags[] = {"--storage.path=/x", NULL};
		struct agent_options options = {.self = path, .flags = flags, .log = log};
		struct child c = CHILD_INIT;

		assert_int_equal(temp_dir(dir, sizeof(dir)), 0);
		snprintf(log, sizeof(log), "%s/log", dir);
		write_agent(dir, rows[i].script, path);
		assert_int_equal(agent_start(&c, &options, why, sizeof(why)), rows[i].rc);
		if (rows[i].why)
			assert_non_null(strstr(why, rows[i].why));
		child_stop(&c);
		remove_tree(dir);
		assert_int_equal(access(dir, F_OK), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_are_a_shells),
		cmocka_unit_test(lines_come_whole_however_they_are_written),
		cmocka_unit_test(a_line_longer_than_the_buffer_is_cut),
		cmocka_unit_test(waits_are_bounded),
		cmocka_unit_test(closing_its_stdin_asks_it_to_end),
		cmocka_unit_test(an_agent_is_ready_or_says_why_not),
	};

	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
