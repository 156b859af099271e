/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/minder.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/privsep/channel.h"
#include "agent/privsep/ending.h"
#include "agent/privsep/sandbox.h"

struct minder {
	pid_t pid;
	int fd;
};

/* ---- the minder's process -------------------------------------------------------------------- */

struct hand {
	pid_t pid;
	int fd; /* -1: no opener runs */
	struct ending ending;
};

static int start_opener(struct hand *h)
{
	pid_t parent = getpid();
	int fds[2], rc = channel_pair(fds);

	if (rc)
		return rc;
	h->pid = fork();
	if (h->pid == 0) {
		channel_keep_only(&fds[1], 1);
		opener_serve(fds[1], parent);
	}
	close(fds[1]);
	if (h->pid < 0) {
		rc = -errno;
		close(fds[0]);
		return rc;
	}
	h->fd = fds[0];
	return 0;
}

/* The answer of the opener that runs. */
static int ask_opener(struct hand *h, const struct opener_request *r, struct opener_answer *a,
		      int *file)
{
	struct pollfd answer = {.fd = h->fd, .events = POLLIN};
	int rc = channel_send(h->fd, r, sizeof(*r), -1);

	if (rc)
		return rc;
	rc = poll(&answer, 1, MINDER_MS);
	if (rc <= 0)
		return rc ? -errno : -ETIMEDOUT;
	return channel_recv(h->fd, a, sizeof(*a), file, NULL);
}

static int pass_on(struct hand *h, const struct opener_request *r, struct opener_answer *a,
		   int *file)
{
	int rc = 0;

	if (h->fd < 0)
		rc = ending_full(&h->ending) ? -EBUSY : start_opener(h);
	if (rc)
		return rc;
	rc = ask_opener(h, r, a, file);
	if (rc) {
		closep(&h->fd);
		ending_end(&h->ending, h->pid);
	}
	return rc;
}

static _Noreturn void mind(int fd, pid_t parent)
{
	struct sandbox_drop drop = {.caps = opener_caps(), .parent = parent};
	struct hand h = {.fd = -1};
	struct opener_request r;
	char err[SANDBOX_ERROR_MAX];
	int none;

	if (sandbox_become(&drop, err, sizeof(err)) ||
	    sandbox_seal(SANDBOX_MINDER, err, sizeof(err)))
		_exit(1);
	while (channel_recv(fd, &r, sizeof(r), &none, NULL) == 0) {
		struct opener_answer a = {0};
		_cleanup_(closep) int file = -1;
		int rc = pass_on(&h, &r, &a, &file);

		closep(&none);
		if (rc)
			a.rc = rc;
		if (channel_send(fd, &a, sizeof(a), file))
			break;
	}
	_exit(0);
}

/* ---- the broker's side ----------------------------------------------------------------------- */

int minder_start(struct minder **out)
{
	struct minder *m = malloc(sizeof(*m));
	pid_t parent = getpid();
	int fds[2], rc = m ? channel_pair(fds) : -ENOMEM;

	if (rc) {
		free(m);
		return rc;
	}
	m->pid = fork();
	if (m->pid == 0) {
		channel_keep_only(&fds[1], 1);
		mind(fds[1], parent);
	}
	close(fds[1]);
	m->fd = fds[0];
	if (m->pid < 0) {
		rc = -errno;
		close(m->fd);
		free(m);
		return rc;
	}
	*out = m;
	return 0;
}

void minder_stop(struct minder *m)
{
	struct ending ending = {0};

	if (!m)
		return;
	close(m->fd);
	ending_end(&ending, m->pid);
	free(m);
}

/* Returns the answer's rc or -errno. */
static int ask(struct minder *m, const struct opener_request *r, struct opener_answer *a, int *fd)
{
	int rc = channel_send(m->fd, r, sizeof(*r), -1);

	if (!rc)
		rc = channel_recv(m->fd, a, sizeof(*a), fd, NULL);
	a->path[sizeof(a->path) - 1] = '\0';
	return rc ? rc : a->rc;
}

static int ask_fd(struct minder *m, const struct opener_request *r, struct opener_answer *a)
{
	_cleanup_(closep) int fd = -1;
	int rc = ask(m, r, a, &fd);

	if (rc)
		return rc;
	return fd < 0 ? -EBADMSG : TAKE_FD(fd);
}

int minder_open_mapping(struct minder *m, uint32_t pid, uint64_t start, uint64_t end,
			const char *path)
{
	struct opener_request r = {.op = OPENER_MAPPING, .pid = pid, .start = start, .end = end};
	struct opener_answer a = {0};

	snprintf(r.path, sizeof(r.path), "%s", path);
	return ask_fd(m, &r, &a);
}

int minder_open_text(struct minder *m, uint32_t pid, enum proc_file file)
{
	struct opener_request r = {.op = OPENER_TEXT, .pid = pid, .index = file};
	struct opener_answer a = {0};

	return ask_fd(m, &r, &a);
}

bool minder_names(struct minder *m, const char *path, const struct file_identity *id)
{
	struct opener_request r = {.op = OPENER_FILE_OF};
	struct opener_answer a = {0};
	_cleanup_(closep) int none = -1;

	snprintf(r.path, sizeof(r.path), "%s", path);
	return ask(m, &r, &a, &none) == 0 && a.device == id->device && a.inode == id->inode;
}

int minder_count_known(struct minder *m)
{
	struct opener_request r = {.op = OPENER_COUNT_KNOWN};
	struct opener_answer a = {0};
	_cleanup_(closep) int none = -1;
	int rc = ask(m, &r, &a, &none);

	return rc ? rc : (int)a.count;
}

int minder_open_known(struct minder *m, uint32_t index, char *path)
{
	struct opener_request r = {.op = OPENER_KNOWN, .index = index};
	struct opener_answer a = {0};
	int fd = ask_fd(m, &r, &a);

	memcpy(path, a.path, sizeof(a.path));
	return fd;
}
