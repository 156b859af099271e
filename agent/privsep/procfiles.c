/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/procfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const proc_names[PROC_FILES] = {
	[PROC_MAPS] = "maps", [PROC_ENVIRON] = "environ", [PROC_CGROUP] = "cgroup",
	[PROC_STAT] = "stat", [PROC_CMDLINE] = "cmdline", [PROC_LOGINUID] = "loginuid",
};

bool procfile_may_hang(enum proc_file file)
{
	return file == PROC_MAPS || file == PROC_ENVIRON || file == PROC_CMDLINE;
}

int procfile_open(uint32_t pid, enum proc_file file)
{
	char path[64];
	int fd;

	if (file >= PROC_FILES)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/%u/%s", pid, proc_names[file]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int procfile_read_exe(uint32_t pid, char *path, size_t size)
{
	char link[64], target[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	n = readlink(link, target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	slice_copy(path, size, (struct slice){target, (size_t)n});
	return 0;
}

/* A device may act on being opened, so look before opening for real. */
static int reopen_regular(int path_fd)
{
	struct stat st;
	char self[64];
	int fd;

	if (fstat(path_fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", path_fd);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int procfile_open_here(const char *path)
{
	_cleanup_(closep) int path_fd = open(path, O_PATH | O_CLOEXEC);

	return path_fd < 0 ? -errno : reopen_regular(path_fd);
}

int procfile_open_mapping(uint32_t pid, uint64_t start, uint64_t end)
{
	char link[96];

	snprintf(link, sizeof(link), "/proc/%u/map_files/%lx-%lx", pid, start, end);
	return procfile_open_here(link);
}

int procfile_open_path(uint32_t pid, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_(closep) int root = -1;
	_cleanup_(closep) int path_fd = -1;
	char link[64];

	snprintf(link, sizeof(link), "/proc/%u/root", pid);
	root = open(link, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	path_fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return path_fd < 0 ? -errno : reopen_regular(path_fd);
}

int procfile_open_events(int cpu)
{
	/*
	 * wakeup_events counts samples only and there are none here; a watermark of one byte wakes
	 * the reader at every record.
	 */
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	int fd;

	fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
