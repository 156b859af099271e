/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/capabilities.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/capability.h>

#include <cmocka.h>

#define CAP(name) SANDBOX_CAP(CAP_##name)

static const struct capability_facts modern = {.kernel = 618, .multi = true};
static const struct capability_facts old = {.kernel = 510};

/* The promise of docs/capabilities.md, spelled out a second time. */
static void each_role_holds_what_was_promised(void **state)
{
	(void)state;
	assert_int_equal(capabilities_held(SANDBOX_BROKER, &modern),
			 CAP(BPF) | CAP(PERFMON) | CAP(SYS_PTRACE) | CAP(DAC_READ_SEARCH));
	assert_int_equal(capabilities_held(SANDBOX_BROKER, &old),
			 CAP(BPF) | CAP(PERFMON) | CAP(SYS_PTRACE) | CAP(DAC_READ_SEARCH) |
				 CAP(SYS_ADMIN));
	assert_int_equal(capabilities_held(SANDBOX_OPENER, &modern),
			 CAP(CHECKPOINT_RESTORE) | CAP(SYS_PTRACE) | CAP(DAC_READ_SEARCH));
	assert_int_equal(capabilities_held(SANDBOX_MINDER, &modern),
			 capabilities_held(SANDBOX_OPENER, &modern));
	assert_int_equal(capabilities_held(SANDBOX_SUPERVISOR, &modern),
			 CAP(SETUID) | CAP(SETGID) | CAP(KILL));
	assert_int_equal(capabilities_held(SANDBOX_WORKER, &old), 0);
	assert_int_equal(capabilities_held(SANDBOX_COURIER, &old), 0);
	assert_int_equal(capabilities_held(SANDBOX_DECODER, &old), 0);
}

static bool is_missing(uint64_t mask, const struct capability_facts *facts, bool at_start,
		       const char *name)
{
	const struct capability *rows[64];
	size_t count = capabilities_missing(mask, facts, at_start, rows, ARRAY_LEN(rows));

	for (size_t i = 0; i < count; i++) {
		if (!strcmp(rows[i]->name, name))
			return true;
	}
	return false;
}

static void missing_ones_are_named(void **state)
{
	const struct capability_facts low_port = {.kernel = 618, .multi = true, .low_port = true};
	const struct capability *rows[2];

	(void)state;
	assert_int_equal(capabilities_missing(UINT64_MAX, &old, true, rows, 2), 0);
	assert_int_equal(capabilities_missing(0, &old, true, rows, 2), 2);
	assert_true(is_missing(0, &modern, false, "CAP_BPF"));
	assert_false(is_missing(CAP(BPF), &modern, false, "CAP_BPF"));
	/* What CAP_SYS_ADMIN includes is not missing. */
	assert_false(is_missing(CAP(SYS_ADMIN), &old, false, "CAP_PERFMON"));
	assert_true(is_missing(CAP(SYS_ADMIN), &old, false, "CAP_SYS_PTRACE"));
	/* Where it is needed only. */
	assert_true(is_missing(0, &old, false, "CAP_SYS_ADMIN"));
	assert_false(is_missing(0, &modern, false, "CAP_SYS_ADMIN"));
	assert_true(is_missing(0, &old, true, "CAP_SYS_RESOURCE"));
	assert_false(is_missing(0, &modern, true, "CAP_SYS_RESOURCE"));
	assert_true(is_missing(0, &low_port, true, "CAP_NET_BIND_SERVICE"));
	assert_false(is_missing(0, &modern, true, "CAP_NET_BIND_SERVICE"));
	/* And when. */
	assert_true(is_missing(0, &modern, true, "CAP_CHOWN"));
	assert_false(is_missing(0, &modern, false, "CAP_CHOWN"));
}

static void rows_are_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < capability_count; i++) {
		const struct capability *row = &capability_table[i];
		uint64_t mask = SANDBOX_CAP(row->bit);

		/* The name belongs to the number. */
		assert_string_equal(capability_next(&mask), row->name);
		assert_int_equal(mask, 0);
		assert_true(*row->needed_for && *row->where && *row->cost);
		assert_int_equal(row->holders >> SANDBOX_ROLES, 0);
	}
}

static void names_come_in_order(void **state)
{
	uint64_t mask = CAP(BPF) | CAP(KILL);

	(void)state;
	assert_string_equal(capability_next(&mask), "CAP_KILL");
	assert_string_equal(capability_next(&mask), "CAP_BPF");
	assert_null(capability_next(&mask));
}

static void the_running_kernel_is_read(void **state)
{
	struct capability_facts facts;

	(void)state;
	capability_facts_read(&facts);
	assert_true(facts.kernel >= 510);
	assert_int_equal(facts.multi, facts.kernel >= 606);
	assert_false(facts.low_port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_holds_what_was_promised),
		cmocka_unit_test(missing_ones_are_named),
		cmocka_unit_test(rows_are_whole),
		cmocka_unit_test(names_come_in_order),
		cmocka_unit_test(the_running_kernel_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
