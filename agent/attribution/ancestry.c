/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/ancestry.h"

#include <fnmatch.h>
#include <stdio.h>

/* Weakest first. */
enum kind { NOBODY, SHELL, CRON, CI, AGENT, KINDS };

static const char *const kind_names[KINDS] = {
	[SHELL] = "shell", [CRON] = "cron", [CI] = "ci", [AGENT] = "agent"};

/* By the name of the process, of its executable or of its script. */
static const struct {
	const char *name;
	enum kind kind;
} programs[] = {
	{"claude", AGENT},
	{"codex", AGENT},
	{"gemini", AGENT},
	{"copilot", AGENT},
	{"opencode", AGENT},
	{"cursor-agent", AGENT},
	{"aider", AGENT},
	{"Runner.Worker", CI}, /* GitHub's and Azure's have one below the other */
	{"Runner.Listener", CI},
	{"Agent.Worker", CI},
	{"Agent.Listener", CI},
	{"act_runner", CI}, /* Gitea's */
	{"forgejo-runner", CI},
	{"gitlab-runner", CI},
	{"buildkite-agent", CI},
	{"circleci-agent", CI},
	{"woodpecker-agent", CI},
	{"cron", CRON},
	{"crond", CRON},
	{"anacron", CRON},
	{"fcron", CRON},
	{"atd", CRON},
	{"sh", SHELL},
	{"bash", SHELL},
	{"dash", SHELL},
	{"ash", SHELL},
	{"zsh", SHELL},
	{"ksh", SHELL},
	{"fish", SHELL},
	{"tcsh", SHELL},
	{"csh", SHELL},
	{"pwsh", SHELL},
	{"nu", SHELL},
};

static const char *const interpreters[] = {"node", "nodejs", "bun", "deno", "python*", "ruby*"};

bool ancestry_is_interpreter(const char *exe)
{
	for (size_t i = 0; i < ARRAY_LEN(interpreters); i++) {
		if (fnmatch(interpreters[i], exe, 0) == 0)
			return true;
	}
	return false;
}

void ancestry_script(struct slice arguments, char *dst, size_t size)
{
	bool first = true; /* the interpreter itself */

	*dst = '\0';
	while (arguments.len) {
		struct slice argument = {arguments.ptr, strnlen(arguments.ptr, arguments.len)};
		size_t step = argument.len + (argument.len < arguments.len);

		arguments.ptr += step;
		arguments.len -= step;
		if (!first && argument.len && argument.ptr[0] != '-') {
			struct slice name = path_base(argument);
			const char *dot = memrchr(name.ptr, '.', name.len);

			if (dot && dot != name.ptr)
				name.len = (size_t)(dot - name.ptr);
			slice_copy(dst, size, name);
			return;
		}
		first = false;
	}
}

/* The row of a process' strongest name, or -1. */
static int program_of(const struct ancestor *a)
{
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) { /* the strongest kinds come first */
		const char *name = programs[i].name;

		if (!strcmp(a->script, name) || !strcmp(a->exe, name) || !strcmp(a->comm, name))
			return (int)i;
	}
	return -1;
}

void ancestry_find(uint32_t parent, uint64_t start_ticks, ancestry_read_fn read, void *user,
		   char *dst, size_t size)
{
	enum kind best = NOBODY;
	struct ancestor a;

	*dst = '\0';
	for (int depth = 0; parent && best != AGENT && depth < ANCESTRY_DEPTH; depth++) {
		int program;

		if (!read(user, parent, &a) || a.start_ticks > start_ticks)
			return;
		program = program_of(&a);
		if (program >= 0 && programs[program].kind > best) {
			best = programs[program].kind;
			snprintf(dst, size, "%s/%s", kind_names[best], programs[program].name);
		}
		parent = a.parent;
		start_ticks = a.start_ticks;
	}
}
