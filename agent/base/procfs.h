/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of /proc files, read without trusting it: lines of bounded length, fields by position.
 * Parsing only; who may open the files is the broker's matter.
 */
#ifndef TT_PROCFS_H
#define TT_PROCFS_H

#include "agent/base/base.h"

#define PROC_LINE_MAX 8192 /* a longer line is left out */
#define PROC_COMM_LEN 64   /* comm of kernel workers may be longer than 16 */

/* Lines of an open file, without their newline. */
struct proc_lines {
	int fd; /* borrowed */
	size_t begin, end;
	bool skipping; /* inside a line that is too long */
	bool done;
	char buf[PROC_LINE_MAX];
};

void proc_lines_init(struct proc_lines *lines, int fd);
/* The next line, borrowed until the next call; false at the end or on a read error. */
bool proc_lines_next(struct proc_lines *lines, struct slice *line);

/* Reads at most size bytes of an open file. Returns their count or -errno. */
ssize_t proc_read(int fd, void *dst, size_t size) TT_MUST_CHECK;

/* One line of /proc/PID/maps (proc_pid_maps(5)). */
struct proc_mapping {
	uint64_t start, end;
	uint64_t offset; /* of its first byte in the file */
	uint64_t inode;	 /* 0: no file */
	uint32_t major, minor;
	bool exec;
	struct slice path; /* as printed: may end in " (deleted)"; empty when there is none */
};
bool proc_mapping_parse(struct slice line, struct proc_mapping *out);

/* What is used of /proc/PID/stat (proc_pid_stat(5)). */
struct proc_stat {
	char comm[PROC_COMM_LEN]; /* of the thread group leader */
	char state;
	uint32_t parent; /* 0: none, or not of this pid namespace */
	uint32_t threads;
	uint64_t start_ticks;  /* start after boot, in ticks of sysconf(_SC_CLK_TCK) */
	uint64_t memory_bytes; /* virtual size; 0 = it exits, or is a kernel thread */
};
bool proc_stat_parse(struct slice text, struct proc_stat *out);

/*
 * A uid in decimal, as /proc/PID/loginuid and user slices of systemd have it. False for anything
 * else, and for 4294967295, which stands for none.
 */
bool proc_uid_parse(struct slice text, uint32_t *uid);

/* The name in a path: what follows the last slash. */
struct slice path_base(struct slice path);
/* The path without the " (deleted)" that /proc adds to names that are gone. */
struct slice path_without_deleted(struct slice path);

#endif
