/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where TLS libraries and programs that carry one usually are, so that a library is armed before
 * its first user starts. The list is the opener's own: a worker can ask for its entries by number,
 * never for a path.
 */
#ifndef TT_KNOWN_H
#define TT_KNOWN_H

#include "agent/base/base.h"

/* Directory entries read for one pattern; a file beyond them is found when it is used. */
#define KNOWN_ENTRIES_MAX 32768
#define KNOWN_FILES_MAX	  512

struct known_files {
	char *path[KNOWN_FILES_MAX]; /* real paths */
	size_t count;
};

/* Looks for them anew: well-known patterns, and `node` in each directory of PATH. */
void known_files_find(struct known_files *known);
void known_files_clear(struct known_files *known);

#endif
