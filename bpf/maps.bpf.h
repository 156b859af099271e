/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Every map, with its bound. Hash maps are LRU and preallocated: a probe never allocates, and what
 * dead threads or unfreed connections leave behind is recycled instead of filling the map.
 */
#ifndef TT_MAPS_BPF_H
#define TT_MAPS_BPF_H

#include "bpf/events.h"

/* One call in progress. At most one per thread and direction: the outermost. */
struct frame {
	__u64 ssl;
	__u64 buf;
	__u64 len_ptr; /* where an _ex function puts the length; 0: the result is the length */
	__u64 sp;      /* at entry: points to the return address */
	__u64 entry_ns;
	__u64 thread_start_ns; /* tells a reused thread id apart */
};

struct conn {
	__u64 start_boot_ns;
	__u64 offset[TT_DIRS]; /* of the next byte */
	__u64 taken_bytes;     /* while candidate */
	__u32 verdict;
	__u32 counted; /* last verdict that was counted */
	__u32 generation;
	__u32 unknown_calls;
	__u32 epoch;	   /* of the reader it was opened for */
	__u32 start;	   /* enum start that was seen last in this life */
	__u32 host_len;	   /* of host[] */
	__u8 host_class;   /* of the server name; 0: not listed or not known */
	__u8 opened;	   /* TT_REC_OPEN was sent in this generation */
	__u8 ended;	   /* SSL_free or SSL_clear since then */
	__u8 gap[TT_DIRS]; /* the next record has TT_F_GAP_BEFORE */
	__u8 pad;
	__u16 passed;		/* multiples of TT_WAKE_BYTES pending at the last record */
	__u32 take[TT_DIRS];	/* of the call at hand: its length, then bytes to copy of it */
	__u32 done[TT_DIRS];	/* of them, copied */
	char host[TT_HOST_MAX]; /* server name, else Host; 0-padded */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TT_RING_BYTES);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TT_CONNS_MAX);
	__type(key, struct tt_conn_key);
	__type(value, struct conn);
} conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TT_FRAMES_MAX);
	__type(key, struct tt_frame_key);
	__type(value, struct frame);
} frames SEC(".maps");

/* Processes that have an entry in conns, so that forgetting one without costs one look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TT_CONNS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} tls_processes SEC(".maps");

/* User space's answer on a candidate: enum tt_verdict. Cleared when a connection is opened. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TT_CONNS_MAX);
	__type(key, struct tt_conn_key);
	__type(value, __u32);
} judgements SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, TT_HOSTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tt_host_key);
	__type(value, __u32);
} hosts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, TT_PATHS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tt_host_key);
	__type(value, __u32);
} paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TT_LOST_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TT_GATE_STATS);
	__type(key, __u32);
	__type(value, __u64);
} gate_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TT_TABLE_STATS);
	__type(key, __u32);
	__type(value, __u64);
} table_stats SEC(".maps");

/* The atomic add is for preemption: another program may run on this CPU between load and store. */
static __always_inline void add_to(void *map, __u32 index, __u64 n)
{
	__u64 *value = bpf_map_lookup_elem(map, &index);

	if (value)
		__sync_fetch_and_add(value, n);
}

#define EEXIST 17

/* Adds an entry that was not found. Another CPU may have been faster, which is as good. */
static __always_inline long entry_add(void *map, __u32 table, const void *key, const void *value)
{
	long rc = bpf_map_update_elem(map, key, value, BPF_NOEXIST);

	if (!rc)
		add_to(&table_stats, TT_ADDED_FIRST + table, 1);
	return rc == -EEXIST ? 0 : rc;
}

static __always_inline void entry_remove(void *map, __u32 table, const void *key)
{
	if (!bpf_map_delete_elem(map, key))
		add_to(&table_stats, TT_REMOVED_FIRST + table, 1);
}

#endif
