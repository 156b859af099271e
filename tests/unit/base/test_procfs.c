/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/procfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static void parses_mappings(void **state)
{
	static const struct {
		const char *line;
		struct proc_mapping want;
		const char *path;
	} good[] = {
		{"7f1a2b3c4000-7f1a2b3c8000 r-xp 00001000 08:01 393232                     "
		 "/usr/lib/x86_64-linux-gnu/libssl.so.3",
		 {0x7f1a2b3c4000, 0x7f1a2b3c8000, 0x1000, 393232, 8, 1, true, {NULL, 0}},
		 "/usr/lib/x86_64-linux-gnu/libssl.so.3"},
		{"00400000-00401000 r--p 00000000 fe:10 12 /opt/a b (deleted)",
		 {0x400000, 0x401000, 0, 12, 0xfe, 0x10, false, {NULL, 0}},
		 "/opt/a b (deleted)"},
		{"7ffc1000-7ffc2000 r-xp 00000000 00:00 0                          [vdso]",
		 {0x7ffc1000, 0x7ffc2000, 0, 0, 0, 0, true, {NULL, 0}},
		 "[vdso]"},
		{"7ffc1000-7ffc2000 rwxp 00000000 00:00 0 ",
		 {0x7ffc1000, 0x7ffc2000, 0, 0, 0, 0, true, {NULL, 0}},
		 ""},
	};
	static const char *const bad[] = {
		"",
		"7f",
		"1000-2000",
		"1000-2000 r-x",
		"1000-2000 r-xp 0 8:1",
		"1000-2000 r-xp 0 08:01 x /a",
		"11112222333344445-2000 r-xp 0 08:01 1 /a",
		"10g0-2000 r-xp 0 08:01 1 /a",
		"1000-2000 r-xp 0 1ffffffff:01 1 /a",
	};
	struct proc_mapping got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(proc_mapping_parse(slice_of(good[i].line), &got));
		assert_true(slice_eq(got.path, slice_of(good[i].path)));
		got.path = (struct slice){NULL, 0};
		assert_int_equal(got.start, good[i].want.start);
		assert_int_equal(got.end, good[i].want.end);
		assert_int_equal(got.offset, good[i].want.offset);
		assert_int_equal(got.inode, good[i].want.inode);
		assert_int_equal(got.major, good[i].want.major);
		assert_int_equal(got.minor, good[i].want.minor);
		assert_int_equal(got.exec, good[i].want.exec);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (proc_mapping_parse(slice_of(bad[i]), &got))
			fail_msg("accepted '%s'", bad[i]);
	}
}

static void parses_stat(void **state)
{
	static const char tail[] = " S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 11 0 1234567 8 9\n";
	char text[256];
	struct proc_stat got;
	static const char *const comms[] = {"curl", "a b", "x) S 9 (y", "", "))"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(comms); i++) {
		snprintf(text, sizeof(text), "42 (%s)%s", comms[i], tail);
		assert_true(proc_stat_parse(slice_of(text), &got));
		assert_string_equal(got.comm, comms[i]);
		assert_int_equal(got.state, 'S');
		assert_int_equal(got.parent, 1);
		assert_int_equal(got.threads, 11);
		assert_int_equal(got.start_ticks, 1234567);
		assert_int_equal(got.memory_bytes, 8);
	}
	for (size_t len = 0; len < strlen(text) - 3; len++)
		assert_false(proc_stat_parse((struct slice){text, len}, &got));
}

static void parses_uids(void **state)
{
	static const char *const bad[] = {"",		"-1",	       " 1",
					  "1\n",	"0x1",	       "4294967295",
					  "4294967296", "10000000000", "99999999999"};
	uint32_t uid = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (proc_uid_parse(slice_of(bad[i]), &uid))
			fail_msg("'%s' is %u", bad[i], uid);
	}
	assert_int_equal(uid, 7);
	assert_true(proc_uid_parse(SLICE("0"), &uid));
	assert_int_equal(uid, 0);
	assert_true(proc_uid_parse(SLICE("4294967294"), &uid));
	assert_int_equal(uid, 4294967294U);
}

static void splits_lines(void **state)
{
	_cleanup_(closep) int out = -1;
	_cleanup_(freep) char *huge = malloc(3 * PROC_LINE_MAX);
	struct proc_lines *lines = malloc(sizeof(*lines));
	struct slice line;
	FILE *file = tmpfile();

	(void)state;
	memset(huge, 'x', 3 * PROC_LINE_MAX);
	fprintf(file, "one\n\n");
	fwrite(huge, 1, 3 * PROC_LINE_MAX, file);
	fprintf(file, "\ntwo\nunfinished");
	rewind(file);
	fflush(file);
	out = dup(fileno(file));
	lseek(out, 0, SEEK_SET);
	proc_lines_init(lines, out);
	assert_true(proc_lines_next(lines, &line));
	assert_true(slice_eq(line, SLICE("one")));
	assert_true(proc_lines_next(lines, &line));
	assert_int_equal(line.len, 0);
	assert_true(proc_lines_next(lines, &line));
	assert_true(slice_eq(line, SLICE("two")));
	assert_false(proc_lines_next(lines, &line));
	assert_false(proc_lines_next(lines, &line));
	fclose(file);
	free(lines);
}

static void names_of_paths(void **state)
{
	(void)state;
	assert_true(slice_eq(path_base(SLICE("/usr/lib/libssl.so.3")), SLICE("libssl.so.3")));
	assert_true(slice_eq(path_base(SLICE("node")), SLICE("node")));
	assert_true(slice_eq(path_base(SLICE("/")), SLICE("")));
	assert_true(slice_eq(path_without_deleted(SLICE("/a/b (deleted)")), SLICE("/a/b")));
	assert_true(slice_eq(path_without_deleted(SLICE("/a/b")), SLICE("/a/b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_mappings), cmocka_unit_test(parses_stat),
		cmocka_unit_test(parses_uids),	   cmocka_unit_test(splits_lines),
		cmocka_unit_test(names_of_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
