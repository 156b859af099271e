/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker: everything that needs privilege, as a closed table of requests. Nothing else in the
 * agent opens /proc files of others, loads BPF or attaches probes. It parses no ELF, HTTP, JSON or
 * compressed byte. Today it runs inside the agent's process; the split into its own process changes
 * this file's implementation and no caller (docs/architecture.md).
 */
#ifndef TT_BROKER_H
#define TT_BROKER_H

#include "agent/base/base.h"
#include "agent/discovery/sites.h"

struct broker;

#define BROKER_ERROR_MAX 512

/* How uprobes are attached here, best first. */
enum attach_kind {
	ATTACH_SESSION, /* one program for entry and return, entry may skip the return; Linux 6.13
			 */
	ATTACH_MULTI,	/* one link for many sites; Linux 6.6 */
	ATTACH_PERF,	/* one perf event per site; Linux 5.10 */
	ATTACH_KINDS
};
extern const char *const attach_kind_names[ATTACH_KINDS];

/* How returns are seen, chosen by the start-up self-test (hazards 3.1). */
enum return_kind {
	RETURN_TRAMPOLINE, /* uretprobe or session: a child under strict seccomp survived it */
	RETURN_SITES,	   /* plain uprobes on the ret instructions */
	RETURN_KINDS
};
extern const char *const return_kind_names[RETURN_KINDS];

/* What calibration found; printed by doctor. */
struct broker_caps {
	char kernel_release[64];
	bool btf;
	bool multi;	      /* uprobe_multi links */
	bool session;	      /* uprobe session links */
	bool trampoline_safe; /* the seccomp self-test passed */
	enum attach_kind attach;
	enum return_kind returns;
};

struct broker_opts {
	uint32_t ring_bytes; /* power of two, TT_RING_BYTES by default */
	int force_attach;    /* enum attach_kind, or -1: best. For tests and `doctor` */
	int force_returns;   /* enum return_kind, or -1 */
};

/*
 * Calibrates, loads the BPF object and fills its tables. Returns 0, or -errno with one line in err
 * that says what is missing and what to do (-EPERM privilege, -ENOTSUP kernel or BTF).
 */
int broker_new(struct broker **out, const struct broker_opts *opts, char *err,
	       size_t err_size) TT_MUST_CHECK;
void broker_free(struct broker *b); /* detaches everything */

const struct broker_caps *broker_caps(const struct broker *b);

int broker_ring_fd(const struct broker *b); /* the ring map; borrowed */

/* Lists a host suffix as provider (true) or never (false). Returns 0 or -errno. */
int broker_list_host(struct broker *b, const char *suffix, bool provider) TT_MUST_CHECK;
void broker_clear_hosts(struct broker *b);

/*
 * Lists the end of an API path: a POST to it makes a connection to an unlisted host a candidate.
 * Returns 0 or -errno.
 */
int broker_list_path(struct broker *b, const char *suffix) TT_MUST_CHECK;

/* The agent's judgement on a candidate. Returns 0 or -errno. */
int broker_judge(struct broker *b, uint32_t tgid, uint64_t ssl, bool watch) TT_MUST_CHECK;
/* Drop kernel state of a process that is gone. */
void broker_forget_process(struct broker *b, uint32_t tgid);

/*
 * Attaches all sites of the file behind fd, for every process. Returns a handle >= 0 or -errno with
 * one line in err. Same file twice is the caller's mistake (discovery keys by inode).
 */
int broker_attach(struct broker *b, int fd, const struct probe_sites *sites, char *err,
		  size_t err_size) TT_MUST_CHECK;
void broker_detach(struct broker *b, int handle);
/* Probes armed behind a handle. */
size_t broker_probe_count(const struct broker *b, int handle);

enum proc_file {
	PROC_MAPS,
	PROC_ENVIRON,
	PROC_CGROUP,
	PROC_STAT,
	PROC_CMDLINE,
	PROC_STATUS,
	PROC_FILES
};

/* Opens /proc/PID/<file>. Returns an fd the caller owns, or -errno. */
int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file) TT_MUST_CHECK;
/* readlink of /proc/PID/exe. Returns 0 or -errno. */
int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size) TT_MUST_CHECK;
/* Opens the file behind a mapping, also when it is deleted or in a container. fd or -errno. */
int broker_open_mapping(struct broker *b, uint32_t pid, uint64_t start, uint64_t end) TT_MUST_CHECK;
int broker_open_exe(struct broker *b, uint32_t pid) TT_MUST_CHECK;
/*
 * Opens a perf event of process events on one CPU. fd or -errno. The caller maps its ring (1 + 2^n
 * pages) and reads these records; there are no samples, and sample_id_all is off, so records have
 * no trailer: PERF_RECORD_COMM   with PERF_RECORD_MISC_COMM_EXEC: an exec PERF_RECORD_MMAP2  an
 * executable mapping (maj, min, ino, ino_generation, not a build id) PERF_RECORD_FORK,
 * PERF_RECORD_EXIT (a thread left; the process when pid == tid) PERF_RECORD_LOST Enabled at once;
 * the fd polls readable at every record.
 */
int broker_open_proc_events(struct broker *b, int cpu) TT_MUST_CHECK;

/* Totals kept in the kernel: lost[TT_LOST_REASONS], stats[TT_GATE_STATS], summed over CPUs. */
void broker_kernel_counters(struct broker *b, uint64_t *lost, uint64_t *stats);

#endif
