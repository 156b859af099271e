// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The hooks. One program per hook, because cookies need 5.15; one return program per direction. The
 * same entry and return programs serve perf links (5.10) and multi links (6.6); the session
 * programs (6.13) are entry and return in one, whose entry can skip the return. User space loads
 * the one set that this kernel can use.
 *
 * Frames. A thread has one call in progress per direction, the outermost: an entry deeper in the
 * stack (lower sp) is the library calling itself. An entry at the same sp is the same call through
 * a second attach of the file, and one above it means that the frame is dead (its return was
 * missed): both replace the frame. A return belongs to the frame only if its sp says so, and takes
 * the frame away, so a second return of the same call finds none.
 */
#include "bpf/conn.bpf.h"
#include "bpf/stack.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* sp at the return minus sp at the entry. The trampoline runs after ret has popped the address. */
#ifdef __TARGET_ARCH_x86
#define TRAMPOLINE_SP 8
#else
#define TRAMPOLINE_SP 0
#endif
#define RET_SITE_SP 0

/* Returns 1 when the return need not be seen. */
static __always_inline int call_enter(struct pt_regs *ctx, __u32 dir, __u64 len_ptr)
{
	struct tt_frame_key frame_key = {.pid_tgid = bpf_get_current_pid_tgid(), .dir = dir};
	struct frame frame = {.ssl = PT_REGS_PARM1(ctx),
			      .buf = PT_REGS_PARM2(ctx),
			      .len_ptr = len_ptr,
			      .sp = PT_REGS_SP(ctx)};
	struct tt_conn_key key = {.ssl = frame.ssl, .tgid = frame_key.pid_tgid >> 32};
	struct conn *conn;
	struct frame *outer;

	if (is_own(key.tgid))
		return 1;
	conn = bpf_map_lookup_elem(&conns, &key);
	if (conn && dir == TT_WRITE)
		conn_renew(conn);
	if (conn && !wanted(conn, dir, frame.buf, PT_REGS_PARM3(ctx)))
		return 1;
	frame.thread_start_ns = thread_start_ns();
	outer = bpf_map_lookup_elem(&frames, &frame_key);
	if (outer && outer->sp > frame.sp && outer->thread_start_ns == frame.thread_start_ns)
		return 1;
	frame.entry_ns = bpf_ktime_get_ns();
	if (outer ? bpf_map_update_elem(&frames, &frame_key, &frame, BPF_ANY)
		  : entry_add(&frames, TT_TABLE_FRAMES, &frame_key, &frame))
		add_to(&lost, TT_LOST_FRAME_MAP, 1);
	return 0;
}

/* How many bytes the call moved; 0 when it failed. int results are 32 bits: the rest is noise. */
static __always_inline __u64 call_result(struct pt_regs *ctx, __u64 len_ptr)
{
	int result = (int)PT_REGS_RC(ctx);
	__u64 len;

	if (result <= 0)
		return 0;
	if (!len_ptr)
		return result;
	if (result != 1 || bpf_probe_read_user(&len, sizeof(len), (void *)len_ptr))
		return 0;
	return len;
}

static __always_inline void call_return(struct pt_regs *ctx, __u32 dir, __u64 return_sp)
{
	struct call call = {.pid_tgid = bpf_get_current_pid_tgid(), .dir = dir};
	struct tt_frame_key frame_key = {.pid_tgid = call.pid_tgid, .dir = dir};
	struct frame *frame = bpf_map_lookup_elem(&frames, &frame_key);
	__u64 frame_sp, len_ptr, sp = PT_REGS_SP(ctx) - return_sp;

	if (!frame || sp < frame->sp)
		return;
	frame_sp = frame->sp;
	len_ptr = frame->len_ptr;
	call.key.ssl = frame->ssl;
	call.key.tgid = call.pid_tgid >> 32;
	call.buf = frame->buf;
	call.entry_ns = frame->entry_ns;
	entry_remove(&frames, TT_TABLE_FRAMES, &frame_key);
	if (sp != frame_sp)
		return;
	call.len = call_result(ctx, len_ptr);
	/* A length of more than 2 GiB is no length; `want` has 32 bits. */
	if (call.len == 0 || call.len > 0x7fffffff)
		return;
	call.conn = conn_get(&call.key);
	if (!call.conn)
		return;
	call.now_ns = bpf_ktime_get_ns();
	add_to(&gate_stats, TT_STAT_CALLS, 1);
	gate_call(&call);
}

/* A session program runs at both ends; only at the entry the ip is where the probe sits. */
static __always_inline int call_session(struct pt_regs *ctx, __u32 dir, __u64 len_ptr)
{
	if (PT_REGS_IP(ctx) == bpf_get_func_ip(ctx))
		return call_enter(ctx, dir, len_ptr);
	call_return(ctx, dir, TRAMPOLINE_SP);
	return 0;
}

/* SSL_free and SSL_clear: the stream may end here, and the SSL* may begin a new life. */
static __always_inline void ssl_may_end(struct pt_regs *ctx, int freed)
{
	struct call call = {.pid_tgid = bpf_get_current_pid_tgid()};

	call.key.ssl = PT_REGS_PARM1(ctx);
	call.key.tgid = call.pid_tgid >> 32;
	conn_may_end(&call, freed);
}

/* SSL_set_tlsext_host_name is a macro over SSL_ctrl(ssl, 55, 0, name). */
#define SSL_CTRL_SET_TLSEXT_HOSTNAME 55

static __always_inline void server_name(struct pt_regs *ctx)
{
	struct tt_conn_key key = {.ssl = PT_REGS_PARM1(ctx),
				  .tgid = bpf_get_current_pid_tgid() >> 32};
	void *name = (void *)PT_REGS_PARM4(ctx);
	struct conn *conn;

	if (is_own(key.tgid) || !name)
		return;
	conn = conn_get(&key);
	if (!conn || bpf_probe_read_user_str(conn->host, sizeof(conn->host), name) <= 0)
		return;
	if (conn->verdict == TT_MUTED_NEVER)
		conn->verdict = conn->counted = TT_UNKNOWN;
	conn->host_class = host_class(conn);
	if (conn->host_class == TT_HOST_NEVER)
		set_verdict(conn, TT_MUTED_NEVER);
}

/* X(name, direction, pointer to the length or 0) */
#define CALLS(X)                                  \
	X(write, TT_WRITE, 0)                     \
	X(read, TT_READ, 0)                       \
	X(write_ex, TT_WRITE, PT_REGS_PARM4(ctx)) \
	X(read_ex, TT_READ, PT_REGS_PARM4(ctx))   \
	X(write_ex2, TT_WRITE, PT_REGS_PARM5(ctx))

/* Only a session program may return anything but 0. */
#define X(name, dir, len_ptr)                           \
	SEC("uprobe")                                   \
	int enter_##name(struct pt_regs *ctx)           \
	{                                               \
		use_task_stack(ctx);                    \
		call_enter(ctx, dir, len_ptr);          \
		return 0;                               \
	}                                               \
	SEC("uprobe")                                   \
	int session_##name(struct pt_regs *ctx)         \
	{                                               \
		use_task_stack(ctx);                    \
		return call_session(ctx, dir, len_ptr); \
	}
CALLS(X)
#undef X

SEC("uprobe")
int return_write(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	call_return(ctx, TT_WRITE, TRAMPOLINE_SP);
	return 0;
}

SEC("uprobe")
int return_read(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	call_return(ctx, TT_READ, TRAMPOLINE_SP);
	return 0;
}

SEC("uprobe")
int ret_site_write(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	call_return(ctx, TT_WRITE, RET_SITE_SP);
	return 0;
}

SEC("uprobe")
int ret_site_read(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	call_return(ctx, TT_READ, RET_SITE_SP);
	return 0;
}

SEC("uprobe")
int enter_free(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	ssl_may_end(ctx, 1);
	return 0;
}

SEC("uprobe")
int enter_clear(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	ssl_may_end(ctx, 0);
	return 0;
}

SEC("uprobe")
int enter_ctrl(struct pt_regs *ctx)
{
	use_task_stack(ctx);
	if ((int)PT_REGS_PARM2(ctx) == SSL_CTRL_SET_TLSEXT_HOSTNAME)
		server_name(ctx);
	return 0;
}
