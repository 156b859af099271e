/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What capture hands to the right: plaintext pieces of connections and facts about them, whether
 * they come from the kernel or from a recorded file. From here on no kernel is needed.
 */
#ifndef TT_CHUNK_H
#define TT_CHUNK_H

#include "agent/base/base.h"

/* One TLS connection as the kernel saw it. Two with equal fields are the same connection. */
struct conn_id {
	uint64_t ssl;
	uint64_t start_boot_ns; /* process start; tells a reused pid apart */
	uint32_t tgid;
	uint32_t generation; /* SSL_free/SSL_clear so far: "may end" marks, see stream/conn.h */
};

enum chunk_dir { CHUNK_WRITE = 0, CHUNK_READ = 1 };

struct chunk {
	struct conn_id conn;
	enum chunk_dir dir;
	uint64_t offset;   /* stream position of data; a jump is a gap of that many bytes */
	uint64_t entry_ns; /* CLOCK_MONOTONIC, entry of the call */
	uint64_t now_ns;   /* CLOCK_MONOTONIC, its return */
	struct slice data; /* borrowed; may be empty for a pure gap mark */
	uint32_t want;	   /* bytes this chunk stands for; data.len < want is a gap at its end */
	bool candidate;	   /* the gate asks for a judgement */
	bool gap_before;   /* bytes before offset may be missing, even where it looks in order */
};

#define CONN_CGROUP_LEVELS 10
#define CONN_CGROUP_NAME   192

/* Facts taken in the probe when a connection became candidate or watched. */
struct conn_open {
	struct conn_id conn;
	uint64_t now_ns;
	/* Names of its cgroup v2 path from the innermost outward, up to an empty one; may be NULL.
	 */
	const char (*cgroup)[CONN_CGROUP_NAME];
	uint32_t uid;
	const char *comm; /* of the thread group leader */
	const char *host; /* server name or Host that decided, or "" */
	struct slice env; /* first 4 KiB of the environment; wiped after the call */
};

/* Where capture delivers. All calls come on the agent's loop thread, in ring order. */
struct capture_ops {
	/* A recording begins: what to add to its stamps for wall time. May be NULL. */
	void (*clock)(void *user, int64_t wall_minus_mono_ns);
	void (*opened)(void *user, const struct conn_open *open);
	void (*chunk)(void *user, const struct chunk *chunk);
	void (*may_end)(void *user, const struct conn_id *conn, uint64_t now_ns);
};

#endif
