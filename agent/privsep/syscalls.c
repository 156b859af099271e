/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why refusals differ: a C library that is newer than these lists may try a call they do not know.
 * Where the process lives on, EPERM lets that one call fail and be reported; an agent that dies of
 * it would end metering on the whole host. The decoder has nothing to lose and no reason for
 * anything unusual, so there any other call is taken for an attack.
 *
 * Filters are inherited and only ever get narrower, so a parent may do what its children do: the
 * supervisor, which forks worker and courier anew, has their sets beside its own.
 */
#include "agent/privsep/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* clang-format off: one row per line */
#define ANY(call, why_)                             \
	{                                           \
		.nr = SCMP_SYS(call), .why = (why_) \
	}
#define WITH(call, arg_, mask_, value_, why_)                                        \
	{                                                                            \
		.nr = SCMP_SYS(call), .why = (why_), .arg = (arg_), .mask = (mask_), \
		.value = (value_)                                                    \
	}
#define IS(call, arg_, value_, why_) WITH(call, arg_, 0xffffffff, value_, why_)
#define OWN(call, arg_, why_)                                                           \
	{                                                                               \
		.nr = SCMP_SYS(call), .why = (why_), .arg = (arg_), .mask = 0xffffffff, \
		.verdict = SYSCALL_OWN_PID                                              \
	}
#define ABSENT(call, why_)                                                     \
	{                                                                      \
		.nr = SCMP_SYS(call), .why = (why_), .verdict = SYSCALL_ABSENT \
	}
#define SET(name) static const struct syscall_set name = {name##_rules, ARRAY_LEN(name##_rules)}

/* New kernels' numbers, where the headers are older. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define NAMESPACES                                                                     \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

/* ---- every role ------------------------------------------------------------------------------ */

static const struct syscall_rule bare_rules[] = {
	ANY(read, "what was opened for it"),
	ANY(pread64, "the same, at an offset"),
	ANY(write, "answers and log lines"),
	ANY(lseek, "within what was opened for it"),
	ANY(fstat, "size and kind of it"),
	WITH(newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH, "fstat, as libc spells it"),
	ANY(close, "of it"),
	WITH(mmap, 2, PROT_EXEC, 0, "memory and files, never as code"),
	WITH(mprotect, 2, PROT_EXEC, 0, "memory, never as code"),
	ANY(munmap, "memory"),
	ANY(mremap, "memory"),
	ANY(brk, "memory"),
	ANY(madvise, "memory"),
	ANY(getrandom, "the allocator's secrets"),
	ANY(clock_gettime, "where the vdso cannot answer"),
	ANY(gettimeofday, "where the vdso cannot answer"),
	ANY(rt_sigreturn, "the end of a signal handler"),
	ANY(restart_syscall, "a wait that a signal interrupted"),
	ANY(exit, "the end of a thread"),
	ANY(exit_group, "the end"),
};
SET(bare);

static const struct syscall_rule sort_rules[] = {
	ANY(sysinfo, "libc's qsort asks how much memory there is"),
};
SET(sort);

/* ---- every role that lives on ---------------------------------------------------------------- */

static const struct syscall_rule common_rules[] = {
	ANY(readv, "stdio"),
	ANY(writev, "stdio, answers"),
	ANY(futex, "locks"),
	ANY(set_robust_list, "libc's book-keeping of a thread"),
	ANY(rseq, "libc's book-keeping of a thread"),
	ANY(set_tid_address, "libc's book-keeping after fork"),
	ANY(sched_yield, "locks"),
	ANY(sched_getaffinity, "number of processors"),
	ANY(getcpu, "where the vdso cannot answer"),
	ANY(membarrier, "memory order across threads"),
	ANY(rt_sigaction, "signals"),
	ANY(rt_sigprocmask, "signals"),
	ANY(rt_sigpending, "signals"),
	ANY(rt_sigtimedwait, "signals"),
	ANY(rt_sigsuspend, "signals"),
	ANY(sigaltstack, "signals"),
	ANY(pause, "signals"),
	ANY(signalfd4, "signals"),
	OWN(tgkill, 0, "abort and raise: itself only"),
	OWN(kill, 0, "itself only"),
	ANY(clock_getres, "time"),
	ANY(clock_nanosleep, "time"),
	ANY(nanosleep, "time"),
	ANY(time, "time"),
	ANY(times, "time"),
	ANY(timerfd_create, "time"),
	ANY(timerfd_settime, "time"),
	ANY(timerfd_gettime, "time"),
	ANY(poll, "waiting"),
	ANY(ppoll, "waiting"),
	ANY(select, "waiting"),
	ANY(pselect6, "waiting"),
	ANY(epoll_create1, "waiting"),
	ANY(epoll_ctl, "waiting"),
	ANY(epoll_wait, "waiting"),
	ANY(epoll_pwait, "waiting"),
	ANY(epoll_pwait2, "waiting"),
	ANY(eventfd2, "waking another thread"),
	ANY(pipe2, "waking another thread"),
	ANY(recvmsg, "the channels between the processes"),
	/* A listener that is shut down could still be connected by TCP fast open. */
	WITH(sendmsg, 2, MSG_FASTOPEN, 0, "the channels between the processes; never a connect"),
	ANY(fcntl, "flags, and locks of the ledger"),
	ANY(dup, "descriptors"),
	ANY(dup3, "descriptors"),
	ANY(getpid, "who it is"),
	ANY(gettid, "who it is"),
	ANY(getppid, "whether its parent lives"),
	ANY(getuid, "who it is"),
	ANY(geteuid, "who it is"),
	ANY(getgid, "who it is"),
	ANY(getegid, "who it is"),
	ANY(getgroups, "who it is"),
	ANY(getresuid, "who it is"),
	ANY(getresgid, "who it is"),
	ANY(capget, "which capabilities it has"),
	ANY(uname, "which kernel this is"),
	ANY(sysinfo, "how much memory there is"),
	ANY(getrusage, "what it has used"),
	ANY(getrlimit, "its limits"),
	WITH(prlimit64, 2, UINT64_MAX, 0, "its limits: reads, never sets"),
	IS(prctl, 0, PR_SET_NAME, "names of threads"),
	IS(prctl, 0, PR_GET_NAME, "names of threads"),
	IS(prctl, 0, PR_SET_VMA, "names of memory"),
	IS(prctl, 0, PR_GET_DUMPABLE, "reads its state"),
	IS(prctl, 0, PR_GET_NO_NEW_PRIVS, "reads its state"),
	IS(prctl, 0, PR_GET_KEEPCAPS, "reads its state"),
	IS(prctl, 0, PR_GET_SECCOMP, "reads its state"),
	IS(prctl, 0, PR_CAPBSET_READ, "reads its state"),
	IS(ioctl, 1, TCGETS, "whether the log is a terminal"),
	IS(ioctl, 1, FIONBIO, "waiting"),
	IS(ioctl, 1, FIONREAD, "how much a socket holds"),
};
SET(common);

static const struct syscall_rule thread_rules[] = {
	WITH(clone, 0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD, "threads, not processes"),
	ABSENT(clone3, "its flags are in memory, where no filter can look"),
};
SET(thread);

/* ---- files: what may be opened is decided by the owner's rights ------------------------------ */

static const struct syscall_rule look_rules[] = {
	ANY(open, "files"),
	ANY(openat, "files"),
	ANY(openat2, "files, without following links"),
	ANY(stat, "files"),
	ANY(lstat, "files"),
	ANY(newfstatat, "files"),
	ANY(statx, "files"),
	ANY(statfs, "which file system"),
	ANY(fstatfs, "which file system, how much room"),
	ANY(access, "files"),
	ANY(faccessat, "files"),
	ANY(faccessat2, "files"),
	ANY(readlink, "links"),
	ANY(readlinkat, "links"),
	ANY(getdents64, "directories"),
	ANY(getcwd, "relative names"),
	ANY(preadv, "files"),
};
SET(look);

static const struct syscall_rule store_rules[] = {
	ANY(pwrite64, "pages of the ledger"),
	ANY(pwritev, "pages of the ledger"),
	ANY(ftruncate, "the ledger's log"),
	ANY(fallocate, "room for the ledger"),
	ANY(fsync, "the ledger is on disk"),
	ANY(fdatasync, "the ledger is on disk"),
	ANY(unlink, "the ledger's log"),
	ANY(unlinkat, "the status file"),
	ANY(rename, "the status file"),
	ANY(renameat, "the status file"),
	ANY(renameat2, "the status file"),
	ANY(mkdir, "the storage directory"),
	ANY(mkdirat, "the storage directory"),
	ANY(fchmod, "who may read the status"),
	ANY(fchown, "which group may read the status"),
	ANY(umask, "who may read the ledger"),
	ANY(flock, "one agent per storage directory"),
};
SET(store);

static const struct syscall_rule copy_rules[] = {
	ANY(memfd_create, "texts of /proc, read where it may hang"),
};
SET(copy);

/* ---- network --------------------------------------------------------------------------------- */

static const struct syscall_rule serve_rules[] = {
	ANY(accept4, "on the inherited listener"),
	ANY(accept, "on the inherited listener"),
	ANY(recvfrom, "from who asks"),
	WITH(sendto, 4, UINT64_MAX, 0, "to who asked: never with an address"),
	ANY(shutdown, "the end of an answer"),
	ANY(getsockopt, "errors of a connection"),
	IS(setsockopt, 1, IPPROTO_TCP, "when an answer leaves: no packet filters, no devices"),
	ANY(getsockname, "where it listens"),
	ANY(getpeername, "who asks"),
};
SET(serve);

static const struct syscall_rule call_rules[] = {
	IS(socket, 0, AF_INET, "look-ups"),
	IS(socket, 0, AF_INET6, "look-ups"),
	IS(socket, 0, AF_UNIX, "the sockets of container run-times"),
	IS(socketpair, 0, AF_UNIX, "libcurl wakes its own threads"),
	ANY(connect, "look-ups"),
	ANY(sendto, "look-ups, names"),
	ANY(sendmmsg, "names"),
	ANY(recvfrom, "answers"),
	ANY(recvmmsg, "answers"),
	ANY(shutdown, "the end of a look-up"),
	ANY(getsockopt, "errors of a connection"),
	ANY(setsockopt, "keep-alive, errors of the resolver, room for answers"),
	ANY(getsockname, "libcurl asks for it"),
	ANY(getpeername, "libcurl asks for it"),
};
SET(call);

/* ---- privilege ------------------------------------------------------------------------------- */

/* What a child of the process needs until it has taken its own role. */
static const struct syscall_rule raise_rules[] = {
	WITH(clone, 0, NAMESPACES, 0, "children, without new namespaces"),
	ABSENT(clone3, "its flags are in memory, where no filter can look"),
	ANY(fork, "children"),
	IS(socketpair, 0, AF_UNIX, "the channel to a child"),
	ANY(wait4, "their end"),
	ANY(waitid, "their end"),
	ANY(kill, "their end; the kernel asks CAP_KILL for those of other users"),
	ANY(pidfd_open, "their end"),
	ANY(pidfd_send_signal, "their end"),
	ANY(close_range, "what they must not inherit"),
	ANY(dup2, "what they must inherit"),
	ANY(seccomp, "their filter"),
	ANY(capset, "they drop capabilities"),
	ANY(setrlimit, "their limits"),
	ANY(prlimit64, "their limits"),
	IS(prctl, 0, PR_SET_PDEATHSIG, "they die with their parent"),
	IS(prctl, 0, PR_SET_NO_NEW_PRIVS, "they gain nothing"),
	IS(prctl, 0, PR_SET_SECCOMP, "their filter"),
	IS(prctl, 0, PR_SET_DUMPABLE, "no core of theirs"),
	IS(prctl, 0, PR_SET_KEEPCAPS, "they drop capabilities"),
	IS(prctl, 0, PR_CAPBSET_DROP, "they drop capabilities"),
	IS(prctl, 0, PR_CAP_AMBIENT, "they drop capabilities"),
};
SET(raise);

static const struct syscall_rule identity_rules[] = {
	ANY(setuid, "children take their user"),      ANY(setgid, "children take their group"),
	ANY(setresuid, "children take their user"),   ANY(setresgid, "children take their group"),
	ANY(setgroups, "children take their groups"),
};
SET(identity);

/* What a courier and a worker that are started anew do before they take their own lists. */
static const struct syscall_rule anew_rules[] = {
	ANY(mmap, "libcurl's code"),
	ANY(mprotect, "libcurl's code"),
	ANY(fchdir, "the storage directory"),
};
SET(anew);

static const struct syscall_rule probe_rules[] = {
	ANY(bpf, "programs, maps and links"),
	ANY(perf_event_open, "probes before uprobe_multi, process events"),
	IS(ioctl, 1, PERF_EVENT_IOC_SET_BPF, "probes before uprobe_multi"),
	IS(ioctl, 1, PERF_EVENT_IOC_ENABLE, "probes before uprobe_multi"),
	IS(ioctl, 1, PERF_EVENT_IOC_DISABLE, "probes before uprobe_multi"),
};
SET(probe);

/* ---- sanitizers, never in the product -------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
static const struct syscall_rule sanitizer_rules[] = {
	ANY(mmap, "shadow memory"),
	ANY(mprotect, "shadow memory"),
	ANY(futex, "locks"),
	ANY(sched_yield, "locks"),
	ANY(sigaltstack, "signals"),
	ANY(rt_sigaction, "signals"),
	ANY(rt_sigprocmask, "signals"),
	ANY(personality, "address space randomisation"),
	ANY(clone, "the leak checker stops all threads from one outside"),
	ANY(ptrace, "the leak checker"),
	ANY(wait4, "the leak checker"),
	ANY(prctl, "the leak checker"),
	ANY(kill, "the leak checker"),
	ANY(tgkill, "the leak checker"),
	ANY(open, "the memory map"),
	ANY(openat, "the memory map"),
	ANY(newfstatat, "the memory map"),
	ANY(readlink, "the memory map"),
	ANY(readlinkat, "the memory map"),
	ANY(getdents64, "threads"),
	ANY(getpid, "reports"),
	ANY(gettid, "reports"),
	ANY(getppid, "reports"),
	ANY(getuid, "reports"),
	ANY(getrlimit, "reports"),
	ANY(prlimit64, "reports"),
	ANY(setrlimit, "reports"),
	ANY(getrusage, "reports"),
	ANY(ioctl, "colours"),
	ANY(process_vm_readv, "reports"),
	ANY(pipe2, "reports"),
	ANY(nanosleep, "locks"),
	ANY(clock_nanosleep, "locks"),
};
SET(sanitizer);
#define AND_SANITIZER &sanitizer
#define MEMORY_LIMIT  0
#else
#define AND_SANITIZER NULL
#define MEMORY_LIMIT  (256UL << 20)
#endif
/* clang-format on */

/* ---- the roles ------------------------------------------------------------------------------- */

#define CPU_LIMIT_S 5

static const struct syscall_role supervisor_role = {
	.sets = {&bare, &common, &thread, &look, &store, &serve, &call, &raise, &identity, &anew,
		 AND_SANITIZER},
	.refusal = SCMP_ACT_ERRNO(EPERM),
};

static const struct syscall_role broker_role = {
	.sets = {&bare, &common, &thread, &look, &raise, &probe, AND_SANITIZER},
	.refusal = SCMP_ACT_ERRNO(EPERM),
};

static const struct syscall_role minder_role = {
	.sets = {&bare, &common, &look, &copy, &raise, AND_SANITIZER},
	.refusal = SCMP_ACT_ERRNO(EPERM),
};

static const struct syscall_role opener_role = {
	.sets = {&bare, &common, &look, &copy, AND_SANITIZER},
	.refusal = SCMP_ACT_ERRNO(EPERM),
};

static const struct syscall_role decoder_role = {
	.sets = {&bare, &sort, AND_SANITIZER},
	.refusal = SCMP_ACT_KILL_PROCESS,
	.limits = {{RLIMIT_AS, MEMORY_LIMIT}, {RLIMIT_CPU, CPU_LIMIT_S}},
};

static const struct syscall_role worker_role = {
	.sets = {&bare, &common, &thread, &look, &store, &serve, AND_SANITIZER},
	.refusal = SCMP_ACT_ERRNO(EPERM),
};

/*
 * Code cannot be mapped: libcurl is loaded before (courier_prepare), and a module of the name
 * service that libc would load at a look-up is passed over for the next one; files and DNS are part
 * of libc.
 */
static const struct syscall_role courier_role = {
	.sets = {&bare, &common, &thread, &look, &call, AND_SANITIZER},
	.refusal = SCMP_ACT_ERRNO(EPERM),
};

#define ROLE_ROW(upper, lower) [SANDBOX_##upper] = &lower##_role,
const struct syscall_role *const syscall_roles[SANDBOX_ROLES] = {SANDBOX_ROLE_LIST(ROLE_ROW)};
