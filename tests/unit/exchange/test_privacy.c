/* SPDX-License-Identifier: Apache-2.0 */
/* Which values of a call's heads and body are kept, and what they look like then. */
#include "stage.h"

#include "agent/exchange/privacy.h"

#include <errno.h>

static struct privacy privacy;

static void list(bool minimal, const char *const *specs)
{
	char err[PRIVACY_ERROR_MAX] = "";

	privacy_init(&privacy, minimal);
	for (; *specs; specs++) {
		if (privacy_add(&privacy, *specs, err, sizeof(err)))
			fail_msg("%s", err);
	}
	env.privacy = &privacy;
}

/* The call of a request with this field and body, answered with the other field. */
static const struct call *play(const char *field, const char *body, const char *answer_field)
{
	struct exchange *x = begin_as("POST", "/v1/responses", false,
				      LINES("Host: api.openai.com", field ? field : "A: b"));

	seen.rows = 0;
	request(x, body ? body : "{}");
	answer_head(x, 500, LINES(answer_field ? answer_field : "A: b"));
	return end(x, MESSAGE_COMPLETE);
}

static bool is_hash(const char *text)
{
	struct slice start = SLICE(PRIVACY_HASH_START);

	return slice_starts(slice_of(text), start) && slice_is_hex(slice_of(text + start.len), 16);
}

/* With nothing configured: ids and accounts, and not one value of anything else. */
static void by_default_ids_alone(void **state)
{
	static const char *const not_listed[] = {
		"x-title: my-app",	 "helicone-user-id: u1", "helicone-property-feature: x",
		"baggage: team=blue",	 "x-litellm-tags: a,b",	 "cf-aig-metadata: {\"team\":1}",
		"x-portkey-metadata: x", "x-unknown: y",	 "tracestate: v=1",
	};
	static const struct {
		const char *field, *tag, *value;
	} accounts[] = {
		{"OpenAI-Project: proj_1", "openai_project", "proj_1"},
		{"OpenAI-Organization: org-1", "openai_organization", "org-1"},
		{"x-goog-user-project: billing-1", "gcp_project", "billing-1"},
		{"conversation_id: c-1", "conversation_id", "c-1"},
		{"baggage: a=b, gen_ai.conversation.id = c%2D2 ;p=1", "conversation_id", "c-2"},
	};
	const struct call *c;

	(void)state;
	env.privacy = NULL;
	for (size_t i = 0; i < ARRAY_LEN(not_listed); i++)
		assert_int_equal(play(not_listed[i], NULL, NULL)->tags.count, 0);
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
		c = play(accounts[i].field, NULL, NULL);
		assert_string_equal(tag(c, accounts[i].tag), accounts[i].value);
		assert_int_equal(c->tags.count, 1);
	}
	c = play(NULL,
		 "{\"user\":\"u1\",\"safety_identifier\":\"s\",\"metadata\":{\"team\":\"blue\"},"
		 "\"labels\":{\"a\":\"b\"},\"requestMetadata\":{\"a\":\"b\"},"
		 "\"prompt_cache_key\":\"k\"}",
		 NULL);
	assert_int_equal(c->tags.count, 0);
	c = play(NULL, "{\"previous_response_id\":\"resp_1\",\"conversation\":{\"id\":\"conv_1\"}}",
		 NULL);
	assert_string_equal(tag(c, "previous_response_id"), "resp_1");
	assert_string_equal(tag(c, "conversation_id"), "conv_1");
	c = play(NULL, "{\"conversation\":\"conv_2\"}", "anthropic-organization-id: org-2");
	assert_string_equal(tag(c, "conversation_id"), "conv_2");
	assert_string_equal(tag(c, "anthropic_organization"), "org-2");
}

static void sessions(void **state)
{
	static const struct {
		const char *field, *session;
	} rows[] = {
		{"X-Claude-Code-Session-Id: s-1", "s-1"},
		{"session-id: s-2", "s-2"},
		{"session_id: s-3", "s-3"},
		{"x-opencode-session: s-4", "s-4"},
		{"VScode-SessionId: s-5", "s-5"},
		{"x-session-id: s-6", "s-6"},
		{"Helicone-Session-Id: s-7", "s-7"},
		{"baggage: session.id=s-8", "s-8"},
		{"session: s-9", ""},
	};

	(void)state;
	env.privacy = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(play(rows[i].field, NULL, NULL)->session_id, rows[i].session);
	/* An address or a sentence in its place is hashed. */
	assert_true(is_hash(play("x-session-id: jane@corp.example", NULL, NULL)->session_id));
	assert_true(is_hash(play("x-session-id: tell me a story", NULL, NULL)->session_id));
}

/* A listed key by its default way and by each that can be told. */
static void ways(void **state)
{
	static const struct {
		const char *spec, *field, *body, *tag;
		const char *value; /* "" = none, "#" = a hash */
	} rows[] = {
		{"header:x-title", "X-Title: my-app", NULL, "app", "my-app"},
		{"header:X-Title=drop", "x-title: my-app", NULL, "app", ""},
		{"header:x-title=hash", "x-title: my-app", NULL, "app", "#"},
		{"header:x-title", "x-title: my app", NULL, "app", "#"},
		{"header:x-title=plain", "x-title: my app", NULL, "app", "#"},
		{"header:x-title", "x-title: me@corp.example", NULL, "app", "#"},
		{"header:x-title=plain", "x-title: me@corp.example", NULL, "app",
		 "me@corp.example"},
		{"header:x-team", "x-team: blue", NULL, "x-team", "blue"},
		{"header:helicone-property-feature", "Helicone-Property-Feature: s", NULL,
		 "feature", "s"},
		{"header:openai-project=hash", "openai-project: p", NULL, "openai_project", "#"},
		{"header:openai-project=drop", "openai-project: p", NULL, "openai_project", ""},
		{"baggage:team", "baggage: a=b,team=blue", NULL, "team", "blue"},
		{"baggage:team", "baggage: team=me%40corp.example", NULL, "team", "#"},
		{"baggage:user.id", "baggage: user.id=u1", NULL, "user_id", "#"},
		{"baggage:team", "baggage: Team=blue", NULL, "team", ""},
		{"body:user", NULL, "{\"user\":\"u1\"}", "user_id", "#"},
		{"body:user=plain", NULL, "{\"user\":\"u1\"}", "user_id", "u1"},
		{"body:safety_identifier", NULL, "{\"safety_identifier\":\"s\"}",
		 "safety_identifier", "#"},
		{"body:metadata.user_id", NULL, "{\"metadata\":{\"user_id\":\"u\"}}", "user_id",
		 "#"},
		{"body:metadata.team", NULL, "{\"metadata\":{\"team\":\"blue\"}}", "team", "blue"},
		{"body:metadata.team", NULL, "{\"metadata\":{\"team\":\"write a poem\"}}", "team",
		 "#"},
		{"body:metadata.team", NULL, "{\"metadata\":{\"other\":\"blue\"}}", "team", ""},
		{"body:metadata.n", NULL, "{\"metadata\":{\"n\":3}}", "n", "3"},
		{"body:metadata.a.b", NULL, "{\"metadata\":{\"a\":{\"b\":\"c\"}}}", "a.b", "c"},
		{"body:labels.team", NULL, "{\"labels\":{\"team\":\"blue\"}}", "team", "blue"},
		{"body:requestMetadata.team", NULL, "{\"requestMetadata\":{\"team\":\"b\"}}",
		 "team", "b"},
		{"body:previous_response_id=hash", NULL, "{\"previous_response_id\":\"r\"}",
		 "previous_response_id", "#"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got;

		list(false, LINES(rows[i].spec));
		got = tag(play(rows[i].field, rows[i].body, NULL), rows[i].tag);
		if (rows[i].value[0] == '#' ? !is_hash(got) : strcmp(got, rows[i].value) != 0)
			fail_msg("%s of %s%s: '%s'", rows[i].spec,
				 rows[i].field ? rows[i].field : "",
				 rows[i].body ? rows[i].body : "", got);
	}
	list(false, LINES("answer:x-route", "answer:x-ms-region=drop"));
	assert_string_equal(tag(play(NULL, NULL, "x-route: eu"), "x-route"), "eu");
	assert_string_equal(tag(play(NULL, NULL, "x-route: East US"), "x-route"), "East US");
	assert_true(is_hash(tag(play(NULL, NULL, "x-route: a\"b"), "x-route")));
	assert_string_equal(tag(play("x-route: eu", NULL, NULL), "x-route"), "");
	assert_string_equal(tag(play(NULL, NULL, "x-ms-region: eu"), "azure_region"), "");
}

/* One byte too many, and it is no id. */
static void long_values(void **state)
{
	char field[256] = "x-session-id: ";
	size_t start = strlen(field);

	(void)state;
	env.privacy = NULL;
	memset(field + start, 'a', PRIVACY_VALUE_MAX);
	assert_string_equal(play(field, NULL, NULL)->session_id, field + start);
	memset(field + start, 'a', PRIVACY_VALUE_MAX + 1);
	assert_true(is_hash(play(field, NULL, NULL)->session_id));
}

/* One value has one hash wherever it stands, another under another key. */
static void hashes(void **state)
{
	char one[64];
	const struct call *c;

	(void)state;
	list(false, LINES("body:user", "body:metadata.user_id=hash", "header:x-title=hash"));
	c = play("x-title: u1", "{\"user\":\"u1\"}", NULL);
	assert_string_equal(tag(c, "app"), tag(c, "user_id"));
	snprintf(one, sizeof(one), "%s", tag(c, "app"));
	assert_string_not_equal(tag(play("x-title: u2", NULL, NULL), "app"), one);
	env.fingerprint_key[0] ^= 1;
	assert_string_not_equal(tag(play("x-title: u1", NULL, NULL), "app"), one);
	env.fingerprint_key[0] ^= 1;
	assert_string_equal(tag(play("x-title: u1", NULL, NULL), "app"), one);
	/* And it is no fingerprint of a credential of the same bytes. */
	c = play("Authorization: Bearer u1", NULL, NULL);
	assert_int_not_equal(memcmp(one + strlen(PRIVACY_HASH_START), c->key_fingerprint, 8), 0);
}

static void traces(void **state)
{
	static const char field[] =
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	const struct call *c;

	(void)state;
	env.privacy = NULL;
	c = play(field, NULL, NULL);
	assert_string_equal(c->trace_id, "0af7651916cd43dd8448eb211c80319c");
	assert_string_equal(c->span_id, "b7ad6b7169203331");
	assert_string_equal(
		play("traceparent: 00-tell me a story, and make it a long one please, will you?",
		     NULL, NULL)
			->trace_id,
		"");
	list(false, LINES("header:traceparent=hash"));
	c = play(field, NULL, NULL);
	assert_true(is_hash(c->trace_id));
	assert_string_equal(c->span_id, "");
	list(false, LINES("header:traceparent=drop"));
	assert_string_equal(play(field, NULL, NULL)->trace_id, "");
}

static void minimal_lists_nothing(void **state)
{
	const struct call *c;

	(void)state;
	list(true, LINES("body:metadata.team"));
	c = play("x-session-id: s", "{\"metadata\":{\"team\":\"blue\"}}", "openai-organization: o");
	assert_string_equal(c->session_id, "");
	assert_int_equal(c->tags.count, 1);
	assert_string_equal(tag(c, "team"), "blue");
	c = play("User-Agent: OpenAI/Python 1.2", NULL, NULL);
	assert_int_equal(c->tags.count, 0);
}

static void refused(void **state)
{
	static const char *const specs[] = {
		"",
		"x-title",
		"x-title=plain",
		"header:",
		"header:=plain",
		"header:x-title=",
		"header:x-title=maybe",
		"header:x-title=plain=plain",
		"heading:x-title",
		"header:Authorization",
		"header:x-api-key=plain",
		"header:x-goog-api-key",
		"header:X-Amz-Security-Token=hash",
		"header:Cookie",
		"answer:set-cookie",
		"header:baggage",
		"header:sec-websocket-protocol",
		"body:messages[].content",
		"body:input",
		"body:metadata",
		"body:metadata.",
		"body:tools",
		"header:a234567890123456789012345678901234567890123456789012345678901234",
	};
	char err[PRIVACY_ERROR_MAX], spec[32];

	(void)state;
	privacy_init(&privacy, false);
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		size_t count = privacy.count;

		if (privacy_add(&privacy, specs[i], err, sizeof(err)) != -EINVAL)
			fail_msg("taken: '%s'", specs[i]);
		assert_int_equal(privacy.count, count);
		assert_true(strlen(err) > 20 && !strchr(err, '\n'));
	}
	for (int i = 0; privacy.count < PRIVACY_KEYS_MAX; i++) {
		snprintf(spec, sizeof(spec), "header:x-%d", i);
		assert_int_equal(privacy_add(&privacy, spec, err, sizeof(err)), 0);
	}
	assert_int_equal(privacy_add(&privacy, "header:x-0=drop", err, sizeof(err)), 0);
	assert_int_equal(privacy_add(&privacy, "header:y", err, sizeof(err)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_default_ids_alone),  TEST(sessions), TEST(ways),
		TEST(long_values),	     TEST(hashes),   TEST(traces),
		TEST(minimal_lists_nothing), TEST(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
