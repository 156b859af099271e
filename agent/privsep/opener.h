/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opener: the process that touches what a tenant governs and may never answer: its file
 * systems, and those texts of /proc for which the kernel needs the process' memory lock or pages.
 * It may hang at any request; its minder (minder.h) then replaces it. It alone holds
 * CAP_CHECKPOINT_RESTORE, without which a library is not reached that an upgrade has deleted while
 * a process still runs on it.
 */
#ifndef TT_OPENER_H
#define TT_OPENER_H

#include <sys/types.h>

#include "agent/privsep/request.h"

enum opener_op {
	OPENER_MAPPING,	    /* pid, start, end, path: the file behind a mapping -> descriptor */
	OPENER_TEXT,	    /* pid, index: enum proc_file -> descriptor of a copy */
	OPENER_FILE_OF,	    /* path -> device, inode */
	OPENER_COUNT_KNOWN, /* looks for the well-known files -> count */
	OPENER_KNOWN,	    /* index -> descriptor, path */
	OPENER_OPS
};

/* Of the broker, which has checked nothing but that the path ends. */
struct opener_request {
	uint32_t op; /* enum opener_op */
	uint32_t pid;
	uint32_t index;
	uint32_t pad;
	uint64_t start, end;
	char path[REQUEST_TEXT_MAX];
};

struct opener_answer {
	int32_t rc; /* 0 or -errno */
	uint32_t count;
	uint64_t device, inode;
	char path[REQUEST_TEXT_MAX];
};

/* CAP_x bits of what it keeps of its parent's. */
uint64_t opener_caps(void);

/* Answers one request after the other on fd until its parent is gone. */
_Noreturn void opener_serve(int fd, pid_t parent);

#endif
