/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags as labels, those alone that the operator names (--metrics.tag, agent/base/metric_tag.h). Of
 * each tag the first values_max values of a run are told, further ones say "overflow".
 */
#ifndef TT_TAG_LABELS_H
#define TT_TAG_LABELS_H

#include "agent/base/metric_tag.h"
#include "agent/usage/call.h"
#include "exporter/text.h"

#define TAG_LABELS_MAX	8
#define TAG_LABEL_BYTES 128 /* of a value; the rest is cut */

struct tag_labels;

/* Returns 0, -EINVAL with one line in err (a bad row, two rows of one label, too many), -ENOMEM. */
int tag_labels_new(struct tag_labels **out, const char *const *rows, size_t count, char *err,
		   size_t err_size) TT_MUST_CHECK;
void tag_labels_free(struct tag_labels *t); /* NULL is fine */

/* Appends the labels of these tags; a tag that the call has not is left out. */
void tag_labels_put(struct tag_labels *t, const struct tags *tags, struct text *out);

#endif
