/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/decoder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/privsep/sandbox.h"

/* Where the child has its two descriptors; all others are closed. */
#define CHILD_FILE  3
#define CHILD_PIPE  4
#define CHILD_FIRST 5

static bool has_end(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool site_valid(const struct probe_site *site, uint64_t file_bytes)
{
	if ((unsigned)site->hook >= HOOKS || (unsigned)site->class_ >= SITE_CLASSES ||
	    site->entry >= file_bytes || site->function >= file_bytes ||
	    site->size > file_bytes - site->function || site->return_count > SITE_RETURNS_MAX)
		return false;
	for (uint32_t i = 0; i < site->return_count; i++) {
		if (site->returns[i] >= file_bytes)
			return false;
	}
	return true;
}

bool decoded_valid(const struct decoded *d, uint64_t file_bytes)
{
	if (d->decision > DECISION_BLIND || !has_end(d->reason, sizeof(d->reason)))
		return false;
	if (d->decision != DECISION_PROBE)
		return true;
	if (d->sites.count == 0 || d->sites.count > SITES_MAX ||
	    !has_end(d->sites.build_id, sizeof(d->sites.build_id)) ||
	    !has_end(d->sites.soname, sizeof(d->sites.soname)))
		return false;
	for (size_t i = 0; i < d->sites.count; i++) {
		if (!site_valid(&d->sites.site[i], file_bytes))
			return false;
	}
	return true;
}

/* ---- the child ------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			return false;
		data = (const char *)data + n;
		len -= (size_t)n;
	}
	return true;
}

/* Nothing of the broker's but the two ends is left open, the standard ones neither. */
static bool keep_only(int file, int pipe_end)
{
	int file_up = fcntl(file, F_DUPFD, CHILD_FIRST);
	int pipe_up = fcntl(pipe_end, F_DUPFD, CHILD_FIRST);

	if (file_up < 0 || pipe_up < 0 || dup2(file_up, CHILD_FILE) < 0 ||
	    dup2(pipe_up, CHILD_PIPE) < 0)
		return false;
	return close_range(CHILD_FIRST, ~0u, 0) == 0 && close_range(0, CHILD_FILE - 1, 0) == 0;
}

static _Noreturn void child(int file, int pipe_end, pid_t parent, const char *path,
			    bool want_returns)
{
	struct sandbox_drop drop = {.caps = 0, .parent = parent};
	static struct decoded result;
	const char *reason = "";
	char err[256];

	if (!keep_only(file, pipe_end) || sandbox_become(&drop, err, sizeof(err)) ||
	    sandbox_seal(SANDBOX_DECODER, err, sizeof(err)))
		_exit(1);
	result.decision =
		decide_file(CHILD_FILE, slice_of(path), want_returns, &result.sites, &reason);
	slice_copy(result.reason, sizeof(result.reason), slice_of(reason));
	_exit(write_all(CHILD_PIPE, &result, sizeof(result)) ? 0 : 1);
}

/* ---- the broker's side ----------------------------------------------------------------------- */

/* Exactly `len` bytes before the deadline, and then the end. Returns 0 or -errno. */
static int read_all(int fd, void *data, size_t len, uint64_t deadline_ns)
{
	while (len) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		uint64_t now_ns = clock_mono_ns();
		ssize_t n;

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		if (poll(&poll_fd, 1, (int)((deadline_ns - now_ns) / NSEC_PER_MSEC) + 1) < 0 &&
		    errno != EINTR)
			return -errno;
		if (!poll_fd.revents)
			continue;
		n = read(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		data = (char *)data + n;
		len -= (size_t)n;
	}
	return 0;
}

int decoder_run(struct ending *ending, int fd, const char *path, bool want_returns,
		struct decoded *out)
{
	struct decoded result;
	pid_t pid, parent = getpid();
	struct stat st;
	int ends[2], rc;

	if (ending_full(ending))
		return -EBUSY;
	if (fstat(fd, &st) || pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0)
		child(fd, ends[1], parent, path, want_returns);
	rc = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (!rc)
		rc = read_all(ends[0], &result, sizeof(result),
			      clock_mono_ns() + DECODER_WALL_MS * NSEC_PER_MSEC);
	close(ends[0]);
	if (pid > 0)
		ending_end(ending, pid);
	if (!rc && !decoded_valid(&result, (uint64_t)st.st_size))
		rc = -EBADMSG;
	if (!rc)
		*out = result;
	return rc;
}
