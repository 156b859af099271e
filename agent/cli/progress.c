/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/progress.h"

#include "agent/base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define FIRST_NS (1000 * NSEC_PER_MSEC)
#define EVERY_NS (200 * NSEC_PER_MSEC)

static uint64_t next_ns; /* 0 = nothing has begun */
static bool shown;

void progress_show(const char *what, int64_t done, int64_t all, const char *unit)
{
	uint64_t now_ns = clock_mono_ns();

	if (!next_ns)
		next_ns = now_ns + FIRST_NS;
	if (now_ns < next_ns || !isatty(STDERR_FILENO))
		return;
	next_ns = now_ns + EVERY_NS;
	shown = true;
	if (all)
		fprintf(stderr, "\r\033[K%s: %lld of %lld %s", what, (long long)done,
			(long long)all, unit);
	else
		fprintf(stderr, "\r\033[K%s: %lld %s", what, (long long)done, unit);
	fflush(stderr);
}

void progress_end(void)
{
	if (shown)
		fprintf(stderr, "\r\033[K");
	shown = false;
	next_ns = 0;
}
