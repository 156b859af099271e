/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/cli/child.h"
#include "agent/cli/flags.h"
#include "agent/cli/running.h"
#include "agent/status.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static cJSON *status_of(int pid, const char *comm)
{
	cJSON *status = cJSON_CreateObject();
	cJSON *processes = cJSON_AddArrayToObject(status, "processes");
	cJSON *process = cJSON_CreateObject();
	cJSON *counters = cJSON_AddObjectToObject(status, "counters");
	char now[32];
	time_t t = time(NULL);
	struct tm utc;

	gmtime_r(&t, &utc);
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &utc);
	cJSON_AddNumberToObject(status, "pid", pid);
	cJSON_AddStringToObject(status, "updated_at", now);
	cJSON_AddStringToObject(process, "comm", comm);
	cJSON_AddItemToArray(processes, process);
	cJSON_AddNumberToObject(counters, "lost_total{reason=\"a\"}", 3);
	cJSON_AddNumberToObject(counters, "lost_total{reason=\"b\"}", 4);
	cJSON_AddNumberToObject(counters, "lost_total_other", 100);
	return status;
}

static void an_agent_runs_or_why_says_what_to_do(void **state)
{
	char dir[PATH_MAX], why[512];
	cJSON *status = status_of(getpid(), "c\033[2Jurl\n");
	cJSON *read = NULL;

	(void)state;
	assert_int_equal(temp_dir(dir, sizeof(dir)), 0);
	assert_int_equal(running_status(dir, &read, why, sizeof(why)), EXIT_NO_AGENT);
	assert_null(read);
	assert_non_null(strstr(why, "sudo tolltap run"));

	assert_int_equal(status_write(dir, status), 0);
	assert_int_equal(running_status(dir, &read, why, sizeof(why)), EXIT_OK);
	assert_int_equal(status_counter(read, "lost_total"), 7);
	assert_string_equal(
		status_text(cJSON_GetArrayItem(cJSON_GetObjectItem(read, "processes"), 0), "comm"),
		"c?[2Jurl?");
	assert_int_equal(status_number(read, "absent"), 0);
	assert_string_equal(status_text(read, "pid"), "");
	cJSON_Delete(read);
	cJSON_Delete(status);

	status = status_of(INT32_MAX, "gone");
	assert_int_equal(status_write(dir, status), 0);
	assert_int_equal(running_status(dir, &read, why, sizeof(why)), EXIT_NO_AGENT);
	assert_non_null(read);
	cJSON_Delete(read);
	cJSON_Delete(status);
	remove_tree(dir);
}

static void counts_are_grouped(void **state)
{
	static const struct {
		int64_t n;
		const char *text;
	} rows[] = {{0, "0"},
		    {999, "999"},
		    {1000, "1,000"},
		    {1234567, "1,234,567"},
		    {-1000, "-1,000"},
		    {-123, "-123"},
		    {INT64_MAX, "9,223,372,036,854,775,807"}};
	char text[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(count_text(text, sizeof(text), rows[i].n), rows[i].text);
}

static void no_help(void)
{
}

static void flags_and_operands_are_told_apart(void **state)
{
	static const struct {
		const char *words[8];
		int rc;
		const char *by;
		bool once;
		const char *operands[4];
	} rows[] = {
		{{"--by=model", "x", "--once", "y"}, CLI_GO_ON, "model", true, {"x", "y"}},
		{{"--by", "model"}, CLI_GO_ON, "model", false, {NULL}},
		{{"-b", "model", "-"}, CLI_GO_ON, "model", false, {"-"}},
		{{"--", "--once", "--by=x"}, CLI_GO_ON, NULL, false, {"--once", "--by=x"}},
		{{"--output=json", "z", "--storage.path", "/x"}, CLI_GO_ON, NULL, false, {"z"}},
		{{"--help", "--nonsense"}, EXIT_OK, NULL, false, {NULL}},
		{{"--nonsense"}, EXIT_USAGE, NULL, false, {NULL}},
		{{"--once=1"}, EXIT_USAGE, NULL, false, {NULL}},
		{{"--by"}, EXIT_USAGE, NULL, false, {NULL}},
		{{"-z"}, EXIT_USAGE, NULL, false, {NULL}},
		{{"--output=xml"}, EXIT_USAGE, NULL, false, {NULL}},
		{{"--config.file=/nonexistent"}, EXIT_CONFIG, NULL, false, {NULL}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(config_free) struct config config = {0};
		char *argv[10] = {(char *)(uintptr_t) "cmd"};
		const char *by = NULL;
		bool once = false;
		const struct cli_flag own[] = {{.name = "by", .text = &by, .letter = "b"},
					       {.name = "once", .boolean = &once},
					       {.name = NULL}};
		int argc = 1;

		for (; rows[i].words[argc - 1]; argc++)
			argv[argc] = (char *)(uintptr_t)rows[i].words[argc - 1];
		assert_int_equal(cli_begin(&config, &argc, argv, own, no_help), rows[i].rc);
		if (rows[i].rc != CLI_GO_ON)
			continue;
		assert_int_equal(once, rows[i].once);
		if (rows[i].by)
			assert_string_equal(by, rows[i].by);
		else
			assert_null(by);
		for (int k = 1; k < argc; k++)
			assert_string_equal(argv[k], rows[i].operands[k - 1]);
		assert_null(rows[i].operands[argc - 1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_agent_runs_or_why_says_what_to_do),
		cmocka_unit_test(counts_are_grouped),
		cmocka_unit_test(flags_and_operands_are_told_apart),
	};

	return cmocka_run_group_tests_name("running", tests, NULL, NULL);
}
