/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command over a ledger in a directory of the test's own, and looks at what it says. */
#ifndef TT_TEST_COMMAND_H
#define TT_TEST_COMMAND_H

#include "../exporter/ledger_dir.h"
#include "agent/cli/cli.h"

#include <fcntl.h>
#include <sys/wait.h>

static char printed[1 << 18];

static inline size_t slurp(const char *name, char *dst, size_t size)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, dst, size - 1);
	assert_in_range(n, 0, size - 2);
	dst[n] = '\0';
	close(fd);
	return (size_t)n;
}

static inline int into(const char *name)
{
	return open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* Runs a command in a process of its own; what it prints on both streams goes to `printed`. */
static inline int command(int (*run)(int, char **), const char *line)
{
	char words[1024], storage[128], out[128], said[128], *rest = words, *word;
	char *argv[34];
	int argc = 0, status;
	pid_t pid;

	snprintf(words, sizeof(words), "%s --prices.file=pricing/catalog.json", line);
	snprintf(storage, sizeof(storage), "--storage.path=%s", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(said, sizeof(said), "%s/err", dir);
	while ((word = strsep(&rest, " ")) && argc < 32)
		argv[argc++] = word;
	argv[argc++] = storage;
	argv[argc] = NULL;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (dup2(into(out), STDOUT_FILENO) < 0 || dup2(into(said), STDERR_FILENO) < 0)
			_exit(99);
		status = run(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	rest = printed + slurp(out, printed, sizeof(printed) / 2);
	slurp(said, rest, sizeof(printed) / 2);
	return WEXITSTATUS(status);
}

static inline void assert_says(const char *what)
{
	if (!strstr(printed, what))
		fail_msg("not said: %s\nbut:\n%s", what, printed);
}

static inline void assert_silent(const char *what)
{
	if (strstr(printed, what))
		fail_msg("said: %s\nin:\n%s", what, printed);
}

#endif
