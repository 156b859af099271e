/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of real children through a broker that only opens their /proc files. */
#include "agent/attribution/attribution.h"

#include "agent/base/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TICK_NS (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK))

struct broker {
	int opened;
	const char *says[PROC_FILES]; /* in place of the file; NULL: as it is */
};

static int open_text(const char *text)
{
	int fd = memfd_create("proc", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

int broker_open_proc(struct broker *b, uint32_t pid, enum proc_file file)
{
	static const char *const names[PROC_FILES] = {
		[PROC_STAT] = "stat",	    [PROC_CGROUP] = "cgroup",
		[PROC_ENVIRON] = "environ", [PROC_LOGINUID] = "loginuid",
		[PROC_CMDLINE] = "cmdline",
	};
	char path[64];
	int fd;

	assert_non_null(names[file]);
	b->opened++;
	if (b->says[file])
		return open_text(b->says[file]);
	snprintf(path, sizeof(path), "/proc/%u/%s", pid, names[file]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int broker_read_exe(struct broker *b, uint32_t pid, char *path, size_t size)
{
	char link[64];
	ssize_t n;

	(void)b;
	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	n = readlink(link, path, size - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return 0;
}

/* Its arguments and its environment appear together, shortly after exec closed our pipe. */
static bool has_arguments(pid_t pid)
{
	char path[64], text[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	close(fd);
	return n > 0 && !strcmp(text, "sleep");
}

/* /bin/sleep with that environment, already past its exec. */
static pid_t child_start(char *const env[])
{
	char *const argv[] = {"sleep", "60", NULL};
	pid_t pid = fork();

	if (pid == 0) {
		execve("/bin/sleep", argv, env);
		_exit(127);
	}
	for (int i = 0; i < 5000 && !has_arguments(pid); i++)
		usleep(1000);
	assert_true(has_arguments(pid));
	return pid;
}

static void child_end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The start time as the kernel's record would give it: inside the tick that /proc prints. */
static uint64_t start_of(pid_t pid)
{
	struct broker b = {0};
	int fd = broker_open_proc(&b, (uint32_t)pid, PROC_STAT);
	struct proc_stat stat;
	char text[1024];
	ssize_t n = proc_read(fd, text, sizeof(text));

	close(fd);
	assert_true(n > 0 && proc_stat_parse((struct slice){text, (size_t)n}, &stat));
	return stat.start_ticks * TICK_NS + TICK_NS / 3;
}

static struct conn_open opened(pid_t pid, uint64_t start, const char *comm, struct slice env)
{
	return (struct conn_open){
		.conn = {.ssl = 1, .tgid = (uint32_t)pid, .start_boot_ns = start},
		.now_ns = NSEC_PER_SEC,
		.uid = getuid(),
		.comm = comm,
		.host = "",
		.env = env,
	};
}

static const char *tag_of(const struct call *call, const char *key)
{
	for (uint32_t i = 0; i < call->tags.count; i++) {
		if (!strcmp(call->tags.item[i].key, key))
			return call->tags.item[i].value;
	}
	return NULL;
}

static struct attribution *start(struct broker *b)
{
	struct attribution *a = NULL;

	assert_int_equal(attribution_new(&a, b), 0);
	return a;
}

/* The probe has the start of an environment: it must not win over all of it. */
static void the_whole_environment_counts(void **state)
{
	static const char start_alone[] = "OTEL_SERVICE_NAME=weaker";
	char *const env[] = {"OTEL_SERVICE_NAME=weaker", "TOLLTAP_TAGS=service=own",
			     "TOLLTAP_IGNORE=1", NULL};
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start(env);
	struct conn_open open = opened(pid, start_of(pid), "sleep",
				       (struct slice){start_alone, sizeof(start_alone)});
	struct call call = {0};
	bool first;

	(void)state;
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(tag_of(&call, "service"), "own");
	assert_true(attribution_opted_out(a, &open.conn, &first) && first);
	assert_true(attribution_opted_out(a, &open.conn, &first) && !first);
	child_end(pid);
	attribution_free(a);
}

static void living_process(void **state)
{
	char *const env[] = {"TOLLTAP_TAGS=team=a,feature=b", "SECRET=x", NULL};
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start(env);
	struct conn_open open = opened(pid, start_of(pid), "sleep", SLICE(""));
	struct call call = {0};

	(void)state;
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_int_equal(call.workload.pid, pid);
	assert_int_equal(call.workload.start_boot_ns, open.conn.start_boot_ns);
	assert_true(call.workload.uid_known);
	assert_int_equal(call.workload.uid, getuid());
	if (getuid() == 0)
		assert_string_equal(call.workload.user, "root");
	assert_string_equal(call.workload.comm, "sleep");
	assert_string_equal(strrchr(call.workload.exe, '/'), "/sleep");
	assert_int_equal(call.workload.cgroup[0], '/');
	assert_int_equal(call.tags.count, 2);
	assert_string_equal(tag_of(&call, "team"), "a");
	assert_string_equal(tag_of(&call, "feature"), "b");
	child_end(pid);
	attribution_free(a);
}

static void prefetched_process_is_known_after_its_end(void **state)
{
	char *const env[] = {"OTEL_SERVICE_NAME=batch", NULL};
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start(env);
	struct conn_open open = opened(pid, start_of(pid), "sleep", SLICE(""));
	struct call call = {0}, late = {0};

	(void)state;
	attribution_prefetch(a, (uint32_t)pid);
	child_end(pid);
	attribution_exit(a, (uint32_t)pid, NSEC_PER_SEC);
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(strrchr(call.workload.exe, '/'), "/sleep");
	assert_string_equal(tag_of(&call, "service"), "batch");

	attribution_tick(a, NSEC_PER_SEC + ATTRIBUTION_KEEP_NS);
	attribution_fill(a, &open.conn, &late);
	assert_string_equal(late.workload.comm, "sleep");
	attribution_tick(a, NSEC_PER_SEC + ATTRIBUTION_KEEP_NS + 1);
	late = (struct call){0};
	attribution_fill(a, &open.conn, &late);
	assert_int_equal(late.workload.pid, pid);
	assert_string_equal(late.workload.comm, "");
	attribution_free(a);
}

struct living {
	int count;
	uint32_t pid;
};

static void count_living(void *user, const struct workload *w)
{
	struct living *living = user;

	living->count++;
	living->pid = w->pid;
}

static void the_living_are_told_and_the_ended_not(void **state)
{
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t one = child_start((char *const[]){NULL}), two = child_start((char *const[]){NULL});
	struct living living = {0};

	(void)state;
	attribution_prefetch(a, (uint32_t)one);
	attribution_prefetch(a, (uint32_t)two);
	attribution_each_living(a, count_living, &living);
	assert_int_equal(living.count, 2);
	child_end(one);
	attribution_exit(a, (uint32_t)one, NSEC_PER_SEC); /* it is kept, for late records */
	living.count = 0;
	attribution_each_living(a, count_living, &living);
	assert_int_equal(living.count, 1);
	assert_int_equal(living.pid, two);
	child_end(two);
	attribution_free(a);
}

static void program_told_by_the_kernel_stands_in_for_proc(void **state)
{
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start((char *const[]){NULL});
	uint64_t started = start_of(pid);
	struct conn_open open = opened(pid, started, "gone", SLICE(""));
	struct call call = {0};

	(void)state;
	child_end(pid);
	attribution_program(a, (uint32_t)pid + ATTRIBUTION_PROGRAMS, SLICE("/bin/other"));
	attribution_program(a, (uint32_t)pid, SLICE("/bin/gone"));
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.exe, "/bin/gone");

	/* The fork before that exec, told late by another CPU. */
	attribution_program(a, (uint32_t)pid, SLICE(""));
	call = (struct call){0};
	open = opened(pid, started + 3 * TICK_NS, "late", SLICE(""));
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.exe, "/bin/gone");

	/* A fork took the number: nobody told its program. */
	attribution_tick(a, 6 * NSEC_PER_SEC);
	attribution_program(a, (uint32_t)pid, SLICE(""));
	open = opened(pid, started + 5 * TICK_NS, "child", SLICE(""));
	call = (struct call){0};
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.exe, "");
	attribution_free(a);
}

/* The pid lives, but started at another time: nothing of it may be told of the older process. */
static void reused_pid_is_not_believed(void **state)
{
	char *const env[] = {"TOLLTAP_TAGS=team=wrong", NULL};
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start(env);
	struct conn_open open = opened(pid, start_of(pid) - 5 * TICK_NS, "older",
				       SLICE("TOLLTAP_TAGS=team=right\0"));
	struct call call = {0};

	(void)state;
	attribution_prefetch(a, (uint32_t)pid);
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.comm, "older");
	assert_string_equal(call.workload.exe, "");
	assert_string_equal(call.workload.cgroup, "");
	assert_string_equal(tag_of(&call, "team"), "right");
	child_end(pid);
	attribution_free(a);
}

static void exec_replaces_what_was_known(void **state)
{
	char *const env[] = {"TOLLTAP_TAGS=team=new", NULL};
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start(env);
	uint64_t start_ns = start_of(pid);
	struct conn_open before = opened(pid, start_ns, "sleep", SLICE("TOLLTAP_TAGS=old=1\0"));
	struct conn_open after = opened(pid, start_ns, "other", SLICE(""));
	struct call call = {0};

	(void)state;
	attribution_open(a, &before);
	attribution_open(a, &after);
	attribution_fill(a, &after.conn, &call);
	assert_string_equal(call.workload.comm, "other");
	assert_null(tag_of(&call, "old"));
	assert_string_equal(tag_of(&call, "team"), "new");
	child_end(pid);
	attribution_free(a);
}

#define CONTAINER "3f4a9c0d1e2b5a6978897a6b5c4d3e2f1001f2e3d4c5b6a79880716253443526"

static const char names_of_cgroup[CONN_CGROUP_LEVELS][CONN_CGROUP_NAME] = {CONTAINER, "docker"};
static const char names_of_root[CONN_CGROUP_LEVELS][CONN_CGROUP_NAME] = {""};

/* It moved after /proc was read, under the same name: the probe's word counts. */
static void the_cgroup_of_the_call_is_that_of_the_process(void **state)
{
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start((char *const[]){NULL});
	struct conn_open open = opened(pid, start_of(pid), "sleep", SLICE(""));
	char before[CALL_PATH_MAX];
	struct call call = {0};

	(void)state;
	attribution_prefetch(a, (uint32_t)pid);
	open.cgroup = names_of_root; /* says nothing */
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_int_not_equal(call.workload.cgroup[0], '\0');
	assert_string_equal(call.workload.container_id, "");
	snprintf(before, sizeof(before), "%s", call.workload.cgroup);
	open.cgroup = names_of_cgroup;
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_not_equal(call.workload.cgroup, before);
	assert_string_equal(call.workload.container_id, CONTAINER);
	child_end(pid);
	attribution_free(a);
}

/*
 * Docker on a hybrid host: the container stands in the lines of version 1 alone, and the probe sees
 * what started the daemon. A container that it does see is where the process is now.
 */
static void a_container_of_version_1_is_not_forgotten(void **state)
{
	static const char daemon[CONN_CGROUP_LEVELS][CONN_CGROUP_NAME] = {"containerd.service",
									  "system.slice"};
	static const char pod[CONN_CGROUP_LEVELS][CONN_CGROUP_NAME] = {
		CONTAINER, "pod1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901", "kubepods"};
	struct broker b = {.says[PROC_CGROUP] = "4:pids:/lxc/web\n0::/system.slice/a.service\n"};
	struct attribution *a = start(&b);
	pid_t pid = child_start((char *const[]){NULL});
	struct conn_open open = opened(pid, start_of(pid), "sleep", SLICE(""));
	struct call call = {0};

	(void)state;
	open.cgroup = daemon;
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.cgroup, "/lxc/web");
	assert_string_equal(call.workload.container, "web");
	assert_true(attribution_name(a, &call.workload, &(struct tags){0}));
	assert_string_equal(call.workload.container, "web");
	open.cgroup = pod;
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.container, "");
	assert_string_equal(call.workload.container_id, CONTAINER);
	assert_string_equal(call.workload.pod_uid, "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901");
	open.cgroup = daemon; /* it is of version 2 by now */
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.container_id, "");
	assert_string_equal(call.workload.pod_uid, "");
	assert_string_equal(call.workload.slice, "system.slice");
	child_end(pid);
	attribution_free(a);
}

/* The kernel's word for who logged in, else the user slice; a uid without a name stays a number. */
static void login_is_found(void **state)
{
	static const struct {
		const char *loginuid, *cgroup, *login;
	} cases[] = {
		{"0", "0::/user.slice/user-4294967290.slice/session-3.scope\n", "root"},
		{"4294967295", "0::/user.slice/user-0.slice/session-3.scope\n", "root"},
		{"4294967295", "0::/user.slice/user-4294967290.slice/session-3.scope\n",
		 "4294967290"},
		{"4294967290", "0::/system.slice/cron.service\n", "4294967290"},
		{"4294967295", "0::/system.slice/cron.service\n", ""},
		{"", "0::/system.slice/cron.service\n", ""},
	};
	pid_t pid = child_start((char *const[]){NULL});

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct broker b = {.says[PROC_LOGINUID] = cases[i].loginuid,
				   .says[PROC_CGROUP] = cases[i].cgroup};
		struct attribution *a = start(&b);
		struct conn_open open = opened(pid, start_of(pid), "sleep", SLICE(""));
		struct call call = {0};

		attribution_open(a, &open);
		attribution_fill(a, &open.conn, &call);
		if (strcmp(call.workload.login, cases[i].login) != 0)
			fail_msg("case %zu: '%s'", i, call.workload.login);
		assert_string_equal(call.workload.login_session, i < 3 ? "3" : "");
		attribution_free(a);
	}
	child_end(pid);
}

/* A process of that name, and its child, which it tells. It ends when it is killed. */
static pid_t parent_start(const char *name, pid_t *child)
{
	int told[2];
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		*child = child_start((char *const[]){NULL});
		_exit(write(told[1], child, sizeof(*child)) != sizeof(*child) || pause());
	}
	assert_int_equal(read(told[0], child, sizeof(*child)), sizeof(*child));
	close(told[0]);
	close(told[1]);
	return pid;
}

static void who_started_it_is_known_after_their_end(void **state)
{
	struct broker b = {0};
	struct attribution *a = start(&b);
	struct call call = {0};
	struct conn_open open;
	pid_t pid, parent = parent_start("opencode", &pid);

	(void)state;
	attribution_prefetch(a, (uint32_t)pid);
	child_end(parent);
	open = opened(pid, start_of(pid), "other", SLICE("")); /* it is read anew */
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.started_by, "agent/opencode");
	assert_int_equal(kill(pid, SIGKILL), 0);
	attribution_free(a);
}

/*
 * Read as one program, gone as another: what it was is not told of what it became. A shell that
 * puts itself into a container's cgroup and becomes a short-lived client looks so; its script may
 * have the client's name.
 */
static void exec_and_gone_leaves_nothing_of_before(void **state)
{
	static const char *const names[] = {"client", "sleep"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct broker b = {0};
		struct attribution *a = start(&b);
		pid_t pid = child_start((char *const[]){NULL});
		struct conn_open open = opened(pid, start_of(pid), names[i], SLICE(""));
		struct call call = {0};

		attribution_prefetch(a, (uint32_t)pid);
		attribution_program(a, (uint32_t)pid, SLICE("/bin/client"));
		child_end(pid);
		open.cgroup = names_of_cgroup;
		attribution_open(a, &open);
		attribution_fill(a, &open.conn, &call);
		assert_string_equal(call.workload.comm, names[i]);
		assert_string_equal(call.workload.exe, "/bin/client");
		assert_string_equal(call.workload.cgroup, "/docker/" CONTAINER);
		assert_string_equal(call.workload.container_id, CONTAINER);
		attribution_free(a);
	}
}

static void replay_uses_probe_facts_only(void **state)
{
	struct attribution *a = start(NULL);
	struct conn_open open =
		opened(getpid(), 77 * TICK_NS, "curl", SLICE("TOLLTAP_TAGS=team=a\0"));
	struct call call = {0};

	(void)state;
	attribution_prefetch(a, (uint32_t)getpid());
	attribution_open(a, &open);
	attribution_fill(a, &open.conn, &call);
	assert_string_equal(call.workload.comm, "curl");
	assert_true(call.workload.uid_known);
	assert_string_equal(call.workload.user, "");
	assert_string_equal(call.workload.exe, "");
	assert_string_equal(tag_of(&call, "team"), "a");
	attribution_free(a);
}

static void one_read_per_process(void **state)
{
	char *const env[] = {NULL};
	struct broker b = {0};
	struct attribution *a = start(&b);
	pid_t pid = child_start(env);
	struct conn_open open = opened(pid, start_of(pid), "sleep", SLICE(""));
	struct call call = {0};
	int opened_once;

	(void)state;
	attribution_open(a, &open);
	opened_once = b.opened;
	for (int i = 0; i < 100; i++) {
		attribution_open(a, &open);
		attribution_fill(a, &open.conn, &call);
	}
	assert_int_equal(b.opened, opened_once);
	child_end(pid);
	attribution_free(a);
}

/* Far more processes than fit: the one in use stays, the oldest go. */
static void table_is_bounded(void **state)
{
	struct attribution *a = start(NULL);
	struct conn_open first = opened(1, 1000 * TICK_NS, "first", SLICE(""));
	struct conn_open second = opened(2, 1000 * TICK_NS, "second", SLICE(""));
	struct call call = {0};

	(void)state;
	attribution_open(a, &first);
	attribution_open(a, &second);
	for (int i = 0; i < ATTRIBUTION_PROCESSES_MAX + 500; i++) {
		struct conn_open open = opened(100 + i, 1000 * TICK_NS, "x", SLICE(""));

		attribution_open(a, &open);
		attribution_fill(a, &first.conn, &call);
	}
	assert_string_equal(call.workload.comm, "first");
	call = (struct call){0};
	attribution_fill(a, &second.conn, &call);
	assert_string_equal(call.workload.comm, "");
	attribution_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(living_process),
		cmocka_unit_test(the_whole_environment_counts),
		cmocka_unit_test(prefetched_process_is_known_after_its_end),
		cmocka_unit_test(the_living_are_told_and_the_ended_not),
		cmocka_unit_test(program_told_by_the_kernel_stands_in_for_proc),
		cmocka_unit_test(reused_pid_is_not_believed),
		cmocka_unit_test(exec_replaces_what_was_known),
		cmocka_unit_test(the_cgroup_of_the_call_is_that_of_the_process),
		cmocka_unit_test(a_container_of_version_1_is_not_forgotten),
		cmocka_unit_test(login_is_found),
		cmocka_unit_test(who_started_it_is_known_after_their_end),
		cmocka_unit_test(exec_and_gone_leaves_nothing_of_before),
		cmocka_unit_test(replay_uses_probe_facts_only),
		cmocka_unit_test(one_read_per_process),
		cmocka_unit_test(table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
