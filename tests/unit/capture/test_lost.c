/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/capture/lost.h"

static void a_call_behind_the_last_loss_is_whole(void **state)
{
	struct lost l = {0};
	(void)state;

	lost_note(&l, 0, 100, 101);
	assert_false(lost_between(&l, 10, 100));
	lost_note(&l, 3, 200, 210);
	assert_true(lost_between(&l, 10, 100));	 /* when it was is not known */
	assert_true(lost_between(&l, 205, 200)); /* it may have been after the question */
	lost_note(&l, 3, 300, 310);
	assert_false(lost_between(&l, 210, 300));
	assert_true(lost_between(&l, 209, 300));
}

/* The reader was late: the loss was counted before the begin of the call was read. */
static void a_loss_that_was_counted_before_the_call_was_read_is_its_own(void **state)
{
	struct lost l = {0};
	(void)state;

	lost_note(&l, 1, 500, 501); /* another call's end asked for it */
	assert_true(lost_between(&l, 400, 450));
}

static void what_was_not_looked_at_is_not_known(void **state)
{
	struct lost l = {0};
	(void)state;

	assert_true(lost_between(&l, 1, 2));
	lost_note(&l, 0, 100, 101);
	assert_false(lost_between(&l, 50, 100));
	assert_true(lost_between(&l, 50, 101));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_behind_the_last_loss_is_whole),
		cmocka_unit_test(a_loss_that_was_counted_before_the_call_was_read_is_its_own),
		cmocka_unit_test(what_was_not_looked_at_is_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
