/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the bench compares with: an empty pair of probes, the limit of any design; and a full copy
 * with nothing else (thread hash, one size class, wake-up at 64 KiB), the limit of one that copies.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define PIECE 16384

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} buffers SEC(".maps");

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
	__u64 thread = bpf_get_current_pid_tgid(), buffer = PT_REGS_PARM2(ctx);

	bpf_map_update_elem(&buffers, &thread, &buffer, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int copy_return(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u64 *buffer = bpf_map_lookup_elem(&buffers, &thread);
	long n = (int)PT_REGS_RC(ctx);
	struct record *record;

	if (!buffer || n <= 0)
		return 0;
	if (n > PIECE)
		n = PIECE;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record)
		return 0;
	record->len = n;
	bpf_probe_read_user(record->data, n & (2 * PIECE - 1), (void *)*buffer);
	bpf_ringbuf_submit(record, bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= 65536
					   ? BPF_RB_FORCE_WAKEUP
					   : BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
