/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/labels.h"

#include <cjson/cJSON.h>

static void take_ignore(struct slice value, struct courier_answer *out)
{
	if (slice_eq(value, SLICE("true")))
		out->ignored = 1;
}

/* Blanks around key and value are dropped, parts without key or value too. */
static void take_tags(struct slice list, struct courier_answer *out)
{
	while (list.len) {
		const char *comma = memchr(list.ptr, ',', list.len);
		struct slice part = {list.ptr, comma ? (size_t)(comma - list.ptr) : list.len};
		const char *equals = memchr(part.ptr, '=', part.len);
		const char *end = part.ptr + part.len;

		list.ptr += part.len + (comma != NULL);
		list.len -= part.len + (comma != NULL);
		if (!equals)
			continue;
		courier_answer_tag(
			out, slice_trim((struct slice){part.ptr, (size_t)(equals - part.ptr)}),
			slice_trim((struct slice){equals + 1, (size_t)(end - equals - 1)}));
	}
}

static const struct {
	struct slice label;
	void (*take)(struct slice value, struct courier_answer *out);
} own_labels[] = {
	{SLICE("tolltap.io/ignore"), take_ignore},
	{SLICE("tolltap.io/tags"), take_tags},
};

static void take_one(const struct label_rules *rules, struct slice label, struct slice value,
		     struct courier_answer *out)
{
	for (size_t i = 0; i < ARRAY_LEN(own_labels); i++) {
		if (slice_eq(label, own_labels[i].label))
			own_labels[i].take(value, out);
	}
	for (size_t i = 0; i < rules->count; i++) {
		const char *equals = strchr(rules->item[i], '=');
		struct slice wanted = {rules->item[i], (size_t)(equals - rules->item[i])};

		if (slice_eq(label, wanted))
			courier_answer_tag(out, slice_of(equals + 1), value);
	}
}

void labels_take(const struct label_rules *rules, const cJSON *labels, struct courier_answer *out)
{
	const cJSON *item;

	if (!cJSON_IsObject(labels))
		return;
	cJSON_ArrayForEach(item, labels)
	{
		const char *value = cJSON_GetStringValue(item);

		if (value)
			take_one(rules, slice_of(item->string), slice_of(value), out);
	}
}
