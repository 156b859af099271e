/* SPDX-License-Identifier: Apache-2.0 */
/* Which file a descriptor is: what fstat and fstatfs say, enough to know it again. */
#ifndef TT_FILEID_H
#define TT_FILEID_H

#include "agent/base/base.h"

struct file_identity {
	uint64_t device, inode, size;
	int64_t mtime_ns;
	bool overlay; /* on overlayfs: one lower file shows different devices */
};

/* Returns 0 or -errno. */
int file_identify(int fd, struct file_identity *out) TT_MUST_CHECK;
/* The same inode number, size and time: on another device a hint, on the same one the same file. */
bool file_same_bytes(const struct file_identity *a, const struct file_identity *b);
/* The same bytes in the same inode. */
bool file_same(const struct file_identity *a, const struct file_identity *b);

#endif
