/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's view of other processes: their /proc files, the files they map, their events. */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/privsep/broker.h"

static const char *const proc_names[PROC_FILES] = {
	[PROC_MAPS] = "maps", [PROC_ENVIRON] = "environ", [PROC_CGROUP] = "cgroup",
	[PROC_STAT] = "stat", [PROC_CMDLINE] = "cmdline", [PROC_STATUS] = "status",
};

int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file)
{
	char path[64];
	int fd;

	(void)b;
	if (file >= PROC_FILES)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/%u/%s", pid, proc_names[file]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size)
{
	char link[64], target[4096];
	ssize_t n;

	(void)b;
	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	n = readlink(link, target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	slice_copy(path, size, (struct slice){target, n});
	return 0;
}

/* A device may act on being opened, so look before opening for real. */
static int open_regular(const char *link)
{
	_cleanup_(closep) int path_fd = open(link, O_PATH | O_CLOEXEC);
	struct stat st;
	char self[64];
	int fd;

	if (path_fd < 0 || fstat(path_fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", path_fd);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int broker_open_mapping(struct broker *b, uint32_t pid, uint64_t start, uint64_t end)
{
	char link[96];

	(void)b;
	snprintf(link, sizeof(link), "/proc/%u/map_files/%lx-%lx", pid, start, end);
	return open_regular(link);
}

int broker_open_exe(struct broker *b, uint32_t pid)
{
	char link[64];

	(void)b;
	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	return open_regular(link);
}

int broker_open_proc_events(struct broker *b, int cpu)
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

	(void)b;
	fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
