/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who owns the file may read it, and a group that its owner chose. */
#define REFUSED_MODE (S_IWGRP | S_IRWXO)

static int check_file(int fd, const char *path, char *err, size_t err_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, err_size, "%.200s is no file", path);
		return -EBADMSG;
	}
	if (st.st_mode & REFUSED_MODE) {
		snprintf(err, err_size,
			 "%.200s holds a key and can be read or changed by others (mode %04o); "
			 "chmod 600 it",
			 path, st.st_mode & 07777);
		return -EACCES;
	}
	return 0;
}

/* One line of printable ASCII without spaces: nothing that could end a header line. */
static bool is_key(const struct bill_key *key)
{
	size_t len = strlen(key->text);

	for (size_t i = 0; i < len; i++) {
		if (key->text[i] <= ' ' || key->text[i] > '~')
			return false;
	}
	return len >= 8;
}

static int read_key(int fd, struct bill_key *key)
{
	size_t len = 0;

	while (len < sizeof(key->text)) {
		ssize_t n = read(fd, key->text + len, sizeof(key->text) - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len == sizeof(key->text))
		return -EBADMSG;
	while (len && (key->text[len - 1] == '\n' || key->text[len - 1] == '\r'))
		len--;
	key->text[len] = '\0';
	return strlen(key->text) == len && is_key(key) ? 0 : -EBADMSG;
}

int bill_key_read(struct bill_key *out, const char *path, char *err, size_t err_size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct bill_key key = {{0}};
	int r = fd < 0 ? -errno : 0;

	err[0] = '\0';
	if (r == 0)
		r = check_file(fd, path, err, err_size);
	if (r == 0)
		r = read_key(fd, &key);
	if (r == 0)
		*out = key;
	else if (!err[0] && r == -EBADMSG)
		snprintf(err, err_size, "%.200s holds no key: one line of printable characters",
			 path);
	else if (!err[0])
		snprintf(err, err_size, "cannot read the key in %.200s: %s", path, strerror(-r));
	bill_key_wipe(&key);
	return r;
}

void bill_key_wipe(struct bill_key *key)
{
	explicit_bzero(key, sizeof(*key));
}
