/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static bool has(const struct port_set *set, unsigned port)
{
	return set->bits[port / 64] >> (port % 64) & 1;
}

static void ports_of_a_list(void **state)
{
	struct port_set set = {0};

	(void)state;
	assert_true(port_set_parse(&set, "1,63,64,11434,65535,64"));
	assert_int_equal(port_set_count(&set), 5);
	assert_true(has(&set, 1) && has(&set, 63) && has(&set, 64) && has(&set, 11434) &&
		    has(&set, 65535));
	assert_false(has(&set, 2) || has(&set, 65534));
	assert_true(port_set_parse(&set, "80")); /* adds */
	assert_int_equal(port_set_count(&set), 6);
}

static void what_is_no_list(void **state)
{
	static const char *const texts[] = {"",	      "0",	"65536", ",80",
					    "80,",    "80,,81", "-1",	 "80 81",
					    "80, 81", "http",	"+80",	 "99999999999999999999"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_false(port_set_parse(NULL, texts[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_of_a_list),
		cmocka_unit_test(what_is_no_list),
	};

	return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
