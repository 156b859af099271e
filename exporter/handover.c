/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/handover.h"

#include "exporter/ledger.h"
#include "exporter/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an agent keeps there: names that begin so. */
static const char *const own_names[] = {LEDGER_FILE, LEDGER_LOCK_FILE, LEDGER_KEY_FILE,
					"inflight",  "status.json",    ".status.json"};

static bool is_own(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(own_names); i++) {
		if (slice_starts(slice_of(name), slice_of(own_names[i])))
			return true;
	}
	return false;
}

/* Places that are others' whatever they hold: these, and what stands right below the root. */
static const char *const system_places[] = {"/etc", "/usr", "/boot", "/proc",
					    "/sys", "/dev", "/bin",  "/sbin"};
static const char *const system_dirs[] = {"/var/lib", "/var/log",   "/var/cache", "/var/tmp",
					  "/var/run", "/var/spool", "/run/user",  "/run/lock"};

static bool below(const char *path, const char *place)
{
	size_t len = strlen(place);

	return strncmp(path, place, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* real is free of links and dots. */
static bool is_systems(const char *real)
{
	for (size_t i = 0; i < ARRAY_LEN(system_places); i++) {
		if (below(real, system_places[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(system_dirs); i++) {
		if (strcmp(real, system_dirs[i]) == 0)
			return true;
	}
	return strchr(real + 1, '/') == NULL;
}

static int fail(int code, const char *dir, char *err, size_t err_size)
{
	if (code == -ENOTEMPTY)
		snprintf(err, err_size,
			 "%s belongs to the system or to others; give Tolltap a directory of its "
			 "own: "
			 "--storage.path=%s/tolltap",
			 dir, dir);
	else
		snprintf(err, err_size,
			 "%s cannot be given to the user that writes it: %s; choose another "
			 "--storage.path",
			 dir, strerror(-code));
	return code;
}

/* Where the directory behind fd is, free of links and dots: its name may lead elsewhere by now. */
static int real_path(int fd, char *path, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, size - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return path[0] == '/' && (size_t)n < size - 1 ? 0 : -ENAMETOOLONG;
}

/*
 * Only a directory that is ours and that no one else writes is given away. Returns 0, -ENOTEMPTY
 * or -errno.
 */
static int check_ours(int fd, const struct stat *st)
{
	char real[PATH_MAX];
	int rc = real_path(fd, real, sizeof(real));

	if (rc)
		return rc;
	if (st->st_uid != geteuid() || st->st_mode & (S_IWGRP | S_IWOTH | S_ISVTX) ||
	    is_systems(real))
		return -ENOTEMPTY;
	return 0;
}

static int give_one(int at, const char *name, uid_t uid, gid_t gid)
{
	_cleanup_(closep) int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid == uid)
		return 0;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int give_entries(int fd, uid_t uid, gid_t gid)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	int rc = 0;

	if (!dir)
		return -errno;
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (is_own(entry->d_name))
			rc = give_one(fd, entry->d_name, uid, gid);
	}
	closedir(dir);
	return rc;
}

int handover(const char *dir, uid_t uid, gid_t gid, char *err, size_t err_size)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;
	int rc = storage_make_dir(dir, err, err_size);

	if (rc)
		return rc;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(-errno, dir, err, err_size);
	if (st.st_uid != uid) {
		rc = check_ours(fd, &st);
		if (!rc && fchown(fd, uid, gid) < 0)
			rc = -errno;
	}
	if (!rc)
		rc = give_entries(fd, uid, gid);
	return rc ? fail(rc, dir, err, err_size) : TAKE_FD(fd);
}
