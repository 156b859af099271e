/* SPDX-License-Identifier: Apache-2.0 */
/* What each role must be able to do, and the tables that allow it. */
#include "inherited.h"

#include "agent/privsep/syscalls.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

/* ---- what they must be able to do ------------------------------------------------------------ */

static void *do_nothing(void *user)
{
	return user;
}

/* Serves one connection on the inherited listener. */
static bool serve_one(void)
{
	char byte = 0;
	int on = 1, conn = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	bool ok = conn >= 0 && setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
		  recv(conn, &byte, 1, 0) == 1 && send(conn, &byte, 1, MSG_NOSIGNAL) == 1;

	close(conn);
	return ok;
}

static char store_dir[] = "/tmp/tolltap-sandbox-XXXXXX";

static bool store_file(void)
{
	int dir = open(store_dir, O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0600);
	struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
	void *map;
	bool ok;

	if (dir < 0 || fd < 0)
		return false;
	ok = pwrite(fd, "x", 1, 4095) == 1 && ftruncate(fd, 8192) == 0 && fsync(fd) == 0 &&
	     fcntl(fd, F_SETLK, &lock) == 0 && fchmod(fd, 0640) == 0;
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ok = ok && map != MAP_FAILED && renameat(dir, "a", dir, "b") == 0 &&
	     unlinkat(dir, "b", 0) == 0;
	close(fd);
	close(dir);
	return ok;
}

static int work(void)
{
	pthread_t thread;
	int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, 0);

	if (pthread_create(&thread, NULL, do_nothing, NULL) || pthread_join(thread, NULL))
		return 2;
	if (epoll < 0 || timer < 0 || eventfd(0, EFD_CLOEXEC) < 0)
		return 3;
	if (!serve_one())
		return 4;
	return store_file() ? 0 : 5;
}

static void worker_can_work(void **state)
{
	struct sockaddr_in address;
	int client, status;
	char byte = 'a';

	(void)state;
	assert_non_null(mkdtemp(store_dir));
	if (may_drop())
		assert_int_equal(chown(store_dir, nobody.uid, nobody.gid), 0);
	listener = listen_on(&address);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(client, &byte, 1, 0), 1);
	status = run_as(SANDBOX_WORKER, 0, work);
	assert_int_equal(exit_status(status), 0);
	assert_int_equal(recv(client, &byte, 1, 0), 1);
	close(client);
	close(listener);
	rmdir(store_dir);
}

static int call_out(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&peer_address, sizeof(peer_address)) == 0
		       ? 0
		       : 1;
}

static void courier_can_connect(void **state)
{
	int fd = listen_on(&peer_address);

	(void)state;
	assert_int_equal(exit_status(run_as(SANDBOX_COURIER, 0, call_out)), 0);
	close(fd);
}

/* The supervisor's and the broker's children take their own roles under the parent's filter. */
static int child_of_role(enum sandbox_role role)
{
	struct sandbox_drop drop = {
		.identity = role == SANDBOX_WORKER && geteuid() == nobody.uid ? &nobody : NULL,
		.parent = getpid()};
	char err[SANDBOX_ERROR_MAX] = "";
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (role == SANDBOX_COURIER && try_code_file() == -1) {
			fprintf(stderr, "child: cannot load code before it is sealed\n");
			_exit(1);
		}
		if (sandbox_become(&drop, err, sizeof(err)) ||
		    sandbox_seal(role, err, sizeof(err))) {
			fprintf(stderr, "child: %s\n", err);
			_exit(1);
		}
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static int supervise(void)
{
	return child_of_role(SANDBOX_WORKER) || child_of_role(SANDBOX_COURIER);
}

static void supervisor_can_start_children(void **state)
{
	uint64_t caps = may_drop() ? SANDBOX_CAP(CAP_SETUID) | SANDBOX_CAP(CAP_SETGID) : 0;

	(void)state;
	assert_int_equal(exit_status(run_as(SANDBOX_SUPERVISOR, caps, supervise)), 0);
}

static int broke(void)
{
	return child_of_role(SANDBOX_DECODER);
}

static void broker_can_start_decoders(void **state)
{
	(void)state;
	assert_int_equal(exit_status(run_as(SANDBOX_BROKER, 0, broke)), 0);
}

/* ---- the tables ------------------------------------------------------------------------------ */

static bool role_names(const struct syscall_role *role, int nr)
{
	for (size_t i = 0; i < SYSCALL_SETS_MAX && role->sets[i]; i++) {
		for (size_t j = 0; j < role->sets[i]->count; j++) {
			if (role->sets[i]->rules[j].nr == nr)
				return true;
		}
	}
	return false;
}

static void lists_are_whole(void **state)
{
	/* Not in any list, whoever edits it. */
	static const int never[] = {SCMP_SYS(execve),	      SCMP_SYS(execveat),
				    SCMP_SYS(mount),	      SCMP_SYS(init_module),
				    SCMP_SYS(setns),	      SCMP_SYS(unshare),
				    SCMP_SYS(io_uring_setup), SCMP_SYS(process_vm_writev),
				    SCMP_SYS(pidfd_getfd),    SCMP_SYS(keyctl),
				    SCMP_SYS(userfaultfd)};

	(void)state;
	for (int role = 0; role < SANDBOX_ROLES; role++) {
		const struct syscall_role *r = syscall_roles[role];

		assert_non_null(sandbox_role_names[role]);
		/* Only where texts are copied, and no code can be mapped. */
		assert_int_equal(role_names(r, SCMP_SYS(memfd_create)),
				 role == SANDBOX_MINDER || role == SANDBOX_OPENER);
		assert_non_null(r);
		assert_non_null(r->sets[0]);
		assert_int_not_equal(r->refusal, SCMP_ACT_ALLOW);
		for (size_t i = 0; i < ARRAY_LEN(never); i++)
			assert_false(role_names(r, never[i]));
		for (size_t i = 0; i < SYSCALL_SETS_MAX && r->sets[i]; i++) {
			for (size_t j = 0; j < r->sets[i]->count; j++)
				assert_true(*r->sets[i]->rules[j].why);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_whole),
		cmocka_unit_test(worker_can_work),
		cmocka_unit_test(courier_can_connect),
		cmocka_unit_test(supervisor_can_start_children),
		cmocka_unit_test(broker_can_start_decoders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
