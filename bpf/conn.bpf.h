/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel keeps of a connection from its first call to its end, whatever it is known by. */
#ifndef TT_CONN_BPF_H
#define TT_CONN_BPF_H

#include "bpf/gate.bpf.h"

/* Filled by user space, at any time; 0: unused. */
volatile __u32 own_tgids[TT_OWN_MAX];
/* Grows when another reader takes the ring over: it has never heard of the connections open now. */
volatile __u32 reader_epoch;

static const struct conn new_conn;

/*
 * What is open for a reader that is gone is unknown to the next: it is found anew, at the entry of
 * the next write. What is read before goes to the new reader as the rest of an answer whose
 * request the other knew: it can tell of it, and the call is not lost without a word. Not done at
 * the return: the verifiers of 5.10 and 6.1 would follow each way through here to the end of a
 * long program, and give up.
 */
static __always_inline void conn_renew(struct conn *conn)
{
	__u32 epoch = reader_epoch;

	if (conn->epoch == epoch)
		return;
	conn->epoch = epoch;
	conn->opened = 0;
	conn->ended = 0;
	conn->unknown_calls = 0;
	if (conn->verdict == TT_CANDIDATE || conn->verdict == TT_WATCHED)
		conn->verdict = TT_UNKNOWN;
}

static __always_inline int is_own(__u32 tgid)
{
	for (__u32 i = 0; i < TT_OWN_MAX; i++)
		if (own_tgids[i] == tgid)
			return 1;
	return 0;
}

/* Finds or makes the state of a connection; another process's leftovers are replaced. */
static __always_inline struct conn *conn_get(const struct tt_conn_key *key)
{
	__u64 start_boot_ns = process_start_boot_ns();
	struct conn *conn = bpf_map_lookup_elem(&conns, key);
	__u32 tgid = key->tgid, one = 1;

	if (conn && conn->start_boot_ns == start_boot_ns)
		return conn;
	if (conn ? bpf_map_update_elem(&conns, key, &new_conn, BPF_ANY)
		 : entry_add(&conns, TT_TABLE_CONNS, key, &new_conn))
		goto lost;
	conn = bpf_map_lookup_elem(&conns, key);
	if (!conn)
		goto lost;
	conn->start_boot_ns = start_boot_ns;
	conn->epoch = reader_epoch;
	if (!bpf_map_lookup_elem(&tls_processes, &tgid))
		entry_add(&tls_processes, TT_TABLE_PROCESSES, &tgid, &one);
	return conn;
lost:
	add_to(&lost, TT_LOST_CONN_MAP, 1);
	return NULL;
}

/* Is this call of any interest? The whole price of a muted connection is here. */
static __always_inline int wanted(struct conn *conn, __u32 dir, __u64 buf, __u32 len)
{
	enum start start;

	if (conn->verdict <= TT_WATCHED)
		return 1;
	if (conn->verdict != TT_MUTED || dir == TT_READ)
		return 0;
	start = read_start(buf, len);
	if (start != START_POST && start != START_PREFACE)
		return 0;
	conn->verdict = TT_UNKNOWN;
	return 1;
}

/*
 * The stream of call->key may end here, and the key may begin a new life; freed: what was known of
 * it before the first request too.
 */
static __always_inline void conn_may_end(struct call *call, int freed)
{
	struct conn *conn = bpf_map_lookup_elem(&conns, &call->key);

	if (!conn)
		return;
	if (freed && !conn->opened) {
		entry_remove(&conns, TT_TABLE_CONNS, &call->key);
		return;
	}
	/* The handshake begins with SSL_clear; the server name set before it holds on. */
	if (conn->verdict == TT_MUTED_NEVER && !freed)
		return;
	if (conn->verdict == TT_CANDIDATE || conn->verdict == TT_WATCHED) {
		call->conn = conn;
		call->now_ns = bpf_ktime_get_ns();
		if (!conn->ended)
			emit_close(call);
		conn->gap[TT_WRITE] = 1;
		conn->gap[TT_READ] = 1;
	} else {
		conn->verdict = TT_UNKNOWN;
	}
	if (conn->opened && !conn->ended)
		conn->generation++;
	conn->ended = conn->opened;
	conn->start = START_NONE;
	conn->unknown_calls = 0;
	conn->counted = TT_UNKNOWN;
	if (freed) {
		conn->host_class = 0;
		conn->host[0] = 0;
	}
}

#endif
