/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/attribution.h"

/* "key=value,key=value": blanks around both are dropped, parts without key or value too. */
static void tags_of_list(struct slice list, struct tags *tags)
{
	while (list.len) {
		const char *comma = memchr(list.ptr, ',', list.len);
		struct slice part = {list.ptr, comma ? (size_t)(comma - list.ptr) : list.len};
		const char *equals = memchr(part.ptr, '=', part.len);

		list.ptr += part.len + (comma != NULL);
		list.len -= part.len + (comma != NULL);
		if (!equals)
			continue;
		struct slice key =
			slice_trim((struct slice){part.ptr, (size_t)(equals - part.ptr)});
		struct slice value = slice_trim(
			(struct slice){equals + 1, (size_t)(part.ptr + part.len - equals - 1)});

		if (key.len && value.len)
			tags_set(tags, key, value, TAG_ENV);
	}
}

static void tag_service(struct slice value, struct tags *tags)
{
	value = slice_trim(value);
	if (value.len)
		tags_set(tags, SLICE("service"), value, TAG_ENV);
}

/* The allow-list, weakest first: a later row overwrites the tags of an earlier one. */
static const struct {
	struct slice name; /* with its '=' */
	void (*take)(struct slice value, struct tags *tags);
} variables[] = {
	{SLICE("OTEL_SERVICE_NAME="), tag_service},
	{SLICE("TOLLTAP_TAGS="), tags_of_list},
};

/* The value of a variable; false when it is not in the block. */
static bool find_variable(struct slice env, struct slice name, struct slice *value)
{
	while (env.len) {
		const char *end = memchr(env.ptr, '\0', env.len);
		struct slice entry;

		if (!end)
			return false; /* cut by the block's end: its value may be incomplete */
		entry = (struct slice){env.ptr, (size_t)(end - env.ptr)};
		if (slice_starts(entry, name)) {
			*value = (struct slice){entry.ptr + name.len, entry.len - name.len};
			return true;
		}
		env.ptr += entry.len + 1;
		env.len -= entry.len + 1;
	}
	return false;
}

void environment_tags(struct slice env, struct tags *tags)
{
	struct slice value;

	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		if (find_variable(env, variables[i].name, &value))
			variables[i].take(value, tags);
	}
}
