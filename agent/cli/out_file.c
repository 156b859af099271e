/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool takes_bytes(mode_t mode)
{
	return S_ISFIFO(mode) || S_ISCHR(mode);
}

/* What is at the path, links followed; 0 = nothing. A link to nothing is refused: -ELOOP. */
static int look(struct out_file *f, mode_t *mode)
{
	struct stat st;

	*mode = 0;
	if (stat(f->path, &st) == 0) {
		*mode = st.st_mode;
		return realpath(f->path, f->place) || takes_bytes(st.st_mode) ? 0 : -errno;
	}
	if (errno != ENOENT)
		return -errno;
	if (lstat(f->path, &st) == 0)
		return -ELOOP;
	return snprintf(f->place, sizeof(f->place), "%s", f->path) < (int)sizeof(f->place)
		       ? 0
		       : -ENAMETOOLONG;
}

/* What was looked at may be another file by now. */
static int open_straight(struct out_file *f)
{
	int fd = open(f->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !takes_bytes(st.st_mode))
		r = -ESTALE;
	else if (!(f->stream = fdopen(fd, "w")))
		r = -errno;
	if (r)
		close(fd);
	return r;
}

static int open_partial(struct out_file *f)
{
	int fd;

	if (snprintf(f->partial, sizeof(f->partial), "%s.XXXXXX", f->place) >=
	    (int)sizeof(f->partial))
		return -ENAMETOOLONG;
	fd = mkostemp(f->partial, O_CLOEXEC);
	f->stream = fd < 0 ? NULL : fdopen(fd, "w");
	return f->stream ? 0 : -errno;
}

int out_file_open(struct out_file *f, const char *command, const char *path)
{
	mode_t mode;
	int r;

	*f = (struct out_file){.path = path, .stream = stdout};
	if (!path)
		return EXIT_OK;
	r = look(f, &mode);
	if (r == -ELOOP)
		return cli_fail(EXIT_USAGE, command, "%s is a symbolic link to no file", path);
	if (r == 0 && takes_bytes(mode))
		r = open_straight(f);
	else if (r == 0 && mode && !S_ISREG(mode))
		return cli_fail(EXIT_USAGE, command, "%s is there and is no file; name a file",
				path);
	else if (r == 0)
		r = open_partial(f);
	if (r)
		return cli_fail(EXIT_FAILED, command, "cannot write %s: %s", path, strerror(-r));
	return EXIT_OK;
}

static int end_straight(struct out_file *f)
{
	return fclose(f->stream) && errno != EPIPE ? -errno : 0;
}

static int end_partial(struct out_file *f, bool keep)
{
	int r = 0;

	if (fflush(f->stream) || fsync(fileno(f->stream)) < 0)
		r = -errno;
	if (fclose(f->stream) && r == 0)
		r = -errno;
	if (keep && r == 0 && rename(f->partial, f->place) < 0)
		r = -errno;
	if (!keep || r)
		unlink(f->partial);
	return r;
}

int out_file_end(struct out_file *f, const char *command, int rc)
{
	int r;

	if (!f->path)
		return rc;
	r = *f->partial ? end_partial(f, rc == EXIT_OK) : end_straight(f);
	if (rc == EXIT_OK && r)
		rc = cli_fail(EXIT_FAILED, command, "cannot write %s: %s", f->path, strerror(-r));
	return rc;
}
