/* SPDX-License-Identifier: Apache-2.0 */
/* What is closed is closed for good when disarm_all returns, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/privsep/disarm.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#define PIPES 150 /* more than there are threads */

static bool is_at_end(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void disarm_pipes(size_t count)
{
	int reads[PIPES], writes[PIPES], other[2];

	assert_int_equal(pipe(other), 0);
	for (size_t i = 0; i < count; i++) {
		int fds[2];

		assert_int_equal(pipe(fds), 0);
		reads[i] = fds[0];
		writes[count - 1 - i] = fds[1];
	}
	disarm_all(writes, count);
	assert_false(is_at_end(other[0]));
	for (size_t i = 0; i < count; i++) {
		assert_true(is_at_end(reads[i]));
		close(reads[i]);
	}
	close(other[0]);
	close(other[1]);
}

static void all_are_closed_and_no_other(void **state)
{
	(void)state;
	for (size_t count = 0; count <= PIPES; count += count < 3 ? 1 : 49)
		disarm_pipes(count);
}

/* Where no child can be had this process closes them itself. */
static void also_without_a_child(void **state)
{
	struct rlimit limit, none = {0};

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NPROC, &limit), 0);
	none.rlim_max = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NPROC, &none), 0);
	disarm_pipes(70); /* root may have one all the same */
	assert_int_equal(setrlimit(RLIMIT_NPROC, &limit), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_closed_and_no_other),
		cmocka_unit_test(also_without_a_child),
	};

	return cmocka_run_group_tests_name("disarm", tests, NULL, NULL);
}
