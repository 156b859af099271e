/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/calendar.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define HOUR_US 3600000000LL

static void use(const char *zone)
{
	char err[256];

	if (calendar_use(zone, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(calendar_zone(), zone);
}

static int back_to_utc(void **state)
{
	(void)state;
	use(CALENDAR_UTC);
	return 0;
}

/* Unix time of "2026-10-25T02:00:00Z", by libc alone. */
static int64_t utc(const char *text)
{
	struct tm tm = {0};

	assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm));
	return (int64_t)timegm(&tm) * 1000000;
}

/* A moment, its label, and where that period begins and ends, worked out by hand from tzdata. */
struct expected {
	const char *zone, *at;
	enum calendar_unit unit;
	const char *label, *since, *until;
};

static const struct expected table[] = {
	/* UTC */
	{"UTC", "2026-11-22T06:33:15Z", CALENDAR_HOUR, "2026-11-22T06:00:00Z",
	 "2026-11-22T06:00:00Z", "2026-11-22T07:00:00Z"},
	{"UTC", "2026-11-22T23:59:59Z", CALENDAR_DAY, "2026-11-22", "2026-11-22T00:00:00Z",
	 "2026-11-23T00:00:00Z"},
	{"UTC", "2026-11-22T23:59:59Z", CALENDAR_WEEK, "2026-W47", "2026-11-16T00:00:00Z",
	 "2026-11-23T00:00:00Z"},
	{"UTC", "2027-01-03T12:00:00Z", CALENDAR_WEEK, "2026-W53", "2026-12-28T00:00:00Z",
	 "2027-01-04T00:00:00Z"},
	{"UTC", "2024-02-29T12:00:00Z", CALENDAR_MONTH, "2024-02", "2024-02-01T00:00:00Z",
	 "2024-03-01T00:00:00Z"},
	{"UTC", "2026-12-31T23:59:59Z", CALENDAR_MONTH, "2026-12", "2026-12-01T00:00:00Z",
	 "2027-01-01T00:00:00Z"},
	/* Berlin: 29 March 01:00Z forth, 25 October 01:00Z back */
	{"Europe/Berlin", "2026-03-29T12:00:00Z", CALENDAR_DAY, "2026-03-29",
	 "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
	{"Europe/Berlin", "2026-03-29T00:59:59Z", CALENDAR_HOUR, "2026-03-29T01:00:00+01:00",
	 "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
	{"Europe/Berlin", "2026-03-29T01:00:00Z", CALENDAR_HOUR, "2026-03-29T03:00:00+02:00",
	 "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
	{"Europe/Berlin", "2026-10-25T12:00:00Z", CALENDAR_DAY, "2026-10-25",
	 "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
	{"Europe/Berlin", "2026-10-25T00:30:00Z", CALENDAR_HOUR, "2026-10-25T02:00:00+02:00",
	 "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
	{"Europe/Berlin", "2026-10-25T01:30:00Z", CALENDAR_HOUR, "2026-10-25T02:00:00+01:00",
	 "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
	{"Europe/Berlin", "2026-10-25T22:59:59Z", CALENDAR_WEEK, "2026-W43", "2026-10-18T22:00:00Z",
	 "2026-10-25T23:00:00Z"},
	{"Europe/Berlin", "2026-10-31T23:00:00Z", CALENDAR_MONTH, "2026-11", "2026-10-31T23:00:00Z",
	 "2026-11-30T23:00:00Z"},
	/* Sao Paulo: on 4 November 2018 there was no midnight, on 17 February 23:00 came twice */
	{"America/Sao_Paulo", "2018-11-04T12:00:00Z", CALENDAR_DAY, "2018-11-04",
	 "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
	{"America/Sao_Paulo", "2018-11-04T03:10:00Z", CALENDAR_HOUR, "2018-11-04T01:00:00-02:00",
	 "2018-11-04T03:00:00Z", "2018-11-04T04:00:00Z"},
	{"America/Sao_Paulo", "2018-11-04T02:59:59Z", CALENDAR_DAY, "2018-11-03",
	 "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
	{"America/Sao_Paulo", "2018-02-18T01:30:00Z", CALENDAR_HOUR, "2018-02-17T23:00:00-02:00",
	 "2018-02-18T01:00:00Z", "2018-02-18T02:00:00Z"},
	{"America/Sao_Paulo", "2018-02-18T02:30:00Z", CALENDAR_HOUR, "2018-02-17T23:00:00-03:00",
	 "2018-02-18T02:00:00Z", "2018-02-18T03:00:00Z"},
	{"America/Sao_Paulo", "2018-02-18T02:30:00Z", CALENDAR_DAY, "2018-02-17",
	 "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"},
	/* Kathmandu: 5:45 ahead, never changed since 1986 */
	{"Asia/Kathmandu", "2026-11-22T06:33:15Z", CALENDAR_HOUR, "2026-11-22T12:00:00+05:45",
	 "2026-11-22T06:15:00Z", "2026-11-22T07:15:00Z"},
	{"Asia/Kathmandu", "2026-11-22T18:15:00Z", CALENDAR_DAY, "2026-11-23",
	 "2026-11-22T18:15:00Z", "2026-11-23T18:15:00Z"},
	{"Asia/Kathmandu", "2026-11-22T18:14:59Z", CALENDAR_MONTH, "2026-11",
	 "2026-10-31T18:15:00Z", "2026-11-30T18:15:00Z"},
	/* Lord Howe changes by half an hour: back at 2026-04-04T15:00Z, forth at 2026-10-03T15:30Z
	 */
	{"Australia/Lord_Howe", "2026-04-04T14:30:00Z", CALENDAR_HOUR, "2026-04-05T01:00:00+11:00",
	 "2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"},
	{"Australia/Lord_Howe", "2026-04-04T15:10:00Z", CALENDAR_HOUR, "2026-04-05T01:30:00+10:30",
	 "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"},
	{"Australia/Lord_Howe", "2026-10-03T15:40:00Z", CALENDAR_HOUR, "2026-10-04T02:30:00+11:00",
	 "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"},
	{"Australia/Lord_Howe", "2026-10-03T15:40:00Z", CALENDAR_DAY, "2026-10-04",
	 "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"},
	/* Samoa crossed the date line: 30 December 2011 was left out */
	{"Pacific/Apia", "2011-12-30T09:59:59Z", CALENDAR_DAY, "2011-12-29", "2011-12-29T10:00:00Z",
	 "2011-12-30T10:00:00Z"},
	{"Pacific/Apia", "2011-12-30T10:00:00Z", CALENDAR_DAY, "2011-12-31", "2011-12-30T10:00:00Z",
	 "2011-12-31T10:00:00Z"},
	/* St John's went back at 00:01, so 7 November 2010 began, was left and came again */
	{"America/St_Johns", "2010-11-07T02:45:00Z", CALENDAR_DAY, "2010-11-07",
	 "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"},
};

static void test_periods(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct expected *e = &table[i];
		struct calendar_span span, back;

		use(e->zone);
		calendar_span_at(e->unit, utc(e->at), &span);
		assert_string_equal(span.label, e->label);
		assert_int_equal(span.since_us, utc(e->since));
		assert_int_equal(span.until_us, utc(e->until));
		assert_true(calendar_label(e->label, &back));
		assert_memory_equal(&back.since_us, &span.since_us, 2 * sizeof(int64_t));
		assert_string_equal(back.label, e->label);
	}
}

/* Walking: no hole, no overlap, no label twice, every moment of a period in it, days of hours. */
static void test_periods_tile_time(void **state)
{
	static const struct {
		const char *zone, *from;
		int days;
	} walks[] = {
		{"UTC", "2026-01-01T00:00:00Z", 400},
		{"Europe/Berlin", "2026-01-01T00:00:00Z", 400},
		{"America/Sao_Paulo", "2017-06-01T00:00:00Z", 800},
		{"Asia/Kathmandu", "2026-01-01T00:00:00Z", 400},
		{"Australia/Lord_Howe", "2026-01-01T00:00:00Z", 400},
		{"Africa/Casablanca", "2025-01-01T00:00:00Z", 400},
		{"Pacific/Apia", "2011-06-01T00:00:00Z", 400},
		{"America/St_Johns", "2010-06-01T00:00:00Z", 400},
		{"America/Havana", "2025-01-01T00:00:00Z", 400},
	};

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(walks); w++) {
		int64_t end = utc(walks[w].from) + walks[w].days * 24 * HOUR_US;

		use(walks[w].zone);
		for (enum calendar_unit unit = CALENDAR_HOUR; unit < CALENDAR_UNITS; unit++) {
			struct calendar_span span, last, day;

			calendar_span_at(unit, utc(walks[w].from), &span);
			while (span.since_us < end) {
				last = span;
				calendar_span_at(unit, span.since_us, &span);
				assert_memory_equal(&span, &last, 2 * sizeof(int64_t));
				calendar_span_at(unit, span.until_us - 1, &span);
				assert_memory_equal(&span, &last, 2 * sizeof(int64_t));
				assert_true(calendar_label(span.label, &span));
				assert_int_equal(span.since_us, last.since_us);
				calendar_span_at(CALENDAR_DAY, span.since_us, &day);
				if (unit == CALENDAR_HOUR) /* hours refine days */
					assert_true(span.until_us <= day.until_us);
				else
					assert_int_equal(span.since_us, day.since_us);
				calendar_span_next(unit, &span);
				assert_int_equal(span.since_us, last.until_us);
				assert_string_not_equal(span.label, last.label);
			}
		}
	}
}

static void test_what_does_not_exist(void **state)
{
	static const struct {
		const char *zone, *label;
	} bad[] = {
		{"UTC", "2026-02-31"},
		{"UTC", "2026-02-29"},
		{"UTC", "2026-13-01"},
		{"UTC", "2026-00"},
		{"UTC", "2025-W53"},
		{"UTC", "2026-W54"},
		{"UTC", "2026-W00"},
		{"UTC", "2026-1"},
		{"UTC", "2026"},
		{"UTC", ""},
		{"UTC", " 2026-11-22"},
		{"UTC", "2026-11-22 "},
		{"UTC", "2026-11-22T06:30:00Z"},
		{"UTC", "2026-11-22T24:00:00Z"},
		{"UTC", "2026-11-22T06:00:00+00:00"},
		{"Europe/Berlin", "2026-11-22T06:00:00Z"},
		{"Europe/Berlin", "2026-03-29T02:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25T02:00:00+03:00"},
		{"Australia/Lord_Howe", "2026-04-05T01:00:00+10:30"},
		{"Pacific/Apia", "2011-12-30"},
	};
	struct calendar_span span;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		use(bad[i].zone);
		if (calendar_label(bad[i].label, &span))
			fail_msg("%s in %s was taken", bad[i].label, bad[i].zone);
	}
	use("UTC");
	assert_true(calendar_label("2026-W53", &span)); /* 2026 has 53 */
	assert_true(calendar_label("2024-02-29", &span));
}

static void test_times(void **state)
{
	static const struct {
		const char *zone, *text, *utc; /* NULL: refused */
	} cases[] = {
		{"UTC", "2026-11-22", "2026-11-22T00:00:00Z"},
		{"UTC", "2026-11", "2026-11-01T00:00:00Z"},
		{"UTC", "2026-11-22T06:33", "2026-11-22T06:33:00Z"},
		{"Europe/Berlin", "2026-11-22", "2026-11-21T23:00:00Z"},
		{"Europe/Berlin", "2026-W48", "2026-11-22T23:00:00Z"},
		{"Europe/Berlin", "2026-11-22T06:33:15", "2026-11-22T05:33:15Z"},
		{"Europe/Berlin", "2026-11-22T06:33:15Z", "2026-11-22T06:33:15Z"},
		{"Europe/Berlin", "2026-11-22T06:33:15-08:00", "2026-11-22T14:33:15Z"},
		{"Europe/Berlin", "2026-11-22T06:33+05:45", "2026-11-22T00:48:00Z"},
		{"Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"}, /* the first */
		{"Europe/Berlin", "2026-03-29T02:30", NULL},
		{"Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T00:00", NULL},
		{"UTC", "2026-02-31", NULL},
		{"UTC", "2026-02-31T00:00Z", NULL},
		{"UTC", "2026-11-22T06:60Z", NULL},
		{"UTC", "2026-11-22T06:00:61Z", NULL},
		{"UTC", "2026-11-22T06", NULL},
		{"UTC", "2026-11-22T06:00+24:00", NULL},
		{"UTC", "2026-11-22T06:00 +02:00", NULL},
		{"UTC", "2026-11-22T06:00Zx", NULL},
		{"UTC", "yesterday", NULL},
	};
	int64_t us;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		use(cases[i].zone);
		if (calendar_time(cases[i].text, &us) != (cases[i].utc != NULL))
			fail_msg("%s in %s", cases[i].text, cases[i].zone);
		if (cases[i].utc)
			assert_int_equal(us, utc(cases[i].utc));
	}
	use("UTC");
	assert_true(calendar_time("2026-11-22T06:33:15.000001Z", &us));
	assert_int_equal(us, 1795329195000001LL);
}

static void test_weekdays(void **state)
{
	(void)state;
	use("UTC");
	assert_int_equal(calendar_weekday(utc("2026-11-22T23:59:59Z")), 6);
	use("Asia/Kathmandu");
	assert_int_equal(calendar_weekday(utc("2026-11-22T18:15:00Z")), 0);
}

/* An unknown zone is refused, and the one in force stays. */
static void test_zones(void **state)
{
	static const char *const bad[] = {
		"Europe/Berln",
		"",
		"Europe",
		"CET-1CEST",
		"../zoneinfo/UTC",
		"/usr/share/zoneinfo/UTC",
		":UTC",
		"tzdata.zi",
		"a-name-of-a-zone-that-is-longer-than-any-zone-has-had-and-will-have"};
	struct calendar_span span;
	char err[256];

	(void)state;
	use("Asia/Kathmandu");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(calendar_use(bad[i], err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, "unknown time zone"));
	}
	assert_string_equal(calendar_zone(), "Asia/Kathmandu");
	calendar_span_at(CALENDAR_HOUR, 0, &span);
	assert_string_equal(span.label, "1970-01-01T05:00:00+05:30");
}

/* Numbers from a broken clock give a label, not a crash. */
static void test_far_times(void **state)
{
	static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX};

	(void)state;
	for (size_t z = 0; z < 2; z++) {
		use(z ? "Europe/Berlin" : "UTC");
		for (size_t i = 0; i < ARRAY_LEN(times); i++) {
			for (enum calendar_unit unit = 0; unit < CALENDAR_UNITS; unit++) {
				struct calendar_span span;

				calendar_span_at(unit, times[i], &span);
				assert_true(span.since_us <= times[i]);
				assert_true(span.until_us > times[i] || times[i] == INT64_MAX);
				assert_true(strlen(span.label) > 0);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_periods, back_to_utc),
		cmocka_unit_test_teardown(test_periods_tile_time, back_to_utc),
		cmocka_unit_test_teardown(test_what_does_not_exist, back_to_utc),
		cmocka_unit_test_teardown(test_times, back_to_utc),
		cmocka_unit_test_teardown(test_weekdays, back_to_utc),
		cmocka_unit_test_teardown(test_zones, back_to_utc),
		cmocka_unit_test_teardown(test_far_times, back_to_utc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
