/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/opener.h"

#include <errno.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/privsep/channel.h"
#include "agent/privsep/known.h"
#include "agent/privsep/procfiles.h"
#include "agent/privsep/sandbox.h"

uint64_t opener_caps(void)
{
	return sandbox_permitted_caps() &
	       (SANDBOX_CAP(CAP_CHECKPOINT_RESTORE) | SANDBOX_CAP(CAP_SYS_PTRACE) |
		SANDBOX_CAP(CAP_DAC_READ_SEARCH));
}

/* ---- the answers ----------------------------------------------------------------------------- */

/* By its name only where the kernel does not let us have the mapping itself. */
static int open_mapping(const struct opener_request *r, struct opener_answer *a)
{
	int fd = procfile_open_mapping(r->pid, r->start, r->end);

	(void)a;
	if (fd == -EPERM && r->path[0] == '/')
		fd = procfile_open_path(r->pid, r->path);
	return fd;
}

/* Nothing of what passes stays here: environments hold secrets. */
static int copy(int to, int from)
{
	char buf[65536];
	size_t total = 0;
	ssize_t n = 0;

	while (total < PROC_TEXT_MAX && (n = read(from, buf, sizeof(buf))) > 0) {
		if (write(to, buf, (size_t)n) != n) {
			n = -1;
			break;
		}
		total += (size_t)n;
	}
	if (n < 0 || lseek(to, 0, SEEK_SET) < 0)
		n = -errno;
	explicit_bzero(buf, sizeof(buf));
	return n < 0 ? (int)n : 0;
}

static int copy_text(const struct opener_request *r, struct opener_answer *a)
{
	_cleanup_(closep) int from = procfile_open(r->pid, r->index);
	_cleanup_(closep) int to = -1;
	int rc;

	(void)a;
	if (from < 0)
		return from;
	to = memfd_create("proc", MFD_CLOEXEC);
	if (to < 0)
		return -errno;
	rc = copy(to, from);
	return rc ? rc : TAKE_FD(to);
}

static int file_of(const struct opener_request *r, struct opener_answer *a)
{
	struct stat st;

	if (stat(r->path, &st))
		return -errno;
	a->device = st.st_dev;
	a->inode = st.st_ino;
	return 0;
}

static struct known_files known;

static int count_known(const struct opener_request *r, struct opener_answer *a)
{
	(void)r;
	known_files_find(&known);
	a->count = (uint32_t)known.count;
	return 0;
}

static int open_known(const struct opener_request *r, struct opener_answer *a)
{
	const char *path = r->index < known.count ? known.path[r->index] : "";

	if (!*path || strlen(path) >= sizeof(a->path))
		return -ENOENT;
	snprintf(a->path, sizeof(a->path), "%s", path);
	return procfile_open_here(path);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Each returns -errno, 0, or the descriptor that goes with the answer. */
static const struct {
	int (*run)(const struct opener_request *r, struct opener_answer *a);
	bool opens; /* a descriptor */
} ops[OPENER_OPS] = {
	[OPENER_MAPPING] = {open_mapping, true}, [OPENER_TEXT] = {copy_text, true},
	[OPENER_FILE_OF] = {file_of, false},	 [OPENER_COUNT_KNOWN] = {count_known, false},
	[OPENER_KNOWN] = {open_known, true},
};

_Noreturn void opener_serve(int fd, pid_t parent)
{
	struct sandbox_drop drop = {.caps = opener_caps(), .parent = parent};
	struct opener_request r;
	char err[SANDBOX_ERROR_MAX];
	int none;

	if (sandbox_become(&drop, err, sizeof(err)) ||
	    sandbox_seal(SANDBOX_OPENER, err, sizeof(err)))
		_exit(1);
	while (channel_recv(fd, &r, sizeof(r), &none, NULL) == 0 && r.op < OPENER_OPS) {
		struct opener_answer a = {0};
		_cleanup_(closep) int file = -1;
		int rc = ops[r.op].run(&r, &a);

		closep(&none);
		if (ops[r.op].opens && rc >= 0)
			file = rc;
		a.rc = rc < 0 ? rc : 0;
		if (channel_send(fd, &a, sizeof(a), file))
			break;
	}
	_exit(0);
}
