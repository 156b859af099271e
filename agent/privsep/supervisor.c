/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/cli/cli.h"
#include "agent/privsep/sandbox.h"

struct child {
	pid_t pid; /* 0: not running */
	uint64_t started_ns;
	uint64_t start_at_ns; /* when it is to be started again; 0: not waiting */
	uint32_t failures;    /* in a row, without having settled */
};

struct supervisor {
	const struct supervisor_opts *opts;
	struct supervisor_board *board;
	struct child child[SUPERVISED_MAX];
	int signal_fd;
	bool ready;
	bool ended;
	int code;
};

struct supervisor_board *supervisor_board_new(void)
{
	void *page = mmap(NULL, sizeof(struct supervisor_board), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

void supervisor_board_free(struct supervisor_board *board)
{
	if (board)
		munmap(board, sizeof(*board));
}

/* ---- children -------------------------------------------------------------------------------- */

static void own_signals(sigset_t *set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		sigaddset(set, signals[i]);
}

static _Noreturn void run_child(struct supervisor *s, size_t i)
{
	const struct supervised *what = &s->opts->processes[i];
	sigset_t set;
	int code;

	/* Told before the process has said what it wants of it, a hangup would end it. */
	signal(SIGHUP, SIG_IGN);
	own_signals(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	close(s->signal_fd);
	code = what->run(s->opts->user);
	fflush(NULL);
	_exit(code);
}

/* Returns 0 or -errno. */
static int start(struct supervisor *s, size_t i)
{
	const struct supervised *what = &s->opts->processes[i];
	struct child *child = &s->child[i];
	int rc = what->prepare ? what->prepare(s->opts->user) : 0;

	if (rc)
		return rc;
	fflush(NULL); /* or the child would print it again */
	child->pid = fork();
	if (child->pid < 0) {
		child->pid = 0;
		return -errno;
	}
	if (child->pid == 0)
		run_child(s, i);
	child->started_ns = clock_mono_ns();
	child->start_at_ns = 0;
	s->board->process[i].pid = (uint32_t)child->pid;
	if (what->started)
		what->started(s->opts->user, (uint32_t)child->pid);
	return 0;
}

/* At once the first time, then after 1, 2, 4 ... seconds. */
static void start_later(struct supervisor *s, size_t i)
{
	struct child *child = &s->child[i];
	uint64_t wait_s = child->failures ? 1ull << (child->failures - 1) : 0;

	if (wait_s > SUPERVISOR_BACKOFF_S)
		wait_s = SUPERVISOR_BACKOFF_S;
	if (child->failures < 31)
		child->failures++;
	child->start_at_ns = clock_mono_ns() + wait_s * NSEC_PER_SEC;
	log_warn("supervisor", "%s is started again%s", s->opts->processes[i].name,
		 wait_s ? " after a pause: it ends again and again" : "");
}

static void start_due(struct supervisor *s)
{
	for (size_t i = 0; i < s->opts->count; i++) {
		struct child *child = &s->child[i];
		int rc;

		if (!child->start_at_ns || clock_mono_ns() < child->start_at_ns)
			continue;
		/* Before the fork: the new process tells by it that it is not the first. */
		s->board->process[i].restarts++;
		rc = start(s, i);
		if (rc) {
			s->board->process[i].restarts--;
			log_error("supervisor", "%s cannot be started: %s",
				  s->opts->processes[i].name, strerror(-rc));
			start_later(s, i);
		}
	}
}

/* What is told of an end that nobody asked for; a code before the start has told its own. */
static void tell_end(const struct supervisor *s, size_t i, int status)
{
	const char *name = s->opts->processes[i].name;

	if (WIFSIGNALED(status))
		log_error("supervisor", "%s was ended by signal %d (%s)", name, WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	else if (s->ready)
		log_error("supervisor", "%s ended with code %d", name, WEXITSTATUS(status));
}

/* Whether it is started again, or all ends with it. */
static bool goes_on(const struct supervisor *s, size_t i, int status)
{
	const struct supervised *what = &s->opts->processes[i];
	bool fatal =
		what->fatal_code && WIFEXITED(status) && WEXITSTATUS(status) == what->fatal_code;

	return s->ready && what->restarts && !fatal;
}

static void child_ended(struct supervisor *s, size_t i, int status)
{
	const struct supervised *what = &s->opts->processes[i];
	struct child *child = &s->child[i];
	bool settled = clock_mono_ns() - child->started_ns > SUPERVISOR_SETTLED_S * NSEC_PER_SEC;

	child->pid = 0;
	s->board->process[i].pid = 0;
	if (what->ended)
		what->ended(s->opts->user);
	if (s->ended)
		return;
	tell_end(s, i, status);
	if (goes_on(s, i, status)) {
		child->failures = settled ? 0 : child->failures;
		start_later(s, i);
		return;
	}
	s->ended = true;
	s->code = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	if (s->code == what->fatal_code)
		s->code = EXIT_FAILED;
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < s->opts->count; i++) {
			if (s->child[i].pid != pid)
				continue;
			child_ended(s, i, status);
			/* An orderly stop is as good as its last process says. */
			if (s->ended && s->code < 0 && i + 1 == s->opts->count)
				s->code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
		}
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

static void wait_for_end(struct supervisor *s, const struct child *child, uint64_t most_ms)
{
	uint64_t until_ns = clock_mono_ns() + most_ms * NSEC_PER_MSEC;
	struct pollfd signals = {.fd = s->signal_fd, .events = POLLIN};

	while (child->pid && clock_mono_ns() < until_ns) {
		struct signalfd_siginfo info;

		if (poll(&signals, 1, 100) > 0)
			(void)!read(s->signal_fd, &info, sizeof(info));
		reap(s);
	}
}

/* Asks the process to end, waits, and makes it. */
static void stop_child(struct supervisor *s, size_t i)
{
	struct child *child = &s->child[i];

	if (!child->pid)
		return;
	kill(child->pid, SIGTERM);
	wait_for_end(s, child, SUPERVISOR_STOP_MS);
	if (!child->pid)
		return;
	log_error("supervisor", "%s did not end within %d s and is killed",
		  s->opts->processes[i].name, SUPERVISOR_STOP_MS / 1000);
	/* Without the right to kill it, or hanging in the kernel: it dies with us. */
	if (kill(child->pid, SIGKILL) == 0)
		wait_for_end(s, child, SUPERVISOR_KILL_MS);
	child->pid = 0;
}

static void stop_all(struct supervisor *s)
{
	s->ended = true;
	if (s->opts->stopping)
		s->opts->stopping(s->opts->user);
	for (size_t i = s->opts->count; i-- > 0;)
		stop_child(s, i);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void on_signals(struct supervisor *s)
{
	pid_t hangup_to = s->child[s->opts->hangup_to].pid;
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP && hangup_to)
			kill(hangup_to, SIGHUP);
		else if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
			s->ended = true;
	}
	reap(s);
}

static void on_ready(struct supervisor *s)
{
	uint64_t count;

	if (read(s->opts->ready_fd, &count, sizeof(count)) != sizeof(count) || s->ready)
		return;
	s->ready = true;
	s->opts->ready(s->opts->user);
}

/* Until the next restart is due; -1: none is. */
static int wait_ms(const struct supervisor *s)
{
	uint64_t now = clock_mono_ns();
	int ms = -1;

	for (size_t i = 0; i < s->opts->count; i++) {
		uint64_t at = s->child[i].start_at_ns;
		int left = at > now ? (int)((at - now) / NSEC_PER_MSEC) + 1 : 0;

		if (at && (ms < 0 || left < ms))
			ms = left;
	}
	return ms;
}

static void keep_running(struct supervisor *s)
{
	while (!s->ended) {
		struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN},
				       {.fd = s->opts->ready_fd, .events = POLLIN}};

		if (poll(fds, ARRAY_LEN(fds), wait_ms(s)) < 0 && errno != EINTR)
			return;
		if (fds[0].revents)
			on_signals(s);
		if (fds[1].revents)
			on_ready(s);
		if (!s->ended)
			start_due(s);
	}
}

/* The supervisor has no parent to outlive: whoever started it may leave. */
static int seal(const struct supervisor_opts *opts)
{
	struct sandbox_drop drop = {.caps = opts->caps};
	char err[SANDBOX_ERROR_MAX] = "";

	if (sandbox_become(&drop, err, sizeof(err)) == 0 &&
	    sandbox_seal(SANDBOX_SUPERVISOR, err, sizeof(err)) == 0)
		return EXIT_OK;
	return cli_fail(EXIT_PRIVILEGE, "run", "%s", err);
}

int supervisor_run(const struct supervisor_opts *opts)
{
	struct supervisor s = {.opts = opts, .code = -1};
	sigset_t set;
	int rc = 0;

	/* The caller's pointer is const for all but us. */
	s.board = (struct supervisor_board *)(uintptr_t)opts->board;
	s.board->started_ns = clock_mono_ns();
	own_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signal_fd < 0)
		return cli_fail(EXIT_FAILED, "run", "no signalfd: %s", strerror(errno));
	for (size_t i = 0; i < opts->count && !rc; i++)
		rc = start(&s, i);
	if (rc)
		s.code = cli_fail(EXIT_FAILED, "run", "a process cannot be started: %s",
				  strerror(-rc));
	else
		s.code = seal(opts);
	if (s.code == EXIT_OK) {
		s.code = -1;
		keep_running(&s);
	}
	stop_all(&s);
	close(s.signal_fd);
	return s.code < 0 ? EXIT_FAILED : s.code;
}
