/* SPDX-License-Identifier: Apache-2.0 */
/* Rules tried on a call. */
#include "agent/attribution/rules.h"

#include "agent/attribution/rule_parts.h"
#include "agent/base/counters.h"

/* ---- conditions ------------------------------------------------------------------------------ */

static void take_groups(struct rules *r, const struct pattern *p, struct slice value)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->match);

	for (size_t i = 0; i < p->named_count; i++) {
		uint32_t n = p->named[i].number;
		struct slice *group = &r->captured[p->named[i].group];

		/* \K may set a start behind the end (pcre2api(3)): such a group is none. */
		if (at[2 * n] != PCRE2_UNSET && at[2 * n] <= at[2 * n + 1])
			*group = (struct slice){value.ptr + at[2 * n], at[2 * n + 1] - at[2 * n]};
	}
}

static enum rule_verdict try_regex(struct rules *r, const struct pattern *p, struct slice value)
{
	int rc = pcre2_match(p->code, (PCRE2_SPTR)value.ptr, value.len, 0, 0, r->match, r->limits);

	if (rc == PCRE2_ERROR_NOMATCH)
		return RULE_DIFFERS;
	if (rc <= 0)
		return RULE_GAVE_UP;
	take_groups(r, p, value);
	return RULE_MATCHES;
}

static enum rule_verdict try_pattern(struct rules *r, const struct pattern *p, struct slice value)
{
	struct slice text = slice_of(p->text);
	bool fits;

	if (p->code)
		return try_regex(r, p, value);
	fits = p->kind == PATTERN_EXACT ? slice_eq(value, text) : slice_starts(value, text);
	return fits ? RULE_MATCHES : RULE_DIFFERS;
}

/* One pattern is enough; that one gave up is told only when none matches. */
static enum rule_verdict try_condition(struct rules *r, const struct condition *c,
				       struct slice value)
{
	enum rule_verdict verdict = RULE_DIFFERS;

	if (value.len == 0)
		return RULE_FACT_UNKNOWN;
	for (size_t i = 0; i < c->pattern_count; i++) {
		enum rule_verdict one = try_pattern(r, &c->pattern[i], value);

		if (one == RULE_MATCHES)
			return one;
		if (one == RULE_GAVE_UP) {
			counter_add(COUNTER_RULES_GAVE_UP, 1);
			verdict = one;
		}
	}
	return verdict;
}

static enum rule_verdict try_rule(struct rules *r, const struct rule *rule, const struct call *call)
{
	memset(r->captured, 0, sizeof(r->captured));
	for (size_t i = 0; i < rule->condition_count; i++) {
		const struct condition *c = &rule->condition[i];
		enum rule_verdict verdict;

		r->tried = &c->fact;
		r->value = rule_fact_value(&c->fact, call, r->keys, r->scratch[i]);
		verdict = try_condition(r, c, r->value);
		if (verdict != RULE_MATCHES)
			return verdict;
	}
	return RULE_MATCHES;
}

/* ---- tags ------------------------------------------------------------------------------------ */

static const struct tag *find_tag(const struct tags *tags, const char *key)
{
	for (uint32_t i = 0; i < tags->count; i++) {
		if (!strcmp(tags->item[i].key, key))
			return &tags->item[i];
	}
	return NULL;
}

/* Of equally weak tags the last goes. False when none is weaker than the source. */
static bool drop_weakest(struct tags *tags, enum tag_source than)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < tags->count; i++) {
		if (tags->item[i].source <= tags->item[at].source)
			at = i;
	}
	if (tags->item[at].source >= than)
		return false;
	tags->count--;
	memmove(&tags->item[at], &tags->item[at + 1], (tags->count - at) * sizeof(tags->item[0]));
	return true;
}

/* A caller that sends many headers of its own must not keep a rule from saying whose call it is. */
static enum rule_tag_outcome put_tag(struct tags *tags, const struct rule_tag *tag)
{
	struct slice key = slice_of(tag->key), value = slice_of(tag->value);
	const struct tag *stands = find_tag(tags, tag->key);

	if (stands && stands->source > tag->source)
		return RULE_TAG_STRONGER;
	if (tags_set(tags, key, value, tag->source))
		return RULE_TAG_SET;
	counter_add(COUNTER_RULES_TAGS_FULL, 1);
	if (!drop_weakest(tags, tag->source))
		return RULE_TAG_FULL;
	return tags_set(tags, key, value, tag->source) ? RULE_TAG_SET : RULE_TAG_FULL;
}

/* All values are made before the first tag is set: groups and facts may lie in tags. */
static void set_tags(struct rules *r, const struct rule *rule, struct call *call)
{
	for (size_t i = 0; i < rule->tag_count; i++) {
		struct rule_tag *tag = &r->made[i];
		bool known;

		tag->key = rule->tag[i].key;
		tag->source = rule->tag[i].source;
		known = rule_value_fill(r, &rule->tag[i], call, tag->value, sizeof(tag->value));
		tag->outcome = known ? RULE_TAG_SET : RULE_TAG_UNKNOWN;
	}
	for (size_t i = 0; i < rule->tag_count; i++) {
		if (r->made[i].outcome == RULE_TAG_SET)
			r->made[i].outcome = put_tag(&call->tags, &r->made[i]);
	}
}

static void tell(const struct rules *r, const struct rule *rule, enum rule_verdict verdict,
		 rule_observer observer, void *user)
{
	struct rule_step step = {.name = rule->name, .line = rule->line, .verdict = verdict};

	if (verdict == RULE_MATCHES) {
		step.tags = r->made;
		step.tag_count = rule->tag_count;
	} else if (verdict != RULE_NOT_TRIED) {
		rule_fact_name(r->tried, step.fact);
		slice_copy(step.value, sizeof(step.value), r->value);
	}
	observer(user, &step);
}

void rules_apply(struct rules *r, struct call *call, rule_observer observer, void *user)
{
	bool over = false;

	for (size_t i = 0; i < rules_count(r) && (!over || observer); i++) {
		const struct rule *rule = &r->rule[i];
		enum rule_verdict verdict = over ? RULE_NOT_TRIED : try_rule(r, rule, call);

		if (verdict == RULE_MATCHES) {
			set_tags(r, rule, call);
			over = r->first;
		}
		if (observer)
			tell(r, rule, verdict, observer, user);
	}
}
