/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/uprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* enum bpf_attach_type and link flags newer than Debian 12's headers (Linux 6.6, 6.13). */
#define ATTACH_TYPE_UPROBE_MULTI   48
#define ATTACH_TYPE_UPROBE_SESSION 57
#define UPROBE_MULTI_RETURN	   1u

/* union bpf_attr as BPF_LINK_CREATE reads it for uprobe_multi (include/uapi/linux/bpf.h, 6.6). */
struct link_create_uprobe_multi {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t pad;
};
_Static_assert(offsetof(struct link_create_uprobe_multi, path) == 16, "as the kernel lays it out");

uint32_t uprobe_attach_type(enum attach_kind kind)
{
	switch (kind) {
	case ATTACH_SESSION:
		return ATTACH_TYPE_UPROBE_SESSION;
	case ATTACH_MULTI:
		return ATTACH_TYPE_UPROBE_MULTI;
	default:
		return 0;
	}
}

/* The kernel follows this link to the inode itself, whatever became of the file's name. */
static void fd_path(char *path, size_t size, int fd)
{
	snprintf(path, size, "/proc/self/fd/%d", fd);
}

static int arm_link(enum attach_kind kind, const struct uprobe_spec *spec, int *fds)
{
	char path[32];
	struct link_create_uprobe_multi attr = {
		.prog_fd = spec->prog_fd,
		.attach_type = uprobe_attach_type(kind),
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)spec->offsets,
		.count = spec->count,
		.multi_flags = spec->on_return ? UPROBE_MULTI_RETURN : 0,
	};
	int fd;

	fd_path(path, sizeof(path), spec->file_fd);
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (fd < 0)
		return -errno;
	fds[0] = fd;
	return 1;
}

/* The first number in a sysfs file ("8", "config:0"), or -errno. */
static int read_number(const char *path)
{
	char line[64];
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return -errno;
	ok = fgets(line, sizeof(line), f) != NULL;
	fclose(f);
	return ok ? (int)strtol(line + strcspn(line, "0123456789"), NULL, 10) : -EINVAL;
}

static int arm_perf_site(const struct uprobe_spec *spec, uint64_t offset)
{
	char path[32];
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.uprobe_path = (uintptr_t)path,
		.probe_offset = offset,
	};
	_cleanup_(closep) int fd = -1;
	int type = read_number("/sys/bus/event_source/devices/uprobe/type");
	int bit = read_number("/sys/bus/event_source/devices/uprobe/format/retprobe");

	if (type < 0 || bit < 0 || bit > 63)
		return type < 0 ? type : -ENOTSUP;
	attr.type = type;
	attr.config = spec->on_return ? 1ULL << bit : 0;
	fd_path(path, sizeof(path), spec->file_fd);
	/* The BPF program runs on every CPU, whichever one the event is opened for. */
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, spec->prog_fd) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return -errno;
	return TAKE_FD(fd);
}

static int arm_perf(const struct uprobe_spec *spec, int *fds)
{
	for (size_t i = 0; i < spec->count; i++) {
		int fd = arm_perf_site(spec, spec->offsets[i]);

		if (fd < 0) {
			while (i > 0)
				close(fds[--i]);
			return fd;
		}
		fds[i] = fd;
	}
	return spec->count;
}

int uprobe_arm(enum attach_kind kind, const struct uprobe_spec *spec, int *fds)
{
	return kind == ATTACH_PERF ? arm_perf(spec, fds) : arm_link(kind, spec, fds);
}
