/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/ancestry.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Processes by their pid from 1 on; each but the first is the child of the one before. */
struct tree {
	const struct ancestor *process;
	size_t count;
	size_t reads;
};

static bool read_process(void *user, uint32_t pid, struct ancestor *out)
{
	struct tree *tree = user;

	tree->reads++;
	if (pid == 0 || pid > tree->count)
		return false;
	*out = tree->process[pid - 1];
	out->parent = pid - 1;
	return true;
}

static void finds_who_started(void **state)
{
	static const struct {
		const char *name, *want;
		struct ancestor line[6]; /* from the oldest on */
		size_t count;
	} cases[] = {
		{"nobody", "", {{0}}, 0},
		{"a service", "", {{.comm = "systemd"}}, 1},
		{"a shell", "shell/bash", {{.comm = "sshd"}, {.comm = "bash"}}, 2},
		{"the nearest shell", "shell/dash", {{.comm = "zsh"}, {.comm = "dash"}}, 2},
		{"a script by its shell", "shell/bash", {{.comm = "deploy.sh", .exe = "bash"}}, 1},
		{"cron before its shell", "cron/cron", {{.comm = "cron"}, {.comm = "sh"}}, 2},
		{"cron's child", "cron/crond", {{.comm = "crond"}, {.comm = "crond"}}, 2},
		{"CI before a shell",
		 "ci/Runner.Worker",
		 {{.comm = "Runner.Listener"}, {.comm = "Runner.Worker"}, {.comm = "bash"}},
		 3},
		{"CI whose name is cut",
		 "ci/woodpecker-agent",
		 {{.comm = "woodpecker-agen", .exe = "woodpecker-agent"}, {.comm = "sh"}},
		 2},
		{"an agent before all",
		 "agent/claude",
		 {{.comm = "gitlab-runner"}, {.comm = "claude"}, {.comm = "bash"}},
		 3},
		{"an agent below its own shell",
		 "agent/codex",
		 {{.comm = "bash"}, {.comm = "codex"}, {.comm = "zsh"}, {.comm = "make"}},
		 4},
		{"an agent by its script",
		 "agent/gemini",
		 {{.comm = "node", .exe = "node", .script = "gemini"}, {.comm = "bash"}},
		 2},
		{"the nearest agent",
		 "agent/codex",
		 {{.comm = "claude"}, {.comm = "codex"}, {.comm = "bash"}},
		 3},
		{"another name with that beginning", "", {{.comm = "claude-proxy"}}, 1},
		{"a parent that is younger is another",
		 "shell/sh",
		 {{.comm = "claude", .start_ticks = 9}, {.comm = "sh", .start_ticks = 5}},
		 2},
		{"the first one is younger", "", {{.comm = "bash", .start_ticks = 101}}, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tree tree = {cases[i].line, cases[i].count, 0};
		char got[ANCESTRY_NAME_MAX] = "x";

		ancestry_find((uint32_t)cases[i].count, 100, read_process, &tree, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: '%s'", cases[i].name, got);
	}
}

/* A tree that goes on for ever, or in a circle. */
static bool read_endless(void *user, uint32_t pid, struct ancestor *out)
{
	struct tree *tree = user;

	tree->reads++;
	*out = (struct ancestor){.parent = pid, .comm = "make"};
	return true;
}

static void looks_no_further_than_it_says(void **state)
{
	struct ancestor line[ANCESTRY_DEPTH + 1] = {{.comm = "claude"}};
	char got[ANCESTRY_NAME_MAX];
	struct tree tree = {0};

	(void)state;
	ancestry_find(7, 100, read_endless, &tree, got, sizeof(got));
	assert_int_equal(tree.reads, ANCESTRY_DEPTH);
	assert_string_equal(got, "");
	tree = (struct tree){line, ANCESTRY_DEPTH, 0};
	ancestry_find(ANCESTRY_DEPTH, 100, read_process, &tree, got, sizeof(got));
	assert_string_equal(got, "agent/claude");
	tree.count++;
	ancestry_find(ANCESTRY_DEPTH + 1, 100, read_process, &tree, got, sizeof(got));
	assert_string_equal(got, "");
}

#define ARGUMENTS(literal)                 \
	{                                  \
		(literal), sizeof(literal) \
	}

static void names_scripts(void **state)
{
	static const struct {
		struct slice arguments;
		const char *want;
	} cases[] = {
		{ARGUMENTS("node\0/usr/bin/gemini\0-p\0secret"), "gemini"},
		{ARGUMENTS("node\0--max-old-space-size=4096\0/opt/codex/bin/codex.js"), "codex"},
		{ARGUMENTS("python3\0-u\0aider.py"), "aider"},
		{ARGUMENTS("python3"), ""},
		{ARGUMENTS("node\0--version"), ""},
		{ARGUMENTS("node\0\0\0x"), "x"},
		{ARGUMENTS("node\0/opt/.hidden"), ".hidden"},
		{ARGUMENTS("node\0/dir/"), ""},
		{{"node\0/usr/bin/gem", 17}, "gem"}, /* cut */
		{{"", 0}, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[16] = "x";

		ancestry_script(cases[i].arguments, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("case %zu: '%s'", i, got);
	}
	assert_true(ancestry_is_interpreter("node"));
	assert_true(ancestry_is_interpreter("python3.11"));
	assert_false(ancestry_is_interpreter("nodemon"));
	assert_false(ancestry_is_interpreter(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_who_started),
		cmocka_unit_test(looks_no_further_than_it_says),
		cmocka_unit_test(names_scripts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
