/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "agent/privsep/answers.h"
#include "agent/privsep/channel.h"
#include "agent/privsep/sandbox.h"

struct serve {
	const struct serve_opts *opts;
	struct probes *probes;
	struct minder *minder;
	struct answers answers;
	int worker_fd; /* -1: none */
	uint32_t own[OWN_PROCESSES];
};

/* Its probes stay for the next one, which knows nothing of the connections. */
static void worker_gone(struct serve *s)
{
	if (s->worker_fd < 0)
		return;
	closep(&s->worker_fd);
	answers_new_worker(&s->answers);
	probes_new_reader(s->probes);
}

static void answer(struct serve *s, const struct request *r)
{
	_cleanup_(closep) int fd = -1;
	struct answer a;

	answers_give(&s->answers, r, &a, &fd);
	if (channel_send(s->worker_fd, &a, sizeof(a), fd))
		worker_gone(s);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void on_worker(struct serve *s)
{
	struct request r;
	_cleanup_(closep) int unasked = -1;
	uint32_t pid = 0;
	int rc = channel_recv(s->worker_fd, &r, sizeof(r), &unasked, &pid);

	if (rc == -EBADMSG || (!rc && (unasked >= 0 || pid != s->own[OWN_WORKER]))) {
		s->answers.refused++;
		return;
	}
	if (!rc) {
		answer(s, &r);
		return;
	}
	worker_gone(s);
}

/* False when the supervisor is gone. */
static bool on_control(struct serve *s)
{
	struct own_started started;
	_cleanup_(closep) int fd = -1;

	if (channel_recv(s->opts->control_fd, &started, sizeof(started), &fd, NULL) ||
	    started.which >= OWN_PROCESSES)
		return false;
	s->own[started.which] = started.pid;
	probes_set_own(s->probes, s->own, OWN_PROCESSES);
	if (started.which != OWN_WORKER)
		return true;
	worker_gone(s);
	s->worker_fd = TAKE_FD(fd);
	return s->worker_fd >= 0 || !started.pid;
}

/* SIGTERM is read, not died of: the probes are then closed side by side, which takes far less. */
static int open_end_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void serve_until_end(struct serve *s)
{
	_cleanup_(closep) int end_fd = open_end_signal();

	for (;;) {
		struct pollfd fds[] = {{.fd = s->opts->control_fd, .events = POLLIN},
				       {.fd = s->worker_fd, .events = POLLIN},
				       {.fd = end_fd, .events = POLLIN}};

		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			return;
		if (fds[2].revents || (fds[0].revents && !on_control(s)))
			return;
		if (fds[1].revents && fds[1].fd == s->worker_fd)
			on_worker(s);
	}
}

/* ---- start ----------------------------------------------------------------------------------- */

/* What suffices where uprobe_multi exists, what other kernels force, what the start alone needs. */
#define CAPS_LEAST                                                                       \
	(SANDBOX_CAP(CAP_BPF) | SANDBOX_CAP(CAP_PERFMON) | SANDBOX_CAP(CAP_SYS_PTRACE) | \
	 SANDBOX_CAP(CAP_DAC_READ_SEARCH))
#define CAPS_MORE  SANDBOX_CAP(CAP_SYS_ADMIN)
#define CAPS_START (SANDBOX_CAP(CAP_SYS_RESOURCE) | SANDBOX_CAP(CAP_CHECKPOINT_RESTORE))

/* Everything but what the broker or the opener may need goes first. */
static int become(const struct serve_opts *o, char *err, size_t err_size)
{
	const struct sandbox_drop drop = {
		.identity = o->identity,
		.caps = sandbox_permitted_caps() & (CAPS_LEAST | CAPS_MORE | CAPS_START),
		.parent = o->supervisor,
	};

	return sandbox_become(&drop, err, err_size);
}

/*
 * Before Linux 5.11 maps are charged to this limit. libbpf raises it too, but only once, and the
 * first attempt to load is without the right to. Where that right is missing, loading may fail.
 */
static void raise_memlock(void)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_MEMLOCK, &all);
}

/* A probed file takes a dozen descriptors: the 1024 of most hosts would be spent by 80 files. */
static void raise_files(void)
{
	struct rlimit now;

	if (getrlimit(RLIMIT_NOFILE, &now) == 0) {
		now.rlim_cur = now.rlim_max;
		setrlimit(RLIMIT_NOFILE, &now);
	}
}

static int load_with(struct serve *s, uint64_t caps, uint64_t permitted, char *err, size_t err_size)
{
	int rc = sandbox_set_caps(permitted, caps, err, err_size);

	return rc ? rc : probes_new(&s->probes, &s->opts->probes, err, err_size);
}

/* With as little as may suffice, then with what the kernel forces. */
static int load(struct serve *s, char *err, size_t err_size)
{
	uint64_t all = sandbox_permitted_caps() & (CAPS_LEAST | CAPS_MORE);
	uint64_t kept = all & CAPS_LEAST;
	int rc = load_with(s, kept, all, err, err_size);

	if (rc && all != kept) {
		kept = all;
		rc = load_with(s, kept, all, err, err_size);
	}
	return rc ? rc : sandbox_set_caps(kept, kept, err, err_size);
}

static int start(struct serve *s)
{
	char err[PROBES_ERROR_MAX] = "";
	int rc = become(s->opts, err, sizeof(err));

	if (!rc && s->opts->line) {
		rc = lifeline_hold(s->opts->line);
		if (rc)
			snprintf(err, sizeof(err), "nobody can be told of its end: %s",
				 strerror(-rc));
	}
	if (!rc) {
		rc = minder_start(&s->minder);
		if (rc)
			snprintf(err, sizeof(err), "no process to open files: %s", strerror(-rc));
	}
	raise_memlock();
	raise_files();
	if (!rc)
		rc = load(s, err, sizeof(err));
	if (!rc)
		rc = sandbox_seal(SANDBOX_BROKER, err, sizeof(err));
	s->answers.probes = s->probes;
	s->answers.minder = s->minder;
	memcpy(s->answers.settings, s->opts->settings, sizeof(s->answers.settings));
	if (!rc)
		return EXIT_OK;
	return cli_fail(rc == -EPERM || rc == -EACCES ? EXIT_PRIVILEGE : EXIT_KERNEL, "run", "%s",
			err);
}

int broker_serve(const struct serve_opts *opts)
{
	static struct serve s;
	int code;

	s = (struct serve){.opts = opts, .worker_fd = -1, .answers.current.fd = -1};
	code = start(&s);
	if (code == EXIT_OK)
		serve_until_end(&s);
	minder_stop(s.minder);
	answers_new_worker(&s.answers);
	closep(&s.worker_fd);
	probes_free(s.probes);
	return code;
}
