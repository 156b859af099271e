/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that speak TLS, by pid, each linked to the TLS files it maps. Others are not kept.
 */
#ifndef TT_PROCESSES_H
#define TT_PROCESSES_H

#include "agent/discovery/files.h"

#define PROCESS_FILES_MAX 16 /* TLS files of one process; more are left out */
#define PROCESS_BUCKETS	  2048

struct process {
	struct process *next; /* in its bucket */
	uint32_t pid;
	uint32_t file_count;
	uint32_t cycle;	    /* scan cycle that saw it last */
	bool leader_exited; /* threads may go on */
	struct tls_file *files[PROCESS_FILES_MAX];
	char comm[64];
	char exe[FILE_PATH_MAX];
};

struct processes {
	struct process *bucket[PROCESS_BUCKETS];
	size_t count;
};

void processes_free(struct processes *processes);
struct process *processes_find(const struct processes *processes, uint32_t pid);
/* Returns NULL when the table is full or memory is short. */
struct process *processes_add(struct processes *processes, uint32_t pid);
void processes_remove(struct processes *processes, struct process *process);

/* Links keep the files' user counts. True when it was not linked before and there was room. */
bool process_link(struct process *process, struct tls_file *file);
void process_unlink_all(struct process *process);
/* Drops a file that goes away from every process. */
void processes_unlink(struct processes *processes, const struct tls_file *file);

/* True when it has as many files as one may have. */
bool process_full(const struct process *process);
/* True when it maps a file that is attached. */
bool process_readable(const struct process *process);

#endif
