/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker as the worker sees it: everything that needs privilege, as a closed table of requests
 * to another process (request.h has the table, serve.h the process). Nothing else in the agent
 * opens /proc files of others, loads BPF or attaches probes. Calls block until the broker has
 * answered, at most BROKER_ANSWER_MS; a broker that is gone or silent ends the worker's use of it:
 * every later call fails at once with -EPIPE, and the supervisor ends the agent.
 */
#ifndef TT_BROKER_H
#define TT_BROKER_H

#include "agent/base/fileid.h"
#include "agent/discovery/decide.h"
#include "agent/privsep/probes.h"
#include "agent/privsep/procfiles.h"
#include "agent/privsep/request.h"

struct broker;

#define BROKER_ERROR_MAX 512
#define BROKER_ANSWER_MS                                                        \
	10000 /* an attach waits for the kernel, a detach for its grace periods \
	       */
#define BROKER_START_MS                                                              \
	300000 /* the kernel verifies the programs: seconds, in an emulator a minute \
		*/

struct lifeline;

/*
 * Greets the broker behind fd, which is taken also on failure, and receives the ring. It knows from
 * then on that a new worker reads. Waits for its answer at most wait_ms: BROKER_START_MS when it
 * starts. Its lifeline stays the caller's; NULL: none is known. Returns 0 or -errno.
 */
int broker_connect(struct broker **out, int fd, const struct lifeline *line,
		   int wait_ms) TT_MUST_CHECK;
void broker_close(struct broker *b); /* the probes stay */

/* False when the broker no longer answers, or is dying: what happens now may not be seen. */
bool broker_alive(const struct broker *b);

const struct probe_caps *broker_caps(const struct broker *b);

int broker_ring_fd(const struct broker *b); /* the ring map; borrowed */
uint32_t broker_ring_bytes(const struct broker *b);

/* Files that an earlier worker attached and this one has not asked for are let go. */
void broker_settle(struct broker *b);

/* The gate's tables and judgements: as probes.h has them. */
int broker_list_host(struct broker *b, const char *suffix, bool provider) TT_MUST_CHECK;
void broker_settle_hosts(struct broker *b);
int broker_list_path(struct broker *b, const char *suffix) TT_MUST_CHECK;
int broker_judge(struct broker *b, uint32_t tgid, uint64_t ssl, bool watch) TT_MUST_CHECK;
void broker_forget_process(struct broker *b, uint32_t tgid);

/* A file as one process maps it. */
struct broker_mapping {
	uint32_t pid;
	uint64_t start, end;
	struct slice path; /* as the kernel names it there */
};

/*
 * Makes the file behind a mapping the current file and tells which it is. Returns 0 or -errno:
 * -EAGAIN too many at the moment.
 */
int broker_open_mapping(struct broker *b, const struct broker_mapping *mapping,
			struct file_identity *id) TT_MUST_CHECK;

/* Looks for the files of well-known places; how many there are, or -errno. */
int broker_count_known(struct broker *b) TT_MUST_CHECK;
/* Makes one of them the current file. path has REQUEST_TEXT_MAX bytes. Returns 0 or -errno. */
int broker_open_known(struct broker *b, uint32_t index, struct file_identity *id,
		      char *path) TT_MUST_CHECK;

/* What is to be done with the current file, whose path serves the decision. Returns 0 or -errno. */
int broker_decide(struct broker *b, struct slice path, struct decided *out) TT_MUST_CHECK;

/*
 * Attaches the current file where the decision found sites, for every process; a file that an
 * earlier worker left attached is taken over as it is. Returns a handle >= 0 and the number of
 * probes, or -errno with one line in err.
 */
int broker_attach(struct broker *b, uint32_t *probes, char *err, size_t err_size) TT_MUST_CHECK;
void broker_detach(struct broker *b, int handle);
/* True while the path under which it was attached still names that file. */
bool broker_still_named(struct broker *b, int handle);

/* Opens /proc/PID/<file>. Returns a descriptor the caller owns, or -errno. */
int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file) TT_MUST_CHECK;
/* readlink of /proc/PID/exe. Returns 0 or -errno. */
int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size) TT_MUST_CHECK;
/* Process events of one CPU: procfiles.h has their form. */
int broker_open_proc_events(struct broker *b, int cpu) TT_MUST_CHECK;

/* Opens a file of the configuration as it was at start: its own, the prices', or one in their
 * directory. Returns a descriptor the caller owns, or -errno. */
int broker_open_setting(struct broker *b, const char *path) TT_MUST_CHECK;

/* Totals of the kernel and of the broker. False when it does not answer. */
bool broker_counters(struct broker *b, uint64_t *lost, uint64_t *stats, uint64_t *refused);

#endif
