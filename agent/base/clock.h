/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks, read by the wiring only: parsers get time as an argument. */
#ifndef TT_CLOCK_H
#define TT_CLOCK_H

#include "agent/base/base.h"

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC, as kernel stamps are */
int64_t clock_wall_ns(void);  /* CLOCK_REALTIME */
/* What to add to a monotonic stamp for wall time, sampled now: it follows clock steps. */
int64_t clock_wall_minus_mono_ns(void);

/* RFC 3339 UTC with microseconds and Z; dst holds CLOCK_TEXT_MAX bytes. Returns dst. */
#define CLOCK_TEXT_MAX 40
char *clock_format_us(char *dst, int64_t unix_us);

#endif
