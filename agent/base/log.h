/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator messages on stderr: `level component: text`. Rate-limited per call site (LOG_BURST lines
 * per LOG_WINDOW_S seconds), then a "held back N" line. A message says what happened to what and
 * what the operator can do; never content, header values, environment values or keys.
 */
#ifndef TT_LOG_H
#define TT_LOG_H

#include "agent/base/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_BURST    5
#define LOG_WINDOW_S 10

struct log_site {
	uint64_t window_start_ns;
	uint32_t printed;
	uint32_t held_back;
};

/* Returns false when the name is not one of error, warn, info, debug. */
bool log_level_parse(const char *name, enum log_level *out);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(struct log_site *site, enum log_level level, const char *component, const char *fmt,
	       ...) TT_PRINTF(4, 5);

#define log_at(level, component, ...)                                     \
	do {                                                              \
		static struct log_site _site;                             \
		if (log_enabled(level))                                   \
			log_write(&_site, level, component, __VA_ARGS__); \
	} while (0)

#define log_error(component, ...) log_at(LOG_LEVEL_ERROR, component, __VA_ARGS__)
#define log_warn(component, ...)  log_at(LOG_LEVEL_WARN, component, __VA_ARGS__)
#define log_info(component, ...)  log_at(LOG_LEVEL_INFO, component, __VA_ARGS__)
#define log_debug(component, ...) log_at(LOG_LEVEL_DEBUG, component, __VA_ARGS__)

#endif
