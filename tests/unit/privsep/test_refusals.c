/* SPDX-License-Identifier: Apache-2.0 */
/* What each role may not do. */
#include "inherited.h"

#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static bool with_all_rights;

/* Each returns what the system call returned: below 0 with errno. */
static long try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_socketpair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static long try_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	return connect(0, (struct sockaddr *)&to, sizeof(to));
}

static long try_bind(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	return bind(0, (struct sockaddr *)&to, sizeof(to));
}

static long try_listen(void)
{
	return listen(0, 1);
}

static long try_bpf(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static long try_perf(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr)};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long try_read_memory(void)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {&byte, 1};

	return process_vm_readv(getppid(), &to, 1, &from, 1, 0);
}

static long try_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_exec(void)
{
	char *const argv[] = {"true", NULL};

	return execve("/bin/true", argv, argv + 1);
}

static long try_kill_parent(void)
{
	return kill(getppid(), 0);
}

static long try_code_memory(void)
{
	return (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long try_make_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long try_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long try_mount(void)
{
	return mount("none", "/nonexistent", "tmpfs", 0, NULL);
}

static long try_root(void)
{
	return setresuid(0, 0, 0);
}

static long try_groups(void)
{
	const gid_t root = 0;

	return syscall(SYS_setgroups, 1, &root);
}

static long try_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_outlive_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

static long try_raise_limit(void)
{
	const struct rlimit limit = {0, 0};

	return prlimit(0, RLIMIT_NICE, &limit, NULL);
}

static long try_set_caps(void)
{
	char err[SANDBOX_ERROR_MAX];
	int rc = sandbox_set_caps(SANDBOX_CAP(CAP_BPF), 0, err, sizeof(err));

	errno = -rc;
	return rc;
}

static long try_secret(void)
{
	return open("/etc/shadow", O_RDONLY);
}

static long try_module(void)
{
	return syscall(SYS_finit_module, 0, "", 0);
}

static long try_uring(void)
{
	char params[256] = {0};

	return syscall(SYS_io_uring_setup, 1, params);
}

static long try_send_to(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	return sendto(0, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
}

static long try_chroot(void)
{
	return chroot("/");
}

#define WORKER	1
#define COURIER 2
#define BROKER	4
#define OPENER	8
#define MINDER	16
#define ALL	(WORKER | COURIER | BROKER | OPENER | MINDER)

static const struct forbidden {
	const char *what;
	long (*attempt)(void);
	unsigned roles;	    /* that are refused; the rest are not tried */
	unsigned by_rights; /* those of them that only lack the right */
} forbidden[] = {
	{"socket", try_socket, WORKER | BROKER | OPENER | MINDER, 0},
	{"socket of the host", try_unix_socket, WORKER | BROKER | OPENER | MINDER, 0},
	{"socketpair", try_socketpair, WORKER | OPENER, 0},
	{"connect", try_connect, WORKER | BROKER | OPENER | MINDER, 0},
	{"bind", try_bind, ALL, 0},
	{"listen", try_listen, ALL, 0},
	{"sendto with an address", try_send_to, WORKER | BROKER | OPENER | MINDER, 0},
	{"bpf", try_bpf, WORKER | COURIER | OPENER | MINDER, 0},
	{"perf_event_open", try_perf, WORKER | COURIER | OPENER | MINDER, 0},
	{"ptrace", try_ptrace, ALL, 0},
	{"process_vm_readv", try_read_memory, ALL, 0},
	{"fork", try_fork, WORKER | COURIER | OPENER, 0},
	{"execve", try_exec, ALL, 0},
	{"kill another", try_kill_parent, WORKER | COURIER | OPENER, 0},
	{"memory as code", try_code_memory, ALL, 0},
	{"file as code", try_code_file, ALL, 0},
	{"memory made code", try_make_code, ALL, 0},
	{"namespaces", try_namespace, ALL, 0},
	{"mount", try_mount, ALL, 0},
	{"setresuid", try_root, ALL, 0},
	{"setgroups", try_groups, ALL, 0},
	{"dumpable", try_dumpable, WORKER | COURIER | OPENER, 0},
	{"outlive the parent", try_outlive_parent, WORKER | COURIER | OPENER, 0},
	{"set a limit", try_raise_limit, WORKER | COURIER | OPENER, 0},
	{"capset", try_set_caps, ALL, BROKER | MINDER},
	{"load a module", try_module, ALL, 0},
	{"io_uring", try_uring, ALL, 0},
	{"chroot", try_chroot, ALL, 0},
};

static unsigned trying;

/* The number of the first attempt that was not refused with EPERM, from 1. */
static int try_forbidden(void)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		if (!(forbidden[i].roles & trying) ||
		    (with_all_rights && forbidden[i].by_rights & trying))
			continue;
		errno = 0;
		if (forbidden[i].attempt() >= 0 || errno != EPERM) {
			fprintf(stderr, "not refused: %s: %s\n", forbidden[i].what,
				strerror(errno));
			return (int)i + 1;
		}
	}
	return 0;
}

/* Without rights, and with all that we have: then it is the filter alone that refuses. */
static void refuses(enum sandbox_role role, unsigned bit)
{
	if (SANITIZED)
		skip();
	trying = bit;
	with_all_rights = false;
	assert_int_equal(exit_status(run_as(role, 0, try_forbidden)), 0);
	with_all_rights = true;
	assert_int_equal(exit_status(run_as(role, sandbox_permitted_caps(), try_forbidden)), 0);
	with_all_rights = false;
}

static void worker_is_refused(void **state)
{
	(void)state;
	refuses(SANDBOX_WORKER, WORKER);
}

static void courier_is_refused(void **state)
{
	(void)state;
	refuses(SANDBOX_COURIER, COURIER);
}

static void broker_is_refused(void **state)
{
	(void)state;
	refuses(SANDBOX_BROKER, BROKER);
}

static void opener_is_refused(void **state)
{
	(void)state;
	refuses(SANDBOX_OPENER, OPENER);
}

static void minder_is_refused(void **state)
{
	(void)state;
	refuses(SANDBOX_MINDER, MINDER);
}

/* By the rights of its user, not by the filter. */
static int open_secret(void)
{
	return try_secret() < 0 && errno == EACCES ? 0 : 1;
}

static void worker_cannot_read_secrets(void **state)
{
	(void)state;
	if (!may_drop() || access("/etc/shadow", F_OK))
		skip();
	assert_int_equal(exit_status(run_as(SANDBOX_WORKER, 0, open_secret)), 0);
}

/*
 * A listener that is shut down is an unconnected socket again, and TCP fast open connects one in
 * sendmsg: the one way out that has no connect in it.
 */
static int connect_by_fast_open(void)
{
	struct iovec data = {"x", 1};
	struct msghdr message = {.msg_name = &peer_address,
				 .msg_namelen = sizeof(peer_address),
				 .msg_iov = &data,
				 .msg_iovlen = 1};

	if (shutdown(listener, SHUT_RDWR))
		return 2;
	if (sendto(listener, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&peer_address,
		   sizeof(peer_address)) >= 0 ||
	    errno != EPERM)
		return 3;
	if (sendmsg(listener, &message, MSG_FASTOPEN) >= 0 || errno != EPERM)
		return 4;
	return 0;
}

static void worker_cannot_connect_its_listener(void **state)
{
	struct sockaddr_in own;
	int peer = listen_on(&peer_address);

	(void)state;
	listener = listen_on(&own);
	assert_int_equal(exit_status(run_as(SANDBOX_WORKER, 0, connect_by_fast_open)), 0);
	close(listener);
	close(peer);
}

/* ---- the decoder ----------------------------------------------------------------------------- */

static int decode(void)
{
	char head[4];
	char *memory = malloc(1 << 20);
	struct stat st;

	if (!memory || fstat(listener, &st) || pread(listener, head, 4, 0) != 4)
		return 1;
	memory[1 << 19] = head[0];
	free(memory);
	return memcmp(head, "\177ELF", 4) ? 2 : 0;
}

static int decode_and_call(void)
{
	try_socket();
	return 0;
}

static int decode_and_open(void)
{
	try_secret();
	return 0;
}

static int decode_and_map_code(void)
{
	try_code_memory();
	return 0;
}

static int decode_too_much_memory(void)
{
	char *volatile memory = malloc(300UL << 20);

	return memory ? 1 : 0;
}

static int decode_forever(void)
{
	for (volatile unsigned i = 1; i; i |= 1)
		;
	return 0;
}

static void decoder_reads_a_file(void **state)
{
	(void)state;
	listener = open("/proc/self/exe", O_RDONLY);
	assert_int_equal(exit_status(run_as(SANDBOX_DECODER, 0, decode)), 0);
	close(listener);
}

static void decoder_dies_of_anything_else(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	assert_int_equal(exit_status(run_as(SANDBOX_DECODER, 0, decode_and_call)), 1000 + SIGSYS);
	assert_int_equal(exit_status(run_as(SANDBOX_DECODER, 0, decode_and_open)), 1000 + SIGSYS);
	assert_int_equal(exit_status(run_as(SANDBOX_DECODER, 0, decode_and_map_code)),
			 1000 + SIGSYS);
}

static void decoder_is_bounded(void **state)
{
	int status;

	(void)state;
	if (SANITIZED)
		skip();
	assert_int_equal(exit_status(run_as(SANDBOX_DECODER, 0, decode_too_much_memory)), 0);
	status = run_as(SANDBOX_DECODER, 0, decode_forever);
	assert_true(WIFSIGNALED(status));
	assert_true(WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker_is_refused),
		cmocka_unit_test(courier_is_refused),
		cmocka_unit_test(broker_is_refused),
		cmocka_unit_test(opener_is_refused),
		cmocka_unit_test(minder_is_refused),
		cmocka_unit_test(worker_cannot_read_secrets),
		cmocka_unit_test(worker_cannot_connect_its_listener),
		cmocka_unit_test(decoder_reads_a_file),
		cmocka_unit_test(decoder_dies_of_anything_else),
		cmocka_unit_test(decoder_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
