/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/tolltap-status-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", dir, STATUS_FILE);
	unlink(path);
	return rmdir(dir);
}

static cJSON *status_of(pid_t pid, time_t at, const char *suffix)
{
	cJSON *status = cJSON_CreateObject();
	char text[64];
	struct tm tm;

	strftime(text, sizeof(text) - 16, "%FT%T", gmtime_r(&at, &tm));
	strncat(text, suffix, 16);
	cJSON_AddNumberToObject(status, "pid", pid);
	cJSON_AddStringToObject(status, "updated_at", text);
	return status;
}

static void writes_and_reads(void **state)
{
	cJSON *status = status_of(getpid(), time(NULL), "Z"), *got = NULL;
	char path[64], tmp[96];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", dir, STATUS_FILE);
	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	assert_int_equal(status_read(dir, &got), -ENOENT);
	assert_null(got);
	for (int i = 0; i < 3; i++)
		assert_int_equal(status_write(dir, status), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_not_equal(access(tmp, F_OK), 0);
	assert_int_equal(status_read(dir, &got), 0);
	assert_true(cJSON_Compare(status, got, true));
	cJSON_Delete(got);
	cJSON_Delete(status);
}

static void refuses_damaged_files(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "7", "{\"pid\":"};
	cJSON *got = NULL;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", dir, STATUS_FILE);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		FILE *file = fopen(path, "w");

		fputs(bad[i], file);
		fclose(file);
		assert_int_equal(status_read(dir, &got), -EINVAL);
		assert_null(got);
	}
	assert_int_equal(status_read("/nonexistent", &got), -ENOENT);
	assert_int_equal(status_write("/nonexistent", NULL), -ENOENT);
}

static void tells_a_living_agent(void **state)
{
	static const struct {
		const char *suffix;
		int age_s;
		bool other_pid, alive;
	} cases[] = {
		{"Z", 0, false, true},	     {".123456Z", 1, false, true}, {"Z", 4, false, true},
		{"Z", 7, false, false},	     {"Z", -60, false, false},	   {"", 0, false, false},
		{"+01:00", 0, false, false}, {"ZZ", 0, false, false},	   {"Z", 0, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pid_t pid = cases[i].other_pid ? 0x7ffffffe : getpid();
		cJSON *status = status_of(pid, time(NULL) - cases[i].age_s, cases[i].suffix);

		if (status_alive(status) != cases[i].alive)
			fail_msg("case %zu", i);
		cJSON_Delete(status);
	}
	assert_false(status_alive(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_and_reads, make_dir, NULL),
		cmocka_unit_test_setup_teardown(refuses_damaged_files, NULL, remove_dir),
		cmocka_unit_test(tells_a_living_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
