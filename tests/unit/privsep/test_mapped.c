/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/mapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* Code of one file in two pieces, its data, another device's file of that number, and no line. */
static const char maps[] = "1000-2000 r--p 00000000 08:01 77 /lib/a.so\n"
			   "2000-4000 r-xp 00001000 08:01 77 /lib/a.so\n"
			   "what is this\n"
			   "4000-5000 r-xp 00008000 08:01 77 /lib/a.so\n"
			   "6000-9000 r-xp 00003000 08:02 77 /lib/b.so\n"
			   "a000-b000 r-xp 00000000 00:00 0 [vdso]\n";

static const struct mapped_file a_so = {8, 1, 77}, b_so = {8, 2, 77};
static int fd;

static int setup(void **state)
{
	(void)state;
	fd = memfd_create("maps", MFD_CLOEXEC);
	return fd < 0 || write(fd, maps, sizeof(maps) - 1) != sizeof(maps) - 1 ||
	       lseek(fd, 0, SEEK_SET) < 0;
}

static int teardown(void **state)
{
	(void)state;
	return close(fd);
}

static void code_is_named_file_by_file(void **state)
{
	struct mapped_file file;
	struct proc_lines lines;

	(void)state;
	proc_lines_init(&lines, fd);
	assert_true(mapped_next(&lines, &file) && mapped_same(&file, &a_so));
	assert_true(mapped_next(&lines, &file) && mapped_same(&file, &a_so));
	assert_true(mapped_next(&lines, &file) && mapped_same(&file, &b_so));
	assert_false(mapped_next(&lines, &file));
}

static bool find(uint64_t start, uint64_t end, uint64_t inode, const char *path)
{
	struct mapped_file file;

	lseek(fd, 0, SEEK_SET);
	return mapped_find(fd, start, end, inode, path, &file) && mapped_same(&file, &a_so);
}

static void one_mapping_is_found_by_its_place(void **state)
{
	(void)state;
	assert_true(find(0x2000, 0x4000, 77, ""));
	assert_true(find(0x2000, 0x4000, 5, "/lib/a.so")); /* an overlay's number */
	assert_false(find(0x2000, 0x4000, 5, "/lib/c.so"));
	assert_false(find(0x1000, 0x2000, 77, "/lib/a.so")); /* no code */
	assert_false(find(0x2000, 0x3000, 77, "/lib/a.so"));
}

static bool covers(const struct mapped_file *file, uint64_t entry, uint64_t function, uint64_t ret)
{
	struct probe_sites sites = {.count = 2};

	for (size_t i = 0; i < 2; i++)
		sites.site[i] = (struct probe_site){.entry = 0x1000,
						    .function = 0x1000,
						    .return_count = 1,
						    .returns = {0x2fff}};
	sites.site[1].entry = entry;
	sites.site[1].function = function;
	sites.site[1].returns[0] = ret;
	lseek(fd, 0, SEEK_SET);
	return mapped_covers(fd, file, &sites);
}

static void every_offset_must_be_code_of_that_file(void **state)
{
	(void)state;
	assert_true(covers(&a_so, 0x1004, 0x1000, 0x2fff));
	assert_true(covers(&a_so, 0x8004, 0x8000, 0x8fff));
	assert_false(covers(&a_so, 0x0fff, 0x1000, 0x2fff)); /* data before it */
	assert_false(covers(&a_so, 0x1004, 0x0ff0, 0x2fff));
	assert_false(covers(&a_so, 0x1004, 0x1000, 0x3000)); /* behind its end */
	assert_false(covers(&a_so, 0x2004, 0x2000, 0x8000)); /* over two pieces */
	assert_false(covers(&a_so, UINT64_MAX, 0x1000, 0x2fff));
	assert_false(covers(&b_so, 0x3004, 0x3000, 0x3fff)); /* the other site is not there */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(code_is_named_file_by_file),
		TEST(one_mapping_is_found_by_its_place),
		TEST(every_offset_must_be_code_of_that_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
