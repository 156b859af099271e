/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of gRPC: how they end is told by grpc-status, in trailers or in a head alone; what they ask
 * for stands in a protobuf message; those of other services give no row.
 */
#include "stage.h"

#include "agent/exchange/privacy.h"

#define XAI(method) "/xai_api.Chat/" method
#define LPM(len)    "\0\0\0\0" len

/* GetCompletionsRequest: model, user, tier. */
#define ASKED                        \
	LPM("\x13")                  \
	"\x12\x06grok-4\x82\x01\x05" \
	"alice\xf8\x01\x02"
/* GetChatCompletionResponse: id, model, usage (1: 3, 2: 7, 3: 10). */
#define ANSWERED LPM("\x14") "\x0a\x02id\x32\x06grok-4\x4a\x06\x08\x03\x10\x07\x18\x0a"
/* GetChatCompletionChunk: a delta, usage. */
#define CHUNK LPM("\x12") "\x12\x06\x0a\x04\x0a\x02hi\x32\x06\x08\x03\x10\x07\x18\x0a\x1a\x00"

static struct exchange *begin_grpc(const char *host, const char *target)
{
	char line[64];

	snprintf(line, sizeof(line), "Host: %s", host);
	return begin_as("POST", target, false, LINES(line, "Content-Type: application/grpc"));
}

static void body(struct exchange *x, struct slice bytes)
{
	exchange_response_body(x, bytes, 3 * SEC);
}

static void trailers(struct exchange *x, const char *line)
{
	struct http_head fields = head_of(NULL, NULL, 0, LINES(line));

	exchange_response_trailers(x, &fields);
}

static struct exchange *asked(const char *target)
{
	struct exchange *x = begin_grpc("api.x.ai:443", target);

	exchange_request_body(x, SLICE(ASKED));
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, LINES("Content-Type: application/grpc"));
	return x;
}

static void request_and_answer(void **state)
{
	struct privacy privacy;
	char err[PRIVACY_ERROR_MAX];
	struct exchange *x;
	const struct call *c;

	(void)state;
	privacy_init(&privacy, false);
	assert_int_equal(privacy_add(&privacy, "body:user=plain", err, sizeof(err)), 0);
	env.privacy = &privacy;
	x = asked(XAI("GetCompletion"));
	body(x, SLICE(ANSWERED));
	trailers(x, "grpc-status: 0");
	c = end(x, MESSAGE_COMPLETE);
	env.privacy = NULL;
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(c->model_requested, "grok-4");
	assert_string_equal(c->model, "grok-4");
	assert_string_equal(c->response_id, "id");
	assert_string_equal(c->host, "api.x.ai");
	assert_string_equal(c->api, "chat.completions");
	assert_string_equal(tag(c, "user_id"), "alice");
	assert_string_equal(c->service_tier, "2");
	assert_false(c->stream);
	assert_string_equal(c->usage.raw_json, "{\"completion_tokens\":3,\"prompt_tokens\":7,"
					       "\"total_tokens\":10}");
}

/* The head has END_STREAM: there are no messages and no trailers. */
static void error_in_the_head_alone(void **state)
{
	struct exchange *x = begin_grpc("api.x.ai", XAI("GetCompletion"));
	const struct call *c;

	(void)state;
	exchange_request_body(x, SLICE(ASKED));
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, LINES("grpc-status: 8", "grpc-message: the prompt was ..."));
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_NOT_BILLED, false);
	assert_string_equal(c->error_class, "RESOURCE_EXHAUSTED");
	assert_int_equal(c->status, 200);
}

static void error_behind_chunks(void **state)
{
	struct exchange *x = asked(XAI("GetCompletionChunk"));
	const struct call *c;

	(void)state;
	body(x, SLICE(CHUNK));
	trailers(x, "grpc-status: 14");
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_PARTIAL, true);
	assert_string_equal(c->error_class, "UNAVAILABLE");
	assert_true(c->stream);
	assert_int_equal(c->time_to_first_token_us, 2000000);
}

static void statuses_of_trailers(void **state)
{
	static const struct {
		const char *line, *name;
		enum outcome outcome;
	} rows[] = {
		{"grpc-status: 0", "", OUTCOME_OK},
		{"Grpc-Status: 1", "CANCELLED", OUTCOME_ERROR},
		{"grpc-status: 16", "UNAUTHENTICATED", OUTCOME_ERROR},
		{"grpc-status: 17", "UNKNOWN", OUTCOME_ERROR},
		{"grpc-status: -1", "UNKNOWN", OUTCOME_ERROR},
		{"grpc-status: x", "UNKNOWN", OUTCOME_ERROR},
		{"other: 5", "", OUTCOME_OK},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = asked(XAI("GetCompletion"));
		const struct call *c;

		memset(&seen, 0, sizeof(seen));
		seen.open = 1;
		trailers(x, rows[i].line);
		c = end(x, MESSAGE_COMPLETE);
		assert_int_equal(c->outcome, rows[i].outcome);
		assert_string_equal(c->error_class, rows[i].name);
	}
}

/* Trailers of which not all is known may have held an error. */
static void status_not_seen(void **state)
{
	struct exchange *x = asked(XAI("GetCompletion"));
	struct http_head fields = {.cut = true};

	(void)state;
	exchange_response_trailers(x, &fields);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_UNKNOWN, BASIS_ESTIMATED, false);
	memset(&seen, 0, sizeof(seen));
	x = asked(XAI("GetCompletion"));
	body(x, SLICE(ANSWERED));
	exchange_response_trailers(x, &fields);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
}

static void trailers_without_a_head(void **state)
{
	struct exchange *x = begin_grpc("api.x.ai", XAI("GetCompletion"));
	const struct call *c;

	(void)state;
	exchange_request_end(x, MESSAGE_COMPLETE);
	trailers(x, "grpc-status: 8");
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_NOT_BILLED, false);
	assert_string_equal(c->error_class, "RESOURCE_EXHAUSTED");
}

static void gaps_in_a_stream(void **state)
{
	struct slice half = {CHUNK, 9};
	struct exchange *x = asked(XAI("GetCompletionChunk"));

	(void)state;
	body(x, half);
	exchange_response_gap(x, sizeof(CHUNK) - 1 - half.len);
	body(x, SLICE(CHUNK));
	trailers(x, "grpc-status: 0");
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	memset(&seen, 0, sizeof(seen));
	x = asked(XAI("GetCompletionChunk"));
	body(x, SLICE(CHUNK));
	exchange_response_gap(x, 0);
	body(x, SLICE(CHUNK));
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
}

static void stream_that_is_cut(void **state)
{
	struct exchange *x = asked(XAI("GetCompletionChunk"));

	(void)state;
	body(x, SLICE(CHUNK));
	expect(end(x, MESSAGE_CUT), OUTCOME_ABORTED, BASIS_PARTIAL, true);
}

static void deferred_work(void **state)
{
	struct exchange *x = asked(XAI("StartDeferredCompletion"));

	(void)state;
	body(x, SLICE(LPM("\x04") "\x0a\x02id"));
	trailers(x, "grpc-status: 0");
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_string_equal(seen.row[0].response_id, "id");
	end(begin_grpc("api.x.ai", XAI("GetDeferredCompletion")), MESSAGE_COMPLETE);
	assert_int_equal(seen.rows, 1);
	assert_int_equal(seen.reason, IGNORED_PATH_NOT_BILLABLE);
}

static void junk_for_messages(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_GRPC);
	struct exchange *x = asked(XAI("GetCompletion"));

	(void)state;
	body(x, SLICE("{\"usage\":{}}"));
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_GRPC), before + 1);
}

static void other_services(void **state)
{
	struct exchange *x = begin_grpc("api.x.ai", "/xai_api.Embedder/Embed");

	(void)state;
	end(x, MESSAGE_COMPLETE);
	assert_int_equal(seen.reason, IGNORED_PATH_UNKNOWN);
	x = begin_as("POST", XAI("GetCompletion"), true,
		     LINES("Host: grpc.example", "Content-Type: application/grpc"));
	answer_head(x, 200, LINES("Content-Type: application/grpc"));
	body(x, SLICE(ANSWERED));
	end(x, MESSAGE_COMPLETE);
	assert_int_equal(seen.judged, 1);
	assert_int_equal(seen.judgement, JUDGE_MUTE);
	x = begin_as("POST", "/shop.Search/embeddings", true, LINES("Host: grpc.example"));
	answer_head(x, 200, LINES("Content-Type: application/grpc"));
	body(x, SLICE(ANSWERED));
	end(x, MESSAGE_COMPLETE);
	assert_int_equal(seen.judged, 2);
	assert_int_equal(seen.judgement, JUDGE_MUTE);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.ignored, 3);
}

static void vertex_names_its_model_by_a_resource(void **state)
{
	struct exchange *x =
		begin_grpc("us-central1-aiplatform.googleapis.com",
			   "/google.cloud.aiplatform.v1.PredictionService/GenerateContent");
	const struct call *c;

	(void)state;
	exchange_request_body(x, SLICE(LPM("\x19") "\x2a\x17"
						   "projects/p/models/gem-2"));
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, LINES("Content-Type: application/grpc"));
	body(x, SLICE(LPM("\x04") "\x1a\x02\x08\x01")); /* refused */
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_NOT_BILLED, false);
	assert_string_equal(c->model_requested, "gem-2");
	assert_string_equal(c->provider, "gcp.vertex_ai");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(request_and_answer),  TEST(error_in_the_head_alone),
		TEST(error_behind_chunks), TEST(statuses_of_trailers),
		TEST(status_not_seen),	   TEST(trailers_without_a_head),
		TEST(gaps_in_a_stream),	   TEST(stream_that_is_cut),
		TEST(deferred_work),	   TEST(junk_for_messages),
		TEST(other_services),	   TEST(vertex_names_its_model_by_a_resource),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
