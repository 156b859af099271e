/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery over this machine's real /proc and, where the kernel allows, real process events; only
 * the broker's attach is played: it notes what it was asked to probe.
 */
#include "agent/discovery/discovery.h"
#include "agent/base/counters.h"
#include "agent/discovery/files.h"
#include "agent/discovery/processes.h"

#include <cjson/cJSON.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIBSSL "/usr/lib/x86_64-linux-gnu/libssl.so.3"

#define SLOW_MS 300 /* longer than a turn */

struct broker {
	bool events;
	bool is_other_program; /* so that children, which run this test, are listed */
	int attach_error, decide_error;
	bool busy; /* opens no file of /proc, as the broker when too much is asked of it */
	int slow;  /* so many decisions take SLOW_MS each */
	int attached, detached;
	ino_t inodes[64];
	int current; /* descriptor of the file at hand; 0: none */
};

static int make_current(struct broker *b, int fd, struct file_identity *id)
{
	if (fd < 0)
		return -errno;
	if (b->current > 0)
		close(b->current);
	b->current = fd;
	return file_identify(fd, id);
}

int broker_decide(struct broker *b, struct slice path, struct decided *out)
{
	struct probe_sites sites;
	const char *reason = "";

	if (b->decide_error)
		return b->decide_error;
	if (b->slow > 0 && b->slow--)
		usleep(SLOW_MS * 1000);
	*out = (struct decided){.decision = decide_file(b->current, path, false, &sites, &reason)};
	slice_copy(out->reason, sizeof(out->reason), slice_of(reason));
	if (out->decision == DECISION_PROBE) {
		assert_true(sites.count >= 2);
		out->executable = sites.executable;
		slice_copy(out->build_id, sizeof(out->build_id), slice_of(sites.build_id));
	}
	return 0;
}

int broker_attach(struct broker *b, uint32_t *probes, char *err, size_t err_size)
{
	struct stat st;

	assert_int_equal(fstat(b->current, &st), 0);
	if (b->attach_error) {
		snprintf(err, err_size, "refused by the test");
		return b->attach_error;
	}
	assert_true(b->attached < 64);
	for (int i = 0; i < b->attached; i++)
		assert_int_not_equal(b->inodes[i], st.st_ino);
	b->inodes[b->attached] = st.st_ino;
	*probes = 7;
	return b->attached++;
}

void broker_detach(struct broker *b, int handle)
{
	b->inodes[handle] = 0;
	b->detached++;
}

bool broker_still_named(struct broker *b, int handle)
{
	struct stat st;

	return stat(LIBSSL, &st) == 0 && st.st_ino == b->inodes[handle];
}

int broker_count_known(struct broker *b)
{
	(void)b;
	return 1;
}

int broker_open_known(struct broker *b, uint32_t index, struct file_identity *id, char *path)
{
	assert_int_equal(index, 0);
	snprintf(path, REQUEST_TEXT_MAX, "%s", LIBSSL);
	return make_current(b, open(LIBSSL, O_RDONLY | O_CLOEXEC), id);
}

int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file)
{
	static const char *const names[PROC_FILES] = {
		[PROC_MAPS] = "maps",
		[PROC_STAT] = "stat",
	};
	char path[64];
	int fd;

	if (b->busy)
		return -EAGAIN;
	snprintf(path, sizeof(path), "/proc/%u/%s", pid, names[file]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size)
{
	char link[64];
	ssize_t n;

	if (b->is_other_program)
		return -ENOENT;
	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	n = readlink(link, path, size - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return 0;
}

int broker_open_mapping(struct broker *b, const struct broker_mapping *mapping,
			struct file_identity *id)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", mapping->pid,
		 (unsigned long long)mapping->start, (unsigned long long)mapping->end);
	return make_current(b, open(path, O_RDONLY | O_CLOEXEC), id);
}

int broker_open_proc_events(struct broker *b, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	long fd;

	if (!b->events)
		return -EPERM;
	fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

struct seen_calls {
	uint32_t pid; /* the one of interest */
	int started, exited;
};

static void on_started(void *user, uint32_t pid)
{
	struct seen_calls *calls = user;

	calls->started += pid == calls->pid;
}

static void on_exited(void *user, uint32_t pid)
{
	struct seen_calls *calls = user;

	calls->exited += pid == calls->pid;
}

static const struct discovery_ops ops = {
	.process_started = on_started,
	.process_exited = on_exited,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* A child that maps a library when told to by the pipe, and ends with the test. */
struct child {
	pid_t pid;
	int tell, hear;
};

static struct child child_start(const char *library)
{
	int down[2], up[2];
	struct child child;
	char byte;

	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	child.pid = fork();
	if (child.pid == 0) {
		close(down[1]);
		while (read(down[0], &byte, 1) == 1) {
			byte = dlopen(library, RTLD_NOW) ? 'y' : 'n';
			if (write(up[1], &byte, 1) != 1)
				break;
		}
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	child.tell = down[1];
	child.hear = up[0];
	return child;
}

static void child_load(const struct child *child)
{
	char byte = 'l';

	assert_int_equal(write(child->tell, &byte, 1), 1);
	assert_int_equal(read(child->hear, &byte, 1), 1);
	assert_int_equal(byte, 'y');
}

static void child_end(struct child *child)
{
	close(child->tell);
	close(child->hear);
	/* A later child holds this one's pipe open too, so that closing it is not enough. */
	kill(child->pid, SIGTERM);
	assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

/* The child's row for a library, from the status document; NULL = not listed. */
static cJSON *process_row(cJSON *status, pid_t pid, const char *library)
{
	cJSON *row;

	cJSON_ArrayForEach(row, cJSON_GetObjectItem(status, "processes"))
	{
		if (cJSON_GetObjectItem(row, "pid")->valueint == pid &&
		    !strcmp(cJSON_GetObjectItem(row, "library")->valuestring, library))
			return row;
	}
	return NULL;
}

static const char *text_of(cJSON *row, const char *key)
{
	return cJSON_GetObjectItem(row, key)->valuestring;
}

static struct discovery *start(struct broker *b, struct seen_calls *calls)
{
	struct discovery *d = NULL;

	if (access(LIBSSL, R_OK) != 0)
		skip();
	b->is_other_program = true;
	assert_int_equal(discovery_new(&d, b, &ops, calls), 0);
	b->is_other_program = false;
	return d;
}

static void scan_finds_a_mapped_library(void **state)
{
	struct broker b = {0};
	struct child child = child_start(LIBSSL);
	struct seen_calls calls = {.pid = (uint32_t)child.pid};
	struct discovery *d = start(&b, &calls);
	cJSON *status = cJSON_CreateObject(), *row;

	(void)state;
	child_load(&child);
	assert_int_equal(discovery_scan(d), 0);
	assert_true(b.attached >= 1);
	assert_int_equal(calls.started, 1);
	discovery_status(d, status);
	row = process_row(status, child.pid, "libssl.so.3");
	assert_non_null(row);
	assert_string_equal(text_of(row, "tls"), "readable");
	assert_string_equal(text_of(row, "comm"), "test_discovery");
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(calls.started, 1);
	child_end(&child);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(calls.exited, 1);
	cJSON_Delete(status);
	discovery_free(d);
	assert_int_equal(b.detached, 0); /* left to broker_free */
}

static void prime_arms_before_the_first_user(void **state)
{
	struct broker b = {0};
	struct seen_calls calls = {0};
	struct discovery *d = start(&b, &calls);
	struct stat st;
	bool armed = false;

	(void)state;
	discovery_prime(d);
	discovery_prime(d);
	assert_int_equal(stat(LIBSSL, &st), 0);
	for (int i = 0; i < b.attached; i++)
		armed |= b.inodes[i] == st.st_ino;
	assert_true(armed);
	discovery_free(d);
}

static void what_was_not_decided_is_looked_at_again(void **state)
{
	struct broker b = {.decide_error = -EAGAIN};
	struct child child = child_start(LIBSSL);
	struct seen_calls calls = {.pid = (uint32_t)child.pid};
	struct discovery *d = start(&b, &calls);

	(void)state;
	child_load(&child);
	discovery_prime(d);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(b.attached, 0);
	b.decide_error = 0;
	discovery_tick(d, now_ns() + (SEEN_FOR_S + 1) * NSEC_PER_SEC);
	assert_int_equal(discovery_scan(d), 0);
	assert_true(b.attached >= 1);
	assert_int_equal(calls.started, 1);
	child_end(&child);
	discovery_free(d);
}

static void failed_attach_is_listed_and_tried_again(void **state)
{
	struct broker b = {.attach_error = -EPERM};
	struct child child = child_start(LIBSSL);
	struct seen_calls calls = {.pid = (uint32_t)child.pid};
	struct discovery *d = start(&b, &calls);
	cJSON *status = cJSON_CreateObject(), *row;

	(void)state;
	child_load(&child);
	assert_int_equal(discovery_scan(d), 0);
	discovery_status(d, status);
	row = process_row(status, child.pid, "libssl.so.3");
	assert_non_null(row);
	assert_string_equal(text_of(row, "tls"), "blind");
	assert_string_equal(text_of(row, "reason"), "refused by the test");
	assert_int_equal(calls.started, 0);
	b.attach_error = 0;
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(calls.started, 1);
	child_end(&child);
	cJSON_Delete(status);
	discovery_free(d);
}

static void blind_library_is_listed_with_its_reason(void **state)
{
	static const char gnutls[] = "/usr/lib/x86_64-linux-gnu/libgnutls.so.30";
	struct broker b = {0};
	struct seen_calls calls = {0};
	cJSON *status, *row;
	struct discovery *d;
	struct child child;

	(void)state;
	if (access(gnutls, R_OK) != 0)
		skip();
	child = child_start(gnutls);
	d = start(&b, &calls);
	child_load(&child);
	assert_int_equal(discovery_scan(d), 0);
	status = cJSON_CreateObject();
	discovery_status(d, status);
	cJSON_ArrayForEach(row, cJSON_GetObjectItem(status, "processes"))
	{
		if (cJSON_GetObjectItem(row, "pid")->valueint != child.pid ||
		    strcmp(text_of(row, "reason"), "gnutls") != 0)
			continue;
		assert_string_equal(text_of(row, "tls"), "blind");
		break;
	}
	assert_non_null(row);
	child_end(&child);
	cJSON_Delete(status);
	discovery_free(d);
}

/* Runs the loop until the count is reached or two seconds passed. Returns the time taken. */
static uint64_t run_until(struct discovery *d, const int *count, int want)
{
	struct pollfd fd = {.fd = discovery_fd(d), .events = POLLIN};
	uint64_t begin = now_ns();

	while (*count < want && now_ns() - begin < 2 * NSEC_PER_SEC) {
		poll(&fd, 1, 2000); /* an event must wake it */
		discovery_run(d);
	}
	return now_ns() - begin;
}

/* A copy of the library: an inode nobody has seen. Returns its path. */
static const char *copied_library(void)
{
	static char path[] = "/tmp/tolltap-test-XXXXXX";
	char command[256];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	snprintf(command, sizeof(command), "cp %s %s && chmod 755 %s", LIBSSL, path, path);
	assert_int_equal(system(command), 0);
	return path;
}

static void events_find_a_new_library_at_once(void **state)
{
	struct broker b = {.events = true};
	struct child child;
	struct seen_calls calls = {0};
	struct discovery *d = start(&b, &calls);
	const char *library;
	struct stat st;
	int probe = broker_open_proc_events(&b, 0);

	(void)state;
	if (probe < 0) {
		discovery_free(d);
		print_message("skipped: perf_event_open: %s\n", strerror(-probe));
		skip();
	}
	close(probe);
	library = copied_library();
	assert_int_equal(stat(library, &st), 0);
	assert_int_equal(discovery_scan(d), 0);
	child = child_start(library);
	calls.pid = (uint32_t)child.pid;
	child_load(&child);
	assert_true(run_until(d, &calls.started, 1) < NSEC_PER_SEC);
	assert_int_equal(calls.started, 1);
	assert_int_equal(b.inodes[b.attached - 1], st.st_ino);

	/* Deleted while in use: kept until the user ends, then let go after two scans. */
	unlink(library);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(b.detached, 0);
	child_end(&child);
	assert_true(run_until(d, &calls.exited, 1) < NSEC_PER_SEC);
	assert_int_equal(calls.exited, 1);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(b.detached, 1);
	discovery_free(d);
}

/* Each turn ends with the slow file in it, and the next one goes on behind that file. */
static void a_turn_ends_in_time(void **state)
{
	struct broker b = {.slow = 3};
	struct child child = child_start(LIBSSL);
	struct seen_calls calls = {.pid = (uint32_t)child.pid};
	struct discovery *d = start(&b, &calls);
	int turns = 0;

	(void)state;
	child_load(&child);
	while (!calls.started && turns < 1000) {
		uint64_t begin = now_ns();

		discovery_tick(d, begin);
		assert_true(now_ns() - begin < (SLOW_MS + 500) * NSEC_PER_MSEC);
		turns++;
	}
	assert_int_equal(b.slow, 0);
	assert_true(turns > 3);
	assert_int_equal(calls.started, 1);
	child_end(&child);
	discovery_free(d);
}

/* Nothing told of its begin, and nothing will tell of its end. */
static void the_end_of_a_noted_process_is_told(void **state)
{
	struct broker b = {0};
	struct child child = child_start(LIBSSL);
	struct seen_calls calls = {.pid = (uint32_t)child.pid};
	struct discovery *d = start(&b, &calls);

	(void)state;
	discovery_note(d, calls.pid);
	discovery_run(d);
	discovery_tick(d, now_ns());
	assert_int_equal(calls.exited, 0);
	child_end(&child);
	discovery_run(d);
	discovery_tick(d, now_ns());
	assert_int_equal(calls.exited, 1);
	discovery_note(d, calls.pid);
	discovery_run(d);
	assert_int_equal(calls.exited, 2);
	discovery_free(d);
}

/* What the broker has no time for is no end of a process. */
static void a_process_that_is_not_read_lives(void **state)
{
	struct broker b = {0};
	struct child child = child_start(LIBSSL), other = child_start(LIBSSL);
	struct seen_calls calls = {.pid = (uint32_t)child.pid};
	struct discovery *d = start(&b, &calls);

	(void)state;
	child_load(&child);
	assert_int_equal(discovery_scan(d), 0);
	discovery_note(d, (uint32_t)other.pid);
	b.busy = true;
	assert_int_equal(discovery_scan(d), 0);
	calls.pid = (uint32_t)other.pid;
	discovery_note(d, calls.pid);
	discovery_run(d);
	assert_int_equal(calls.exited, 0);
	b.busy = false;
	child_end(&other);
	discovery_run(d);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(calls.exited, 1);
	calls = (struct seen_calls){.pid = (uint32_t)child.pid};
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(calls.exited, 0);
	child_end(&child);
	assert_int_equal(discovery_scan(d), 0);
	assert_int_equal(calls.exited, 1);
	discovery_free(d);
}

/* Maps a copy of a library for each letter of names; what is left of them ends with the child. */
static void map_copies(const char *dir, const char *names)
{
	char command[256], path[64];

	for (; *names; names++) {
		snprintf(path, sizeof(path), "%s/%c", dir, *names);
		snprintf(command, sizeof(command), "cp %s %s", LIBSSL, path);
		if (system(command) != 0 || !dlopen(path, RTLD_NOW))
			_exit(1);
	}
}

/* A process that maps more TLS files than one may have costs others nothing. */
static void one_process_has_its_share(void **state)
{
	char dir[] = "/tmp/tolltap-test-XXXXXX", command[64], ready;
	struct broker b = {0};
	struct seen_calls calls = {0};
	struct discovery *d = start(&b, &calls);
	uint64_t refused = counter_get(COUNTER_DISCOVERY_SHARE_FULL);
	int before, up[2];
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(discovery_scan(d), 0);
	before = b.attached;
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		map_copies(dir, "abcdefghijklmnopqrst");
		if (write(up[1], "y", 1) == 1)
			pause();
		_exit(1);
	}
	close(up[1]);
	assert_int_equal(read(up[0], &ready, 1), 1);
	assert_int_equal(discovery_scan(d), 0);
	assert_in_range(b.attached - before, 1, PROCESS_FILES_MAX);
	assert_true(counter_get(COUNTER_DISCOVERY_SHARE_FULL) >= refused + 20 - PROCESS_FILES_MAX);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(up[0]);
	discovery_free(d);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static bool run(const char *command)
{
	return system(command) == 0;
}

/* Two mounts over one lower directory, as two containers of one image have. */
static bool mount_two_overlays(const char *dir)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "cd %s && mkdir lower top a b && mount -t tmpfs t top && "
		 "mkdir top/ua top/wa top/ub top/wb && cp " LIBSSL " lower/libssl.so.3 && "
		 "mount -t overlay o -o lowerdir=lower,upperdir=top/ua,workdir=top/wa a && "
		 "mount -t overlay o -o lowerdir=lower,upperdir=top/ub,workdir=top/wb b",
		 dir);
	return run(command);
}

static void one_layer_in_two_containers_is_attached_once(void **state)
{
	char dir[] = "/tmp/tolltap-test-XXXXXX", path[2][64], command[256];
	struct broker b = {0};
	struct seen_calls calls = {0};
	struct child child[2];
	struct discovery *d;
	struct stat st[2];
	int times = 0;

	(void)state;
	if (access(LIBSSL, R_OK) != 0 || unshare(CLONE_NEWNS) != 0 ||
	    !run("mount --make-rprivate /"))
		skip();
	assert_non_null(mkdtemp(dir));
	if (!mount_two_overlays(dir))
		skip();
	d = start(&b, &calls);
	for (int i = 0; i < 2; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%c/libssl.so.3", dir, "ab"[i]);
		assert_int_equal(stat(path[i], &st[i]), 0);
		child[i] = child_start(path[i]);
		child_load(&child[i]);
	}
	assert_int_not_equal(st[0].st_dev, st[1].st_dev);
	assert_int_equal(discovery_scan(d), 0);
	for (int i = 0; i < b.attached; i++)
		times += b.inodes[i] == st[0].st_ino;
	assert_int_equal(times, 1);
	for (int i = 0; i < 2; i++) {
		cJSON *status = cJSON_CreateObject();

		discovery_status(d, status);
		assert_non_null(process_row(status, child[i].pid, "libssl.so.3"));
		cJSON_Delete(status);
		child_end(&child[i]);
	}
	discovery_free(d);
	snprintf(command, sizeof(command), "cd %s && umount -l a b top && rm -r %s", dir, dir);
	assert_true(run(command));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scan_finds_a_mapped_library),
		cmocka_unit_test(prime_arms_before_the_first_user),
		cmocka_unit_test(what_was_not_decided_is_looked_at_again),
		cmocka_unit_test(failed_attach_is_listed_and_tried_again),
		cmocka_unit_test(blind_library_is_listed_with_its_reason),
		cmocka_unit_test(a_turn_ends_in_time),
		cmocka_unit_test(the_end_of_a_noted_process_is_told),
		cmocka_unit_test(a_process_that_is_not_read_lives),
		cmocka_unit_test(one_process_has_its_share),
		cmocka_unit_test(events_find_a_new_library_at_once),
		cmocka_unit_test(one_layer_in_two_containers_is_attached_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
