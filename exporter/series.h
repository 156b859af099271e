/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The series of one family: label text to value. What a series counts never leaves the family's
 * sum: one whose bearer ended goes to the bearer's parent, but not before it was told as it stands;
 * what finds no room goes to one overflow series.
 *
 * Bounds: SERIES_MAX series and SERIES_TEXT_MAX bytes of a family in an exposition. When they are
 * reached, series whose bearers are gone give way first, in one look per scrape.
 */
#ifndef TT_SERIES_H
#define TT_SERIES_H

#include "exporter/bearers.h"
#include "exporter/families.h"

#include <sys/types.h>

#define SERIES_MAX	10000
#define SERIES_TEXT_MAX (5u << 20)

/* What a label says that has no room of its own. */
#define SERIES_OVERFLOW "overflow"

struct series;

/* By the kind of the family's row. */
union series_value {
	uint64_t count;
	pusd_sum pico;
	struct prom_histogram histogram;
};

struct series_set {
	const struct family_row *row;
	struct bearers *bearers;
	struct series *table;
	struct series *overflow;
	bool overflowed;
	bool pressed; /* room was looked for since series were told */
	size_t text_bytes;
};

/* Both stay the caller's and must live longer. Returns 0 or -ENOMEM. */
int series_set_init(struct series_set *set, const struct family_row *row,
		    struct bearers *bearers) TT_MUST_CHECK;
void series_set_free(struct series_set *set); /* one that was never filled is fine */

/*
 * The value of the series with these labels (without the bearer's) and this bearer, made at 0 if it
 * is new; the overflow's when there is no room. NULL labels: they could not be made, the same.
 * Valid until the next call of this module.
 */
union series_value *series_get(struct series_set *set, const char *labels, struct bearer *bearer);

/* Those of bearers that ended, and that were told since they changed, go to the bearer's parent. */
void series_fold_ended(struct series_set *set, uint64_t now_ns);

/* Tells all of them. */
void series_put(struct series_set *set, struct text *out, bool openmetrics);

#endif
