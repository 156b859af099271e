/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a process runs code of which file, read from its maps (the text of /proc/PID/maps behind a
 * descriptor, read from where it stands). Lines are not trusted: what is no line is passed over.
 */
#ifndef TT_MAPPED_H
#define TT_MAPPED_H

#include "agent/base/procfs.h"
#include "agent/discovery/sites.h"

/* A file as maps lines name it: overlays show other numbers there than fstat. */
struct mapped_file {
	uint32_t major, minor;
	uint64_t inode;
};

bool mapped_same(const struct mapped_file *a, const struct mapped_file *b);

/* The next file that has code in there; one with several mappings comes as often. */
bool mapped_next(struct proc_lines *lines, struct mapped_file *out);

/*
 * What is mapped as code at exactly [start, end), when it is the file of that inode or of that
 * path. False: not any more.
 */
bool mapped_find(int maps, uint64_t start, uint64_t end, uint64_t inode, const char *path,
		 struct mapped_file *out);

/* True when every offset of every site lies in what is mapped as code of the file. */
bool mapped_covers(int maps, const struct mapped_file *file, const struct probe_sites *sites);

#endif
