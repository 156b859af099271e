/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What labels and annotations say: of all that a container or pod bears, only what the operator
 * named is read, and two of Tolltap's own: `tolltap.io/ignore` with the value true, and
 * `tolltap.io/tags` with "key=value,key=value". Pure.
 */
#ifndef TT_COURIER_LABELS_H
#define TT_COURIER_LABELS_H

#include "agent/courier/wire.h"

struct cJSON;

struct label_rules {
	char *const *item; /* "LABEL=TAG": the label's value becomes that tag */
	size_t count;
};

/* Takes what is wanted of an object of labels. One that is none (NULL, a list) says nothing. */
void labels_take(const struct label_rules *rules, const struct cJSON *labels,
		 struct courier_answer *out);

#endif
