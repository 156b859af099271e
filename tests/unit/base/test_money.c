/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal text to integers and back: exact, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/money.h"

static const struct {
	const char *text;
	int scale;
	int64_t value;
} good[] = {
	{"0", 12, 0},
	{"0.0", 12, 0},
	{"1", 12, 1000000000000},
	{"2.5", 12, 2500000000000},
	{".5", 1, 5},
	{"5.", 0, 5},
	{"007", 0, 7},
	{"0.000000000001", 12, 1},
	{"1.250000000000000", 2, 125}, /* trailing zeros below the unit are exact */
	{"1.25e-06", 12, 1250000},
	{"1.25E-6", 12, 1250000},
	{"2.8e-8", 12, 28000},
	{"1e3", 0, 1000},
	{"1e+3", 0, 1000},
	{"120e-1", 0, 12},
	{"0e99", 12, 0},
	{"9223372036854775807", 0, INT64_MAX},
	{"9.223372036854775807", 18, INT64_MAX},
	{"28.0", 0, 28},
	{"2.80E+1", 0, 28},
	{"1.00000000000000000000000000000000000000000000000000", 0, 1},
	{"0.00000000000000000000000000000000000000000000000001e50", 0, 1},
	{"0e99999999999", 0, 0},
};

static const struct {
	const char *text;
	int scale;
} bad[] = {
	{"", 0},
	{".", 0},
	{"-1", 0},
	{"+1", 0},
	{" 1", 0},
	{"1 ", 0},
	{"1,5", 1},
	{"1.2.3", 2},
	{"0x10", 0},
	{"nan", 0},
	{"inf", 0},
	{"1e", 0},
	{"1e+", 0},
	{"1e1.5", 0},
	{"1f", 0},
	{"1e9999", 0},
	{"0.5", 0}, /* inexact */
	{"1e-13", 12},
	{"9223372036854775808", 0},
	{"9223373", 12},
	{"99999999999999999999999", 0},
	{"1e19", 0},
	{"e5", 0},
	{"12a", 0},
	{"1e99999999999", 0},
	{"1e-99999999999", 0},
	{"1.00000000000000000000000000000000000000000000000001", 0},
};

static void parse_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int64_t value = -1;

		if (!decimal_parse(slice_of(good[i].text), good[i].scale, &value) ||
		    value != good[i].value)
			fail_msg("%s: %lld", good[i].text, (long long)value);
	}
}

static void parse_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t value = 42;

		if (decimal_parse(slice_of(bad[i].text), bad[i].scale, &value) || value != 42)
			fail_msg("%s gave %lld", bad[i].text, (long long)value);
	}
	assert_false(decimal_parse((struct slice){NULL, 0}, 0, &(int64_t){0}));
}

/* What gateways print of their binary floats. */
static void parse_rounded(void **state)
{
	static const struct {
		const char *text;
		int64_t pusd; /* -1: refused */
	} rows[] = {
		{"0", 0},
		{"0.00507", 5070000000},
		{"5.37e-06", 5370000},
		{"2.8e-08", 28000},
		{"0.00019199999999999998", 192000000},
		{"1.0000000000005", 1000000000001},
		{"1.00000000000049", 1000000000000},
		{"12", 12000000000000},
		{"1e-30", 0},
		{"1e7", -1},
		{"99999999999999999999999999", -1},
		{"0.00000000000000000000000000000000000000001", 0},
		{"-1", -1},
		{"", -1},
		{"1e", -1},
		{"1x", -1},
		{"0.0000000000005", 1},
		{"0.00000000000049999999999999999999999999999999999999", 0},
		{"1e-99999999999", 0},
		{"9223372.0368547758074", INT64_MAX},
		{"9223372.0368547758075", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = -1;

		if (decimal_parse_rounded(slice_of(rows[i].text), 12, &got) !=
			    (rows[i].pusd >= 0) ||
		    got != rows[i].pusd)
			fail_msg("%s gave %lld", rows[i].text, (long long)got);
	}
}

/* Only the slice is read, not what stands behind it. */
static void parse_slice_end(void **state)
{
	int64_t value;

	(void)state;
	assert_true(decimal_parse((struct slice){"12345", 2}, 0, &value));
	assert_int_equal(value, 12);
}

static const struct {
	pusd_sum amount;
	const char *exact, *cents, *whole;
} formats[] = {
	{0, "0", "0.00", "0"},
	{1, "0.000000000001", "0.00", "0"},
	{-1, "-0.000000000001", "0.00", "0"},
	{12500000, "0.0000125", "0.00", "0"},
	{PUSD_PER_USD, "1", "1.00", "1"},
	{-3 * PUSD_PER_USD / 2, "-1.5", "-1.50", "-2"}, /* 1.5 to the even 2 */
	{PUSD_PER_USD / 2, "0.5", "0.50", "0"},		/* 0.5 to the even 0 */
	{5000000000, "0.005", "0.00", "0"},		/* 0.005 to the even 0.00 */
	{15000000000, "0.015", "0.02", "0"},		/* 0.015 to the even 0.02 */
	{15000000001, "0.015000000001", "0.02", "0"},
	{999995000000, "0.999995", "1.00", "1"},
	{INT64_MAX, "9223372.036854775807", "9223372.04", "9223372"},
};

static void format(void **state)
{
	char text[PUSD_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		assert_string_equal(pusd_format(text, formats[i].amount), formats[i].exact);
		assert_string_equal(pusd_format_rounded(text, formats[i].amount, 2),
				    formats[i].cents);
		assert_string_equal(pusd_format_rounded(text, formats[i].amount, 0),
				    formats[i].whole);
	}
}

/* Sums are 128 bits wide; the longest fits the documented buffer. */
static void widest(void **state)
{
	const pusd_sum most = (pusd_sum)(~(unsigned __int128)0 >> 1);
	char text[PUSD_TEXT_MAX];

	(void)state;
	assert_string_equal(pusd_format(text, most), "170141183460469231731687303.715884105727");
	assert_string_equal(pusd_format(text, -most - 1),
			    "-170141183460469231731687303.715884105728");
	assert_string_equal(pusd_format_rounded(text, most, 12),
			    "170141183460469231731687303.715884105727");
}

/* What is printed exactly is read back exactly. */
static void round_trip(void **state)
{
	uint64_t seed = 88172645463325252ull;
	char text[PUSD_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		int64_t value, back = -1;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		value = (int64_t)(seed >> (1 + i % 60));
		assert_true(decimal_parse(slice_of(pusd_format(text, value)), 12, &back));
		assert_int_equal(back, value);
	}
}

static void divide(void **state)
{
	static const struct {
		int a, b, quotient;
	} cases[] = {{0, 3, 0},	  {1, 3, 0},  {2, 3, 1},  {1, 2, 0},   {3, 2, 2},
		     {5, 2, 2},	  {7, 2, 4},  {-1, 2, 0}, {-3, 2, -2}, {-2, 3, -1},
		     {10, 1, 10}, {10, 4, 2}, {14, 4, 4}, {-10, 4, -2}};
	pusd_sum top = (pusd_sum)(~(unsigned __int128)0 >> 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(pusd_divide(cases[i].a, cases[i].b), cases[i].quotient);
	assert_true(pusd_divide(top, 1) == top);
	assert_true(pusd_divide(top - 1, top) == 1);
	assert_true(pusd_divide(top / 2, top) == 0); /* just below the half */
	assert_true(pusd_divide(-top, top) == -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_good),	 cmocka_unit_test(parse_bad),
		cmocka_unit_test(parse_rounded), cmocka_unit_test(parse_slice_end),
		cmocka_unit_test(format),	 cmocka_unit_test(widest),
		cmocka_unit_test(round_trip),	 cmocka_unit_test(divide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
