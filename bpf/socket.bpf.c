// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Plain HTTP, at the socket: what processes send to and receive from the ports that were asked for
 * (--plaintext.ports). Loaded only then, beside the TLS hooks, into the same maps and behind the
 * same gate.
 *
 * One program runs when a system call returns (raw tracepoint sys_exit: no kprobe, trampoline or
 * tracefs, which kernels may lack); by then the registers still hold its arguments, so that nothing
 * is kept from the entry, and a call is as old as its return. The descriptor leads to the socket,
 * the socket to the peer's port: only the client's side is looked at. Another program runs when a
 * connection changes its state: one that is closed from here ends there.
 *
 * A connection goes by its socket's address and its local port, mixed with a secret, since user
 * space need not know where kernel memory lies.
 */
#include "bpf/conn.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One bit for each port, set by user space. */
__u64 listed_ports[65536 / 64];
const volatile __u64 secret = 0;

#define CORE __attribute__((preserve_access_index))

struct sock_common {
	__u16 skc_dport; /* big-endian */
	__u16 skc_num;
	__u16 skc_family;
} CORE;

struct sock {
	struct sock_common __sk_common;
} CORE;

struct socket {
	short type;
	struct sock *sk;
} CORE;

struct inode {
	__u16 i_mode;
} CORE;

struct file {
	struct inode *f_inode;
	void *private_data;
} CORE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} CORE;

struct files_struct {
	struct fdtable *fdt;
} CORE;

struct thread_info {
	__u32 status;
} CORE;

#ifdef __TARGET_ARCH_x86
struct pt_regs___kernel {
	unsigned long di, si, dx, r10, orig_ax;
} CORE;
#else
struct pt_regs___kernel {
	__u64 regs[31];
	__u64 orig_x0;
	int syscallno;
} CORE;
#endif

struct task_struct___files {
	struct files_struct *files;
	struct thread_info thread_info;
} CORE;

#undef CORE

/* As user space has them (bits of the uapi). */
struct user_iovec {
	__u64 base, len;
};

struct user_msghdr {
	__u64 name, name_len, iov, iov_count;
};

#define SEGMENTS_MAX 8

enum form { FORM_BUFFER, FORM_VECTOR, FORM_MESSAGE };

struct syscall {
	__u32 number;
	__u8 dir;
	__u8 form;
	__u8 flags_at; /* argument; 0: it has none */
};

#define FORMS(read, write, readv, writev, sendto, recvfrom, sendmsg, recvmsg)            \
	{read, TT_READ, FORM_BUFFER, 0}, {write, TT_WRITE, FORM_BUFFER, 0},              \
		{readv, TT_READ, FORM_VECTOR, 0}, {writev, TT_WRITE, FORM_VECTOR, 0},    \
		{sendto, TT_WRITE, FORM_BUFFER, 3}, {recvfrom, TT_READ, FORM_BUFFER, 3}, \
		{sendmsg, TT_WRITE, FORM_MESSAGE, 2}, {recvmsg, TT_READ, FORM_MESSAGE, 2},

#ifdef __TARGET_ARCH_x86
#define TS_COMPAT    2 /* thread_info.status: a call by the numbers of 32 bits */
#define FIRST_NUMBER 0
#define LAST_NUMBER  47
static const struct syscall syscalls[] = {FORMS(0, 1, 19, 20, 44, 45, 46, 47)};
#else
#define TS_COMPAT    0
#define FIRST_NUMBER 63
#define LAST_NUMBER  212
static const struct syscall syscalls[] = {FORMS(63, 64, 65, 66, 206, 207, 211, 212)};
#endif

#define SKIPPED_FLAGS (0x2 | 0x20 | 0x2000) /* MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE */
#define AF_INET	      2
#define AF_INET6      10
#define SOCK_STREAM   1
#define S_IFMT	      0170000
#define S_IFSOCK      0140000
#define ECONNRESET    104

/* The call's arguments, as its registers still have them, and its number. */
#ifdef __TARGET_ARCH_x86
#define ARGUMENT_0(regs) BPF_CORE_READ(regs, di)
#define ARGUMENT_1(regs) BPF_CORE_READ(regs, si)
#define ARGUMENT_2(regs) BPF_CORE_READ(regs, dx)
#define ARGUMENT_3(regs) BPF_CORE_READ(regs, r10)
#define NUMBER(regs)	 BPF_CORE_READ(regs, orig_ax)
#else
#define ARGUMENT_0(regs) BPF_CORE_READ(regs, orig_x0)
#define ARGUMENT_1(regs) BPF_CORE_READ(regs, regs[1])
#define ARGUMENT_2(regs) BPF_CORE_READ(regs, regs[2])
#define ARGUMENT_3(regs) BPF_CORE_READ(regs, regs[3])
#define NUMBER(regs)	 BPF_CORE_READ(regs, syscallno)
#endif

static __always_inline int is_listed(__u16 port)
{
	return listed_ports[port / 64 & (65536 / 64 - 1)] >> (port % 64) & 1;
}

/* 0 when the socket is not of interest. */
static __always_inline __u64 socket_key(const struct sock *sk)
{
	__u16 peer = BPF_CORE_READ(sk, __sk_common.skc_dport);
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u64 local;

	if (!is_listed(__builtin_bswap16(peer)) || (family != AF_INET && family != AF_INET6))
		return 0;
	local = BPF_CORE_READ(sk, __sk_common.skc_num);
	return ((__u64)sk ^ local << 48) ^ secret;
}

/* The same of a descriptor of the process at hand. */
static __always_inline __u64 descriptor_key(__u64 fd)
{
	const struct task_struct___files *task = (void *)bpf_get_current_task();
	const struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;
	struct socket *socket;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	if (BPF_CORE_READ(socket, type) != SOCK_STREAM)
		return 0;
	return socket_key(BPF_CORE_READ(socket, sk));
}

/*
 * One run of bytes that a call moved; buf 0: it is not known where they are. A program of its own
 * for the verifier, which follows the gate once and not for each run.
 */
__attribute__((noinline)) int piece(__u64 key, __u64 buf, __u64 len, __u32 dir)
{
	struct call call = {
		.pid_tgid = bpf_get_current_pid_tgid(), .buf = buf, .len = len, .dir = dir & 1};

	if (len == 0 || len > 0x7fffffff)
		return 0;
	call.key.ssl = key;
	call.key.tgid = call.pid_tgid >> 32;
	call.conn = conn_get(&call.key);
	if (!call.conn)
		return 0;
	call.entry_ns = call.now_ns = bpf_ktime_get_ns();
	add_to(&gate_stats, TT_STAT_CALLS, 1);
	gate_call(&call);
	return 0;
}

/* The first `moved` bytes of a vector of buffers; what lies behind SEGMENTS_MAX of them is a gap.
 */
static __always_inline void vector(__u64 key, __u32 dir, __u64 at, __u64 count, __u64 moved)
{
	struct user_iovec iov;
	__u64 n;

	for (__u32 i = 0; i < SEGMENTS_MAX; i++) {
		if (i >= count || moved == 0 ||
		    bpf_probe_read_user(&iov, sizeof(iov), (void *)(at + i * sizeof(iov))))
			break;
		n = iov.len < moved ? iov.len : moved;
		piece(key, iov.base, n, dir);
		moved -= n;
	}
	piece(key, 0, moved, dir);
}

/* Where the first of the bytes is, and how the rest is found. */
struct place {
	__u64 vector, count; /* 0: one buffer */
	__u64 first, first_len;
};

/* What cannot be read there is a gap. */
static __always_inline void find_place(const struct syscall *s, const struct pt_regs___kernel *regs,
				       __u64 moved, struct place *place)
{
	struct user_msghdr message;
	struct user_iovec iov;
	__u64 at = ARGUMENT_1(regs);

	*place = (struct place){.first = at, .first_len = moved};
	if (s->form == FORM_BUFFER)
		return;
	*place = (struct place){.vector = at};
	place->count = ARGUMENT_2(regs);
	if (s->form == FORM_MESSAGE) {
		place->count = 0;
		if (bpf_probe_read_user(&message, sizeof(message), (void *)at))
			return;
		place->vector = message.iov;
		place->count = message.iov_count;
	}
	if (bpf_probe_read_user(&iov, sizeof(iov), (void *)place->vector))
		return;
	place->first = iov.base;
	place->first_len = iov.len < moved ? iov.len : moved;
}

static __always_inline const struct syscall *syscall_of(const struct pt_regs___kernel *regs)
{
	__u32 number = NUMBER(regs);

	if (number < FIRST_NUMBER || number > LAST_NUMBER)
		return NULL;
#pragma unroll
	for (__u32 i = 0; i < sizeof(syscalls) / sizeof(syscalls[0]); i++) {
		if (syscalls[i].number == number)
			return &syscalls[i];
	}
	return NULL;
}

static __always_inline __u64 flags_of(const struct syscall *s, const struct pt_regs___kernel *regs)
{
	if (s->flags_at == 2)
		return ARGUMENT_2(regs);
	return s->flags_at == 3 ? ARGUMENT_3(regs) : 0;
}

static __always_inline int is_compat(void)
{
	const struct task_struct___files *task = (void *)bpf_get_current_task();

	return TS_COMPAT && BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline void ended(const struct tt_conn_key *key)
{
	struct call call = {.key = *key, .pid_tgid = bpf_get_current_pid_tgid()};

	conn_may_end(&call, 1);
}

SEC("raw_tp/sys_exit")
int syscall_returns(struct bpf_raw_tracepoint_args *ctx)
{
	const struct pt_regs___kernel *regs = (void *)ctx->args[0];
	const struct syscall *s = syscall_of(regs);
	struct tt_conn_key key = {};
	__s64 moved = ctx->args[1];
	struct place place;
	struct conn *conn;

	if (!s || (moved < 0 && moved != -ECONNRESET) || is_compat())
		return 0;
	key.tgid = bpf_get_current_pid_tgid() >> 32;
	key.ssl = descriptor_key(ARGUMENT_0(regs));
	if (!key.ssl || is_own(key.tgid))
		return 0;
	if (s->dir == TT_READ && flags_of(s, regs) & SKIPPED_FLAGS)
		return 0;
	if (moved <= 0) { /* the peer has closed; nothing else reads 0 bytes */
		if (s->dir == TT_READ && (moved < 0 || ARGUMENT_2(regs)))
			ended(&key);
		return 0;
	}
	find_place(s, regs, moved, &place);
	conn = bpf_map_lookup_elem(&conns, &key);
	if (conn && s->dir == TT_WRITE)
		conn_renew(conn);
	if (conn && !wanted(conn, s->dir, place.first, place.first_len))
		return 0;
	if (place.count)
		vector(key.ssl, s->dir, place.vector, place.count, moved);
	else
		piece(key.ssl, place.first, moved, s->dir);
	return 0;
}

#define TCP_FIN_WAIT1 4
#define TCP_CLOSE     7
#define TCP_LAST_ACK  9

/* A close from here; in the midst of an interrupt it is another process's, and finds nothing. */
SEC("raw_tp/inet_sock_set_state")
int state_changes(struct bpf_raw_tracepoint_args *ctx)
{
	struct tt_conn_key key = {.tgid = bpf_get_current_pid_tgid() >> 32};
	int state = (int)ctx->args[2];

	if (state != TCP_FIN_WAIT1 && state != TCP_CLOSE && state != TCP_LAST_ACK)
		return 0;
	key.ssl = socket_key((const struct sock *)ctx->args[0]);
	if (key.ssl)
		ended(&key);
	return 0;
}
