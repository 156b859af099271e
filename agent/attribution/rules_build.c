/* SPDX-License-Identifier: Apache-2.0 */
/* Rules as they are read: checked, bounded, their patterns compiled. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/attribution/rule_parts.h"

const char *const pattern_kind_names[PATTERN_KINDS] = {
	[PATTERN_EXACT] = "exact",
	[PATTERN_PREFIX] = "prefix",
	[PATTERN_GLOB] = "glob",
	[PATTERN_REGEX] = "regex",
};

static int refuse(char *why, size_t size, const char *fmt, ...) TT_PRINTF(3, 4);
static int refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, size, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* One more zeroed row at the end of an array, or NULL. */
static void *grow(void *rows, size_t *count, size_t row_size, void *slot)
{
	char *grown = reallocarray(rows, *count + 1, row_size);

	if (!grown)
		return NULL;
	*(void **)slot = grown;
	return memset(grown + (*count)++ * row_size, 0, row_size);
}

#define GROW(rows, count) grow((rows), &(count), sizeof(*(rows)), &(rows))

/* ---- life ------------------------------------------------------------------------------------ */

int rules_new(struct rules **out)
{
	struct rules *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->match = pcre2_match_data_create(RULE_REGEX_GROUPS + 1, NULL);
	r->limits = pcre2_match_context_create(NULL);
	if (!r->match || !r->limits) {
		rules_free(r);
		return -ENOMEM;
	}
	pcre2_set_match_limit(r->limits, RULES_MATCH_LIMIT);
	pcre2_set_depth_limit(r->limits, RULES_MATCH_LIMIT);
	pcre2_set_heap_limit(r->limits, RULES_HEAP_KIB);
	*out = r;
	return 0;
}

static void free_condition(struct condition *c)
{
	for (size_t i = 0; i < c->pattern_count; i++) {
		free(c->pattern[i].text);
		pcre2_code_free(c->pattern[i].code);
	}
	free(c->pattern);
}

static void free_rule(struct rule *rule)
{
	for (size_t i = 0; i < rule->condition_count; i++)
		free_condition(&rule->condition[i]);
	for (size_t i = 0; i < rule->tag_count; i++) {
		free(rule->tag[i].value);
		free(rule->tag[i].part);
	}
	free(rule->condition);
	free(rule->tag);
}

void rules_free(struct rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++)
		free_rule(&r->rule[i]);
	free(r->rule);
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->limits);
	free(r);
}

void rules_settle(struct rules *r, bool first, const struct key_names *keys)
{
	r->first = first;
	r->keys = keys;
}

/* ---- a rule ---------------------------------------------------------------------------------- */

static struct rule *current(struct rules *r)
{
	return &r->rule[r->count - 1];
}

int rules_begin(struct rules *r, int line, char *why, size_t size)
{
	if (r->count == RULES_MAX)
		return refuse(why, size, "more than %d rules", RULES_MAX);
	if (!GROW(r->rule, r->count))
		return -ENOMEM;
	current(r)->line = line;
	return 0;
}

int rules_name(struct rules *r, const char *name, char *why, size_t size)
{
	struct rule *rule = current(r);

	if (!rule_tag_name_ok(slice_of(name)))
		return refuse(why, size,
			      "bad name '%.60s'; allowed: 1 to %d letters, digits and _.:/-", name,
			      TAG_KEY_MAX - 1);
	for (size_t i = 0; i + 1 < r->count; i++) {
		if (!strcmp(r->rule[i].name, name))
			return refuse(why, size, "the rule on line %d has this name already",
				      r->rule[i].line);
	}
	snprintf(rule->name, sizeof(rule->name), "%s", name);
	return 0;
}

int rules_condition(struct rules *r, const char *fact, char *why, size_t size)
{
	struct rule *rule = current(r);
	struct rule_fact parsed;
	char known[512];

	if (!rule_fact_parse(slice_of(fact), &parsed)) {
		rule_fact_list(known, sizeof(known));
		return refuse(why, size, "unknown fact '%.60s'; known: %s", fact, known);
	}
	for (size_t i = 0; i < rule->condition_count; i++) {
		const struct rule_fact *other = &rule->condition[i].fact;

		if (other->row == parsed.row && !strcmp(other->tag, parsed.tag))
			return refuse(why, size, "%s: stands twice; write one list of patterns",
				      fact);
	}
	if (rule->condition_count == RULE_CONDITIONS_MAX)
		return refuse(why, size, "more than %d facts", RULE_CONDITIONS_MAX);
	if (!GROW(rule->condition, rule->condition_count))
		return -ENOMEM;
	rule->condition[rule->condition_count - 1].fact = parsed;
	return 0;
}

/* ---- patterns -------------------------------------------------------------------------------- */

static int refuse_regex(int rc, const struct pattern *p, size_t at, char *why, size_t size)
{
	char text[128];

	if (rc == PCRE2_ERROR_HEAP_FAILED)
		return -ENOMEM;
	pcre2_get_error_message(rc, (PCRE2_UCHAR *)text, sizeof(text));
	return refuse(why, size, "%s '%.100s': %s, at byte %zu", pattern_kind_names[p->kind],
		      p->text, text, at + 1);
}

static int compile_text(struct pattern *p, const char *text, size_t len, char *why, size_t size)
{
	const uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	PCRE2_SIZE at;
	int rc;

	p->code = pcre2_compile((PCRE2_SPTR)text, len, options, &rc, &at, NULL);
	return p->code ? 0 : refuse_regex(rc, p, at, why, size);
}

/* A '*' is any run of characters, '/' too: facts are more than paths. */
static int compile_glob(struct pattern *p, char *why, size_t size)
{
	const uint32_t options = PCRE2_CONVERT_GLOB_NO_WILD_SEPARATOR | PCRE2_CONVERT_UTF;
	PCRE2_UCHAR *regex = NULL;
	PCRE2_SIZE len = 0;
	int rc = pcre2_pattern_convert((PCRE2_SPTR)p->text, strlen(p->text), options, &regex, &len,
				       NULL);

	if (rc)
		return refuse_regex(rc, p, len, why, size);
	rc = compile_text(p, (const char *)regex, len, why, size);
	pcre2_converted_pattern_free(regex);
	return rc;
}

/* The group of that name, new or of another regex of the same condition. */
static int add_group(struct rule *rule, const char *name, uint32_t *group, char *why, size_t size)
{
	size_t condition = rule->condition_count - 1;

	for (uint32_t i = 0; i < rule->group_count; i++) {
		if (strcmp(rule->group[i], name) != 0)
			continue;
		*group = i;
		return rule->group_condition[i] == condition
			       ? 0
			       : refuse(why, size, "the group '%s' stands in two facts", name);
	}
	if (rule->group_count == RULE_GROUPS_MAX)
		return refuse(why, size, "more than %d named groups", RULE_GROUPS_MAX);
	*group = (uint32_t)rule->group_count++;
	snprintf(rule->group[*group], RULE_GROUP_NAME_MAX, "%s", name);
	rule->group_condition[*group] = condition;
	return 0;
}

static int name_groups(struct rule *rule, struct pattern *p, char *why, size_t size)
{
	uint32_t groups = 0, names = 0, row_bytes = 0;
	const unsigned char *row = NULL;

	pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	pcre2_pattern_info(p->code, PCRE2_INFO_NAMECOUNT, &names);
	pcre2_pattern_info(p->code, PCRE2_INFO_NAMEENTRYSIZE, &row_bytes);
	pcre2_pattern_info(p->code, PCRE2_INFO_NAMETABLE, &row);
	if (groups > RULE_REGEX_GROUPS)
		return refuse(why, size, "regex '%.100s': more than %d groups", p->text,
			      RULE_REGEX_GROUPS);
	for (; names > 0; names--, row += row_bytes) { /* pcre2api(3): number, high byte first */
		uint32_t group = 0;
		int rc = p->named_count == RULE_GROUPS_MAX
				 ? refuse(why, size, "more than %d named groups", RULE_GROUPS_MAX)
				 : add_group(rule, (const char *)row + 2, &group, why, size);

		if (rc)
			return rc;
		p->named[p->named_count].number = (uint32_t)row[0] << 8 | row[1];
		p->named[p->named_count++].group = group;
	}
	return 0;
}

static int compile(struct rules *r, struct pattern *p, char *why, size_t size)
{
	int rc;

	if (p->kind != PATTERN_GLOB && p->kind != PATTERN_REGEX)
		return 0;
	if (r->regex_count == RULES_REGEX_MAX)
		return refuse(why, size, "more than %d regexes and globs in all", RULES_REGEX_MAX);
	r->regex_count++;
	if (p->kind == PATTERN_GLOB)
		return compile_glob(p, why, size);
	rc = compile_text(p, p->text, strlen(p->text), why, size);
	return rc ? rc : name_groups(current(r), p, why, size);
}

static int parse_kind(const char *name, enum pattern_kind *kind, char *why, size_t size)
{
	for (int i = 0; i < PATTERN_KINDS; i++) {
		if (!strcmp(pattern_kind_names[i], name)) {
			*kind = (enum pattern_kind)i;
			return 0;
		}
	}
	return refuse(why, size, "unknown way to match '%.60s'; known: exact, prefix, glob, regex",
		      name);
}

int rules_pattern(struct rules *r, const char *kind, const char *text, char *why, size_t size)
{
	struct rule *rule = current(r);
	struct condition *c = &rule->condition[rule->condition_count - 1];
	enum pattern_kind parsed = PATTERN_EXACT;
	struct pattern *p;
	int rc = parse_kind(kind, &parsed, why, size);

	if (rc)
		return rc;
	if (!*text || strlen(text) >= RULE_TEXT_MAX)
		return refuse(why, size, "a pattern has 1 to %d bytes", RULE_TEXT_MAX - 1);
	if (c->pattern_count == RULE_PATTERNS_MAX)
		return refuse(why, size, "more than %d patterns of one fact", RULE_PATTERNS_MAX);
	p = GROW(c->pattern, c->pattern_count);
	if (!p)
		return -ENOMEM;
	p->kind = parsed;
	p->text = strdup(text);
	return p->text ? compile(r, p, why, size) : -ENOMEM;
}

/* ---- tags ------------------------------------------------------------------------------------ */

static int check_tag(const struct rule *rule, const char *key, const char *value, char *why,
		     size_t size)
{
	if (!rule_tag_name_ok(slice_of(key)))
		return refuse(why, size,
			      "bad tag '%.60s'; allowed: 1 to %d letters, digits and _.:/-", key,
			      TAG_KEY_MAX - 1);
	if (!strcmp(key, RULES_OWN_MARK))
		return refuse(why, size, "the tag '%s' is the agent's own", key);
	if (!*value || strlen(value) >= TAG_VALUE_MAX)
		return refuse(why, size, "tag '%s': a value has 1 to %d bytes", key,
			      TAG_VALUE_MAX - 1);
	for (const char *p = value; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return refuse(why, size, "tag '%s': a control character", key);
	}
	if (rule->tag_count == RULE_SETS_MAX)
		return refuse(why, size, "more than %d tags", RULE_SETS_MAX);
	for (size_t i = 0; i < rule->tag_count; i++) {
		if (!strcmp(rule->tag[i].key, key))
			return refuse(why, size, "tag '%s' is set twice", key);
	}
	return 0;
}

int rules_tag(struct rules *r, const char *key, const char *value, enum tag_source source,
	      char *why, size_t size)
{
	struct rule *rule = current(r);
	struct set_tag *tag;
	int rc = check_tag(rule, key, value, why, size);

	if (rc)
		return rc;
	tag = GROW(rule->tag, rule->tag_count);
	if (!tag)
		return -ENOMEM;
	snprintf(tag->key, sizeof(tag->key), "%s", key);
	tag->source = source;
	tag->value = strdup(value);
	return tag->value ? 0 : -ENOMEM;
}

int rules_end(struct rules *r, char *why, size_t size)
{
	struct rule *rule = current(r);

	if (!rule->name[0])
		return refuse(why, size, "name: is missing");
	if (!rule->tag_count)
		return refuse(why, size, "it sets no tag; add set: or default:");
	for (size_t i = 0; i < rule->condition_count; i++) {
		char fact[RULE_FACT_NAME_MAX];

		if (!rule->condition[i].pattern_count)
			return refuse(why, size, "%s: no pattern",
				      rule_fact_name(&rule->condition[i].fact, fact));
	}
	for (size_t i = 0; i < rule->tag_count; i++) {
		char reason[256];
		int rc = rule_value_parse(rule, &rule->tag[i], reason, sizeof(reason));

		if (rc == -EINVAL)
			return refuse(why, size, "tag '%s': %s", rule->tag[i].key, reason);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- for people ------------------------------------------------------------------------------ */

size_t rules_count(const struct rules *r)
{
	return r ? r->count : 0;
}

struct rule_view rules_view(const struct rules *r, size_t at)
{
	return (struct rule_view){r->rule[at].name, r->rule[at].line};
}

/* Adds to a text that may be full. */
static void add(char *dst, size_t size, const char *fmt, ...) TT_PRINTF(3, 4);
static void add(char *dst, size_t size, const char *fmt, ...)
{
	size_t at = strlen(dst);
	va_list args;

	va_start(args, fmt);
	vsnprintf(dst + at, size - at, fmt, args);
	va_end(args);
}

void rules_conditions_text(const struct rules *r, size_t at, char *dst, size_t size)
{
	const struct rule *rule = &r->rule[at];
	char fact[RULE_FACT_NAME_MAX];

	*dst = '\0';
	for (size_t i = 0; i < rule->condition_count; i++) {
		const struct condition *c = &rule->condition[i];

		add(dst, size, "%s%s", i ? ", " : "", rule_fact_name(&c->fact, fact));
		for (size_t k = 0; k < c->pattern_count; k++)
			add(dst, size, "%s%s '%s'", k ? " or " : " ",
			    pattern_kind_names[c->pattern[k].kind], c->pattern[k].text);
	}
}

void rules_tags_text(const struct rules *r, size_t at, char *dst, size_t size)
{
	const struct rule *rule = &r->rule[at];

	*dst = '\0';
	for (size_t i = 0; i < rule->tag_count; i++)
		add(dst, size, "%s%s=%s%s", i ? ", " : "", rule->tag[i].key, rule->tag[i].value,
		    rule->tag[i].source == TAG_DEFAULT ? " (default)" : "");
}
