/* SPDX-License-Identifier: Apache-2.0 */
/* Rules as they are kept. Private to agent/attribution/rule*.c. */
#ifndef TT_RULE_PARTS_H
#define TT_RULE_PARTS_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "agent/attribution/rule_facts.h"
#include "agent/attribution/rules.h"

#define RULE_GROUP_NAME_MAX 33 /* PCRE2 takes 32 bytes */
#define RULE_REGEX_GROUPS   32 /* of one regex, named or not */
#define RULE_PARTS_MAX	    16 /* of one value */

enum pattern_kind { PATTERN_EXACT, PATTERN_PREFIX, PATTERN_GLOB, PATTERN_REGEX, PATTERN_KINDS };
extern const char *const pattern_kind_names[PATTERN_KINDS];

struct pattern {
	enum pattern_kind kind;
	char *text;
	pcre2_code *code; /* of a glob or regex */
	/* Which number of the regex is which group of the rule. */
	struct {
		uint32_t number, group;
	} named[RULE_GROUPS_MAX];
	size_t named_count;
};

struct condition {
	struct rule_fact fact;
	struct pattern *pattern;
	size_t pattern_count;
};

/* A piece of a value. */
struct value_part {
	enum { PART_TEXT, PART_GROUP, PART_FACT } kind;
	struct slice text; /* in set_tag.value */
	uint32_t group;
	struct rule_fact fact;
};

struct set_tag {
	char key[TAG_KEY_MAX];
	char *value; /* as it was written */
	enum tag_source source;
	struct value_part *part; /* since rules_end */
	size_t part_count;
};

struct rule {
	char name[RULE_NAME_MAX];
	int line;
	struct condition *condition;
	size_t condition_count;
	struct set_tag *tag;
	size_t tag_count;
	char group[RULE_GROUPS_MAX][RULE_GROUP_NAME_MAX];
	size_t group_condition[RULE_GROUPS_MAX]; /* whose regexes have it */
	size_t group_count;
};

struct rules {
	struct rule *rule;
	size_t count;
	size_t regex_count;
	bool first;
	const struct key_names *keys;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	/* Of the rule that is tried: */
	struct slice captured[RULE_GROUPS_MAX]; /* len 0 = unset */
	char scratch[RULE_CONDITIONS_MAX][RULE_FACT_SCRATCH];
	const struct rule_fact *tried; /* the last one, and what the call has there */
	struct slice value;
	struct rule_tag made[RULE_SETS_MAX];
};

/* ---- rule_value.c ---------------------------------------------------------------------------- */

/* Finds the parts of the tag's value. Returns as the builders do. */
int rule_value_parse(const struct rule *rule, struct set_tag *tag, char *why,
		     size_t size) TT_MUST_CHECK;
/* False when a group or fact in it has no value. What does not fit in dst is cut. */
bool rule_value_fill(const struct rules *r, const struct set_tag *tag, const struct call *call,
		     char *dst, size_t size);

#endif
