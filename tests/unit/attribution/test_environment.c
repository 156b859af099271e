/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/attribution.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The tags as "key=value;" in their order. */
static void print_tags(const struct tags *tags, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (uint32_t i = 0; i < tags->count; i++) {
		assert_int_equal(tags->item[i].source, TAG_ENV);
		at += (size_t)snprintf(dst + at, size - at, "%s=%s;", tags->item[i].key,
				       tags->item[i].value);
		assert_true(at < size);
	}
}

#define ENV(literal) literal, sizeof(literal) - 1 /* without the literal's own 0 */

static void takes_what_is_allowed(void **state)
{
	static const struct {
		const char *name, *env;
		size_t len;
		const char *want;
	} cases[] = {
		{"nothing", ENV(""), ""},
		{"tags", ENV("PATH=/bin\0TOLLTAP_TAGS=team=a,feature=b\0"), "team=a;feature=b;"},
		{"service", ENV("OTEL_SERVICE_NAME=checkout\0"), "service=checkout;"},
		{"both", ENV("TOLLTAP_TAGS=team=a\0OTEL_SERVICE_NAME=s\0"), "service=s;team=a;"},
		{"own tag beats service", ENV("TOLLTAP_TAGS=service=x\0OTEL_SERVICE_NAME=s\0"),
		 "service=x;"},
		{"others are not kept", ENV("OPENAI_API_KEY=sk-1\0HOME=/root\0"), ""},
		{"blanks", ENV("TOLLTAP_TAGS= team = a b , feature=\tc\0"), "team=a b;feature=c;"},
		{"value with =", ENV("TOLLTAP_TAGS=q=a=b\0"), "q=a=b;"},
		{"parts that are none", ENV("TOLLTAP_TAGS=,,x,=v,k=,a=1,\0"), "a=1;"},
		{"same key twice", ENV("TOLLTAP_TAGS=a=1,a=2\0"), "a=2;"},
		{"name only starts alike", ENV("TOLLTAP_TAGS_OLD=a=1\0XTOLLTAP_TAGS=b=2\0"), ""},
		{"cut by the end", ENV("A=1\0TOLLTAP_TAGS=team=payme"), ""},
		{"control bytes", ENV("TOLLTAP_TAGS=a=x\ny\0"), "a=x?y;"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tags tags = {0};
		char got[512];

		environment_tags((struct slice){cases[i].env, cases[i].len}, &tags);
		print_tags(&tags, got, sizeof(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: '%s'", cases[i].name, got);
	}
}

static void weaker_than_a_header(void **state)
{
	struct tags tags = {0};

	(void)state;
	tags_set(&tags, SLICE("team"), SLICE("from-header"), TAG_HEADER);
	environment_tags((struct slice){ENV("TOLLTAP_TAGS=team=a\0")}, &tags);
	assert_int_equal(tags.count, 1);
	assert_string_equal(tags.item[0].value, "from-header");
}

static void bounds_the_table(void **state)
{
	struct tags tags = {0};
	char env[4096];
	size_t len = (size_t)snprintf(env, sizeof(env), "TOLLTAP_TAGS=");

	(void)state;
	for (int i = 0; i < 100; i++)
		len += (size_t)snprintf(env + len, sizeof(env) - len, "k%d=v,", i);
	environment_tags((struct slice){env, len + 1}, &tags);
	assert_int_equal(tags.count, CALL_TAGS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_allowed),
		cmocka_unit_test(weaker_than_a_header),
		cmocka_unit_test(bounds_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
