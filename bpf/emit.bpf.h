/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Records into the ring. They are built in reserved ring space, in a few constant sizes: run-time
 * sizes need 5.19, and per-CPU scratch could be overwritten by a program that preempts this one.
 *
 * Wake-ups cost more than copies, so a record wakes the reader only when the pending bytes have
 * passed a multiple of TT_WAKE_BYTES since its connection's last one (above the first the reader is
 * at work and empties the ring before it sleeps); the reader also looks every 100 ms. Openings
 * always wake it: the process may be gone soon.
 */
#ifndef TT_EMIT_BPF_H
#define TT_EMIT_BPF_H

#include "bpf/maps.bpf.h"

/*
 * Verifier. It follows a loop once per value that it knows at the loop's exit, so what a loop finds
 * is stored to memory and read back, which it takes for any value; and a bound is tested on the
 * 64-bit register that is then used.
 */

static __always_inline __u64 read_back(const __u32 *value)
{
	return *(const volatile __u32 *)value;
}

static __always_inline void write_through(__u32 *value, __u32 n)
{
	*(volatile __u32 *)value = n;
}

/* One successful call, as its record makers need it. */
struct call {
	struct tt_conn_key key;
	struct conn *conn;
	__u64 pid_tgid;
	__u64 buf;
	__u64 entry_ns;
	__u64 now_ns;
	__u64 len;
	__u32 dir;
};

static __always_inline __u64 process_start_boot_ns(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline __u64 thread_start_ns(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, start_time);
}

static __always_inline void fill_head(struct tt_rec_head *head, const struct call *call, __u32 type,
				      __u32 size)
{
	head->type = type;
	head->size = size;
	head->ssl = call->key.ssl;
	head->start_boot_ns = call->conn->start_boot_ns;
	head->tgid = call->pid_tgid >> 32;
	head->tid = (__u32)call->pid_tgid;
	head->generation = call->conn->generation;
	head->verdict = call->conn->verdict;
	head->now_ns = call->now_ns;
}

static __always_inline void leader_comm(char *comm)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	bpf_core_read(comm, TT_COMM_LEN, &leader->comm);
	comm[TT_COMM_LEN - 1] = 0;
}

/* The root has no name. Taken here, as /proc may be asked too late: of a client that ends at once.
 */
static __always_inline void cgroup_names(char (*names)[TT_CGROUP_NAME])
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct cgroup_subsys_state *css = &cgroup->self;
	const char *name;

#pragma unroll
	for (__u32 i = 0; i < TT_CGROUP_LEVELS; i++) {
		names[i][0] = 0;
		name = BPF_CORE_READ(css, cgroup, kn, name);
		bpf_probe_read_kernel_str(names[i], TT_CGROUP_NAME, name);
		css = BPF_CORE_READ(css, parent);
	}
}

static __always_inline void emit_close(const struct call *call)
{
	struct tt_rec_head *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);

	if (!rec) {
		add_to(&lost, TT_LOST_RING_FULL, 1);
		return;
	}
	fill_head(rec, call, TT_REC_CLOSE, sizeof(*rec));
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
}

/* The environment is read last: the record's env[] served as scratch for the gate. */
static __always_inline void submit_open(struct tt_rec_open *rec, const struct call *call)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 start = BPF_CORE_READ(task, mm, env_start);
	__u64 len = BPF_CORE_READ(task, mm, env_end) - start;

	if (len > TT_ENV_MAX)
		len = TT_ENV_MAX;
	if (bpf_probe_read_user(rec->env, len, (void *)start))
		len = 0;
	fill_head(&rec->head, call, TT_REC_OPEN, sizeof(*rec));
	cgroup_names(rec->cgroup);
	rec->uid = (__u32)bpf_get_current_uid_gid();
	rec->env_len = len;
	leader_comm(rec->comm);
	__builtin_memcpy(rec->host, call->conn->host, sizeof(rec->host));
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

/* The piece at `done` bytes of the call; `want` bytes of it, of which at most `size` are carried.
 */
static __always_inline void emit_piece(const struct call *call, __u64 done, __u64 want,
				       const __u32 size, __u64 wake)
{
	struct tt_rec_data *rec = bpf_ringbuf_reserve(&ring, sizeof(*rec) + size, 0);
	struct conn *conn = call->conn;
	__u8 *gap = call->dir == TT_WRITE ? &conn->gap[TT_WRITE] : &conn->gap[TT_READ];
	__u64 len = want;

	if (!rec) {
		*gap = 1;
		add_to(&lost, TT_LOST_RING_FULL, 1);
		return;
	}
	/* 64 bits wide: the verifier must see the bound on the very register that is passed on. */
	barrier_var(len);
	if (len > size)
		len = size;
	fill_head(&rec->head, call, TT_REC_DATA, sizeof(*rec) + size);
	rec->entry_ns = call->entry_ns;
	rec->offset = conn->offset[call->dir & 1] + done;
	rec->call_len = call->len;
	rec->want = want;
	rec->dir = call->dir;
	rec->flags = (*gap ? TT_F_GAP_BEFORE : 0) | (want > len ? TT_F_CUT : 0) |
		     (done + want == call->len ? TT_F_LAST_PIECE : 0);
	__builtin_memset(rec->pad, 0, sizeof(rec->pad));
	*gap = 0;
	if (size && bpf_probe_read_user(rec->data, len, (void *)(call->buf + done))) {
		rec->flags |= TT_F_COPY_FAILED;
		len = 0;
		add_to(&lost, TT_LOST_USER_COPY, 1);
	}
	rec->len = len;
	bpf_ringbuf_submit(rec, wake);
	/* Never add a constant 0: clang makes it an atomic or, which 5.10 does not have. */
	if (size)
		add_to(&gate_stats, TT_STAT_BYTES_TAKEN, len);
}

/*
 * Copies the first conn->take bytes of a call, at most TT_CALL_MAX; the last piece stands for the
 * rest too, and a record without bytes for a call of which nothing is taken. All pieces but the
 * last are TT_PIECE_MAX long; the last takes the smallest size that fits.
 */
static __always_inline void emit_call(const struct call *call)
{
	__u64 wake = BPF_RB_NO_WAKEUP, take = read_back(&call->conn->take[call->dir & 1]);
	__u32 *done_at = &call->conn->done[call->dir & 1];
	__u64 done, left, want, passed;

	if (take == 0) {
		emit_piece(call, 0, call->len, 0, BPF_RB_NO_WAKEUP);
		return;
	}
	write_through(done_at, 0);
	for (__u32 i = 1; i < TT_CALL_MAX / TT_PIECE_MAX; i++) {
		done = read_back(done_at);
		if (take - done <= TT_PIECE_MAX)
			break;
		emit_piece(call, done, TT_PIECE_MAX, TT_PIECE_MAX,
			   i % (TT_WAKE_BYTES / TT_PIECE_MAX) ? BPF_RB_NO_WAKEUP
							      : BPF_RB_FORCE_WAKEUP);
		write_through(done_at, done + TT_PIECE_MAX);
	}
	done = read_back(done_at);
	passed = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) / TT_WAKE_BYTES;
	if (passed > call->conn->passed)
		wake = BPF_RB_FORCE_WAKEUP;
	call->conn->passed = passed;
	left = take - done;
	want = call->len - done;
	if (left <= 256)
		emit_piece(call, done, want, 256, wake);
	else if (left <= 1024)
		emit_piece(call, done, want, 1024, wake);
	else if (left <= 4096)
		emit_piece(call, done, want, 4096, wake);
	else if (left <= 16384)
		emit_piece(call, done, want, 16384, wake);
	else
		emit_piece(call, done, want, TT_PIECE_MAX, wake);
}

#endif
