/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#ifndef TOLLTAP_SHARE_DIR
#define TOLLTAP_SHARE_DIR "/usr/local/share/tolltap"
#endif

/* The directory of this executable, without a final slash; "" when unknown. */
static void exe_dir(char *dst, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", dst, size - 1);
	char *slash;

	dst[n > 0 ? n : 0] = '\0';
	slash = strrchr(dst, '/');
	if (slash)
		*slash = '\0';
}

static int take_if_readable(const char *dir, const char *middle, const char *name, char **out)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s%s", dir, middle, name);
	char *real;

	if (n < 0 || (size_t)n >= sizeof(path) || access(path, R_OK) != 0)
		return -ENOENT;
	real = realpath(path, NULL);
	if (!real)
		return errno == ENOMEM ? -ENOMEM : -ENOENT;
	*out = real;
	return 0;
}

int share_find(const char *tree_name, const char *installed_name, char **out)
{
	char dir[PATH_MAX];
	int rc;

	exe_dir(dir, sizeof(dir));
	rc = take_if_readable(dir, "/../", tree_name, out);
	if (rc == -ENOENT)
		rc = take_if_readable(dir, "/../share/tolltap/", installed_name, out);
	if (rc == -ENOENT)
		rc = take_if_readable(TOLLTAP_SHARE_DIR, "/", installed_name, out);
	return rc;
}
