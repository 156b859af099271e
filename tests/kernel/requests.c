/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a compromised worker might ask of the broker, sent to a real one: prints `ok NAME` or
 * `FAIL NAME: why`. Probes go to a private copy of libssl only.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/privsep/channel.h"
#include "agent/privsep/procfiles.h"
#include "agent/privsep/request.h"
#include "agent/privsep/serve.h"

#define SILENCE_MS 500

static struct {
	int control, worker;
	pid_t pid;
	uint32_t seq;
} broker;

static int failed;

static void check(bool good, const char *name, long got)
{
	if (good)
		printf("ok %s\n", name);
	else
		printf("FAIL %s: %ld\n", name, got);
	failed += !good;
	fflush(stdout);
}

/* The answer's rc, 1 when none came. fd may be NULL. */
static int ask(struct request *r, struct answer *a, int *fd)
{
	struct pollfd poll_fd = {.fd = broker.worker, .events = POLLIN};
	int got;

	r->seq = ++broker.seq;
	if (channel_send(broker.worker, r, sizeof(*r), -1) ||
	    poll(&poll_fd, 1, 20 * SILENCE_MS) <= 0 ||
	    channel_recv(broker.worker, a, sizeof(*a), &got, NULL))
		return 1;
	if (fd)
		*fd = got;
	else
		closep(&got);
	return a->rc;
}

static int ask_kind(uint32_t kind, uint32_t pid, uint32_t index, const char *text)
{
	struct request r = {.kind = kind, .pid = pid, .index = index};
	struct answer a;

	snprintf(r.text, sizeof(r.text), "%s", text);
	return ask(&r, &a, NULL);
}

static bool silent(void)
{
	struct pollfd poll_fd = {.fd = broker.worker, .events = POLLIN};

	return poll(&poll_fd, 1, SILENCE_MS) == 0;
}

static uint64_t refused(void)
{
	struct request r = {.kind = REQUEST_COUNTERS};
	struct answer a;

	return ask(&r, &a, NULL) ? 0 : a.counters.refused;
}

static bool start(void)
{
	struct own_started started = {.which = OWN_WORKER, .pid = (uint32_t)getpid()};
	static const char config[] = "/etc/tolltap/tolltap.yaml", prices[] = "/etc/tolltap/prices";
	pid_t parent = getpid();
	int control[2], worker[2];

	if (channel_pair(control) || channel_pair(worker) || channel_want_credentials(worker[1]))
		return false;
	fflush(NULL);
	broker.pid = fork();
	if (broker.pid == 0) {
		const struct serve_opts opts = {.probes = {0, -1, -1},
						.control_fd = control[1],
						.supervisor = parent,
						.settings = {config, NULL, prices}};

		close(control[0]);
		close(worker[0]);
		close(worker[1]);
		_exit(broker_serve(&opts));
	}
	close(control[1]);
	broker.control = control[0];
	broker.worker = worker[0];
	if (channel_send(broker.control, &started, sizeof(started), worker[1]))
		return false;
	close(worker[1]);
	return ask_kind(REQUEST_HELLO, 0, 0, "") == 0;
}

/* ---- what it refuses --------------------------------------------------------------------------
 */

static void broken_requests(void)
{
	struct request r = {.kind = REQUEST_LIST_HOST};
	struct answer a;
	char bytes[8] = {0};
	int rc;

	rc = ask_kind(REQUEST_KINDS, 0, 0, "");
	check(rc == -EINVAL, "an_unknown_kind", rc);
	rc = ask_kind(UINT32_MAX, 0, 0, "");
	check(rc == -EINVAL, "a_kind_beyond_all", rc);
	memset(r.text, 'a', sizeof(r.text));
	rc = ask(&r, &a, NULL);
	check(rc == -EINVAL, "a_text_without_end", rc);
	rc = channel_send(broker.worker, bytes, sizeof(bytes), -1);
	check(!rc && silent(), "another_size_is_not_answered", rc);
	rc = ask_kind(REQUEST_ATTACH, 0, 0, "");
	check(rc == -EBADF, "attach_of_nothing", rc);
	rc = ask_kind(REQUEST_DECIDE, 0, 0, "/usr/lib/libssl.so.3");
	check(rc == -EBADF, "a_decision_about_nothing", rc);
	rc = ask_kind(REQUEST_DETACH, 0, UINT32_MAX, "");
	check(rc == -EBADF, "detach_of_no_handle", rc);
	rc = ask_kind(REQUEST_OPEN_PROC, 1, PROC_FILES, "");
	check(rc == -EINVAL, "a_proc_file_beyond_all", rc);
	rc = ask_kind(REQUEST_OPEN_KNOWN, 0, UINT32_MAX, "");
	check(rc == -ENOENT, "a_known_file_beyond_all", rc);
	rc = ask_kind(REQUEST_OPEN_EVENTS, 0, UINT32_MAX, "");
	check(rc == -EINVAL, "a_cpu_beyond_all", rc);
}

static void requests_of_another_process(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct request r = {.kind = REQUEST_HELLO};

		_exit(channel_send(broker.worker, &r, sizeof(r), -1) ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	check(status == 0 && silent(), "another_process_is_not_answered", status);
}

static int open_mapping(const void *at, size_t len, const char *path)
{
	struct request r = {.kind = REQUEST_OPEN_MAPPING,
			    .pid = (uint32_t)getpid(),
			    .start = (uintptr_t)at,
			    .end = (uintptr_t)at + len};
	struct answer a;

	snprintf(r.text, sizeof(r.text), "%s", path);
	return ask(&r, &a, NULL);
}

static int open_device(void)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), rc;
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	rc = at == MAP_FAILED ? 1 : open_mapping(at, 4096, "/dev/zero");
	munmap(at, 4096);
	close(fd);
	return rc;
}

/* A process that has nothing to do with TLS. */
static void secrets_of_others(void)
{
	pid_t pid = fork();
	int rc;

	if (pid == 0) {
		char *const words[] = {"sleep", "60", NULL};
		char *const env[] = {"SECRET=1", NULL};

		execve("/bin/sleep", words, env);
		_exit(1);
	}
	usleep(200000);
	rc = ask_kind(REQUEST_OPEN_PROC, (uint32_t)pid, PROC_ENVIRON, "");
	check(rc == -EACCES, "the_environment_of_a_stranger", rc);
	rc = ask_kind(REQUEST_OPEN_PROC, (uint32_t)pid, PROC_MAPS, "");
	check(rc == 0, "maps_of_a_stranger_are_what_discovery_reads", rc);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	rc = ask_kind(REQUEST_OPEN_SETTING, 0, 0, "/etc/shadow");
	check(rc == -EACCES, "a_file_that_is_no_setting", rc);
	rc = ask_kind(REQUEST_OPEN_SETTING, 0, 0, "/etc/tolltap/prices/../../shadow");
	check(rc == -EACCES, "a_way_out_of_the_price_directory", rc);
	rc = ask_kind(REQUEST_OPEN_SETTING, 0, 0, "/etc/tolltap/prices/..");
	check(rc == -EACCES, "the_parent_of_the_price_directory", rc);
	rc = ask_kind(REQUEST_OPEN_MAPPING, (uint32_t)getpid(), 0, "/etc/shadow");
	check(rc == -ENOENT, "a_file_where_nothing_is_mapped", rc);
	rc = open_device();
	check(rc == -EINVAL, "a_device_for_a_library", rc);
}

/* ---- where it puts probes ---------------------------------------------------------------------
 */

static char copy[] = "/tmp/tolltap-requests.XXXXXX";

static bool make_copy(void)
{
	int in = open("/usr/lib/x86_64-linux-gnu/libssl.so.3", O_RDONLY | O_CLOEXEC);
	int out = mkstemp(copy);
	char buf[65536];
	ssize_t n;

	if (in < 0 || out < 0)
		return false;
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, (size_t)n) != n)
			return false;
	}
	close(in);
	return fchmod(out, 0755) == 0 && close(out) == 0 && n == 0;
}

/* What the worker does for a mapping of ours. Returns the rc of the attach. */
static int attach_copy(const void *at, size_t len)
{
	int rc = open_mapping(at, len, copy);

	if (!rc)
		rc = ask_kind(REQUEST_DECIDE, 0, 0, copy);
	return rc ? rc : ask_kind(REQUEST_ATTACH, 0, 0, "");
}

/* Where our own maps say that code of the copy lies. */
static bool find_code(const void **at, size_t *len)
{
	_cleanup_(closep) int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct proc_lines lines;
	struct proc_mapping m;
	struct slice line;

	proc_lines_init(&lines, fd);
	while (proc_lines_next(&lines, &line)) {
		if (!proc_mapping_parse(line, &m) || !m.exec || !slice_eq(m.path, slice_of(copy)))
			continue;
		*at = (const void *)(uintptr_t)m.start;
		*len = m.end - m.start;
		return true;
	}
	return false;
}

static void probes_only_where_code_runs(void)
{
	int fd = open(copy, O_RDONLY | O_CLOEXEC), rc;
	void *data = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	const void *code = NULL;
	size_t len = 0;

	rc = attach_copy(data, 4096);
	check(data != MAP_FAILED && rc == -ESTALE, "a_file_that_is_mapped_as_data", rc);
	munmap(data, 4096);
	rc = attach_copy(data, 4096);
	check(rc == -ENOENT, "a_file_that_nobody_maps", rc);
	data = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	rc = attach_copy(data, 4096);
	check(data != MAP_FAILED && rc == -ESTALE, "code_of_it_where_no_site_is", rc);
	munmap(data, 4096);
	close(fd);
	rc = dlopen(copy, RTLD_NOW | RTLD_LOCAL) && find_code(&code, &len) ? attach_copy(code, len)
									   : 1;
	check(rc == 0, "a_library_that_runs", rc);
	rc = attach_copy(code, len);
	check(rc == 0, "the_same_again_is_one_attachment", rc);
}

static void floods(void)
{
	int rc = 0, count = 0;

	for (; count < 100 && !rc; count++)
		rc = ask_kind(REQUEST_HELLO, 0, 0, "");
	check(rc == -EAGAIN && count < 20, "a_flood_of_one_kind_is_refused", rc);
	rc = ask_kind(REQUEST_COUNTERS, 0, 0, "");
	check(rc == 0, "the_other_kinds_are_not", rc);
}

int main(void)
{
	uint64_t before;
	int status = -1;

	if (!start()) {
		printf("FAIL start: the broker does not answer\n");
		return 1;
	}
	before = refused();
	broken_requests();
	requests_of_another_process();
	secrets_of_others();
	if (make_copy())
		probes_only_where_code_runs();
	else
		printf("skip probes_only_where_code_runs: no libssl.so.3 here\n");
	unlink(copy);
	check(refused() >= before + 8, "refusals_are_counted", (long)(refused() - before));
	floods();
	close(broker.control);
	waitpid(broker.pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ends_with_the_supervisor", status);
	return failed ? 1 : 0;
}
