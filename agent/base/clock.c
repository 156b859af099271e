/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return (uint64_t)read_clock_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return read_clock_ns(CLOCK_REALTIME);
}

int64_t clock_wall_minus_mono_ns(void)
{
	int64_t before = read_clock_ns(CLOCK_MONOTONIC);
	int64_t wall = read_clock_ns(CLOCK_REALTIME);
	int64_t after = read_clock_ns(CLOCK_MONOTONIC);

	return wall - (before + (after - before) / 2);
}

char *clock_format_us(char *dst, int64_t unix_us)
{
	int64_t fraction = unix_us % 1000000;
	time_t seconds = (time_t)(unix_us / 1000000);
	struct tm tm;
	size_t n;

	if (fraction < 0) {
		fraction += 1000000;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	n = strftime(dst, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(dst + n, CLOCK_TEXT_MAX - n, ".%06dZ", (int)fraction);
	return dst;
}
