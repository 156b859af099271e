/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status.h"

#include "agent/privsep/probes.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATUS_TMP	   STATUS_FILE ".tmp"
#define STATUS_BYTES_MAX   (8u << 20)
#define STATUS_FRESH_FOR_S 5

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A fresh file that belongs to the directory's group and that the group may read. */
static int open_tmp(int dir)
{
	struct stat st;
	int fd;

	if (fstat(dir, &st) != 0)
		return -errno;
	if (unlinkat(dir, STATUS_TMP, 0) != 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, STATUS_TMP, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Without the right to give it away the file keeps our group; nobody reads more by that. */
	if (fchown(fd, (uid_t)-1, st.st_gid) != 0 && errno != EPERM) {
		int err = -errno;

		close(fd);
		return err;
	}
	if (fchmod(fd, 0640) != 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int status_write(const char *dir, const struct cJSON *status)
{
	_cleanup_(closep) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	_cleanup_(freep) char *text = NULL;
	int err;

	if (at < 0)
		return -errno;
	text = cJSON_PrintUnformatted(status);
	if (!text)
		return -ENOMEM;
	fd = open_tmp(at);
	if (fd < 0)
		return fd;
	err = write_all(fd, text, strlen(text));
	if (err == 0 && renameat(at, STATUS_TMP, at, STATUS_FILE) != 0)
		err = -errno;
	if (err)
		unlinkat(at, STATUS_TMP, 0);
	return err;
}

/* The whole file as 0-ended text, the caller's to free. */
static int read_text(int fd, char **out)
{
	_cleanup_(freep) char *text = NULL;
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > STATUS_BYTES_MAX)
		return -EINVAL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (done < (size_t)st.st_size) {
		ssize_t n = read(fd, text + done, (size_t)st.st_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	text[done] = '\0';
	*out = TAKE_PTR(text);
	return 0;
}

int status_read(const char *dir, struct cJSON **out)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX];
	cJSON *status;
	int err;

	if (snprintf(path, sizeof(path), "%s/%s", dir, STATUS_FILE) >= (int)sizeof(path))
		return -EINVAL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == EACCES || errno == EPERM ? -EACCES
		       : errno == ENOTDIR		 ? -ENOENT
							 : -errno;
	err = read_text(fd, &text);
	if (err)
		return err;
	status = cJSON_Parse(text);
	if (!cJSON_IsObject(status)) {
		cJSON_Delete(status);
		return -EINVAL;
	}
	*out = status;
	return 0;
}

void status_add_kernel(struct cJSON *status, const struct probe_caps *caps)
{
	cJSON *kernel = cJSON_AddObjectToObject(status, "kernel");

	cJSON_AddStringToObject(kernel, "release", caps->kernel_release);
	cJSON_AddBoolToObject(kernel, "btf", caps->btf);
	cJSON_AddBoolToObject(kernel, "multi", caps->multi);
	cJSON_AddBoolToObject(kernel, "session", caps->session);
	cJSON_AddBoolToObject(kernel, "trampoline_safe", caps->trampoline_safe);
	cJSON_AddStringToObject(kernel, "attach", attach_kind_names[caps->attach]);
	cJSON_AddNumberToObject(kernel, "plaintext_ports", caps->plaintext_ports);
	cJSON_AddStringToObject(kernel, "returns", return_kind_names[caps->returns]);
}

/* Unix time of "2026-01-31T12:00:00[.123]Z"; -1 when it is none. */
static time_t unix_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (!rest)
		return -1;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	return strcmp(rest, "Z") == 0 ? timegm(&tm) : -1;
}

bool status_alive(const struct cJSON *status)
{
	const cJSON *pid = cJSON_GetObjectItemCaseSensitive(status, "pid");
	const cJSON *updated = cJSON_GetObjectItemCaseSensitive(status, "updated_at");
	time_t at = unix_time(cJSON_GetStringValue(updated));
	time_t age = time(NULL) - at;

	if (!cJSON_IsNumber(pid) || pid->valuedouble < 1 || pid->valuedouble > INT_MAX || at < 0)
		return false;
	if (kill((pid_t)pid->valueint, 0) != 0 && errno != EPERM)
		return false;
	return age <= STATUS_FRESH_FOR_S && age >= -STATUS_FRESH_FOR_S;
}
