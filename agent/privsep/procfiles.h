/* SPDX-License-Identifier: Apache-2.0 */
/* The privileged view of other processes: their /proc files, the files they map, their events. */
#ifndef TT_PROCFILES_H
#define TT_PROCFILES_H

#include "agent/base/procfs.h"

enum proc_file {
	PROC_MAPS,
	PROC_ENVIRON,
	PROC_CGROUP,
	PROC_STAT,
	PROC_CMDLINE,
	PROC_LOGINUID,
	PROC_FILES
};

/* Of the largest, the maps of a process with as many mappings as it may have. */
#define PROC_TEXT_MAX (32u << 20)

/*
 * True for those that take the process' memory lock or its pages to be read: one that keeps them
 * away, by a file system or a lock of its own making, holds the reader.
 */
bool procfile_may_hang(enum proc_file file);

/* Opens /proc/PID/<file>. Returns a descriptor the caller owns, or -errno. */
int procfile_open(uint32_t pid, enum proc_file file) TT_MUST_CHECK;

/* readlink of /proc/PID/exe. Returns 0, -ENAMETOOLONG or -errno. */
int procfile_read_exe(uint32_t pid, char *path, size_t size) TT_MUST_CHECK;

/*
 * Opens the regular file behind the mapping [start, end) of a process, also when it is deleted.
 * The kernel asks for CAP_CHECKPOINT_RESTORE. Returns a descriptor or -errno.
 */
int procfile_open_mapping(uint32_t pid, uint64_t start, uint64_t end) TT_MUST_CHECK;

/*
 * Opens the regular file that `path` names for the process: inside its root, following no link out
 * of it. path is untrusted. Returns a descriptor or -errno.
 */
int procfile_open_path(uint32_t pid, const char *path) TT_MUST_CHECK;

/* Opens a regular file by its path here. Returns a descriptor or -errno. */
int procfile_open_here(const char *path) TT_MUST_CHECK;

/*
 * Opens a perf event of process events on one CPU. fd or -errno. The reader maps its ring (1 + 2^n
 * pages); there are no samples, and sample_id_all is off, so records have no trailer:
 * PERF_RECORD_COMM with PERF_RECORD_MISC_COMM_EXEC (an exec), PERF_RECORD_MMAP2 (an executable
 * mapping: maj, min, ino, ino_generation, not a build id), PERF_RECORD_FORK, PERF_RECORD_EXIT (a
 * thread left; the process when pid == tid), PERF_RECORD_LOST. Enabled at once; the descriptor
 * polls readable at every record.
 */
int procfile_open_events(int cpu) TT_MUST_CHECK;

#endif
