/* SPDX-License-Identifier: Apache-2.0 */
/* --out: what is there is replaced when it is a file, written to when it is a pipe, else kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/cli/out_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], path[128], other[128];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tolltap-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/out", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	rmdir(path);
	return rmdir(dir); /* so nothing else was left in it */
}

static void put(const char *at, const char *text)
{
	FILE *f = fopen(at, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void assert_holds(const char *at, const char *text)
{
	char bytes[64] = "";
	FILE *f = fopen(at, "r");

	assert_non_null(f);
	assert_true(fread(bytes, 1, sizeof(bytes) - 1, f) < sizeof(bytes) - 1);
	fclose(f);
	assert_string_equal(bytes, text);
}

static mode_t kind_of(const char *at)
{
	struct stat st;

	assert_int_equal(lstat(at, &st), 0);
	return st.st_mode & S_IFMT;
}

static int write_out(const char *at, int rc)
{
	struct out_file f;
	int opened = out_file_open(&f, "test", at);

	if (opened != EXIT_OK)
		return opened;
	fputs("new", f.stream);
	return out_file_end(&f, "test", rc);
}

static void a_file_appears_when_it_is_complete(void **state)
{
	struct out_file f;

	(void)state;
	assert_int_equal(write_out(path, EXIT_OK), EXIT_OK);
	assert_holds(path, "new");
	put(path, "old");
	assert_int_equal(write_out(path, EXIT_STORAGE), EXIT_STORAGE);
	assert_holds(path, "old");
	assert_int_equal(out_file_open(&f, "test", path), EXIT_OK);
	fputs("new", f.stream);
	fflush(f.stream);
	assert_holds(path, "old");
	assert_int_equal(out_file_end(&f, "test", EXIT_OK), EXIT_OK);
	assert_holds(path, "new");
}

static void a_link_is_followed(void **state)
{
	(void)state;
	put(other, "old");
	assert_int_equal(symlink("other", path), 0);
	assert_int_equal(write_out(path, EXIT_OK), EXIT_OK);
	assert_int_equal(kind_of(path), S_IFLNK);
	assert_holds(other, "new");
}

static void a_link_to_nothing_is_refused(void **state)
{
	(void)state;
	assert_int_equal(symlink("other", path), 0);
	assert_int_equal(write_out(path, EXIT_OK), EXIT_USAGE);
	assert_int_equal(kind_of(path), S_IFLNK);
	assert_int_equal(access(other, F_OK), -1);
}

static void a_pipe_is_written_to(void **state)
{
	char bytes[8] = "";
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(write_out(path, EXIT_OK), EXIT_OK);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 3);
	assert_string_equal(bytes, "new");
	close(fd);
	assert_int_equal(kind_of(path), S_IFIFO);
}

static void a_device_stays_one(void **state)
{
	(void)state;
	assert_int_equal(symlink("/dev/null", path),
			 0); /* through a link: a failure harms no host */
	assert_int_equal(write_out(path, EXIT_OK), EXIT_OK);
	assert_int_equal(kind_of(path), S_IFLNK);
	assert_int_equal(kind_of("/dev/null"), S_IFCHR);
	unlink(path);
	assert_int_equal(symlink("/dev/full", path), 0);
	assert_int_equal(write_out(path, EXIT_OK), EXIT_FAILED);
}

static void what_takes_no_bytes_is_refused(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(write_out(path, EXIT_OK), EXIT_USAGE);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", other);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(write_out(other, EXIT_OK), EXIT_USAGE);
	assert_int_equal(kind_of(other), S_IFSOCK);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
	(void)state;
	assert_int_equal(write_out("/no/such/folder/out", EXIT_OK), EXIT_FAILED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_appears_when_it_is_complete),
		TEST(a_link_is_followed),
		TEST(a_link_to_nothing_is_refused),
		TEST(a_pipe_is_written_to),
		TEST(a_device_stays_one),
		TEST(what_takes_no_bytes_is_refused),
		TEST(a_folder_that_is_not_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
