/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the bench compares with: an empty pair of probes, the limit of any design; and a full copy
 * with nothing else (thread hash, Tolltap's size classes, a wake-up each 256 KiB), the limit of one
 * that copies.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define PIECE 16384
#define WAKE  (256u << 10)

/* The probed functions give the length behind their fourth argument, not as their result. */
const volatile int length_behind_pointer;

struct call {
	__u64 buffer, len;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

struct record {
	__u64 len;
	__u8 data[PIECE];
};

SEC("uprobe")
int empty_entry(struct pt_regs *ctx)
{
	return 0;
}

SEC("uretprobe")
int empty_return(struct pt_regs *ctx)
{
	return 0;
}

SEC("uprobe")
int copy_entry(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct call call = {PT_REGS_PARM2(ctx), PT_REGS_PARM4(ctx)};

	bpf_map_update_elem(&calls, &thread, &call, BPF_ANY);
	return 0;
}

static __always_inline int copy(__u64 len, __u64 buffer, const __u32 size)
{
	struct record *record = bpf_ringbuf_reserve(&ring, sizeof(record->len) + size, 0);

	if (!record)
		return 0;
	if (len > size)
		len = size;
	record->len = len;
	bpf_probe_read_user(record->data, len, (void *)buffer);
	bpf_ringbuf_submit(record, bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) % WAKE < size + 16
					   ? BPF_RB_FORCE_WAKEUP
					   : BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("uretprobe")
int copy_return(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);
	int result = (int)PT_REGS_RC(ctx);
	__u64 n = result;
	__u64 len;

	if (!call || result <= 0)
		return 0;
	if (length_behind_pointer && bpf_probe_read_user(&n, sizeof(n), (void *)call->len))
		return 0;
	len = n; /* in a register: the verifier loses a bound that was tested on the stack */
	if (len <= 256)
		return copy(len, call->buffer, 256);
	if (len <= 1024)
		return copy(len, call->buffer, 1024);
	if (len <= 4096)
		return copy(len, call->buffer, 4096);
	return copy(len, call->buffer, PIECE);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
