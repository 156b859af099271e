/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/publisher.h"
#include "agent/status.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <unistd.h>

#define PUTS 1000

static cJSON *numbered(int n)
{
	cJSON *status = cJSON_CreateObject();

	cJSON_AddNumberToObject(status, "n", n);
	return status;
}

/* However many come while one is written: the newest stands there at the end. */
static void the_newest_is_written(void **state)
{
	char dir[] = "/tmp/tolltap-test-XXXXXX", path[64];
	struct publisher *p;
	cJSON *got = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(publisher_start(&p, dir), 0);
	publisher_flush(p);
	publisher_put(p, numbered(-1));
	publisher_flush(p);
	assert_int_equal(status_read(dir, &got), 0);
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(got, "n")), -1);
	cJSON_Delete(got);
	for (int i = 1; i <= PUTS; i++)
		publisher_put(p, numbered(i));
	publisher_stop(p);
	assert_int_equal(status_read(dir, &got), 0);
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(got, "n")), PUTS);
	cJSON_Delete(got);
	snprintf(path, sizeof(path), "%s/%s", dir, STATUS_FILE);
	unlink(path);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left */
}

/* A directory that is gone stops nobody. */
static void a_failure_is_not_the_end(void **state)
{
	struct publisher *p;

	(void)state;
	assert_int_equal(publisher_start(&p, "/nonexistent"), 0);
	for (int i = 1; i <= PUTS; i++)
		publisher_put(p, numbered(i));
	publisher_flush(p);
	publisher_stop(p);
	publisher_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_is_written),
		cmocka_unit_test(a_failure_is_not_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
