/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/counters.h"
#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/providers/provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

#include <cmocka.h>

#define SEC NSEC_PER_SEC

/* ---- a stage ----------------------------------------------------------------------------------
 */

static struct {
	size_t rows, ignored, judged;
	struct call row[4];
	enum ignored_reason reason;
	char ignored_provider[32];
	enum judgement judgement;
} seen;

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	(void)user;
	assert_int_equal(conn->tgid, 42);
	assert_int_equal(started_ns, SEC);
	if (seen.rows < ARRAY_LEN(seen.row))
		seen.row[seen.rows] = *call;
	seen.rows++;
	call->basis = BASIS_UNPRICED; /* as pricing may: a later row must not inherit it */
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	seen.ignored++;
	seen.reason = reason;
	snprintf(seen.ignored_provider, sizeof(seen.ignored_provider), "%s", provider);
}

static void on_judged(void *user, const struct conn_id *conn, enum judgement judgement,
		      const char *host)
{
	(void)user;
	(void)conn;
	assert_non_null(host);
	seen.judged++;
	seen.judgement = judgement;
}

static const struct exchange_ops ops = {
	.done = on_done, .ignored = on_ignored, .judged = on_judged};
static struct exchange_env env = {.fingerprint_key = "0123456789abcdef0123456789abcde",
				  .ops = &ops};

static int set_up(void **state)
{
	struct provider_table *table = NULL;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	if (provider_table_new(&table))
		return -1;
	env.providers = table;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	provider_table_free((struct provider_table *)env.providers);
	return 0;
}

/* "Name: value" lines into a head. */
static struct http_head head_of(const char *method, const char *target, int status,
				const char *const *lines)
{
	struct http_head h = {
		.method = slice_of(method), .target = slice_of(target), .status = status};

	for (; lines && *lines; lines++) {
		const char *colon = strchr(*lines, ':');

		h.fields[h.count].name = (struct slice){*lines, (size_t)(colon - *lines)};
		h.fields[h.count++].value = slice_trim(slice_of(colon + 1));
	}
	return h;
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct exchange *begin_as(const char *method, const char *target, bool candidate,
				 const char *const *lines)
{
	struct exchange_start start = {.conn = {.tgid = 42},
				       .entry_ns = SEC,
				       .index_in_record = 3,
				       .candidate = candidate,
				       .host_hint = ""};
	struct http_head head = head_of(method, target, 0, lines);
	struct exchange *x = NULL;

	assert_int_equal(exchange_begin(&x, &env, &start, &head), 0);
	return x;
}

static struct exchange *begin_chat(void)
{
	return begin_as("POST", "/v1/chat/completions", false, LINES("Host: api.openai.com"));
}

static struct exchange *begin_messages(void)
{
	return begin_as("POST", "/v1/messages", false, LINES("Host: api.anthropic.com"));
}

static void request(struct exchange *x, const char *body)
{
	exchange_request_body(x, slice_of(body));
	exchange_request_end(x, MESSAGE_COMPLETE);
}

static void answer_head(struct exchange *x, int status, const char *const *lines)
{
	struct http_head head = head_of(NULL, NULL, status, lines);

	exchange_response_head(x, &head, 2 * SEC);
}

static void answer(struct exchange *x, const char *body, uint64_t now_ns)
{
	exchange_response_body(x, slice_of(body), now_ns);
}

static const struct call *end(struct exchange *x, enum message_end how)
{
	exchange_response_end(x, how, 9 * SEC);
	exchange_abandon(x, 10 * SEC); /* closed: nothing more may come */
	exchange_free(x);
	return &seen.row[0];
}

#define CHAT_ANSWER                                                                      \
	"{\"id\":\"c1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-2024-08-06\"," \
	"\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,"         \
	"\"total_tokens\":10}}"
#define DELTA(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define LAST_CHUNK                                                                      \
	"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3," \
	"\"total_tokens\":10}}\n\n"
#define MESSAGE_START                                                                           \
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"," \
	"\"usage\":{\"input_tokens\":70,\"output_tokens\":1}}}\n\n"
#define MESSAGE_DELTA                                                                         \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" \
	"\"end_turn\"},\"usage\":{\"output_tokens\":40}}\n\n"
#define MESSAGE_STOP "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

static void expect(const struct call *c, enum outcome outcome, enum basis basis, bool known)
{
	if (seen.rows != 1 || c->outcome != outcome || c->basis != basis || c->usage.known != known)
		fail_msg("%zu rows, %s, %s, known %d; expected %s, %s, known %d", seen.rows,
			 outcome_names[c->outcome], basis_names[c->basis], c->usage.known,
			 outcome_names[outcome], basis_names[basis], known);
}

/* ---- requests -----------------------------------------------------------------------------------
 */

static const char *tag(const struct call *c, const char *key)
{
	for (uint32_t i = 0; i < c->tags.count; i++) {
		if (strcmp(c->tags.item[i].key, key) == 0)
			return c->tags.item[i].value;
	}
	return "";
}

static void facts_of_a_request(void **state)
{
	struct exchange *x = begin_as(
		"POST", "/v1/chat/completions", false,
		LINES("Host: API.openai.com:443", "Authorization: Bearer sk-test-1",
		      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		      "X-Stainless-Retry-Count: 2", "x-session-id: s-9", "OpenAI-Project: proj_1",
		      "User-Agent: OpenAI/Python 1.2 (x)", "Helicone-Property-Feature: search"));
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
	assert_string_equal(tag(c, "client"), "OpenAI/Python");
	assert_string_equal(tag(c, "Feature"), "search");
	assert_string_equal(tag(c, "user_id"), "u1");
	assert_string_equal(tag(c, "team"), "blue");
	assert_string_equal(tag(c, "n"), "3");
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

/* ---- outcomes
 * ------------------------------------------------------------------------------------ */

static void no_answer(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	request(x, "{\"model\":\"gpt-4o\"}");
	exchange_abandon(x, 9 * SEC);
	exchange_free(x);
	c = &seen.row[0];
	expect(c, OUTCOME_ABORTED, BASIS_PARTIAL, false);
	assert_int_equal(c->status, 0);
	assert_string_equal(c->model, "gpt-4o");
	assert_int_equal(c->time_to_first_token_us, -1);
}

static void error_status(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	request(x, "{\"model\":\"gpt-4o\"}");
	answer_head(x, 429, NULL);
	answer(x, "{\"error\":{\"message\":\"too many words of yours\",\"type\":\"tokens\"}}",
	       3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_NOT_BILLED, false);
	assert_string_equal(c->error_class, "tokens");
}

/* Text where an identifier belongs could quote the prompt: it is dropped. */
static void error_text_is_not_kept(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 400, NULL);
	answer(x, "{\"error\":{\"type\":\"your secret words\",\"code\":\"bad-thing\"}}", 3 * SEC);
	assert_string_equal(end(x, MESSAGE_COMPLETE)->error_class, "bad-thing");
}

static void html_error(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 502, LINES("Content-Type: text/html"));
	answer(x, "<html>Bad gateway</html>", 3 * SEC);
	expect(end(x, MESSAGE_CUT), OUTCOME_ERROR, BASIS_NOT_BILLED, false);
}

static void stream_without_usage(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	answer_head(x, 200, LINES("Content-Type: text/event-stream"));
	answer(x, "data: {\"choices\":[{\"delta\":{\"role\":\"a\",\"content\":\"\"}}]}\n\n",
	       3 * SEC);
	answer(x, DELTA("hi"), 5 * SEC);
	answer(x, "data: [DONE]\n\n", 6 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_true(c->stream);
	assert_int_equal(c->time_to_first_token_us, 4000000);
}

static void cut_stream_without_usage(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, DELTA("hi"), 5 * SEC);
	expect(end(x, MESSAGE_CUT), OUTCOME_ABORTED, BASIS_PARTIAL, false);
}

static void cut_anthropic_stream(void **state)
{
	struct exchange *x = begin_messages();
	const struct call *c;

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, MESSAGE_START, 5 * SEC);
	c = end(x, MESSAGE_CUT);
	expect(c, OUTCOME_ABORTED, BASIS_PARTIAL, true);
	assert_int_equal(c->usage.tokens[TOKEN_INPUT_UNCACHED], 70);
}

/* The body said that it is over; only the framing's end is missing. */
static void dropped_after_the_end(void **state)
{
	static const char *const bodies[] = {
		DELTA("x") LAST_CHUNK "data: [DONE]\n\n",
		"data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" LAST_CHUNK,
		"data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" LAST_CHUNK
		"data: [DONE]\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct exchange *x = begin_chat();

		seen.rows = 0;
		answer_head(x, 200, NULL);
		answer(x, bodies[i], 5 * SEC);
		expect(end(x, MESSAGE_CUT), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	}
}

static void message_stop_ends_a_stream(void **state)
{
	struct exchange *x = begin_messages();
	const struct call *c;

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, MESSAGE_START MESSAGE_DELTA MESSAGE_STOP, 5 * SEC);
	c = end(x, MESSAGE_CUT);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(usage_output_total(&c->usage), 40);
}

static void error_inside_a_stream(void **state)
{
	struct exchange *x = begin_messages();
	const struct call *c;

	(void)state;
	answer_head(x, 200, NULL);
	answer(x,
	       MESSAGE_START "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
			     "\"overloaded_error\",\"message\":\"m\"}}\n\n",
	       5 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_PARTIAL, true);
	assert_string_equal(c->error_class, "overloaded_error");
}

static void provider_reported_cost(void **state)
{
	struct exchange *x =
		begin_as("POST", "/api/v1/chat/completions", false, LINES("Host: openrouter.ai"));
	const struct call *c;

	(void)state;
	answer_head(x, 200, NULL);
	answer(x,
	       "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":1,"
	       "\"completion_tokens\":1,\"total_tokens\":2,\"cost\":5.37e-06}}",
	       5 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_PROVIDER_REPORTED, true);
	assert_int_equal(c->usage.provider_cost_pusd, 5370000);
}

static void sub_rows(void **state)
{
	struct exchange *x = begin_messages();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x,
	       "{\"type\":\"message\",\"model\":\"main\",\"usage\":{\"input_tokens\":5,"
	       "\"output_tokens\":2,\"iterations\":[{\"type\":\"message\",\"input_tokens\":5,"
	       "\"output_tokens\":2},{\"type\":\"advisor_message\",\"model\":\"big\","
	       "\"input_tokens\":8,\"output_tokens\":1}]}}",
	       5 * SEC);
	end(x, MESSAGE_COMPLETE);
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.row[0].model, "main");
	assert_int_equal(seen.row[0].sub_index, 0);
	assert_string_equal(seen.row[1].model, "big");
	assert_int_equal(seen.row[1].sub_index, 1);
	assert_int_equal(seen.row[1].basis, BASIS_REPORTED_USAGE);
	assert_int_equal(usage_input_total(&seen.row[1].usage), 8);
}

/* ---- gaps
 * ---------------------------------------------------------------------------------------- */

static void gap_in_the_request(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	exchange_request_body(x, SLICE("{\"messages\":[{\"content\":\"abc"));
	exchange_request_gap(x, 100);
	exchange_request_body(x, SLICE("\"}],\"model\":\"gpt-4o\"}"));
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, NULL);
	answer(x, CHAT_ANSWER, 3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(c->gaps, 1);
	assert_string_equal(c->model, "gpt-4o-2024-08-06");
}

static void gap_before_the_usage_event(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, DELTA("one") "data: {\"choices\":[{\"delta\":{\"content\":\"cut", 3 * SEC);
	exchange_response_gap(x, 500);
	/* What follows the gap may look like an event's fields; only a blank line resyncs. */
	answer(x, "\"usage\":{\"prompt_tokens\":99}\n", 4 * SEC);
	answer(x, "\n", 4 * SEC);
	answer(x, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" LAST_CHUNK, 5 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(c->usage.tokens[TOKEN_INPUT_UNCACHED], 7);
	assert_int_equal(c->gaps, 1);
}

static void gap_over_the_usage_event(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, DELTA("one"), 3 * SEC);
	exchange_response_gap(x, 500);
	answer(x, "\n\ndata: [DONE]\n\n", 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, false);
}

/* Counts that were cumulative before the gap may have grown in it. */
static void gap_after_cumulative_usage(void **state)
{
	struct exchange *x =
		begin_as("POST", "/chat/completions", false, LINES("Host: api.perplexity.ai"));

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, LAST_CHUNK, 3 * SEC);
	exchange_response_gap(x, 500);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
}

static void gap_over_the_final_delta(void **state)
{
	struct exchange *x = begin_messages();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, MESSAGE_START, 3 * SEC);
	exchange_response_gap(x, 500);
	answer(x, "\n\n" MESSAGE_STOP, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
}

static void gap_in_a_json_answer(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, "{\"object\":\"chat.completion\",\"choices\":[{\"message\":{\"content\":\"a",
	       3 * SEC);
	exchange_response_gap(x, 10);
	answer(x, "\"}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}", 4 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, false);
}

static void gap_after_the_usage_of_a_json_answer(void **state)
{
	struct exchange *x = begin_messages();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, "{\"type\":\"message\",\"usage\":{\"input_tokens\":7,\"output_tokens\":3},",
	       3 * SEC);
	exchange_response_gap(x, 10);
	answer(x, "\"id\":\"m\"}", 4 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
}

static void gap_in_the_first_bytes(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Type: text/event-stream"));
	exchange_response_gap(x, 500);
	answer(x, "x\n\n" LAST_CHUNK "data: [DONE]\n\n", 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
}

static void broken_coding(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_CODING);
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: gzip"));
	answer(x, CHAT_ANSWER, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_CODING), before + 1);
}

static void unknown_coding(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_CODING);
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: aes128gcm"));
	answer(x, CHAT_ANSWER, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_CODING), before + 1);
}

/* A stored block of deflate: `text` as it is, and no trailer. */
static size_t stored_gzip(uint8_t *dst, const char *text)
{
	static const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	uint16_t len = (uint16_t)strlen(text);
	uint8_t block[] = {0, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len,
			   (uint8_t)(~len >> 8)};

	memcpy(dst, head, sizeof(head));
	memcpy(dst + sizeof(head), block, sizeof(block));
	memcpy(dst + sizeof(head) + sizeof(block), text, len);
	return sizeof(head) + sizeof(block) + len;
}

/* Cumulative counts were read; later ones may stand in what could not be. */
static void coding_breaks_after_usage(void **state)
{
	struct exchange *x = begin_chat();
	uint8_t wire[512];
	size_t n = stored_gzip(wire, "data: {\"object\":\"chat.completion.chunk\",\"usage\":"
				     "{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n");

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: gzip"));
	memset(wire + n, 0xff, 8); /* a block of no known type */
	exchange_response_body(x, (struct slice){(char *)wire, n + 8}, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
	assert_int_equal(seen.row[0].usage.tokens[TOKEN_INPUT_UNCACHED], 9);
}

/* Far more zeros than a body may unpack to. */
static void bomb(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_BOMB);
	struct exchange *x = begin_chat();
	static uint8_t zeros[1 << 20], packed[1 << 16];
	z_stream z = {0};

	(void)state;
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	answer_head(x, 200, LINES("Content-Encoding: gzip"));
	for (int i = 0; i < 64; i++) {
		z.next_in = zeros;
		z.avail_in = sizeof(zeros);
		z.next_out = packed;
		z.avail_out = sizeof(packed);
		assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
		exchange_response_body(
			x, (struct slice){(char *)packed, sizeof(packed) - z.avail_out}, 5 * SEC);
	}
	deflateEnd(&z);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_BOMB), before + 1);
}

/* What was asked for, what the answer says in order, what counts. */
static void service_tiers(void **state)
{
	static const struct {
		const char *asked, *opening, *served, *tier;
		bool batch;
	} rows[] = {
		{"auto", "auto", "default", "default", false},
		{"priority", "auto", "default", "default", false},
		{"priority", "auto", "auto", "priority", false},
		{"flex", "auto", "flex", "flex", false},
		{"auto", "auto", "auto", "auto", false},
		{"auto", "auto", "batch", "batch", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x =
			begin_as("POST", "/v1/responses", false, LINES("Host: api.openai.com"));
		char text[256];
		const struct call *c;

		seen.rows = 0;
		snprintf(text, sizeof(text), "{\"service_tier\":\"%s\"}", rows[i].asked);
		request(x, text);
		answer_head(x, 200, NULL);
		snprintf(text, sizeof(text),
			 "data: {\"type\":\"response.created\",\"response\":"
			 "{\"service_tier\":\"%s\"}}\n\n"
			 "data: {\"type\":\"response.completed\",\"response\":"
			 "{\"service_tier\":\"%s\",\"usage\":{\"input_tokens\":1}}}\n\n",
			 rows[i].opening, rows[i].served);
		answer(x, text, 5 * SEC);
		c = end(x, MESSAGE_COMPLETE);
		assert_string_equal(c->service_tier, rows[i].tier);
		assert_int_equal(c->batch, rows[i].batch);
	}
}

/* ---- no rows
 * --------------------------------------------------------------------------------------- */

static void ignored_exchanges(void **state)
{
	static const struct {
		const char *method, *target, *host, *extra;
		enum ignored_reason reason;
		const char *provider;
	} rows[] = {
		{"GET", "/v1/models", "Host: api.openai.com", "A: b", IGNORED_PATH_NOT_BILLABLE,
		 "openai"},
		{"POST", "/v1/messages/count_tokens", "Host: api.anthropic.com", "A: b",
		 IGNORED_PATH_NOT_BILLABLE, "anthropic"},
		{"GET", "/v1/responses/resp_1", "Host: api.openai.com", "A: b", IGNORED_METHOD,
		 "openai"},
		{"POST", "/v1/unheard-of", "Host: api.openai.com", "A: b", IGNORED_PATH_UNKNOWN,
		 "openai"},
		{"GET", "/index.html", "Host: shop.example", "A: b", IGNORED_PATH_UNKNOWN, ""},
		{"GET", "/v1/realtime?model=m", "Host: api.openai.com", "Upgrade: websocket",
		 IGNORED_UPGRADE, "openai"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = begin_as(rows[i].method, rows[i].target, false,
					      LINES(rows[i].host, rows[i].extra));
		size_t before = exchange_memory(x);

		request(x, "{\"model\":\"m\"}");
		answer_head(x, 200, NULL);
		answer(x, CHAT_ANSWER, 3 * SEC);
		assert_int_equal(exchange_memory(x), before);
		end(x, MESSAGE_COMPLETE);
		assert_int_equal(seen.rows, 0);
		assert_int_equal(seen.ignored, i + 1);
		if (seen.reason != rows[i].reason)
			fail_msg("%s: %s", rows[i].target, ignored_reason_names[seen.reason]);
		assert_string_equal(seen.ignored_provider, rows[i].provider);
	}
	assert_int_equal(seen.judged, 0);
}

static void upgraded(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 101, NULL);
	end(x, MESSAGE_COMPLETE);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.reason, IGNORED_UPGRADE);
}

static void continue_is_no_answer(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 100, NULL);
	answer_head(x, 103, NULL);
	answer_head(x, 200, NULL);
	answer(x, CHAT_ANSWER, 3 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(seen.row[0].status, 200);
}

/* ---- candidates
 * ------------------------------------------------------------------------------------ */

static void judged_by_the_answer(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum judgement judgement;
		bool row;
	} rows[] = {
		{200, CHAT_ANSWER, JUDGE_WATCH, true},
		{200, DELTA("x") "data: [DONE]\n\n", JUDGE_WATCH, true},
		{401, "{\"error\":{\"message\":\"no\",\"type\":\"auth\"}}", JUDGE_WATCH, true},
		{404, "<html>nothing here</html>", JUDGE_MUTE, false},
		{404, "{\"detail\":\"Not Found\"}", JUDGE_MUTE, false},
		{200, "{\"ok\":true}", JUDGE_MUTE, false},
		{200, "event: tick\ndata: {\"price\":3}\n\n", JUDGE_MUTE, false},
		{204, "", JUDGE_MUTE, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = begin_as("POST", "/v1/chat/completions", true,
					      LINES("Host: llm.corp.example:8443"));

		memset(&seen, 0, sizeof(seen));
		request(x, "{\"model\":\"m\"}");
		answer_head(x, rows[i].status, NULL);
		answer(x, rows[i].body, 3 * SEC);
		end(x, MESSAGE_COMPLETE);
		if (seen.judged != 1 || seen.judgement != rows[i].judgement ||
		    (seen.rows == 1) != rows[i].row || seen.rows + seen.ignored != 1)
			fail_msg("%s: judged %zu as %d, %zu rows, %zu ignored", rows[i].body,
				 seen.judged, seen.judgement, seen.rows, seen.ignored);
		if (!rows[i].row) {
			assert_int_equal(seen.reason, IGNORED_NOT_LLM);
			continue;
		}
		assert_int_equal(seen.row[0].role, ROLE_UNKNOWN);
		assert_string_equal(seen.row[0].host, "llm.corp.example:8443");
		assert_string_equal(seen.row[0].provider, "openai");
	}
}

/* The judgement comes with the first marks, long before a stream ends. */
static void judged_early(void **state)
{
	struct exchange *x = begin_as("POST", "/v1/messages", true, LINES("Host: a.example"));

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, MESSAGE_START, 3 * SEC);
	assert_int_equal(seen.judged, 1);
	assert_int_equal(seen.judgement, JUDGE_WATCH);
	exchange_abandon(x, 4 * SEC);
	exchange_free(x);
	assert_int_equal(seen.judged, 1);
	assert_int_equal(seen.rows, 1);
}

/* ---- attempts ---------------------------------------------------------------------------------
 */

#define CHAT_BODY  "{\"model\":\"gpt-4o-mini\",\"messages\":[]}"
#define ANSWER_OK  "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":3}}"
#define ANSWER_ERR "{\"error\":{\"type\":\"server_error\"}}"

struct attempt {
	const char *target;
	const char *retries; /* the client's own count */
	const char *body;    /* in two pieces, split after `split` bytes */
	size_t split;
	uint64_t gap; /* bytes of it that were not seen */
	bool cut;     /* the request was not sent to its end */
	int status;   /* 0 = no answer */
	const char *answer;
};

#define FIRST(status, answer)                                                       \
	{                                                                           \
		"/v1/chat/completions", "0", CHAT_BODY, 5, 0, false, status, answer \
	}

static const struct retry {
	const char *what;
	struct attempt first, second;
	int number; /* of the second; 1 = an operation of its own */
} retries[] = {
	{"500", FIRST(500, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"408", FIRST(408, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"409", FIRST(409, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"429", FIRST(429, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"529", FIRST(529, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"no answer", FIRST(0, NULL), FIRST(200, ANSWER_OK), 2},
	{"an error inside a 200", FIRST(200, "data: " ANSWER_ERR "\n\n"), FIRST(200, ANSWER_OK), 2},
	{"400 stays 400", FIRST(400, ANSWER_ERR), FIRST(200, ANSWER_OK), 1},
	{"401", FIRST(401, ANSWER_ERR), FIRST(200, ANSWER_OK), 1},
	{"it worked", FIRST(200, ANSWER_OK), FIRST(200, ANSWER_OK), 1},
	{"in other pieces",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "0", CHAT_BODY, 20, 0, false, 200, ANSWER_OK},
	 2},
	{"another body",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "0", CHAT_BODY " ", 5, 0, false, 200, ANSWER_OK},
	 1},
	{"another path",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/completions", "0", CHAT_BODY, 5, 0, false, 200, ANSWER_OK},
	 1},
	{"a gap in the second",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "0", CHAT_BODY, 5, 7, false, 200, ANSWER_OK},
	 1},
	{"a gap in the first",
	 {"/v1/chat/completions", "0", CHAT_BODY, 5, 7, false, 500, ANSWER_ERR},
	 FIRST(200, ANSWER_OK),
	 1},
	{"the first was cut",
	 {"/v1/chat/completions", "0", CHAT_BODY, 5, 0, true, 500, ANSWER_ERR},
	 FIRST(200, ANSWER_OK),
	 1},
	{"the client says so",
	 FIRST(200, ANSWER_OK),
	 {"/v1/chat/completions", "1", CHAT_BODY, 5, 0, false, 200, ANSWER_OK},
	 2},
	{"the client counts more",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "3", CHAT_BODY, 5, 0, false, 200, ANSWER_OK},
	 4},
};

static void attempt(const struct attempt *a, uint64_t ssl)
{
	struct exchange_start start = {.conn = {.tgid = 42, .ssl = ssl},
				       .entry_ns = SEC,
				       .index_in_record = 3,
				       .host_hint = ""};
	char count[64];
	struct http_head head;
	struct exchange *x;

	snprintf(count, sizeof(count), "X-Stainless-Retry-Count: %s", a->retries);
	head = head_of("POST", a->target, 0, LINES("Host: api.openai.com", count));
	assert_int_equal(exchange_begin(&x, &env, &start, &head), 0);
	exchange_request_body(x, (struct slice){a->body, a->split});
	if (a->gap)
		exchange_request_gap(x, a->gap);
	exchange_request_body(x, slice_of(a->body + a->split + a->gap));
	exchange_request_end(x, a->cut ? MESSAGE_CUT : MESSAGE_COMPLETE);
	if (a->status) {
		answer_head(x, a->status, NULL);
		answer(x, a->answer, 2 * SEC);
		end(x, MESSAGE_COMPLETE);
	} else {
		exchange_abandon(x, 2 * SEC);
		exchange_free(x);
	}
}

static void retries_are_linked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(retries); i++) {
		const struct retry *r = &retries[i];
		struct call *c = seen.row;
		bool linked;

		seen.rows = 0;
		assert_int_equal(operation_table_new(&env.operations), 0);
		attempt(&r->first, 1);
		attempt(&r->second, 2);
		operation_table_free(env.operations);
		env.operations = NULL;
		linked = strcmp(c[0].operation_id, c[1].operation_id) == 0;
		if (seen.rows != 2 || c[0].attempt != 1 || c[1].attempt != r->number ||
		    linked != (r->number > 1) || strlen(c[1].operation_id) != 32)
			fail_msg("%s: attempts %d and %d, %s", r->what, c[0].attempt, c[1].attempt,
				 linked ? "linked" : "not linked");
	}
}

/* The retry comes before anything else says that the first connection is gone. */
static void freed_then_sent_again(void **state)
{
	static const struct attempt again = FIRST(200, ANSWER_OK);
	struct exchange *x;

	(void)state;
	assert_int_equal(operation_table_new(&env.operations), 0);
	x = begin_as("POST", again.target, false, LINES("Host: api.openai.com"));
	request(x, CHAT_BODY);
	exchange_may_end(x, 2 * SEC);
	attempt(&again, 2);
	exchange_abandon(x, 3 * SEC);
	exchange_free(x);
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.row[0].operation_id, seen.row[1].operation_id);
	assert_int_equal(seen.row[0].attempt, 2);
	assert_int_equal(seen.row[1].attempt, 1);
	operation_table_free(env.operations);
	env.operations = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(facts_of_a_request),
		TEST(credentials),
		TEST(fingerprint_is_keyed),
		TEST(compressed_request),
		TEST(a_deployment_is_no_model),
		TEST(no_answer),
		TEST(error_status),
		TEST(error_text_is_not_kept),
		TEST(html_error),
		TEST(stream_without_usage),
		TEST(cut_stream_without_usage),
		TEST(cut_anthropic_stream),
		TEST(dropped_after_the_end),
		TEST(message_stop_ends_a_stream),
		TEST(error_inside_a_stream),
		TEST(provider_reported_cost),
		TEST(sub_rows),
		TEST(gap_in_the_request),
		TEST(gap_before_the_usage_event),
		TEST(gap_over_the_usage_event),
		TEST(gap_after_cumulative_usage),
		TEST(gap_over_the_final_delta),
		TEST(gap_in_a_json_answer),
		TEST(gap_after_the_usage_of_a_json_answer),
		TEST(gap_in_the_first_bytes),
		TEST(broken_coding),
		TEST(unknown_coding),
		TEST(coding_breaks_after_usage),
		TEST(bomb),
		TEST(service_tiers),
		TEST(ignored_exchanges),
		TEST(upgraded),
		TEST(continue_is_no_answer),
		TEST(judged_by_the_answer),
		TEST(judged_early),
		TEST(retries_are_linked),
		TEST(freed_then_sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
