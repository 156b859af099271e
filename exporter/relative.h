/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite makes every path absolute and walks it, which fails for a worker whose state directory
 * lies below one that is closed to it: the directory was entered while there was the right to, and
 * "./name" is all that works. This is SQLite's own VFS without that walk.
 */
#ifndef TT_RELATIVE_H
#define TT_RELATIVE_H

#include "agent/base/base.h"

/* The VFS to open path with: NULL, SQLite's default, unless the path is relative ("./..."). */
const char *relative_vfs(const char *path);

#endif
