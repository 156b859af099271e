/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/tag_labels.h"

#include "exporter/promtext.h"
#include "exporter/series.h"

#include <errno.h>
#include <stdio.h>

#include "agent/base/hash.h"

/* A value that is told by its name. */
struct named {
	char value[TAG_LABEL_BYTES + 1];
	bool in_table;
	UT_hash_handle hh;
};

struct tag_labels {
	size_t count;
	struct {
		struct metric_tag tag;
		struct named *named;
	} row[TAG_LABELS_MAX];
};

static int add_row(struct tag_labels *t, const char *text, char *err, size_t err_size)
{
	struct metric_tag tag;
	const char *allowed = metric_tag_parse(text, &tag);

	if (allowed) {
		snprintf(err, err_size, "--metrics.tag: bad value '%.100s'; allowed: %s", text,
			 allowed);
		return -EINVAL;
	}
	for (size_t i = 0; i < t->count; i++) {
		if (!strcmp(t->row[i].tag.label, tag.label)) {
			snprintf(err, err_size,
				 "--metrics.tag: '%s' and '%s' would both be the label %s; "
				 "leave one of them out",
				 t->row[i].tag.key, tag.key, tag.label);
			return -EINVAL;
		}
	}
	if (t->count == TAG_LABELS_MAX) {
		snprintf(err, err_size, "--metrics.tag: more than %d tags", TAG_LABELS_MAX);
		return -EINVAL;
	}
	t->row[t->count++].tag = tag;
	return 0;
}

int tag_labels_new(struct tag_labels **out, const char *const *rows, size_t count, char *err,
		   size_t err_size)
{
	struct tag_labels *t = calloc(1, sizeof(*t));
	int rc = t ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = add_row(t, rows[i], err, err_size);
	if (rc) {
		tag_labels_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

void tag_labels_free(struct tag_labels *t)
{
	struct named *n, *next;

	for (size_t i = 0; t && i < t->count; i++) {
		HASH_ITER (hh, t->row[i].named, n, next) {
			HASH_DEL(t->row[i].named, n);
			free(n);
		}
	}
	free(t);
}

/* What the label says: the value, or that it is one too many. */
static const char *named(struct named **table, uint32_t max, const char *value)
{
	struct named *n;

	HASH_FIND_STR(*table, value, n);
	if (n)
		return value;
	n = HASH_COUNT(*table) < max ? calloc(1, sizeof(*n)) : NULL;
	if (!n)
		return SERIES_OVERFLOW;
	n->in_table = true;
	memcpy(n->value, value, strlen(value));
	HASH_ADD_STR(*table, value, n);
	if (n->in_table)
		return value;
	free(n);
	return SERIES_OVERFLOW;
}

void tag_labels_put(struct tag_labels *t, const struct tags *tags, struct text *out)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct metric_tag *tag = &t->row[i].tag;

		for (uint32_t k = 0; k < tags->count; k++) {
			char value[TAG_LABEL_BYTES + 1];

			if (strcmp(tags->item[k].key, tag->key) != 0)
				continue;
			slice_copy(value, sizeof(value), slice_of(tags->item[k].value));
			promtext_label(out, tag->label,
				       named(&t->row[i].named, tag->values_max, value));
		}
	}
}
