/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/storage.h"

#include "exporter/ledger.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

const char *storage_advice(int err)
{
	static const struct {
		int err;
		const char *advice;
	} rows[] = {
		{EACCES, "run as root, or choose another --storage.path"},
		{EPERM, "run as root, and look for an immutable flag (lsattr)"},
		{EROFS, "mount it writable, or choose another --storage.path"},
		{ENOSPC, "free space on its disk"},
		{EDQUOT, "raise the quota on its disk"},
		{EIO, "look for errors of its disk in the kernel log"},
		{EBADMSG, "restore it from a backup, or move it away to begin a new one"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].err == err)
			return rows[i].advice;
	}
	return "choose another --storage.path";
}

static int fail(int code, char *err, size_t err_size, const char *what, const char *path)
{
	snprintf(err, err_size, "cannot %s %s: %s; %s", what, path, strerror(-code),
		 storage_advice(-code));
	return code;
}

static const char *entered; /* NULL: none */

void storage_entered(const char *dir)
{
	entered = dir;
}

static bool is_entered(const char *dir)
{
	return entered && strcmp(dir, entered) == 0;
}

const char *storage_dir(const char *dir)
{
	return is_entered(dir) ? "." : dir;
}

bool storage_path(char *path, size_t size, const char *dir, const char *name)
{
	int n = snprintf(path, size, "%s/%s", storage_dir(dir), name);

	return n >= 0 && (size_t)n < size;
}

void storage_uri(struct text *uri, const char *path, const char *parameters)
{
	text_puts(uri, "file:");
	for (const char *p = path; *p; p++) {
		if (isalnum((unsigned char)*p) || strchr("/._-", *p))
			text_append(uri, p, 1);
		else
			text_printf(uri, "%%%02X", (unsigned char)*p);
	}
	text_puts(uri, parameters);
}

void storage_share(int fd)
{
	struct group entry, *found = NULL;
	struct stat st;
	char buf[4096];

	if (getgrnam_r(LEDGER_GROUP, &entry, buf, sizeof(buf), &found) || !found)
		return;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_gid == entry.gr_gid)
		return;
	if (fchown(fd, (uid_t)-1, entry.gr_gid) < 0)
		return;
}

/* A directory that keeps the mode given here is taken as made here; any other is left alone. */
static int share_dir(const char *path, bool made)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || (made && fchmod(fd, STORAGE_DIR_MODE) < 0) || fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & 07777) == STORAGE_DIR_MODE)
		storage_share(fd);
	return 0;
}

static int make_one(const char *path)
{
	if (mkdir(path, STORAGE_DIR_MODE) == 0)
		return share_dir(path, true);
	return errno == EEXIST ? share_dir(path, false) : -errno;
}

int storage_make_dir(const char *dir, char *err, size_t err_size)
{
	char path[PATH_MAX];
	int r;

	if (is_entered(dir))
		return 0;
	if (*dir == '\0' || strlen(dir) >= sizeof(path))
		return fail(-ENAMETOOLONG, err, err_size, "use directory", dir);
	strncpy(path, dir, sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return fail(-errno, err, err_size, "make directory", path);
		*slash = '/';
	}
	r = make_one(path);
	return r ? fail(r, err, err_size, "make directory", path) : 0;
}

int storage_open_file(const char *dir, const char *name, char *err, size_t err_size)
{
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX];

	if (!storage_path(path, sizeof(path), dir, name))
		return fail(-ENAMETOOLONG, err, err_size, "use directory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, STORAGE_FILE_MODE);
	if (fd < 0 && errno == EEXIST) {
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return fail(-errno, err, err_size, "open", path);
		storage_share(fd);
		return TAKE_FD(fd);
	}
	if (fd < 0 || fchmod(fd, STORAGE_FILE_MODE) < 0)
		return fail(-errno, err, err_size, "make", path);
	storage_share(fd);
	return TAKE_FD(fd);
}

/* The pid a lock file names, or 0. */
static long long owner_of(int fd)
{
	char text[24] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? strtoll(text, NULL, 10) : 0;
}

static int refuse_second(int fd, const char *dir, char *err, size_t err_size)
{
	long long pid = owner_of(fd);
	char named[40] = "";

	if (pid > 0)
		snprintf(named, sizeof(named), " (pid %lld)", pid);
	snprintf(err, err_size,
		 "another agent%s records in %s; stop it, or choose another --storage.path", named,
		 dir);
	return -EBUSY;
}

int ledger_lock_dir(const char *dir, int64_t owner_pid, char *err, size_t err_size)
{
	_cleanup_(closep) int fd = -1;
	int r = storage_make_dir(dir, err, err_size);

	if (r)
		return r;
	fd = storage_open_file(dir, LEDGER_LOCK_FILE, err, err_size);
	if (fd < 0)
		return TAKE_FD(fd);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? refuse_second(fd, dir, err, err_size)
					    : fail(-errno, err, err_size, "lock", dir);
	/* Only told to a second agent: a full disk must not matter here. */
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%lld\n", (long long)owner_pid) < 0)
		errno = 0;
	return TAKE_FD(fd);
}

/* ---- the fingerprint key ----------------------------------------------------------------- */

static int key_read(const char *path, uint8_t key[LEDGER_KEY_BYTES])
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t found[LEDGER_KEY_BYTES + 1];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, found, sizeof(found));
	if (n < 0)
		return -errno;
	if (n != LEDGER_KEY_BYTES)
		return -EBADMSG;
	memcpy(key, found, LEDGER_KEY_BYTES);
	return 0;
}

/* Whole or not at all: written beside, made durable, then linked unless another made it first. */
static int key_make(const char *path)
{
	_cleanup_(closep) int fd = -1;
	uint8_t key[LEDGER_KEY_BYTES];
	char beside[PATH_MAX];
	int n = snprintf(beside, sizeof(beside), "%s.%d", path, (int)getpid());
	int r = 0;

	if (n < 0 || (size_t)n >= sizeof(beside))
		return -ENAMETOOLONG;
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -EIO;
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		r = -ENOSPC;
	else if (fsync(fd) < 0 || (link(beside, path) < 0 && errno != EEXIST))
		r = -errno;
	unlink(beside);
	return r;
}

int ledger_install_key(const char *dir, uint8_t key[LEDGER_KEY_BYTES], char *err, size_t err_size)
{
	char path[PATH_MAX];
	int r = storage_make_dir(dir, err, err_size);

	if (r)
		return r;
	if (!storage_path(path, sizeof(path), dir, LEDGER_KEY_FILE))
		return fail(-ENAMETOOLONG, err, err_size, "use directory", dir);
	r = key_read(path, key);
	if (r == -ENOENT) {
		r = key_make(path);
		r = r ? r : key_read(path, key);
	}
	if (r == -EBADMSG)
		snprintf(err, err_size,
			 "%s is not a key of %d bytes; remove it to make a new one (fingerprints "
			 "will change)",
			 path, LEDGER_KEY_BYTES);
	else if (r)
		fail(r, err, err_size, "read or make", path);
	return r;
}
