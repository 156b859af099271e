/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void good(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} rows[] = {
		{"1787150607", 1787150607000000},
		{"1787150607.0", 1787150607000000},
		{"1787150607.25", 1787150607250000},
		{"2026-08-19T14:43:27Z", 1787150607000000},
		{"2026-08-19t14:43:27.5z", 1787150607500000},
		{"2026-08-19T14:43:27.123456789Z", 1787150607123456},
		{"2026-08-19 16:43:27+02:00", 1787150607000000},
		{"2026-08-19T09:13:27-05:30", 1787150607000000},
		{"2024-02-29T00:00:00Z", 1709164800000000},
	};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		us = -1;
		if (!timestamp_parse(slice_of(rows[i].text), &us) || us != rows[i].us)
			fail_msg("%s: %lld", rows[i].text, (long long)us);
	}
}

static void bad(void **state)
{
	static const char *const rows[] = {
		"",
		"0",
		"-1787150607",
		"1787150607000", /* milliseconds */
		"17871506070000000000000",
		"1787150607.",
		"1787150607x",
		"1.7e9",
		"soon",
		"2026-08-19",
		"2026-08-19T14:43:27",
		"2026-13-19T14:43:27Z",
		"2026-00-19T14:43:27Z",
		"2026-08-32T14:43:27Z",
		"2026-08-19T24:43:27Z",
		"2026-08-19T14:60:27Z",
		"2026-08-19T14:43:61Z",
		"2026-08-19T14:43:27.Z",
		"2026-08-19T14:43:27+2:00",
		"2026-08-19T14:43:27Zx",
		"1999-08-19T14:43:27Z",
		"9999-08-19T14:43:27Z",
	};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		us = -1;
		if (timestamp_parse(slice_of(rows[i]), &us) || us != -1)
			fail_msg("\"%s\": %lld", rows[i], (long long)us);
	}
	assert_false(timestamp_parse((struct slice){"\0", 1}, &us));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
