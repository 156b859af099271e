/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/known.h"

#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *const patterns[] = {
	"/usr/lib/*-linux-gnu/libssl.so.[13]*",
	"/lib/*-linux-gnu/libssl.so.[13]*",
	"/usr/lib64/libssl.so.[13]*",
	"/usr/lib/libssl.so.[13]*",
	"/lib/libssl.so.[13]*",
	"/usr/local/lib/libssl.so.[13]*",
	"/usr/local/lib64/libssl.so.[13]*",
	"/usr/local/ssl/lib*/libssl.so.[13]*",
	"/opt/*/lib/libssl.so.[13]*",
	"/usr/bin/node",
	"/usr/local/bin/node",
	"/opt/*/bin/node",
	"/opt/hostedtoolcache/node/*/*/bin/node",
	"/root/.nvm/versions/node/*/bin/node",
	"/home/*/.nvm/versions/node/*/bin/node",
};

static void add(struct known_files *known, const char *path)
{
	char *real = known->count < KNOWN_FILES_MAX ? realpath(path, NULL) : NULL;

	for (size_t i = 0; real && i < known->count; i++) {
		if (strcmp(known->path[i], real) == 0) {
			free(real);
			return;
		}
	}
	if (real)
		known->path[known->count++] = real;
}

/* ---- glob, that reads no more than so much of directories that users may fill ---------------- */

static size_t entries_left;

static struct dirent *read_some(void *dir)
{
	return entries_left && entries_left-- ? readdir(dir) : NULL;
}

static void *open_dir(const char *path)
{
	return opendir(path);
}

static void close_dir(void *dir)
{
	closedir(dir);
}

static void add_pattern(struct known_files *known, const char *pattern)
{
	glob_t found = {
		.gl_opendir = open_dir,
		.gl_readdir = read_some,
		.gl_closedir = close_dir,
		.gl_stat = stat,
		.gl_lstat = lstat,
	};

	entries_left = KNOWN_ENTRIES_MAX;
	if (glob(pattern, GLOB_NOSORT | GLOB_ALTDIRFUNC, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		add(known, found.gl_pathv[i]);
	globfree(&found);
}

static void add_search_path(struct known_files *known)
{
	const char *dirs = getenv("PATH");

	while (dirs && *dirs) {
		size_t len = strcspn(dirs, ":");
		char path[PATH_MAX];

		if (len &&
		    snprintf(path, sizeof(path), "%.*s/node", (int)len, dirs) < (int)sizeof(path))
			add(known, path);
		dirs += len + (dirs[len] == ':');
	}
}

void known_files_find(struct known_files *known)
{
	known_files_clear(known);
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		add_pattern(known, patterns[i]);
	add_search_path(known);
}

void known_files_clear(struct known_files *known)
{
	while (known->count)
		free(known->path[--known->count]);
}
