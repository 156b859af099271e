/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery from within. Private to agent/discovery: discovery.c hears of events and has the turns,
 * scan.c goes through /proc, track.c knows which process maps what, attach.c decides about a file
 * and has it probed, status.c tells of both.
 */
#ifndef TT_DISCOVERY_PARTS_H
#define TT_DISCOVERY_PARTS_H

#include "agent/discovery/discovery.h"
#include "agent/discovery/files.h"
#include "agent/discovery/processes.h"
#include "agent/discovery/procevents.h"

#include <errno.h>

#define LOG "discovery"

#define SCAN_PIDS_MAX 131072
#define EXECS_PENDING 1024 /* execs whose first mapping is awaited, by pid */

struct discovery {
	struct broker *broker;
	const struct discovery_ops *ops;
	void *user;
	uint32_t self;
	char self_exe[FILE_PATH_MAX]; /* this program's other processes are not listed */
	uint64_t now_ns;	      /* of the last tick */
	uint64_t turn_end_ns;	      /* files are looked into until then */

	struct files files;
	struct processes processes;
	struct seen seen;

	uint32_t exec_pending[EXECS_PENDING];

	int epoll_fd;
	int again_timer; /* runs when work of this turn was left */
	int *event_fds;
	struct proc_ring *rings;
	size_t ring_count, ring_at; /* whose turn is first */

	uint32_t cycle;
	uint64_t next_scan_ns;
	bool exits;  /* the leader of a listed process ended */
	bool rescan; /* events were lost: do not wait for next_scan_ns */
	uint32_t *pids;
	size_t pid_count, pid_at;
	size_t mapping_at; /* of the process at pid_at: how many were looked at in earlier turns */
	bool pids_complete;
};

/* A file as one process maps it. */
struct mapped {
	uint32_t pid;
	uint64_t start, end;
	struct seen_key key;
	struct slice path;
};

/* The time of this turn is up: what is left waits for the next. */
bool turn_over(const struct discovery *d);

/* ---- attach.c -------------------------------------------------------------------------------- */

/* The TLS file behind a mapping, or NULL. */
struct tls_file *attach_file_of(struct discovery *d, const struct mapped *m);
/* Detaches and forgets a file. */
void attach_drop(struct discovery *d, struct tls_file *file);

/* ---- track.c --------------------------------------------------------------------------------- */

/* What opening or reading a file of /proc/PID says of a process that is no more. */
static inline bool process_is_gone(int err)
{
	return err == -ENOENT || err == -ESRCH;
}

/* The entry of a process, a new one if need be; NULL: no room, which is counted. */
struct process *track_process(struct discovery *d, uint32_t pid);
void track_link(struct discovery *d, uint32_t pid, struct tls_file *file);
/*
 * Links what a process maps now, without the first *at of its files. Returns 0 or -errno; 1: the
 * turn was over before all were looked at, and *at says how many were.
 */
int track_mappings(struct discovery *d, uint32_t pid, size_t *at);
/* True when no thread is left that could run the program. Not when the broker will not say. */
bool track_ended(struct discovery *d, uint32_t pid);
void track_gone(struct discovery *d, struct process *process);

/* ---- scan.c ---------------------------------------------------------------------------------- */

/* A new cycle. Returns 0 or -errno. */
int scan_begin(struct discovery *d) TT_MUST_CHECK;
/* Goes on with it: so many processes at most. */
void scan_some(struct discovery *d, size_t most);

#endif
