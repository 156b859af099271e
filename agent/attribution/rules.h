/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules: what the operator says of calls by their facts. A rule has conditions, each a fact and
 * patterns of which one must match, and tags it sets when all conditions hold. Facts are the
 * identifiers of struct call, which can hold no content, so neither can a rule see any. Pure: rules
 * and a call in, tags out. Every count and length is bounded here, and so is the work that a value
 * from outside can cause: a regex that takes more than RULES_MATCH_LIMIT steps gives up, does not
 * match, and is counted.
 */
#ifndef TT_RULES_H
#define TT_RULES_H

#include "agent/base/key_names.h"
#include "agent/usage/call.h"

#define RULES_MAX	    256
#define RULES_REGEX_MAX	    256 /* regexes and globs of all rules together */
#define RULES_MATCH_LIMIT   2000
#define RULES_HEAP_KIB	    256 /* of one match */
#define RULE_NAME_MAX	    64
#define RULE_CONDITIONS_MAX 16
#define RULE_PATTERNS_MAX   64 /* of one condition */
#define RULE_SETS_MAX	    CALL_TAGS_MAX
#define RULE_TEXT_MAX	    512 /* a pattern or a value, with its end */
#define RULE_GROUPS_MAX	    16	/* named groups of one rule */

/* The tag by which the agent says what it could not read itself; no rule may set it. */
#define RULES_OWN_MARK "inferred"

struct rules;

/* ---- building ---------------------------------------------------------------------------------
 * In order: rules_begin, rules_name, then conditions and tags in any order, rules_end. Each returns
 * 0, -EINVAL with the reason in why (without the rule's name and place), or -ENOMEM. After a
 * failure the only thing to do with the rules is to free them.
 */
int rules_new(struct rules **out) TT_MUST_CHECK;
void rules_free(struct rules *r); /* NULL is fine */

int rules_begin(struct rules *r, int line, char *why, size_t size) TT_MUST_CHECK;
int rules_name(struct rules *r, const char *name, char *why, size_t size) TT_MUST_CHECK;
/* Begins a condition on a fact: "exe", "tag:team", ... (docs/rules.md). */
int rules_condition(struct rules *r, const char *fact, char *why, size_t size) TT_MUST_CHECK;
/* One more way to fulfil it. kind: "exact", "prefix", "glob" or "regex". */
int rules_pattern(struct rules *r, const char *kind, const char *text, char *why,
		  size_t size) TT_MUST_CHECK;
/*
 * A tag and its value, where ${NAME} stands for a named group or a fact, and $$ for a dollar.
 * source: TAG_RULE, or TAG_DEFAULT for what any other source outweighs.
 */
int rules_tag(struct rules *r, const char *key, const char *value, enum tag_source source,
	      char *why, size_t size) TT_MUST_CHECK;
int rules_end(struct rules *r, char *why, size_t size) TT_MUST_CHECK;

/* first: the first rule that matches is the last one tried. keys are borrowed; NULL = no names. */
void rules_settle(struct rules *r, bool first, const struct key_names *keys);

/* ---- applying ---------------------------------------------------------------------------------
 */

enum rule_verdict {
	RULE_MATCHES,
	RULE_DIFFERS,	   /* the fact has a value that no pattern matches */
	RULE_FACT_UNKNOWN, /* nothing matches a fact that the call does not have */
	RULE_GAVE_UP,	   /* a regex reached its limit on this value */
	RULE_NOT_TRIED,	   /* an earlier one matched, and the first counts */
	RULE_VERDICTS
};

enum rule_tag_outcome {
	RULE_TAG_SET,
	RULE_TAG_STRONGER, /* a stronger source stands */
	RULE_TAG_UNKNOWN,  /* a group or fact in its value has none */
	RULE_TAG_FULL,	   /* the call has CALL_TAGS_MAX tags and none is weaker */
};

struct rule_tag {
	const char *key;
	enum tag_source source;
	char value[TAG_VALUE_MAX]; /* cut to it */
	enum rule_tag_outcome outcome;
};

/* What one rule did; borrowed until the observer returns. */
struct rule_step {
	const char *name;
	int line;
	enum rule_verdict verdict;
	char fact[TAG_KEY_MAX + 8];  /* the one that does not fit; "" = all fit */
	char value[CALL_PATH_MAX];   /* of that fact; "" = unknown */
	const struct rule_tag *tags; /* when it matches */
	size_t tag_count;
};

typedef void (*rule_observer)(void *user, const struct rule_step *step);

/*
 * Tries the rules in their order. Later ones see, and may replace, the tags of earlier ones. A tag
 * of a rule finds its place even where the call has CALL_TAGS_MAX: the weakest goes, counted.
 * observer may be NULL. r may be NULL: nothing happens.
 */
void rules_apply(struct rules *r, struct call *call, rule_observer observer, void *user);

size_t rules_count(const struct rules *r); /* 0 for NULL */

/* A rule as it was read, for people. Texts are borrowed from r. */
struct rule_view {
	const char *name;
	int line;
};
struct rule_view rules_view(const struct rules *r, size_t at);
/* "unit prefix ci-, host exact a|b": dst is cut to size. */
void rules_conditions_text(const struct rules *r, size_t at, char *dst, size_t size);
/* "team=${org}, env=prod (default)": dst is cut to size. */
void rules_tags_text(const struct rules *r, size_t at, char *dst, size_t size);

#endif
