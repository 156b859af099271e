/* SPDX-License-Identifier: Apache-2.0 */
/* The minder and its opener as processes, on files of this test. */
#include "agent/privsep/minder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/privsep/ending.h"
#include "agent/privsep/sandbox.h"

/* A file, and where it is mapped. */
struct mapped {
	char path[64];
	int fd;
	void *at;
	size_t len;
};

static void map_file(struct mapped *m)
{
	static const char text[] = "what is in the file";

	snprintf(m->path, sizeof(m->path), "/tmp/tolltap-minder.XXXXXX");
	m->fd = mkstemp(m->path);
	m->len = sizeof(text);
	assert_true(m->fd >= 0);
	assert_int_equal(write(m->fd, text, m->len), m->len);
	m->at = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE, m->fd, 0);
	assert_true(m->at != MAP_FAILED);
}

static void unmap_file(struct mapped *m)
{
	unlink(m->path);
	munmap(m->at, m->len);
	close(m->fd);
}

static int open_mapped(struct minder *minder, const struct mapped *m)
{
	uint64_t start = (uintptr_t)m->at;

	return minder_open_mapping(minder, (uint32_t)getpid(), start, start + 4096, m->path);
}

static bool same_file(int a, int b)
{
	struct file_identity of_a, of_b;

	return file_identify(a, &of_a) == 0 && file_identify(b, &of_b) == 0 &&
	       file_same(&of_a, &of_b);
}

static void files_behind_mappings_are_opened(void **state)
{
	struct mapped m;
	int fd;

	map_file(&m);
	fd = open_mapped(*state, &m);
	assert_true(fd >= 0 && same_file(fd, m.fd));
	close(fd);
	assert_true(minder_open_mapping(*state, (uint32_t)getpid(), 4096, 8192, "") < 0);
	unlink(m.path);
	fd = open_mapped(*state, &m);
	if (opener_caps() & SANDBOX_CAP(CAP_CHECKPOINT_RESTORE))
		assert_true(fd >= 0 && same_file(fd, m.fd));
	else
		assert_true(fd < 0);
	closep(&fd);
	unmap_file(&m);
}

static void texts_are_copied_whole(void **state)
{
	char here[PROC_LINE_MAX], there[PROC_LINE_MAX];
	_cleanup_(closep) int fd = minder_open_text(*state, (uint32_t)getpid(), PROC_CMDLINE);
	_cleanup_(closep) int own = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = proc_read(own, here, sizeof(here));

	assert_true(fd >= 0 && n > 0);
	assert_int_equal(proc_read(fd, there, sizeof(there)), n);
	assert_memory_equal(here, there, n);
	assert_int_equal(minder_open_text(*state, UINT32_MAX, PROC_MAPS), -ENOENT);
	assert_int_equal(minder_open_text(*state, 1, PROC_FILES), -EINVAL);
}

static void names_are_compared(void **state)
{
	struct file_identity id;
	struct mapped m;

	map_file(&m);
	assert_int_equal(file_identify(m.fd, &id), 0);
	assert_true(minder_names(*state, m.path, &id));
	assert_false(minder_names(*state, "/", &id));
	unlink(m.path);
	assert_false(minder_names(*state, m.path, &id));
	unmap_file(&m);
}

static void known_files_are_taken_by_number(void **state)
{
	char path[REQUEST_TEXT_MAX];
	int count = minder_count_known(*state);

	assert_true(count >= 0);
	assert_int_equal(minder_open_known(*state, (uint32_t)count, path), -ENOENT);
	if (count == 0)
		skip();
	for (int i = 0; i < count; i++) {
		_cleanup_(closep) int fd = minder_open_known(*state, (uint32_t)i, path);
		_cleanup_(closep) int here = open(path, O_RDONLY | O_CLOEXEC);

		assert_true(same_file(fd, here));
	}
}

/* As a file system that does not answer: an open waits for whoever holds a lease on the file. */
static void what_hangs_is_given_up(void **state)
{
	struct mapped m;
	uint64_t begin_ns;
	int fd;

	map_file(&m);
	signal(SIGIO, SIG_IGN);
	assert_int_equal(fcntl(m.fd, F_SETLEASE, F_WRLCK), 0);
	begin_ns = clock_mono_ns();
	assert_int_equal(open_mapped(*state, &m), -ETIMEDOUT);
	assert_true(clock_mono_ns() - begin_ns >= MINDER_MS * NSEC_PER_MSEC);
	assert_int_equal(fcntl(m.fd, F_SETLEASE, F_UNLCK), 0);
	fd = open_mapped(*state, &m);
	assert_true(fd >= 0 && same_file(fd, m.fd));
	close(fd);
	unmap_file(&m);
}

static void killed_children_are_reaped(void **state)
{
	struct ending ending = {0};
	pid_t pid;

	(void)state;
	for (int i = 0; i < 2 * ENDING_MAX; i++) {
		pid = fork();
		if (pid == 0) {
			raise(SIGSTOP);
			_exit(0);
		}
		assert_true(pid > 0);
		ending_end(&ending, pid);
		assert_false(ending_full(&ending));
	}
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static int setup(void **state)
{
	struct minder *m = NULL;

	if (minder_start(&m))
		return -1;
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	minder_stop(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_behind_mappings_are_opened),
		cmocka_unit_test(texts_are_copied_whole),
		cmocka_unit_test(names_are_compared),
		cmocka_unit_test(known_files_are_taken_by_number),
		cmocka_unit_test(what_hangs_is_given_up),
		cmocka_unit_test(killed_children_are_reaped),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
