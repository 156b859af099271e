/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fileid.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int file_identify(int fd, struct file_identity *out)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*out = (struct file_identity){
		.device = st.st_dev,
		.inode = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_mtim.tv_nsec,
		.overlay = fs.f_type == OVERLAYFS_SUPER_MAGIC,
	};
	return 0;
}

bool file_same_bytes(const struct file_identity *a, const struct file_identity *b)
{
	return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

bool file_same(const struct file_identity *a, const struct file_identity *b)
{
	return a->device == b->device && file_same_bytes(a, b);
}
