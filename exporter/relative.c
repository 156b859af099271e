/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/relative.h"

#include <sqlite3.h>
#include <stdio.h>

#define NAME "relative"

static int full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)size, "%s", path) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

const char *relative_vfs(const char *path)
{
	static sqlite3_vfs vfs;
	const sqlite3_vfs *standard;

	if (strncmp(path, "./", 2) != 0)
		return NULL;
	if (sqlite3_vfs_find(NAME))
		return NAME;
	standard = sqlite3_vfs_find(NULL);
	if (!standard)
		return NULL;
	vfs = *standard;
	vfs.zName = NAME;
	vfs.xFullPathname = full_path;
	return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? NAME : NULL;
}
