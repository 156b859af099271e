/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probes: loads the BPF object for the best kind of link this kernel has, fills its tables and
 * arms its programs on files. Runs in the broker's process; `doctor` and the kernel tests use it
 * directly. It trusts its caller about sites: who checks them is the broker (answers.h).
 */
#ifndef TT_PROBES_H
#define TT_PROBES_H

#include "agent/base/base.h"
#include "agent/discovery/sites.h"
#include "agent/privsep/sockets.h"

struct probes;

#define PROBES_ERROR_MAX 512
#define PROBES_FILES_MAX 1024 /* files with probes at one time */

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
struct probe_caps {
	char kernel_release[64];
	bool btf;
	bool multi;	      /* uprobe_multi links */
	bool session;	      /* uprobe session links */
	bool trampoline_safe; /* the seccomp self-test passed */
	enum attach_kind attach;
	enum return_kind returns;
	uint32_t plaintext_ports; /* read at the socket */
};

struct probe_opts {
	uint32_t ring_bytes; /* power of two, TT_RING_BYTES by default */
	int force_attach;    /* enum attach_kind, or -1: best. For tests and `doctor` */
	int force_returns;   /* enum return_kind, or -1 */
	struct port_set plaintext_ports;
};

/*
 * Calibrates, loads the BPF object and fills its tables. Returns 0, or -errno with one line in err
 * that says what is missing and what to do (-EPERM privilege, -ENOTSUP kernel or BTF).
 */
int probes_new(struct probes **out, const struct probe_opts *opts, char *err,
	       size_t err_size) TT_MUST_CHECK;
void probes_free(struct probes *b); /* detaches everything */

const struct probe_caps *probes_caps(const struct probes *b);

int probes_ring_fd(const struct probes *b); /* the ring map; borrowed */
uint32_t probes_ring_bytes(const struct probes *b);

/* The processes of this agent, which are never metered; at most TT_OWN_MAX. */
void probes_set_own(struct probes *b, const uint32_t *tgids, size_t count);

/*
 * A new reader of the ring knows no connection: from now on each tells itself anew at its next
 * request, as if it had just been found.
 */
void probes_new_reader(struct probes *b);

/*
 * Lists a host suffix as provider (true) or never (false), at most TT_HOSTS_MAX from one settling
 * to the next. Returns 0 or -errno.
 */
int probes_list_host(struct probes *b, const char *suffix, bool provider) TT_MUST_CHECK;
/* Drops the hosts that were not listed since the last settling. */
void probes_settle_hosts(struct probes *b);

/*
 * Lists the end of an API path: a POST to it makes a connection to an unlisted host a candidate.
 * Returns 0 or -errno.
 */
int probes_list_path(struct probes *b, const char *suffix) TT_MUST_CHECK;

/* The agent's judgement on a candidate. Returns 0 or -errno. */
int probes_judge(struct probes *b, uint32_t tgid, uint64_t ssl, bool watch) TT_MUST_CHECK;
/* Drops kernel state of a process that is gone. */
void probes_forget_process(struct probes *b, uint32_t tgid);
/* True when the process has moved bytes through a probed function. */
bool probes_know_process(const struct probes *b, uint32_t tgid);

/*
 * Attaches all sites of the file behind fd, for every process. Returns a handle >= 0, below
 * PROBES_FILES_MAX, or -errno with one line in err. The same file twice is the caller's mistake.
 */
int probes_attach(struct probes *b, int fd, const struct probe_sites *sites, char *err,
		  size_t err_size) TT_MUST_CHECK;
void probes_detach(struct probes *b, int handle);
/* Probes armed behind a handle. */
size_t probes_probe_count(const struct probes *b, int handle);

/* Totals kept in the kernel: lost[TT_LOST_REASONS], stats[TT_GATE_STATS], summed over CPUs. */
void probes_kernel_counters(struct probes *b, uint64_t *lost, uint64_t *stats);

#endif
