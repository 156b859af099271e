/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/allowance.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW 1000000

static void a_burst_is_bounded_and_refills(void **state)
{
	struct allowance a = {0};

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(allowance_take(&a, NOW, 10, 40, 1));
	assert_false(allowance_take(&a, NOW, 10, 40, 1));
	assert_false(allowance_take(&a, NOW + 9, 10, 40, 1));
	assert_true(allowance_take(&a, NOW + 10, 10, 40, 1));
	assert_false(allowance_take(&a, NOW + 10, 10, 40, 1));
	/* No more than the stock, however long nothing was taken. */
	for (int i = 0; i < 4; i++)
		assert_true(allowance_take(&a, 100 * NOW, 10, 40, 1));
	assert_false(allowance_take(&a, 100 * NOW, 10, 40, 1));
}

static void a_share_of_time_comes_back(void **state)
{
	struct allowance a = {.at_ns = NOW,
			      .spent_ns = 120}; /* spent afterwards: beyond the stock */

	(void)state;
	assert_false(allowance_take(&a, NOW, 0, 100, 10));
	assert_false(allowance_take(&a, NOW + 190, 0, 100, 10));
	assert_true(allowance_take(&a, NOW + 200, 0, 100, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_bounded_and_refills),
		cmocka_unit_test(a_share_of_time_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
