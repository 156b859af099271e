/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tag that the operator lets be a label of metrics: "team" or "team=50", the most values of it
 * that get a name of their own. What tells single people, processes, sessions or credentials is
 * refused: it belongs in the ledger.
 */
#ifndef TT_METRIC_TAG_H
#define TT_METRIC_TAG_H

#include "agent/base/base.h"

#define METRIC_TAG_FORM		  "TAG[=VALUES]"
#define METRIC_TAG_KEY_MAX	  64
#define METRIC_TAG_VALUES_DEFAULT 100
#define METRIC_TAG_VALUES_MAX	  1000

struct metric_tag {
	char key[METRIC_TAG_KEY_MAX];
	char label[METRIC_TAG_KEY_MAX + 4]; /* "tag_team" */
	uint32_t values_max;
};

/*
 * Keys are letters, digits, '_', '.' and '-'; the last two are '_' in the label. Returns NULL, or
 * what is allowed instead; `out` may be NULL.
 */
const char *metric_tag_parse(const char *text, struct metric_tag *out);

#endif
