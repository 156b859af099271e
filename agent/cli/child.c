/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/child.h"

#include "agent/base/hex.h"
#include "agent/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_TERM_MS   3000
#define STOP_KILL_MS   1000
#define WAIT_STEP_MS   10
#define AGENT_START_MS 30000
#define EXIT_NOT_FOUND 127 /* as shells have it */
#define EXIT_NOT_RUN   126

static volatile sig_atomic_t caught;
static volatile sig_atomic_t caught_from_kernel;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	caught = signal;
	caught_from_kernel = info->si_code > 0; /* SI_KERNEL: the terminal's Ctrl-C */
}

void child_catch_signals(void)
{
	/* No SA_RESTART: a wait must see it. */
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

int child_caught_signal(void)
{
	return caught;
}

int child_take_signal(bool *sent_to_us)
{
	int signal = caught;

	*sent_to_us = !caught_from_kernel;
	caught = 0;
	return signal;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(int ms)
{
	struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};

	nanosleep(&span, NULL);
}

static void redirect(int target, int fd, const char *path, int flags)
{
	if (fd < 0 && path)
		fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		dup2(fd, target);
}

/* Between fork and exec. We have one thread, so what libc does in initgroups is safe. */
static void become(char *const *argv, const struct child_options *o, int in, int out)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	if (o->user && (initgroups(o->user->pw_name, o->user->pw_gid) || setgid(o->user->pw_gid) ||
			setuid(o->user->pw_uid)))
		_exit(EXIT_NOT_RUN);
	if (!o->foreground) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		redirect(STDIN_FILENO, in, "/dev/null", O_RDONLY);
	}
	redirect(STDOUT_FILENO, out, o->silent ? "/dev/null" : NULL, O_WRONLY);
	redirect(STDERR_FILENO, -1, o->stderr_file, O_WRONLY | O_CREAT | O_APPEND);
	if (o->environment)
		execvpe(argv[0], argv, o->environment);
	else
		execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "tolltap: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

int child_start(struct child *c, char *const *argv, const struct child_options *o)
{
	_cleanup_(closep) int in_read = -1, in_write = -1, out_read = -1, out_write = -1;
	_cleanup_(freep) char *lines = NULL;
	int ends[2];
	pid_t pid;

	if (o->pipe_in) {
		if (pipe2(ends, O_CLOEXEC))
			return -errno;
		in_read = ends[0];
		in_write = ends[1];
	}
	if (o->pipe_out) {
		if (pipe2(ends, O_CLOEXEC))
			return -errno;
		out_read = ends[0];
		out_write = ends[1];
		lines = malloc(CHILD_LINES_MAX);
		if (!lines)
			return -ENOMEM;
	}
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(argv, o, in_read, out_write);
	*c = (struct child){.pid = pid,
			    .out = TAKE_FD(out_read),
			    .in = TAKE_FD(in_write),
			    .lines = TAKE_PTR(lines)};
	return 0;
}

/* Takes a finished line out of the buffer. at_end: what is left counts as one. */
static bool take_line(struct child *c, char *line, size_t size, bool at_end)
{
	char *newline = memchr(c->lines, '\n', c->used);
	size_t len = newline ? (size_t)(newline - c->lines) : c->used;
	size_t taken = newline ? len + 1 : len;

	if (!newline && c->used < CHILD_LINES_MAX && !(at_end && c->used))
		return false;
	snprintf(line, size, "%.*s", (int)len, c->lines);
	c->used -= taken;
	memmove(c->lines, c->lines + taken, c->used);
	return true;
}

int child_line(struct child *c, char *line, size_t size, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!take_line(c, line, size, false)) {
		struct pollfd wait = {.fd = c->out, .events = POLLIN};
		int64_t left = deadline - now_ms();
		ssize_t n;
		int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;

		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 && (errno != EINTR || caught))
			return -errno;
		if (ready < 0)
			continue;
		n = read(c->out, c->lines + c->used, CHILD_LINES_MAX - c->used);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return take_line(c, line, size, true);
		if (n > 0)
			c->used += (size_t)n;
	}
	return 1;
}

bool child_wait(struct child *c, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (c->pid > 0) {
		pid_t done = waitpid(c->pid, &c->status, WNOHANG);

		if (done == c->pid || (done < 0 && errno == ECHILD)) {
			c->pid = 0;
			break;
		}
		if (now_ms() >= deadline)
			return false;
		pause_ms(WAIT_STEP_MS);
	}
	return true;
}

void child_stop(struct child *c)
{
	if (c->in >= 0) {
		close(c->in);
		c->in = -1;
		child_wait(c, STOP_TERM_MS);
	}
	if (c->pid > 0) {
		kill(c->pid, SIGTERM);
		if (!child_wait(c, STOP_TERM_MS)) {
			kill(c->pid, SIGKILL);
			child_wait(c, STOP_KILL_MS);
		}
	}
	closep(&c->out);
	c->out = -1;
	free(c->lines);
	c->lines = NULL;
	c->used = 0;
}

int child_code(const struct child *c)
{
	return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}

int child_run(char *const *argv, const struct child_options *o)
{
	struct child c = CHILD_INIT;
	int rc = child_start(&c, argv, o);

	if (rc)
		return rc;
	while (!child_wait(&c, 1000)) {
		if (caught) {
			child_stop(&c);
			return -EINTR;
		}
	}
	child_stop(&c);
	return child_code(&c);
}

bool program_exists(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/'))
		return access(name, X_OK) == 0;
	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

bool program_self(char *dst, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", dst, size - 1);

	if (n <= 0)
		return false;
	dst[n] = '\0';
	return true;
}

bool privilege_at_hand(bool *use_sudo)
{
	char *const argv[] = {"sudo", "-n", "true", NULL};
	const struct child_options quiet = {.silent = true, .stderr_file = "/dev/null"};

	*use_sudo = false;
	if (geteuid() == 0)
		return true;
	*use_sudo = program_exists("sudo") && child_run(argv, &quiet) == 0;
	return *use_sudo;
}

int random_hex(char *dst, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		uint8_t byte;

		if (getrandom(&byte, 1, 0) != 1)
			return -EIO;
		hex_of(dst + 2 * i, &byte, 1);
	}
	return 0;
}

int temp_dir(char *dst, size_t size)
{
	const char *base = getenv("TMPDIR");

	snprintf(dst, size, "%s/tolltap-XXXXXX", base && *base == '/' ? base : "/tmp");
	return mkdtemp(dst) ? 0 : -errno;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) ? -errno : 0;
}

void remove_tree(const char *dir)
{
	(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* ---- an agent of our own --------------------------------------------------------------------- */

/*
 * Ends the agent when stdin ends, that is when we close it or die, and returns its code. Without
 * this a killed parent could not stop an agent that sudo runs as root.
 */
static const char watch_script[] =
	"\"$@\" & pid=$!; exec >&-; read -r line; kill \"$pid\" 2>/dev/null; wait \"$pid\"";

/* The last line of its messages: why it did not start. */
static void last_line_of(const char *path, char *dst, size_t size)
{
	static const char own[] = "tolltap run: ";
	char line[1024];
	FILE *f = fopen(path, "re");

	snprintf(dst, size, "the agent did not start and said nothing");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			snprintf(dst, size, "%s",
				 strncmp(line, own, strlen(own)) ? line : line + strlen(own));
	}
	if (f)
		fclose(f);
}

int agent_start(struct child *c, const struct agent_options *o, char *why, size_t why_size)
{
	const struct child_options options = {
		.pipe_out = true, .pipe_in = true, .stderr_file = o->log};
	char *argv[AGENT_FLAGS_MAX + 9] = {"sudo",
					   "-n",
					   "/bin/sh",
					   "-c",
					   (char *)(uintptr_t)watch_script,
					   "sh",
					   (char *)(uintptr_t)o->self,
					   "run"};
	char line[256];
	int rc;

	for (size_t i = 0; o->flags[i] && i < AGENT_FLAGS_MAX; i++)
		argv[8 + i] = o->flags[i];
	rc = child_start(c, o->use_sudo ? argv : argv + 2, &options);
	while (!rc && (rc = child_line(c, line, sizeof(line), AGENT_START_MS)) == 1) {
		if (!strcmp(line, "ready"))
			return -1;
		rc = 0;
	}
	child_stop(c);
	rc = rc == 0 ? child_code(c) : EXIT_FAILED;
	last_line_of(o->log, why, why_size);
	return rc ? rc : EXIT_FAILED;
}
