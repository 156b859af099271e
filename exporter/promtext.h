/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus text format 0.0.4 and OpenMetrics 1.0, one family at a time. A family's name is
 * written without suffix for its type; the writer adds `_total` to counters. Units come from the
 * name's ending. Label text is built once per series (promtext_label) and kept by the caller.
 */
#ifndef TT_PROMTEXT_H
#define TT_PROMTEXT_H

#include "agent/base/money.h"
#include "exporter/text.h"

#define PROMTEXT_MAX	    (64u << 20) /* one exposition */
#define PROMTEXT_LABELS_MAX 8192	/* label text of one series */

enum prom_type { PROM_COUNTER, PROM_GAUGE, PROM_HISTOGRAM };

struct prom_family {
	const char *name; /* counters: without _total */
	enum prom_type type;
	const char *help;
};

/* Appends name="value" (escaped), with a comma when labels is not empty. "" values are left out. */
void promtext_label(struct text *labels, const char *name, const char *value);

void promtext_family(struct text *out, const struct prom_family *family, bool openmetrics);
/* One sample; labels may be "". */
void promtext_uint(struct text *out, const struct prom_family *family, const char *labels,
		   uint64_t value);
/* An amount in 10^-12 of the family's unit, as exact decimal text. */
void promtext_pico(struct text *out, const struct prom_family *family, const char *labels,
		   pusd_sum value);

/* Buckets of durations: 0.01 x 2^n seconds up to 81.92 (OpenTelemetry's GenAI metrics). */
#define PROM_BUCKETS 14

struct prom_histogram {
	uint64_t bucket[PROM_BUCKETS + 1]; /* not cumulative; the last is +Inf */
	uint64_t count;
	pusd_sum sum_us;
};

void prom_histogram_add(struct prom_histogram *h, int64_t us);
void promtext_histogram(struct text *out, const struct prom_family *family, const char *labels,
			const struct prom_histogram *h);

void promtext_end(struct text *out, bool openmetrics);

#endif
