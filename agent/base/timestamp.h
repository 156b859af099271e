/* SPDX-License-Identifier: Apache-2.0 */
/* Times as others write them. Pure. */
#ifndef TT_TIMESTAMP_H
#define TT_TIMESTAMP_H

#include "agent/base/base.h"

#define TIMESTAMP_YEAR_MIN 2015 /* before any of the APIs */
#define TIMESTAMP_YEAR_MAX 2200

/*
 * Unix seconds ("1787150607", "1787150607.5") or RFC 3339 ("2026-08-19T14:43:27.5Z",
 * "...+02:00"), as microseconds of Unix time. False when it is neither, or out of range.
 */
bool timestamp_parse(struct slice text, int64_t *us) TT_MUST_CHECK;

#endif
