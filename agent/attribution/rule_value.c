/* SPDX-License-Identifier: Apache-2.0 */
/* The value of a tag that a rule sets: text, groups and facts. */
#include <errno.h>
#include <stdio.h>

#include "agent/attribution/rule_parts.h"

static bool find_group(const struct rule *rule, struct slice name, uint32_t *group)
{
	for (uint32_t i = 0; i < rule->group_count; i++) {
		if (slice_eq(slice_of(rule->group[i]), name)) {
			*group = i;
			return true;
		}
	}
	return false;
}

/* A group hides the fact of its name: whoever names a group means it. */
static int read_name(const struct rule *rule, struct slice name, struct value_part *part, char *why,
		     size_t size)
{
	if (find_group(rule, name, &part->group)) {
		part->kind = PART_GROUP;
		return 0;
	}
	if (rule_fact_parse(name, &part->fact)) {
		part->kind = PART_FACT;
		return 0;
	}
	snprintf(why, size,
		 "${%.*s} is neither a named group (?<%.*s>...) of its regexes nor a fact",
		 (int)(name.len < 60 ? name.len : 60), name.ptr,
		 (int)(name.len < 60 ? name.len : 60), name.ptr);
	return -EINVAL;
}

/* The next part of the text from p on, of which *end is told. */
static int read_part(const struct rule *rule, const char *p, const char **end,
		     struct value_part *part, char *why, size_t size)
{
	const char *brace;

	if (*p != '$') {
		*end = p + strcspn(p, "$");
		*part = (struct value_part){PART_TEXT, {p, (size_t)(*end - p)}, 0, {0}};
		return 0;
	}
	if (p[1] == '$') {
		*end = p + 2;
		*part = (struct value_part){PART_TEXT, {p, 1}, 0, {0}};
		return 0;
	}
	brace = p[1] == '{' ? strchr(p, '}') : NULL;
	if (!brace) {
		snprintf(why, size, "a '$' stands before {NAME}; write $$ for the sign itself");
		return -EINVAL;
	}
	*end = brace + 1;
	return read_name(rule, (struct slice){p + 2, (size_t)(brace - p - 2)}, part, why, size);
}

int rule_value_parse(const struct rule *rule, struct set_tag *tag, char *why, size_t size)
{
	tag->part = calloc(RULE_PARTS_MAX, sizeof(*tag->part));
	if (!tag->part)
		return -ENOMEM;
	for (const char *p = tag->value; *p;) {
		int rc;

		if (tag->part_count == RULE_PARTS_MAX) {
			snprintf(why, size, "the value has more than %d parts", RULE_PARTS_MAX);
			return -EINVAL;
		}
		rc = read_part(rule, p, &p, &tag->part[tag->part_count], why, size);
		if (rc)
			return rc;
		tag->part_count++;
	}
	return 0;
}

bool rule_value_fill(const struct rules *r, const struct set_tag *tag, const struct call *call,
		     char *dst, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < tag->part_count; i++) {
		const struct value_part *part = &tag->part[i];
		char scratch[RULE_FACT_SCRATCH];
		struct slice text = part->text;

		if (part->kind == PART_GROUP)
			text = r->captured[part->group];
		else if (part->kind == PART_FACT)
			text = rule_fact_value(&part->fact, call, r->keys, scratch);
		if (text.len == 0)
			return false;
		if (text.len > size - 1 - at)
			text.len = size - 1 - at;
		memcpy(dst + at, text.ptr, text.len);
		at += text.len;
	}
	/* In place: a character that was cut in two becomes '?'. */
	slice_copy(dst, size, (struct slice){dst, at});
	return at > 0;
}
