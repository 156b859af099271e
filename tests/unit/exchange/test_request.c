/* SPDX-License-Identifier: Apache-2.0 */
/* What a request tells of its call. */
#include "stage.h"

#include "agent/runs/link.h"

#include <zlib.h>

static void facts_of_a_request(void **state)
{
	struct exchange *x = begin_as(
		"POST", "/v1/chat/completions", false,
		LINES("Host: API.openai.com:443", "Authorization: Bearer sk-test-1",
		      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		      "X-Stainless-Retry-Count: 2", "x-session-id: s-9", "OpenAI-Project: proj_1",
		      "User-Agent: OpenAI/Python 1.2 (x)", "Helicone-Property-Feature: search",
		      "x-goog-user-project: billing-1"));
	const struct call *c;

	(void)state;
	request(x, "{\"messages\":[{\"content\":\"\\\"model\\\":\\\"no\\\"\",\"model\":\"no\"}],"
		   "\"model\":\"gpt-4o\",\"stream\":true,\"service_tier\":\"auto\","
		   "\"user\":\"u1\",\"metadata\":{\"team\":\"blue\",\"n\":3}}");
	answer_head(x, 200,
		    LINES("Content-Type: application/json", "x-request-id: req_1",
			  "openai-organization: org-1"));
	answer(x, CHAT_ANSWER, 4 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(c->host, "api.openai.com");
	assert_string_equal(c->provider, "openai");
	assert_string_equal(c->billed_by, "openai");
	assert_string_equal(c->operation, "chat");
	assert_string_equal(c->api, "chat.completions");
	assert_string_equal(c->model_requested, "gpt-4o");
	assert_string_equal(c->model, "gpt-4o-2024-08-06");
	assert_string_equal(c->service_tier, "");
	assert_string_equal(c->trace_id, "0af7651916cd43dd8448eb211c80319c");
	assert_string_equal(c->span_id, "b7ad6b7169203331");
	assert_string_equal(c->session_id, "s-9");
	assert_string_equal(c->request_id, "req_1");
	assert_string_equal(c->response_id, "c1");
	assert_string_equal(tag(c, "openai_project"), "proj_1");
	assert_string_equal(tag(c, "openai_organization"), "org-1");
	assert_string_equal(tag(c, "gcp_project"), "billing-1");
	assert_string_equal(tag(c, "sdk"), "openai-python");
	assert_int_equal(c->tags.count, 4); /* nothing else is listed */
	assert_int_equal(c->attempt, 3);
	assert_true(c->stream && c->billable);
	assert_int_equal(c->role, ROLE_DIRECT);
	assert_int_equal(c->status, 200);
	assert_int_equal(c->duration_us, 8000000);
	assert_int_equal(c->time_to_first_token_us, 3000000);
	assert_string_equal(c->credential_kind, "api_key");
	assert_int_equal(c->billing_mode, BILLING_METERED);
}

static void credentials(void **state)
{
	static const struct {
		const char *host, *field, *kind;
		enum billing_mode billing;
		const char *beta;
	} rows[] = {
		{"Host: api.anthropic.com", "x-api-key: sk-ant-api-1", "api_key", BILLING_METERED,
		 NULL},
		{"Host: api.anthropic.com", "Authorization: bearer sk-ant-api-1", "api_key",
		 BILLING_METERED, NULL},
		{"Host: api.anthropic.com", "Authorization: Bearer sk-ant-oat01-x", "oauth",
		 BILLING_SUBSCRIPTION, NULL},
		{"Host: api.anthropic.com", "Authorization: Bearer other", "oauth",
		 BILLING_SUBSCRIPTION, "anthropic-beta: claude-code-20250219,oauth-2025-04-20"},
		{"Host: api.anthropic.com", "x-api-key: sk-ant-api-2", "api_key", BILLING_METERED,
		 "anthropic-beta: fast-mode-2026-01-01"},
		{"Host: chatgpt.com", "Authorization: Bearer eyJhbGciOi.x.y", "oauth",
		 BILLING_SUBSCRIPTION, NULL},
		{"Host: api.business.githubcopilot.com", "Authorization: Bearer tid=1;exp=2",
		 "oauth", BILLING_SUBSCRIPTION, NULL},
		{"Host: x.openai.azure.com", "Authorization: Bearer eyJhbGciOi.x.y", "oauth",
		 BILLING_METERED, NULL},
		{"Host: x.openai.azure.com", "api-key: 0a1b", "azure_key", BILLING_METERED, NULL},
		{"Host: api.openai.com", "Accept: */*", "", BILLING_METERED, NULL},
		{"Host: api.openai.com", "Authorization: Bearer ", "", BILLING_METERED, NULL},
	};
	char first[9] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *target = i < 5 ? "/v1/messages" : "/v1/responses";
		struct exchange *x = begin_as("POST", target, false,
					      LINES(rows[i].host, rows[i].field,
						    rows[i].beta ? rows[i].beta : "Accept: */*"));
		const struct call *c;

		seen.rows = 0;
		answer_head(x, 500, NULL);
		c = end(x, MESSAGE_COMPLETE);
		assert_string_equal(c->credential_kind, rows[i].kind);
		assert_int_equal(c->billing_mode, rows[i].billing);
		assert_int_equal(strlen(c->key_fingerprint), rows[i].kind[0] ? 8 : 0);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", c->key_fingerprint);
		/* The same key in another field is the same key; another key is not. */
		assert_true((strcmp(first, c->key_fingerprint) == 0) == (i < 2));
	}
}

/* The same key as a field and as a parameter; elsewhere such a parameter is none. */
static void keys_in_targets(void **state)
{
	static const struct {
		const char *target, *host, *field;
		bool has_key;
	} rows[] = {
		{"/v1/models/m:generateContent", "Host: generativelanguage.googleapis.com",
		 "x-goog-api-key: AIza1", true},
		{"/v1/models/m:generateContent?alt=sse&key=AIza1",
		 "Host: generativelanguage.googleapis.com", "A: b", true},
		{"/v1/models/m:generateContent?key=AIza1&alt=sse",
		 "Host: generativelanguage.googleapis.com", "A: b", true},
		{"/v1/models/m:generateContent?monkey=AIza1&key=",
		 "Host: generativelanguage.googleapis.com", "A: b", false},
		{"/v1/chat/completions?key=AIza1", "Host: api.openai.com", "A: b", false},
	};
	char first[9] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x =
			begin_as("POST", rows[i].target, false, LINES(rows[i].host, rows[i].field));
		const struct call *c;

		seen.rows = 0;
		answer_head(x, 500, NULL);
		c = end(x, MESSAGE_COMPLETE);
		assert_string_equal(c->credential_kind, rows[i].has_key ? "api_key" : "");
		if (i == 0)
			snprintf(first, sizeof(first), "%s", c->key_fingerprint);
		assert_string_equal(c->key_fingerprint, rows[i].has_key ? first : "");
	}
}

/* A form names its model in a field, Vertex in the path. */
static void bodies_of_other_kinds(void **state)
{
	struct exchange *x = begin_as(
		"POST", "/v1/audio/transcriptions", false,
		LINES("Host: api.openai.com", "Content-Type: multipart/form-data; boundary=b"));
	const struct call *c;

	(void)state;
	request(x, "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n"
		   "--b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--b--");
	answer_head(x, 500, NULL);
	c = end(x, MESSAGE_COMPLETE);
	assert_string_equal(c->model_requested, "whisper-1");
	assert_true(c->stream);
	x = begin_as("POST", "/v1/publishers/google/models/m:generateContent", false,
		     LINES("Host: aiplatform.googleapis.com"));
	seen.rows = 0;
	request(x, "{\"model\":\"another\"}");
	answer_head(x, 500, NULL);
	c = end(x, MESSAGE_COMPLETE);
	assert_string_equal(c->model_requested, "m");
}

/* Signatures differ with every request; the access key's id stays. */
static void signatures(void **state)
{
	static const struct {
		const char *field;
		bool same;
	} rows[] = {
		{"Authorization: AWS4-HMAC-SHA256 Credential=AKIA1/20260101/us-east-1/bedrock/"
		 "aws4_request, SignedHeaders=host, Signature=aa",
		 true},
		{"Authorization: AWS4-HMAC-SHA256 Credential=AKIA1/20260102/us-east-1/bedrock/"
		 "aws4_request, SignedHeaders=host, Signature=bb",
		 true},
		{"Authorization: AWS4-HMAC-SHA256 Credential=AKIA2/20260101/us-east-1/bedrock/"
		 "aws4_request, SignedHeaders=host, Signature=aa",
		 false},
		{"Authorization: AWS4-HMAC-SHA256 Credential=none", false},
	};
	char first[9] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = begin_as(
			"POST", "/model/m/converse", false,
			LINES("Host: bedrock-runtime.us-east-1.amazonaws.com", rows[i].field));
		const struct call *c;

		seen.rows = 0;
		answer_head(x, 500, NULL);
		c = end(x, MESSAGE_COMPLETE);
		assert_string_equal(c->credential_kind, "aws_sigv4");
		if (i == 0)
			snprintf(first, sizeof(first), "%s", c->key_fingerprint);
		assert_int_equal(strlen(first), 8);
		assert_int_equal(strcmp(first, c->key_fingerprint) == 0, rows[i].same);
	}
	assert_string_equal(seen.row[0].key_fingerprint, "");
}

/* The path names the model: percent-coded, behind an ARN, or as an ARN that tells none. */
static void models_of_bedrock(void **state)
{
	static const struct {
		const char *target, *model;
	} rows[] = {
		{"/model/us.anthropic.claude-x-v1%3A0/converse", "us.anthropic.claude-x-v1:0"},
		{"/model/us.anthropic.claude-x-v1:0/converse", "us.anthropic.claude-x-v1:0"},
		{"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A12%3Ainference-profile%2Feu.a.b-v1%3a0/"
		 "converse",
		 "eu.a.b-v1:0"},
		{"/model/arn:aws:bedrock:us-east-1::foundation-model%2Fa.b/converse", "a.b"},
		{"/model/arn:aws:bedrock:us-east-1:12:application-inference-profile%2Fxyz/converse",
		 "arn:aws:bedrock:us-east-1:12:application-inference-profile/xyz"},
		{"/model/bad%2/converse", "bad%2"},
		{"/model/bad%zz/converse", "bad%zz"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x =
			begin_as("POST", rows[i].target, false,
				 LINES("Host: bedrock-runtime.us-east-1.amazonaws.com"));
		const struct call *c;

		seen.rows = 0;
		answer_head(x, 200, LINES("x-amzn-RequestId: r-1"));
		answer(x, "{\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}", 3 * SEC);
		c = end(x, MESSAGE_COMPLETE);
		assert_string_equal(c->provider, "aws.bedrock");
		assert_string_equal(c->model, rows[i].model);
		assert_string_equal(c->model_requested, rows[i].model);
		assert_string_equal(c->request_id, "r-1");
		assert_string_equal(c->response_id, "r-1");
	}
}

static void errors_of_bedrock(void **state)
{
	struct exchange *x = begin_as("POST", "/model/m/invoke", false,
				      LINES("Host: bedrock-runtime.us-east-1.amazonaws.com"));
	const struct call *c;

	(void)state;
	answer_head(x, 429,
		    LINES("x-amzn-ErrorType: ThrottlingException:http://internal.example/",
			  "x-amzn-bedrock-input-token-count: 5"));
	answer(x, "{\"message\":\"slow down\"}", 3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_NOT_BILLED, false);
	assert_string_equal(c->error_class, "ThrottlingException");
	assert_string_equal(c->response_id, "");
}

/* Another install gives another fingerprint of the same key. */
static void fingerprint_is_keyed(void **state)
{
	char one[9];
	struct exchange *x;

	(void)state;
	for (int i = 0; i < 2; i++) {
		env.fingerprint_key[0] = (uint8_t)('0' + i);
		x = begin_as("POST", "/v1/responses", false,
			     LINES("Host: api.openai.com", "Authorization: Bearer k"));
		seen.rows = 0;
		answer_head(x, 500, NULL);
		end(x, MESSAGE_COMPLETE);
		if (i == 0)
			snprintf(one, sizeof(one), "%s", seen.row[0].key_fingerprint);
	}
	assert_string_not_equal(one, seen.row[0].key_fingerprint);
	env.fingerprint_key[0] = '0';
}

static void compressed_request(void **state)
{
	static const char text[] = "{\"model\":\"gpt-zip\",\"stream\":false}";
	uint8_t packed[256];
	uLongf n = sizeof(packed);
	struct exchange *x = begin_as("POST", "/v1/responses", false,
				      LINES("Host: api.openai.com", "Content-Encoding: deflate"));

	(void)state;
	assert_int_equal(compress(packed, &n, (const Bytef *)text, sizeof(text) - 1), Z_OK);
	for (size_t i = 0; i < n; i++)
		exchange_request_body(x, (struct slice){(char *)packed + i, 1});
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, NULL);
	assert_string_equal(end(x, MESSAGE_COMPLETE)->model_requested, "gpt-zip");
}

static void a_deployment_is_no_model(void **state)
{
	struct exchange *x = begin_as("POST", "/openai/deployments/my-gpt/embeddings?api-version=1",
				      false, LINES("Host: r.openai.azure.com"));
	const struct call *c;

	(void)state;
	request(x, "{\"input\":\"x\"}");
	answer_head(x, 200, NULL);
	answer(x, "{\"object\":\"list\",\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}",
	       3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(c->provider, "azure.ai.openai");
	assert_string_equal(c->model_requested, "my-gpt");
	assert_string_equal(c->model, "");
}

/* ---- what joins runs ----------------------------------------------------------------------- */

static bool links(const struct call_links *l, enum run_source kind, const char *id)
{
	uint8_t hash[16];

	assert_true(link_hash(hash, env.fingerprint_key, kind, slice_of(id)));
	for (uint32_t i = 0; i < link_count(l); i++) {
		if (l->item[i].kind == kind && memcmp(l->item[i].hash, hash, sizeof(hash)) == 0)
			return true;
	}
	return false;
}

/* The id itself is nowhere in the record. */
static void assert_hashed(const struct call *c, const char *id)
{
	assert_null(memmem(c, sizeof(*c), id, strlen(id)));
}

static void tool_calls_of_chat(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	request(x, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":"
		   "\"call_before1\"}]},{\"role\":\"tool\",\"tool_call_id\":\"call_before1\","
		   "\"content\":\"x\"}]}");
	answer_head(x, 200, LINES("Content-Type: text/event-stream"));
	answer(x,
	       "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{"
	       "\"tool_calls\":[{\"id\":\"call_after12\",\"function\":{\"name\":\"f\"}}]}}]}\n\n",
	       2 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	assert_int_equal(c->asks.count, 1);
	assert_true(links(&c->asks, RUN_BY_TOOL_CALL, "call_before1"));
	assert_int_equal(c->gives.count, 1);
	assert_true(links(&c->gives, RUN_BY_TOOL_CALL, "call_after12"));
	assert_hashed(c, "call_before1");
	assert_hashed(c, "call_after12");
}

static void tool_calls_of_messages(void **state)
{
	struct exchange *x = begin_messages();
	const struct call *c;

	(void)state;
	request(x, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
		   "\"tool_use_id\":\"toolu_before\"}]}]}");
	answer_head(x, 200, LINES("Content-Type: application/json"));
	answer(x,
	       "{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[{\"type\":\"text\",\"text\":"
	       "\"a\"},{\"type\":\"tool_use\",\"id\":\"toolu_after\"}]}",
	       2 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	assert_true(links(&c->asks, RUN_BY_TOOL_CALL, "toolu_before"));
	assert_true(links(&c->gives, RUN_BY_TOOL_CALL, "toolu_after"));
	assert_int_equal(c->asks.count + c->gives.count, 2);
	assert_hashed(c, "toolu_before");
	assert_hashed(c, "toolu_after");
}

static void what_a_response_goes_on_from(void **state)
{
	struct exchange *x =
		begin_as("POST", "/v1/responses", false, LINES("Host: api.openai.com"));
	const struct call *c;

	(void)state;
	request(x, "{\"previous_response_id\":\"resp_before\",\"conversation\":{\"id\":"
		   "\"conv_12345\"},\"input\":[{\"type\":\"function_call_output\",\"call_id\":"
		   "\"call_before1\",\"output\":\"x\"}]}");
	answer_head(x, 200, LINES("Content-Type: application/json"));
	answer(x,
	       "{\"id\":\"resp_1\",\"object\":\"response\",\"output\":[{\"type\":"
	       "\"function_call\",\"call_id\":\"call_after12\"}]}",
	       2 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	assert_int_equal(c->asks.count, 3);
	assert_true(links(&c->asks, RUN_BY_RESPONSE, "resp_before"));
	assert_true(links(&c->asks, RUN_BY_CONVERSATION, "conv_12345"));
	assert_true(links(&c->asks, RUN_BY_TOOL_CALL, "call_before1"));
	assert_int_equal(c->gives.count, 1);
	assert_true(links(&c->gives, RUN_BY_TOOL_CALL, "call_after12"));
	assert_hashed(c,
		      "call_before1"); /* a conversation's id is a tag, too: privacy.h keeps it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tool_calls_of_chat),
		TEST(tool_calls_of_messages),
		TEST(what_a_response_goes_on_from),
		TEST(facts_of_a_request),
		TEST(credentials),
		TEST(keys_in_targets),
		TEST(bodies_of_other_kinds),
		TEST(signatures),
		TEST(models_of_bedrock),
		TEST(errors_of_bedrock),
		TEST(fingerprint_is_keyed),
		TEST(compressed_request),
		TEST(a_deployment_is_no_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
