/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/arguments.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LINE(literal)                      \
	{                                  \
		(literal), sizeof(literal) \
	}
#define TEN   "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void keeps_what_matches(void **state)
{
	static const struct {
		const char *patterns[3];
		struct slice line;
		const char *want;
	} cases[] = {
		{{"--job[= ]([a-z]+)"}, LINE("run.py\0--job\0nightly\0-p\0secret"), "nightly"},
		{{"--job[= ]([a-z]+)"}, LINE("run.py\0--job=nightly"), "nightly"},
		{{"--job[= ][a-z]+"}, LINE("run.py\0--job\0nightly"), "--job nightly"},
		{{"[a-z]+\\.py", "--job=(\\w+)"}, LINE("run.py\0--job=a"), "run.py a"},
		{{"--job=(\\w+)", "^\\S+"}, LINE("run.py\0--job=a"), "a run.py"},
		{{"(x)|run"}, LINE("run.py"), ""},
		{{"(a)(b)"}, LINE("ab"), "a"},
		{{"py$"}, LINE("run.py"), "py"},
		{{"nothing"}, LINE("run.py\0secret"), ""},
		{{"gr\xc3\xb6\xc3\x9f"
		  "e"},
		 LINE("gr\xc3\xb6\xc3\x9f"
		      "e"),
		 "gr\xc3\xb6\xc3\x9f"
		 "e"},
		{{"a.b"},
		 LINE("a\xff"
		      "b"),
		 "a?b"},
		{{"a.b"}, LINE("a\nb"), "a?b"},
		{{".*"}, LINE(SIXTY "0123"), SIXTY "0123"},
		{{".*", "^0"}, LINE(SIXTY "01234"), "0"}, /* left out whole, not cut */
		{{"a\\Kb"}, LINE("ab"), "b"},
		{{"a"}, LINE(""), ""},
		{{"(a+)+$"},
		 LINE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
		 ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct argument_patterns *p;
		char *patterns[3] = {0};
		char err[ARGUMENT_ERROR_MAX] = "", got[256] = "x";
		size_t count = 0;

		for (; count < 3 && cases[i].patterns[count]; count++)
			patterns[count] = (char *)cases[i].patterns[count];
		if (argument_patterns_new(&p, patterns, count, err, sizeof(err)))
			fail_msg("case %zu: %s", i, err);
		argument_patterns_read(p, cases[i].line, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("case %zu: '%s'", i, got);
		argument_patterns_free(p);
	}
}

static void fits_what_there_is_room_for(void **state)
{
	char *patterns[] = {"[0-9]{5}", "[a-z]{5}", "^."};
	struct argument_patterns *p;
	char err[ARGUMENT_ERROR_MAX], got[13];

	(void)state;
	assert_int_equal(argument_patterns_new(&p, patterns, 3, err, sizeof(err)), 0);
	argument_patterns_read(p, SLICE("12345\0abcde"), got, sizeof(got));
	assert_string_equal(got, "12345 abcde");
	argument_patterns_read(p, SLICE("12345\0abcde"), got, 11);
	assert_string_equal(got, "12345 1");
	argument_patterns_free(p);
}

static void refuses_bad_patterns(void **state)
{
	char *many[ARGUMENT_PATTERNS_MAX + 1], huge[ARGUMENT_PATTERN_MAX + 2];
	char *bad[] = {"a", "(b"}, *one[] = {huge};
	struct argument_patterns *p;
	char err[ARGUMENT_ERROR_MAX];

	(void)state;
	assert_int_equal(argument_patterns_new(&p, NULL, 0, err, sizeof(err)), 0);
	assert_null(p);
	assert_int_equal(argument_patterns_new(&p, bad, 2, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "workload.argv: '(b': missing closing parenthesis (at byte 2)");
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = "a";
	assert_int_equal(argument_patterns_new(&p, many, ARRAY_LEN(many), err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, "workload.argv: at most 16 patterns");
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(argument_patterns_new(&p, one, 1, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "longer than a pattern may be"));
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_matches),
		cmocka_unit_test(fits_what_there_is_room_for),
		cmocka_unit_test(refuses_bad_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
