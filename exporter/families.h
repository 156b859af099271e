/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus families that calls add to, as data. To add one, add a value here and its row in
 * families.c; docs/metrics.md lists them all.
 */
#ifndef TT_FAMILIES_H
#define TT_FAMILIES_H

#include "exporter/promtext.h"

enum family {
	FAMILY_COST,
	FAMILY_DIFFERENCE,
	FAMILY_SUBSCRIPTION,
	FAMILY_TOKENS,
	FAMILY_REQUESTS,
	FAMILY_ERRORS,
	FAMILY_DURATION,
	FAMILY_FIRST_TOKEN,
	FAMILY_UNPRICED,
	FAMILY_USAGE_MISSING,
	FAMILY_IGNORED,
	FAMILIES
};

enum value_kind { VALUE_COUNT, VALUE_PICO, VALUE_HISTOGRAM };

#define FAMILY_LABELS_MAX 6

struct family_row {
	struct prom_family prom;
	enum value_kind kind;
	const char *labels[FAMILY_LABELS_MAX]; /* its own, ended by NULL */
	bool workload;			       /* and the payer's, by --metrics.level */
	bool tags;			       /* and the tags of --metrics.tag */
};

extern const struct family_row families[FAMILIES];

#endif
