/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static enum log_level threshold = LOG_LEVEL_INFO;

bool log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* True when this line may be printed; opens a new window and reports what the last one held back.
 */
static bool site_admits(struct log_site *site, const char *component)
{
	uint64_t now = now_ns();

	if (now - site->window_start_ns > LOG_WINDOW_S * NSEC_PER_SEC) {
		if (site->held_back)
			fprintf(stderr, "info %s: held back %u more lines like the last\n",
				component, site->held_back);
		*site = (struct log_site){.window_start_ns = now};
	}
	if (site->printed >= LOG_BURST) {
		site->held_back++;
		return false;
	}
	site->printed++;
	return true;
}

void log_write(struct log_site *site, enum log_level level, const char *component, const char *fmt,
	       ...)
{
	char line[1024];
	va_list args;

	if (!site_admits(site, component))
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	fprintf(stderr, "%s %s: %s\n", level_names[level], component, line);
}
