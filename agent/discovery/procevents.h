/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process events from the kernel's perf rings (perf_event_open(2)): executable mappings, exec,
 * fork, exit. One small ring per CPU; what did not fit is reported as lost. Rings of different CPUs
 * are not in one order: who uses the events must not depend on it.
 */
#ifndef TT_PROCEVENTS_H
#define TT_PROCEVENTS_H

#include "agent/base/base.h"

#define PROC_RING_PAGES 16 /* data pages per CPU; power of two */

enum proc_event_type {
	PROC_EVENT_MAPPED, /* an executable mapping of a file */
	PROC_EVENT_EXEC,   /* the process is another program now */
	PROC_EVENT_RENAMED,
	PROC_EVENT_FORKED, /* a new process, not a thread */
	PROC_EVENT_EXITED, /* a thread ended; tid == pid: the leader */
	PROC_EVENT_LOST,
};

struct proc_event {
	enum proc_event_type type;
	uint32_t pid, tid;
	uint32_t parent;       /* FORKED */
	uint64_t start, end;   /* MAPPED */
	uint64_t inode;	       /* MAPPED */
	uint64_t generation;   /* MAPPED: tells a reused inode number apart */
	uint32_t major, minor; /* MAPPED */
	struct slice name;     /* MAPPED: path; EXEC, RENAMED: comm */
	uint64_t lost;	       /* LOST: records that did not fit */
};

/* Reads one record with its header. False: of no interest here, or its sizes do not fit. */
bool proc_event_parse(const void *record, size_t size, struct proc_event *out);

struct proc_ring {
	void *pages; /* control page and data pages; NULL = closed */
	size_t bytes;
};

/* Maps the ring of a perf event. Returns 0 or -errno. */
int proc_ring_open(struct proc_ring *out, int fd) TT_MUST_CHECK;
void proc_ring_close(struct proc_ring *ring);
/*
 * Hands over what the ring holds now; what comes meanwhile waits for the next call. False: event
 * returned false, and what came after that one waits too.
 */
bool proc_ring_drain(struct proc_ring *ring, bool (*event)(void *user, const struct proc_event *),
		     void *user);

/*
 * The pure part: copies the record at tail of a ring of size bytes (a power of two) into dst, which
 * holds 64 KiB. Returns its length, or 0 when none is complete between tail and head.
 */
size_t proc_ring_record(const uint8_t *data, size_t size, uint64_t head, uint64_t tail,
			uint8_t *dst);

#endif
