/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When batches were done. A batch's results do not tell it, but the batch itself does, which
 * clients ask for before: what was said of the last BATCH_DATES_MAX is kept for its results.
 * Pure; ids are hashes already (struct usage_key).
 */
#ifndef TT_BATCH_DATES_H
#define TT_BATCH_DATES_H

#include "agent/base/base.h"

#define BATCH_DATES_MAX 1024 /* the one told first goes: tolltap_batch_dates_evicted_total */

struct batch_dates;

/* Returns 0 or -ENOMEM. */
int batch_dates_new(struct batch_dates **out) TT_MUST_CHECK;
void batch_dates_free(struct batch_dates *d); /* NULL is fine */

/* A later word on the same object replaces the earlier. NULL is fine here and below. */
void batch_dates_note(struct batch_dates *d, const uint8_t object[16], int64_t us);
/* Unix time in microseconds, or 0 when nothing was said of it. */
int64_t batch_dates_find(const struct batch_dates *d, const uint8_t object[16]);

#endif
