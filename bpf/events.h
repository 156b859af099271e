/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The contract between the kernel programs and user space: every record in the ring, every map key
 * and value that both sides touch, every limit they share. Fixed-width types, explicit padding, no
 * bool, pointer or enum fields; sizes and offsets are asserted below. User space validates a record
 * before use as it would network data (capture_record_valid).
 *
 * Clocks: all *_ns are CLOCK_MONOTONIC (bpf_ktime_get_ns) unless the name says boot
 * (task->start_boottime, CLOCK_BOOTTIME).
 */
#ifndef TT_EVENTS_H
#define TT_EVENTS_H

#ifdef __BPF__
#include "types.bpf.h"
#else
#include <linux/types.h>
#endif

/* ---- limits ------------------------------------------------------------------------------ */

#define TT_RING_BYTES		(16u << 20) /* the ring buffer; default, set before load */
#define TT_PIECE_MAX		(32u << 10) /* payload of the largest data record */
#define TT_CALL_MAX		(4u << 20) /* bytes taken from one SSL_read/SSL_write; rest is a gap */
#define TT_CANDIDATE_MAX	(4u << 20) /* bytes taken of a candidate, both directions together */
#define TT_CANDIDATE_ANSWER_MIN (256u << 10) /* of them kept free for the answer */
#define TT_WAKE_BYTES		(256u << 10) /* pending bytes per wake-up; power of two */
#define TT_ENV_MAX		4096u	     /* environment bytes carried by TT_REC_OPEN */
#define TT_COMM_LEN		16u
#define TT_CGROUP_LEVELS	10u   /* names of a cgroup path that are carried, the last ones */
#define TT_CGROUP_NAME		192u  /* a name that holds a pod's and a container's id takes 150 */
#define TT_HOST_MAX		128u  /* longest host name compared; longer ones are not listed */
#define TT_PATH_MAX		256u  /* longest request path whose end is compared */
#define TT_HEAD_WINDOW		1024u /* start of a request searched for Host */
#define TT_UNKNOWN_MAX		32u /* calls without a request start, then muted (it can come back) */
#define TT_PATHS_MAX		64u
#define TT_OWN_MAX		4u /* tolltap's own processes, never metered */
#define TT_CONNS_MAX		16384u
#define TT_FRAMES_MAX		8192u
#define TT_HOSTS_MAX		1024u

/* ---- enumerations on the wire (u32/u8 fields) ---------------------------------------------- */

enum tt_rec_type {
	TT_REC_OPEN = 1,  /* struct tt_rec_open: a connection became candidate or watched */
	TT_REC_DATA = 2,  /* struct tt_rec_data: one piece of one successful call */
	TT_REC_CLOSE = 3, /* struct tt_rec_head: SSL_free or SSL_clear; the stream may end here */
};

enum tt_dir { TT_WRITE = 0, TT_READ = 1, TT_DIRS = 2 };

/* The gate's verdict on one connection (design 2.1). Values are stored in maps: append only. */
enum tt_verdict {
	TT_UNKNOWN = 0,	     /* no request start seen yet */
	TT_CANDIDATE = 1,    /* POST to an API path on an unlisted host: captured until judged */
	TT_WATCHED = 2,	     /* listed host, or judged by user space: captured whole */
	TT_MUTED = 3,	     /* not LLM traffic; comes back on "POST " or an HTTP/2 preface */
	TT_MUTED_SERVER = 4, /* the server's side of a call: final */
	TT_MUTED_NEVER = 5,  /* server name listed as never: final */
	TT_VERDICTS = 6,
};

/* What the host table says about a name (value of the `hosts` map). */
enum tt_host_class { TT_HOST_PROVIDER = 1, TT_HOST_NEVER = 2 };

/* Reasons a record was lost or cut; indices of the per-CPU `lost` array and metric labels. */
enum tt_lost {
	TT_LOST_RING_FULL = 0,	   /* reserve failed */
	TT_LOST_USER_COPY = 1,	   /* bpf_probe_read_user failed: page not resident */
	TT_LOST_CALL_TOO_LONG = 2, /* bytes beyond TT_CALL_MAX */
	TT_LOST_FRAME_MAP = 3,	   /* per-thread frame could not be stored */
	TT_LOST_CONN_MAP = 4,	   /* connection state could not be stored */
	/* + enum tt_table; found by counting entries, not by the programs (evictions.h). */
	TT_LOST_EVICTED_FIRST = 5,
	TT_LOST_REASONS = TT_LOST_EVICTED_FIRST + 4,
};

/*
 * The LRU maps. The kernel recycles the entry used least recently when one is full and tells
 * nobody, so the programs count what they add and take away (per-CPU array `table_stats`).
 */
enum tt_table {
	TT_TABLE_CONNS = 0,
	TT_TABLE_FRAMES = 1,
	TT_TABLE_PROCESSES = 2,
	TT_TABLE_JUDGEMENTS = 3,
	TT_TABLES = 4,
};

/* Indices of `table_stats`: each + enum tt_table. */
enum tt_table_stat {
	TT_ADDED_FIRST = 0,
	TT_REMOVED_FIRST = TT_ADDED_FIRST + TT_TABLES,
	TT_TABLE_STATS = TT_REMOVED_FIRST + TT_TABLES,
};

/* Counters the gate keeps (per-CPU array `gate_stats`). */
enum tt_gate_stat {
	TT_STAT_CALLS = 0,	   /* successful hooked calls seen */
	TT_STAT_BYTES_TAKEN = 1,   /* payload bytes put into the ring */
	TT_STAT_VERDICT_FIRST = 2, /* + enum tt_verdict: transitions into that verdict */
	TT_STAT_MUTED_HTTP2 = TT_STAT_VERDICT_FIRST + 6, /* of TT_MUTED, apart: not looked into */
	TT_GATE_STATS = TT_STAT_MUTED_HTTP2 + 1,
};

/*
 * Streams. Each direction of (tgid, start, ssl) is one stream of bytes with offsets from 0. A new
 * TT_REC_OPEN always begins two new streams at offset 0, and the write stream begins with a request
 * (the one that made the gate look); what the connection moved before it is not counted. The
 * generation grows at SSL_free, at SSL_clear, and when a muted connection comes back; without an
 * OPEN after it the offsets go on (SSL_free may only have dropped a reference) and the first record
 * has TT_F_GAP_BEFORE. An OPEN for an id already known restarts its streams: kernel state was lost.
 */

/* tt_rec_data.flags */
#define TT_F_LAST_PIECE 0x01u /* the last record of this call */
#define TT_F_GAP_BEFORE                                                                           \
	0x02u		       /* bytes before `offset` may be missing, even if it looks in order \
				*/
#define TT_F_CUT	 0x04u /* the call was longer than what its records carry: want > len */
#define TT_F_COPY_FAILED 0x08u /* no payload: the user copy failed; `want` bytes are a gap */

/* ---- records ------------------------------------------------------------------------------ */

/* Starts every record. `size` is the whole record with payload, as reserved in the ring. */
struct tt_rec_head {
	__u32 type; /* enum tt_rec_type */
	__u32 size;
	__u64 ssl;	     /* SSL* in the process */
	__u64 start_boot_ns; /* process start (group leader), CLOCK_BOOTTIME */
	__u32 tgid;
	__u32 tid;
	__u32 generation; /* counts the lives of this SSL*: see "Streams" below */
	__u32 verdict;	  /* enum tt_verdict when the record was made */
	__u64 now_ns;	  /* when the call returned */
};

/* Facts taken in the probe while the process surely lives; forces a wake-up. */
struct tt_rec_open {
	struct tt_rec_head head;
	__u32 uid;
	__u32 env_len;		/* bytes of env[] that were read */
	char comm[TT_COMM_LEN]; /* of the thread group leader */
	/* cgroup v2, from the innermost outward; what follows the first empty name is noise */
	char cgroup[TT_CGROUP_LEVELS][TT_CGROUP_NAME];
	char host[TT_HOST_MAX]; /* server name or Host that decided; empty when neither */
	__u8 env[TT_ENV_MAX];	/* start of the environment block: NAME=value, 0-separated */
};

/*
 * One piece of one successful SSL_read/SSL_write. A call of n bytes at stream position p is sent as
 * pieces with offset p, p + len, ...; offsets count every byte the application moved, so a jump is
 * a gap of known length.
 */
struct tt_rec_data {
	struct tt_rec_head head;
	__u64 entry_ns; /* when the call was entered */
	__u64 offset;	/* position of data[0] in this direction's stream */
	__u64 call_len; /* true length of the whole call */
	__u32 want;	/* bytes this piece stands for */
	__u32 len;	/* bytes in data[]; 0 when the copy failed */
	__u8 dir;	/* enum tt_dir */
	__u8 flags;	/* TT_F_* */
	__u8 pad[6];
	__u8 data[];
};

/* ---- map keys and values shared with user space ---------------------------------------------- */

/* Key of `conns` and `judgements`. */
struct tt_conn_key {
	__u64 ssl;
	__u32 tgid;
	__u32 pad;
};

/* Key of `frames`. */
struct tt_frame_key {
	__u64 pid_tgid; /* as bpf_get_current_pid_tgid: the process in the upper half */
	__u32 dir;	/* enum tt_dir */
	__u32 pad;
};

/*
 * Key of `hosts` (LPM trie): the host name reversed, lower case, closed with '.', so that a suffix
 * rule is a prefix: "api.openai.com" -> "moc.ianepo.ipa.". prefix_len is in bits. Value: u32
 * enum tt_host_class. `paths` has the same key for the ends of API paths, as they are:
 * "/chat/completions" -> "snoitelpmoc/tahc/", value 1.
 */
struct tt_host_key {
	__u32 prefix_len;
	char reversed[TT_HOST_MAX];
};

#ifndef __BPF__
_Static_assert(sizeof(struct tt_rec_head) == 48, "tt_rec_head is 48 bytes");
_Static_assert(sizeof(struct tt_rec_open) == 48 + 8 + 16 + 1920 + 128 + 4096,
	       "tt_rec_open has no holes");
_Static_assert(sizeof(struct tt_rec_data) == 48 + 40, "tt_rec_data has no holes");
_Static_assert(sizeof(struct tt_conn_key) == 16, "tt_conn_key has no holes");
_Static_assert(sizeof(struct tt_frame_key) == 16, "tt_frame_key has no holes");
_Static_assert(TT_LOST_REASONS == TT_LOST_EVICTED_FIRST + TT_TABLES, "one reason per table");
_Static_assert(TT_STAT_MUTED_HTTP2 == TT_STAT_VERDICT_FIRST + TT_VERDICTS, "one stat per verdict");
#endif

#endif
