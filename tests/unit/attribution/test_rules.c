/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/rules.h"

#include "agent/base/counters.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define WORDS 24

/*
 * A rule as words: name, then "?FACT" begins a condition, "~KIND TEXT" adds a pattern to it,
 * "=KEY VALUE" sets a tag and "-KEY VALUE" its default.
 */
typedef const char *const rule_words[WORDS];

static void split(const char *word, char *first, size_t size, const char **second)
{
	size_t len = strcspn(word, " ");

	snprintf(first, size, "%.*s", (int)len, word);
	*second = word[len] ? word + len + 1 : "";
}

static int add_word(struct rules *r, const char *word, char *why, size_t size)
{
	char first[128];
	const char *second;

	split(word + 1, first, sizeof(first), &second);
	switch (*word) {
	case '?':
		return rules_condition(r, first, why, size);
	case '~':
		return rules_pattern(r, first, second, why, size);
	case '=':
		return rules_tag(r, first, second, TAG_RULE, why, size);
	case '-':
		return rules_tag(r, first, second, TAG_DEFAULT, why, size);
	}
	fail_msg("a word of the test: %s", word);
	return 0;
}

static int add_rule(struct rules *r, rule_words words, int line, char *why, size_t size)
{
	int rc = rules_begin(r, line, why, size);

	if (rc == 0)
		rc = rules_name(r, words[0], why, size);
	for (size_t i = 1; rc == 0 && i < WORDS && words[i]; i++)
		rc = add_word(r, words[i], why, size);
	return rc ? rc : rules_end(r, why, size);
}

static struct rules *rules_of(rule_words *words, size_t count, bool first)
{
	struct rules *r;
	char why[1024] = "";

	assert_int_equal(rules_new(&r), 0);
	for (size_t i = 0; i < count; i++) {
		if (add_rule(r, words[i], (int)i + 1, why, sizeof(why)))
			fail_msg("%s: %s", words[i][0], why);
	}
	rules_settle(r, first, NULL);
	return r;
}

#define RULES(words, first) rules_of((words), ARRAY_LEN(words), (first))

static struct call sample(void)
{
	static struct call c;

	memset(&c, 0, sizeof(c));
	slice_copy(c.provider, sizeof(c.provider), SLICE("openai"));
	slice_copy(c.host, sizeof(c.host), SLICE("api.openai.com"));
	slice_copy(c.api, sizeof(c.api), SLICE("chat.completions"));
	slice_copy(c.operation, sizeof(c.operation), SLICE("chat"));
	slice_copy(c.model, sizeof(c.model), SLICE("gpt-4o-2024-08-06"));
	slice_copy(c.model_requested, sizeof(c.model_requested), SLICE("gpt-4o"));
	slice_copy(c.service_tier, sizeof(c.service_tier), SLICE("default"));
	slice_copy(c.session_id, sizeof(c.session_id), SLICE("s-1"));
	slice_copy(c.key_fingerprint, sizeof(c.key_fingerprint), SLICE("0badcafe"));
	slice_copy(c.credential_kind, sizeof(c.credential_kind), SLICE("api_key"));
	c.role = ROLE_DIRECT;
	c.workload.uid = 1000;
	c.workload.uid_known = true;
	slice_copy(c.workload.user, sizeof(c.workload.user), SLICE("alice"));
	slice_copy(c.workload.argv, sizeof(c.workload.argv), SLICE("--queue=mail"));
	slice_copy(c.workload.login, sizeof(c.workload.login), SLICE("bob"));
	slice_copy(c.workload.started_by, sizeof(c.workload.started_by), SLICE("ci/github"));
	slice_copy(c.workload.slice, sizeof(c.workload.slice), SLICE("system.slice"));
	slice_copy(c.workload.owner, sizeof(c.workload.owner), SLICE("deployment/web"));
	slice_copy(c.workload.comm, sizeof(c.workload.comm), SLICE("python3"));
	slice_copy(c.workload.exe, sizeof(c.workload.exe), SLICE("/usr/bin/python3.11"));
	slice_copy(c.workload.cgroup, sizeof(c.workload.cgroup),
		   SLICE("/system.slice/ci-payments-7.service"));
	slice_copy(c.workload.container_id, sizeof(c.workload.container_id), SLICE("c0ffee"));
	slice_copy(c.workload.unit, sizeof(c.workload.unit), SLICE("ci-payments-7.service"));
	slice_copy(c.workload.namespace_, sizeof(c.workload.namespace_), SLICE("shop"));
	slice_copy(c.workload.pod, sizeof(c.workload.pod), SLICE("web-5d8f-x2"));
	slice_copy(c.workload.container, sizeof(c.workload.container), SLICE("main"));
	slice_copy(c.workload.node, sizeof(c.workload.node), SLICE("node-1"));
	return c;
}

/* Its value with its source, "value (source)"; "" = no such tag. */
static const char *tag_of(const struct call *call, const char *key)
{
	static char text[TAG_VALUE_MAX + 32];

	for (uint32_t i = 0; i < call->tags.count; i++) {
		const struct tag *tag = &call->tags.item[i];

		if (strcmp(tag->key, key) != 0)
			continue;
		snprintf(text, sizeof(text), "%s (%s)", tag->value, tag_source_names[tag->source]);
		return text;
	}
	return "";
}

/* ---- facts and patterns ---------------------------------------------------------------------- */

static void every_fact_can_be_matched(void **state)
{
	static const struct {
		const char *fact, *value;
	} facts[] = {
		{"exe", "/usr/bin/python3.11"},
		{"comm", "python3"},
		{"argv", "--queue=mail"},
		{"login", "bob"},
		{"started_by", "ci/github"},
		{"slice", "system.slice"},
		{"owner", "deployment/web"},
		{"user", "alice"},
		{"uid", "1000"},
		{"cgroup", "/system.slice/ci-payments-7.service"},
		{"unit", "ci-payments-7.service"},
		{"container", "main"},
		{"container_id", "c0ffee"},
		{"namespace", "shop"},
		{"pod", "web-5d8f-x2"},
		{"node", "node-1"},
		{"host", "api.openai.com"},
		{"host_role", "direct"},
		{"api", "chat.completions"},
		{"operation", "chat"},
		{"provider", "openai"},
		{"model", "gpt-4o-2024-08-06"},
		{"model_requested", "gpt-4o"},
		{"service_tier", "default"},
		{"session_id", "s-1"},
		{"key_fingerprint", "0badcafe"},
		{"credential_kind", "api_key"},
		{"key", "nightly"},
		{"key_owner", "data"},
		{"billing_mode", "metered"},
		{"tag:app", "from-header"},
		{"header:app", "from-header"},
		{"env:squad", "from-env"},
		{"body:user_id", "from-body"},
		{"label:tier", "from-pod"},
	};
	struct key_names keys = {0};
	const struct key_name nightly = {
		.fingerprint = "0badcafe", .name = "nightly", .owner = "data"};

	(void)state;
	assert_int_equal(key_names_add(&keys, &nightly), 0);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		struct call call = sample();
		char condition[80], pattern[128];
		rule_words words[] = {{"r", condition, pattern, "=seen ${x}"}};
		struct rules *r;
		char expected[160];

		snprintf(condition, sizeof(condition), "?%s", facts[i].fact);
		snprintf(pattern, sizeof(pattern), "~regex ^(?<x>.*)$");
		tags_set(&call.tags, SLICE("app"), SLICE("from-header"), TAG_HEADER);
		tags_set(&call.tags, SLICE("squad"), SLICE("from-env"), TAG_ENV);
		tags_set(&call.tags, SLICE("user_id"), SLICE("from-body"), TAG_BODY);
		tags_set(&call.tags, SLICE("tier"), SLICE("from-pod"), TAG_POD);
		r = RULES(words, false);
		rules_settle(r, false, &keys);
		rules_apply(r, &call, NULL, NULL);
		snprintf(expected, sizeof(expected), "%s (rule)", facts[i].value);
		assert_string_equal(tag_of(&call, "seen"), expected);
		rules_free(r);
	}
	free(keys.row);
}

static void a_tag_of_another_source_is_another_fact(void **state)
{
	static rule_words words[] = {
		{"h", "?header:team", "~exact a", "=by header"},
		{"b", "?body:team", "~exact a", "=by body"},
		{"l", "?label:team", "~exact a", "=by label"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	tags_set(&call.tags, SLICE("team"), SLICE("a"), TAG_ENV);
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "by"), "");
	rules_free(r);
}

static void patterns_match_what_they_say(void **state)
{
	static const struct {
		const char *pattern;
		bool matches; /* the unit ci-payments-7.service */
	} cases[] = {
		{"~exact ci-payments-7.service", true},
		{"~exact ci-payments-7.servic", false},
		{"~exact ci-payments-7.service.", false},
		{"~exact CI-payments-7.service", false},
		{"~prefix ci-", true},
		{"~prefix ci-payments-7.service", true},
		{"~prefix ci-payments-7.service-", false},
		{"~prefix payments", false},
		{"~glob ci-*", true},
		{"~glob *.service", true},
		{"~glob ci-*-?.service", true},
		{"~glob ci-[a-p]ayments-[!a-z].service", true},
		{"~glob payments", false},
		{"~glob ci-?.service", false},
		{"~regex payments", true},
		{"~regex ^ci-[a-z]+-\\d+\\.service$", true},
		{"~regex ^payments", false},
		{"~regex (?i)PAYMENTS", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		rule_words words[] = {{"r", "?unit", cases[i].pattern, "=hit yes"}};
		struct rules *r = RULES(words, false);
		struct call call = sample();

		rules_apply(r, &call, NULL, NULL);
		if (!!*tag_of(&call, "hit") != cases[i].matches)
			fail_msg("%s", cases[i].pattern);
		rules_free(r);
	}
}

/* Facts are more than paths: a model may be "vendor/name". */
static void a_star_crosses_slashes(void **state)
{
	static rule_words words[] = {
		{"r", "?cgroup", "~glob /*payments*", "=hit yes"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "hit"), "yes (rule)");
	rules_free(r);
}

static void all_conditions_and_one_pattern_of_each(void **state)
{
	static rule_words words[] = {
		{"hit", "?provider", "~exact anthropic", "~exact openai", "?user", "~prefix al",
		 "=hit yes"},
		{"miss", "?provider", "~exact openai", "?user", "~exact bob", "=miss yes"},
		{"every-call", "=all yes"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "hit"), "yes (rule)");
	assert_string_equal(tag_of(&call, "miss"), "");
	assert_string_equal(tag_of(&call, "all"), "yes (rule)");
	rules_free(r);
}

static void nothing_matches_what_is_unknown(void **state)
{
	static rule_words words[] = {
		{"regex", "?unit", "~regex ^$|.*", "=hit yes"},
		{"glob", "?unit", "~glob *", "=hit yes"},
		{"uid", "?uid", "~regex .*", "=hit yes"},
		{"tag", "?tag:team", "~glob *", "=hit yes"},
		{"key", "?key", "~glob *", "=hit yes"},
	};
	struct rules *r = RULES(words, false);
	struct call call = {0};

	(void)state;
	rules_apply(r, &call, NULL, NULL);
	assert_int_equal(call.tags.count, 0);
	rules_free(r);
	rules_apply(NULL, &call, NULL, NULL);
	assert_int_equal(call.tags.count, 0);
}

/* Of a call through a gateway, facts are those of who pays. */
static void a_workload_is_the_payers(void **state)
{
	static rule_words words[] = {{"r", "?unit", "~glob *", "=unit ${unit}"}};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	call.is_on_behalf = true;
	slice_copy(call.on_behalf_of.unit, sizeof(call.on_behalf_of.unit), SLICE("app.service"));
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "unit"), "app.service (rule)");
	rules_free(r);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void values_hold_groups_and_facts(void **state)
{
	static rule_words words[] = {
		{"r", "?unit", "~regex ^x(?<team>)", "~regex ^ci-(?<team>[a-z]+)-(?<run>\\d+)",
		 "?host", "~regex \\.(?<domain>[a-z]+\\.[a-z]+)$", "=team ${team}",
		 "=feature ${team}/${run} at ${domain}, ${user}", "=price 5$$",
		 "=customer_id ${tag:customer}", "=agent ${unit}"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "team"), "payments (rule)");
	assert_string_equal(tag_of(&call, "feature"), "payments/7 at openai.com, alice (rule)");
	assert_string_equal(tag_of(&call, "price"), "5$ (rule)");
	assert_string_equal(tag_of(&call, "customer_id"), ""); /* not known: not set */
	assert_string_equal(tag_of(&call, "agent"), "ci-payments-7.service (rule)");
	rules_free(r);
}

/* The tag that a group lies in is replaced by the same rule. */
static void values_are_made_before_tags_are_set(void **state)
{
	static rule_words words[] = {
		{"swap", "?tag:team", "~regex ^(?<org>[a-z]+)-(?<squad>[a-z]+)$", "=team ${squad}",
		 "=project ${org}", "=feature ${tag:team}"},
		{"later", "?tag:team", "~exact squad", "=agent seen"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	tags_set(&call.tags, SLICE("team"), SLICE("org-squad"), TAG_BODY);
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "team"), "squad (rule)");
	assert_string_equal(tag_of(&call, "project"), "org (rule)");
	assert_string_equal(tag_of(&call, "feature"), "org-squad (rule)");
	assert_string_equal(tag_of(&call, "agent"), "seen (rule)");
	rules_free(r);
}

static void groups_of_one_rule_are_not_anothers(void **state)
{
	static rule_words words[] = {
		{"one", "?unit", "~regex (?<x>payments)", "=one ${x}"},
		{"two", "?unit", "~regex (?<x>nothing)?service", "=two ${x}"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "one"), "payments (rule)");
	assert_string_equal(tag_of(&call, "two"), "");
	rules_free(r);
}

static void long_values_are_cut(void **state)
{
	static rule_words words[] = {{"r", "=long ${exe}${exe}${exe}"}};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	memset(call.workload.exe, 'x', sizeof(call.workload.exe) - 1);
	call.workload.exe[sizeof(call.workload.exe) - 1] = '\0';
	rules_apply(r, &call, NULL, NULL);
	assert_int_equal(call.tags.count, 1);
	assert_int_equal(strlen(call.tags.item[0].value), TAG_VALUE_MAX - 1);
	rules_free(r);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void all_or_the_first(void **state)
{
	static rule_words words[] = {
		{"miss", "?user", "~exact bob", "=team none"},
		{"one", "?user", "~exact alice", "=team one", "=one yes"},
		{"two", "=team two", "=two yes"},
	};
	struct rules *all = RULES(words, false), *first = RULES(words, true);
	struct call call = sample();

	(void)state;
	rules_apply(all, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "team"), "two (rule)");
	assert_string_equal(tag_of(&call, "one"), "yes (rule)");
	call.tags.count = 0;
	rules_apply(first, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "team"), "one (rule)");
	assert_string_equal(tag_of(&call, "two"), "");
	rules_free(all);
	rules_free(first);
}

/*
 * The precedence table: config default < node < namespace < pod < process env < header < body <
 * rule. Of each two sources the stronger one's value stands, whichever came first.
 */
static void the_stronger_source_stands(void **state)
{
	static const char *const order[] = {"default", "node",	 "namespace", "pod",
					    "env",     "header", "body",      "rule"};

	(void)state;
	assert_int_equal(ARRAY_LEN(order), TAG_SOURCES);
	for (int a = 0; a < TAG_SOURCES; a++) {
		assert_string_equal(tag_source_names[a], order[a]);
		for (int b = 0; b < TAG_SOURCES; b++) {
			struct call call = {0};
			const char *stands = order[a > b ? a : b];
			char expected[64];

			tags_set(&call.tags, SLICE("team"), slice_of(order[a]), (enum tag_source)a);
			tags_set(&call.tags, SLICE("team"), slice_of(order[b]), (enum tag_source)b);
			snprintf(expected, sizeof(expected), "%s (%s)", stands, stands);
			assert_string_equal(tag_of(&call, "team"), expected);
			assert_int_equal(call.tags.count, 1);
		}
	}
}

/* The ends of the table are what the configuration says: default: and set: of a rule. */
static void rules_are_the_ends_of_the_table(void **state)
{
	static rule_words words[] = {{"r", "-team d", "-free d", "=project r"}};
	struct rules *r = RULES(words, false);

	(void)state;
	for (int source = 0; source < TAG_SOURCES; source++) {
		struct call call = sample();
		char expected[64];

		tags_set(&call.tags, SLICE("team"), SLICE("told"), (enum tag_source)source);
		tags_set(&call.tags, SLICE("project"), SLICE("told"), (enum tag_source)source);
		rules_apply(r, &call, NULL, NULL);
		snprintf(expected, sizeof(expected), "%s (%s)",
			 source == TAG_DEFAULT ? "d" : "told", tag_source_names[source]);
		assert_string_equal(tag_of(&call, "team"), expected);
		assert_string_equal(tag_of(&call, "project"), "r (rule)");
		assert_string_equal(tag_of(&call, "free"), "d (default)");
	}
	rules_free(r);
}

/* A client that fills the table with headers of its own keeps no rule from setting its tags. */
static void a_rule_finds_room(void **state)
{
	static rule_words words[] = {{"r", "=team a", "=project b", "-free c"}};
	struct rules *r = RULES(words, false);
	struct call call = sample();
	uint64_t before = counter_get(COUNTER_RULES_TAGS_FULL);

	(void)state;
	tags_set(&call.tags, SLICE("env"), SLICE("weakest"), TAG_ENV);
	for (int i = 1; i < CALL_TAGS_MAX; i++) {
		char key[16];

		snprintf(key, sizeof(key), "h%d", i);
		assert_true(tags_set(&call.tags, slice_of(key), SLICE("x"), TAG_HEADER));
	}
	rules_apply(r, &call, NULL, NULL);
	assert_int_equal(call.tags.count, CALL_TAGS_MAX);
	assert_string_equal(tag_of(&call, "team"), "a (rule)");
	assert_string_equal(tag_of(&call, "project"), "b (rule)");
	assert_string_equal(tag_of(&call, "env"), "");
	assert_string_equal(tag_of(&call, "h23"), "");
	assert_string_equal(tag_of(&call, "h22"), "x (header)");
	assert_string_equal(tag_of(&call, "free"), ""); /* nothing is weaker than a default */
	assert_int_equal(counter_get(COUNTER_RULES_TAGS_FULL) - before, 3);
	rules_free(r);
}

/* ---- explained ------------------------------------------------------------------------------- */

struct story {
	char text[2048];
};

static void tell(void *user, const struct rule_step *step)
{
	static const char *const verdicts[RULE_VERDICTS] = {"matches", "differs", "unknown",
							    "gave up", "not tried"};
	static const char *const outcomes[] = {"set", "stronger", "unknown", "full"};
	struct story *s = user;
	size_t at = strlen(s->text);

	at += (size_t)snprintf(s->text + at, sizeof(s->text) - at, "%d %s: %s", step->line,
			       step->name, verdicts[step->verdict]);
	if (step->fact[0])
		at += (size_t)snprintf(s->text + at, sizeof(s->text) - at, " (%s '%s')", step->fact,
				       step->value);
	for (size_t i = 0; i < step->tag_count; i++)
		at += (size_t)snprintf(s->text + at, sizeof(s->text) - at, " %s %s",
				       outcomes[step->tags[i].outcome], step->tags[i].key);
	snprintf(s->text + at, sizeof(s->text) - at, "\n");
}

static void an_observer_sees_every_rule(void **state)
{
	static rule_words words[] = {
		{"differs", "?provider", "~exact openai", "?user", "~exact bob", "=a b"},
		{"unknown", "?tag:team", "~glob *", "=a b"},
		{"matches", "=team x", "-user_id d", "=c ${tag:none}"},
		{"rest", "=a b"},
	};
	struct rules *r = RULES(words, true);
	struct call call = sample();
	struct story story = {""};

	(void)state;
	tags_set(&call.tags, SLICE("user_id"), SLICE("u"), TAG_ENV);
	rules_apply(r, &call, tell, &story);
	assert_string_equal(story.text, "1 differs: differs (user 'alice')\n"
					"2 unknown: unknown (tag:team '')\n"
					"3 matches: matches set team stronger user_id unknown c\n"
					"4 rest: not tried\n");
	rules_free(r);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Patterns whose work doubles with each byte of the value stop at the limit, and are counted. */
static void a_hostile_value_costs_a_bounded_time(void **state)
{
	static rule_words words[] = {
		{"regex", "?model", "~regex ^(a|aa)+$", "=hit yes"},
		{"glob", "?model", "~glob *a*a*a*a*a*a*a*a*b", "=hit yes"},
		{"saved", "?model", "~regex ^(a|aa)+$", "~prefix a", "=saved yes"},
	};
	struct rules *r = RULES(words, false);
	struct call call = sample();
	uint64_t before = counter_get(COUNTER_RULES_GAVE_UP);
	struct story story = {""};

	(void)state;
	memset(call.model, 'a', sizeof(call.model) - 2);
	call.model[sizeof(call.model) - 2] = '!';
	call.model[sizeof(call.model) - 1] = '\0';
	rules_apply(r, &call, tell, &story);
	assert_string_equal(tag_of(&call, "hit"), "");
	assert_string_equal(tag_of(&call, "saved"), "yes (rule)");
	assert_non_null(strstr(story.text, "regex: gave up (model 'aaa"));
	assert_true(counter_get(COUNTER_RULES_GAVE_UP) - before >= 2);
	rules_free(r);
}

static void bytes_that_are_no_text_match_nothing_and_harm_nothing(void **state)
{
	static rule_words words[] = {{"r", "?model", "~regex ^(?<m>.+)$", "=m ${m}"}};
	struct rules *r = RULES(words, false);
	struct call call = sample();

	(void)state;
	memcpy(call.model, "a\xff\xc3", 4);
	rules_apply(r, &call, NULL, NULL);
	assert_string_equal(tag_of(&call, "m"), "");
	rules_free(r);
}

static void bad_rules_say_why(void **state)
{
	static const struct {
		rule_words words;
		const char *why;
	} cases[] = {
		{{"", "=a b"}, "bad name ''"},
		{{"a b", "=a b"}, "bad name 'a b'"},
		{{"x"}, "it sets no tag"},
		{{"x", "?unit", "=a b"}, "unit: no pattern"},
		{{"x", "?unti", "~exact a", "=a b"}, "unknown fact 'unti'; known: exe comm argv"},
		{{"x", "?tag:", "~exact a", "=a b"}, "unknown fact 'tag:'"},
		{{"x", "?prompt", "~exact a", "=a b"}, "unknown fact 'prompt'"},
		{{"x", "?unit", "~exact a", "?unit", "~exact b", "=a b"}, "unit: stands twice"},
		{{"x", "?unit", "~like a", "=a b"}, "unknown way to match 'like'"},
		{{"x", "?unit", "~exact ", "=a b"}, "a pattern has 1 to 511 bytes"},
		{{"x", "?unit", "~regex a(b", "=a b"}, "regex 'a(b': missing closing parenthesis"},
		{{"x", "?unit", "~regex \\C", "=a b"}, "regex '\\C'"},
		{{"x", "?unit", "~regex ((a{5}b){250}){250}", "=a b"}, "too large"},
		{{"x", "?unit", "~glob a[b", "=a b"}, "glob 'a[b'"},
		{{"x", "?unit", "~regex (?<t>a)", "?host", "~regex (?<t>b)", "=a b"},
		 "the group 't' stands in two facts"},
		{{"x", "=a b", "=a c"}, "tag 'a' is set twice"},
		{{"x", "=a b", "-a c"}, "tag 'a' is set twice"},
		{{"x", "=a,b c"}, "bad tag 'a,b'"},
		{{"x", "=inferred c"}, "the tag 'inferred' is the agent's own"},
		{{"x", "=a "}, "tag 'a': a value has 1 to 255 bytes"},
		{{"x", "=a b\tc"}, "tag 'a': a control character"},
		{{"x", "=a ${team}"}, "tag 'a': ${team} is neither a named group"},
		{{"x", "=a $1"}, "a '$' stands before {NAME}"},
		{{"x", "=a ${unit"}, "a '$' stands before {NAME}"},
		{{"x", "=a $$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$"}, "more than 16 parts"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rules *r;
		char why[1024] = "";

		assert_int_equal(rules_new(&r), 0);
		if (add_rule(r, cases[i].words, 1, why, sizeof(why)) != -EINVAL)
			fail_msg("not refused: %s", cases[i].why);
		if (!strstr(why, cases[i].why))
			fail_msg("'%s' is not: %s", why, cases[i].why);
		rules_free(r);
	}
}

/* Adds the word, its '#' a number, until it is refused; returns how often it was not. */
static size_t fill(struct rules *r, const char *word, char *why, size_t size)
{
	size_t count = 0;
	char text[64];

	for (; count < 10000; count++) {
		snprintf(text, sizeof(text), "%.*s%zu%s", (int)strcspn(word, "#"), word, count,
			 strchr(word, '#') + 1);
		if (add_word(r, text, why, size) == -EINVAL)
			break;
	}
	return count;
}

static void counts_are_bounded(void **state)
{
	struct rules *r;
	char why[1024] = "", name[16];
	size_t count = 0;

	(void)state;
	assert_int_equal(rules_new(&r), 0);
	for (; count < 10000; count++) {
		snprintf(name, sizeof(name), "r%zu", count);
		rule_words words = {name, "=a b"};
		if (add_rule(r, words, 1, why, sizeof(why)))
			break;
	}
	assert_int_equal(count, RULES_MAX);
	assert_non_null(strstr(why, "more than 256 rules"));
	rules_free(r);

	assert_int_equal(rules_new(&r), 0);
	assert_int_equal(rules_begin(r, 1, why, sizeof(why)), 0);
	assert_int_equal(fill(r, "?tag:t#", why, sizeof(why)), RULE_CONDITIONS_MAX);
	assert_non_null(strstr(why, "more than 16 facts"));
	assert_int_equal(fill(r, "~exact #", why, sizeof(why)), RULE_PATTERNS_MAX);
	assert_non_null(strstr(why, "more than 64 patterns"));
	assert_int_equal(fill(r, "=t# x", why, sizeof(why)), RULE_SETS_MAX);
	assert_non_null(strstr(why, "more than 24 tags"));
	rules_free(r);
}

static void regexes_and_groups_are_bounded(void **state)
{
	struct rules *r;
	char why[1024] = "";
	size_t count = 0;

	(void)state;
	assert_int_equal(rules_new(&r), 0);
	for (int i = 0; count < RULES_REGEX_MAX; i++) {
		assert_int_equal(rules_begin(r, 1, why, sizeof(why)), 0);
		assert_int_equal(rules_condition(r, "unit", why, sizeof(why)), 0);
		count += fill(r, "~glob a#*", why, sizeof(why));
	}
	assert_int_equal(count, RULES_REGEX_MAX);
	assert_int_equal(add_word(r, "?host", why, sizeof(why)), 0);
	assert_int_equal(add_word(r, "~regex a", why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "more than 256 regexes"));
	rules_free(r);

	assert_int_equal(rules_new(&r), 0);
	assert_int_equal(rules_begin(r, 1, why, sizeof(why)), 0);
	assert_int_equal(rules_condition(r, "unit", why, sizeof(why)), 0);
	assert_int_equal(fill(r, "~regex (?<g#>a)", why, sizeof(why)), RULE_GROUPS_MAX);
	assert_non_null(strstr(why, "more than 16 named groups"));
	assert_int_equal(rules_condition(r, "host", why, sizeof(why)), 0);
	assert_int_equal(add_word(r,
				  "~regex (a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)"
				  "(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)",
				  why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "more than 32 groups"));
	rules_free(r);
}

static void rules_can_be_read_back(void **state)
{
	static rule_words words[] = {
		{"ci", "?unit", "~prefix ci-", "~exact b.service", "?host", "~glob *.com",
		 "=team ${user}", "-environment prod"},
	};
	struct rules *r = RULES(words, false);
	char text[256], cut[8];

	(void)state;
	assert_int_equal(rules_count(r), 1);
	assert_int_equal(rules_count(NULL), 0);
	assert_string_equal(rules_view(r, 0).name, "ci");
	rules_conditions_text(r, 0, text, sizeof(text));
	assert_string_equal(text, "unit prefix 'ci-' or exact 'b.service', host glob '*.com'");
	rules_tags_text(r, 0, text, sizeof(text));
	assert_string_equal(text, "team=${user}, environment=prod (default)");
	rules_conditions_text(r, 0, cut, sizeof(cut));
	assert_string_equal(cut, "unit pr");
	rules_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fact_can_be_matched),
		cmocka_unit_test(a_tag_of_another_source_is_another_fact),
		cmocka_unit_test(patterns_match_what_they_say),
		cmocka_unit_test(a_star_crosses_slashes),
		cmocka_unit_test(all_conditions_and_one_pattern_of_each),
		cmocka_unit_test(nothing_matches_what_is_unknown),
		cmocka_unit_test(a_workload_is_the_payers),
		cmocka_unit_test(values_hold_groups_and_facts),
		cmocka_unit_test(values_are_made_before_tags_are_set),
		cmocka_unit_test(groups_of_one_rule_are_not_anothers),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(all_or_the_first),
		cmocka_unit_test(the_stronger_source_stands),
		cmocka_unit_test(rules_are_the_ends_of_the_table),
		cmocka_unit_test(a_rule_finds_room),
		cmocka_unit_test(an_observer_sees_every_rule),
		cmocka_unit_test(a_hostile_value_costs_a_bounded_time),
		cmocka_unit_test(bytes_that_are_no_text_match_nothing_and_harm_nothing),
		cmocka_unit_test(bad_rules_say_why),
		cmocka_unit_test(counts_are_bounded),
		cmocka_unit_test(regexes_and_groups_are_bounded),
		cmocka_unit_test(rules_can_be_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
