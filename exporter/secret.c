/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/secret.h"

#include "agent/base/input.h"
#include "exporter/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/base16.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_HEX	(2 * LEDGER_KEY_BYTES)
#define SECRET_FILE_MAX (SECRET_HEX + 2) /* and its line's end */

int secret_path(char *path, const char *source, char *err, size_t err_size)
{
	const char *name = source + strlen(SECRET_CREDENTIAL),
		   *dir = getenv("CREDENTIALS_DIRECTORY");
	int n;

	if (strncmp(source, SECRET_CREDENTIAL, strlen(SECRET_CREDENTIAL)) != 0) {
		n = snprintf(path, PATH_MAX, "%s", source);
	} else if (!*name || strchr(name, '/')) {
		snprintf(err, err_size, "fingerprint.key-file: '%.60s' is no credential's name",
			 name);
		return -EINVAL;
	} else if (!dir || !*dir) {
		snprintf(err, err_size,
			 "fingerprint.key-file: $CREDENTIALS_DIRECTORY is not set; give the "
			 "service LoadCredential=%s:FILE",
			 name);
		return -ENOENT;
	} else {
		n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
	}
	if (n < 0 || n >= PATH_MAX) {
		snprintf(err, err_size, "fingerprint.key-file: the path is too long");
		return -ENAMETOOLONG;
	}
	return 0;
}

/* A systemd credential shows its access list as rights of the group. */
static const char *rights_fault(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return "it is not a file";
	if (st.st_mode & S_IROTH)
		return "others can read it; chmod 0400";
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return "others can write it; chmod 0400";
	return NULL;
}

static bool decode(uint8_t key[LEDGER_KEY_BYTES], const char *text, size_t len)
{
	struct base16_decode_ctx ctx;
	size_t done = LEDGER_KEY_BYTES;
	bool ok;

	if (len == LEDGER_KEY_BYTES) {
		memcpy(key, text, len);
		return true;
	}
	if (len > SECRET_FILE_MAX)
		return false;
	while (len > SECRET_HEX && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len != SECRET_HEX)
		return false;
	base16_decode_init(&ctx);
	ok = base16_decode_update(&ctx, &done, key, len, text) && base16_decode_final(&ctx) &&
	     done == LEDGER_KEY_BYTES;
	explicit_bzero(&ctx, sizeof(ctx));
	return ok;
}

/* Returns what is wrong with the file, or NULL. */
static const char *read_file(uint8_t key[LEDGER_KEY_BYTES], int fd)
{
	char text[SECRET_FILE_MAX + 1];
	const char *fault = rights_fault(fd);
	ssize_t n;

	if (fault)
		return fault;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return strerror(errno);
	if (!decode(key, text, (size_t)n))
		fault = "it holds neither 32 bytes nor 64 hex digits; make one with: openssl rand "
			"-hex 32";
	explicit_bzero(text, sizeof(text));
	return fault;
}

static int load_shared(uint8_t key[LEDGER_KEY_BYTES], const char *source, char *err,
		       size_t err_size)
{
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX];
	const char *fault;
	int r = secret_path(path, source, err, err_size);

	if (r)
		return r;
	fd = input_open(path);
	if (fd < 0) {
		r = fd;
		fault = strerror(-r);
	} else {
		r = -EBADMSG;
		fault = read_file(key, fd);
	}
	if (!fault)
		return 0;
	snprintf(err, err_size, "fingerprint.key-file: cannot use %s: %s", path, fault);
	return r;
}

int secret_load(uint8_t key[LEDGER_KEY_BYTES], const char *source, const char *dir, char *err,
		size_t err_size)
{
	return source ? load_shared(key, source, err, err_size)
		      : ledger_install_key(dir, key, err, err_size);
}

int secret_find(uint8_t key[LEDGER_KEY_BYTES], const char *source, const char *dir, char *err,
		size_t err_size)
{
	char path[PATH_MAX];

	if (source)
		return load_shared(key, source, err, err_size);
	if (storage_path(path, sizeof(path), dir, LEDGER_KEY_FILE) && access(path, F_OK) < 0 &&
	    errno == ENOENT) {
		snprintf(err, err_size,
			 "no secret in %s yet; start `tolltap run` once, or give "
			 "--fingerprint.key-file=FILE",
			 dir);
		return -ENOENT;
	}
	return ledger_install_key(dir, key, err, err_size);
}
