/* SPDX-License-Identifier: Apache-2.0 */
/* How an exchange ends, and what its record says then. */
#include "stage.h"

/* ---- outcomes
 * ------------------------------------------------------------------------------------ */

static void no_answer(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	request(x, "{\"model\":\"gpt-4o\"}");
	exchange_abandon(x, MESSAGE_CUT, 9 * SEC);
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

/* A record that is lost at the end leaves no gap: the counters are all that tells of it. */
static void an_end_among_losses_is_not_known(void **state)
{
	static const struct {
		enum message_end how;
		bool content, lost;
		enum outcome outcome;
		enum basis basis;
		int gaps;
	} rows[] = {
		{MESSAGE_CUT, false, false, OUTCOME_ABORTED, BASIS_PARTIAL, 0},
		{MESSAGE_CUT, false, true, OUTCOME_UNKNOWN, BASIS_PARTIAL, 1},
		{MESSAGE_UNSEEN, false, false, OUTCOME_UNKNOWN, BASIS_PARTIAL, 0},
		{MESSAGE_CLOSED, false, false, OUTCOME_OK, BASIS_ESTIMATED, 0},
		{MESSAGE_CLOSED, false, true, OUTCOME_UNKNOWN, BASIS_PARTIAL, 1},
		{MESSAGE_COMPLETE, false, true, OUTCOME_OK, BASIS_ESTIMATED, 0},
		{MESSAGE_CUT, true, true, OUTCOME_OK, BASIS_REPORTED_USAGE, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = begin_chat();
		const struct call *c;

		seen.rows = 0;
		answer_head(x, 200, NULL);
		if (rows[i].content)
			answer(x, CHAT_ANSWER, 5 * SEC);
		lost_at_ns = rows[i].lost ? 2 * SEC : 0;
		c = end(x, rows[i].how);
		expect(c, rows[i].outcome, rows[i].basis, rows[i].content);
		assert_int_equal(c->gaps, rows[i].gaps);
		lost_at_ns = 0;
	}
}

static void a_loss_before_a_call_is_none_of_its_own(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, NULL);
	lost_at_ns = SEC / 2;
	expect(end(x, MESSAGE_CUT), OUTCOME_ABORTED, BASIS_PARTIAL, false);
	lost_at_ns = 0;
}

/* The reader of its request is gone, and with it what of the answer it had read. */
static void an_end_after_another_reader_is_not_known(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	env.reader_since_ns = SEC + 1;
	expect(end(x, MESSAGE_CUT), OUTCOME_UNKNOWN, BASIS_PARTIAL, false);
	seen.rows = 0;
	x = begin_chat();
	answer_head(x, 200, NULL);
	answer(x, CHAT_ANSWER, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	seen.rows = 0;
	env.reader_since_ns = SEC;
	expect(end(begin_chat(), MESSAGE_CUT), OUTCOME_ABORTED, BASIS_PARTIAL, false);
	env.reader_since_ns = 0;
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
		{"POST", "/v1/messages/batches", "Host: api.anthropic.com", "A: b",
		 IGNORED_PATH_NOT_BILLABLE, "anthropic"},
		{"GET", "/v1/chat/completions/c1", "Host: api.openai.com", "A: b", IGNORED_METHOD,
		 "openai"},
		{"POST", "/v1/unheard-of", "Host: api.openai.com", "A: b", IGNORED_PATH_UNKNOWN,
		 "openai"},
		{"GET", "/index.html", "Host: shop.example", "A: b", IGNORED_PATH_UNKNOWN, ""},
		{"GET", "/v1/voices?model=m", "Host: api.openai.com", "Upgrade: websocket",
		 IGNORED_UPGRADE, "openai"},
		{"POST", NULL, "Host: shop.example", "A: b", IGNORED_PATH_UNKNOWN, ""},
		{"GET", "/v1/realtime?model=m", "Host: api.openai.com", "A: b", IGNORED_METHOD,
		 "openai"},
		{"GET", "/v1/responses", "Host: api.openai.com", "Upgrade: h2c", IGNORED_METHOD,
		 "openai"},
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

/* Work that is free: a row of no cost, whatever the answer counts. */
static void free_work(void **state)
{
	struct exchange *x = begin_as("POST", "/v1/messages/count_tokens", false,
				      LINES("Host: api.anthropic.com", "A: b"));
	const struct call *c;

	(void)state;
	request(x, "{\"model\":\"claude-x\"}");
	answer_head(x, 200, NULL);
	answer(x, "{\"input_tokens\":1000,\"usage\":{\"input_tokens\":1000}}", 3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	assert_string_equal(c->operation, "count_tokens");
	assert_string_equal(c->model, "claude-x");
	assert_false(c->billable);
	assert_false(c->usage.known);
	assert_int_equal(c->basis, BASIS_NOT_BILLED);
	assert_int_equal(c->outcome, OUTCOME_OK);
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
		struct exchange *x;

		memset(&seen, 0, sizeof(seen));
		x = begin_as("POST", "/v1/chat/completions", true,
			     LINES("Host: llm.corp.example:8443"));
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
	exchange_abandon(x, MESSAGE_CUT, 4 * SEC);
	exchange_free(x);
	assert_int_equal(seen.judged, 1);
	assert_int_equal(seen.rows, 1);
}

/* ---- what was asked ------------------------------------------------------------------------- */

static struct {
	size_t count;
	struct call call;
} asked;

static void on_asked(void *user, const struct conn_id *conn, const struct call *call)
{
	(void)user;
	assert_int_equal(conn->tgid, 42);
	assert_int_equal(seen.rows, 0);
	asked.count++;
	asked.call = *call;
}

/* Only of a listed host, and only when all of the request went out. */
static void whole_requests_are_told_before_their_answer(void **state)
{
	static const struct {
		const char *path;
		bool candidate;
		enum message_end how;
		size_t told;
	} rows[] = {
		{"/v1/chat/completions", false, MESSAGE_COMPLETE, 1},
		{"/v1/chat/completions", false, MESSAGE_CUT, 0},
		{"/v1/chat/completions", true, MESSAGE_COMPLETE, 0},
		{"/v1/models", false, MESSAGE_COMPLETE, 0},
	};
	struct exchange_ops asking = ops;

	(void)state;
	asking.asked = on_asked;
	env.ops = &asking;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = begin_as("POST", rows[i].path, rows[i].candidate,
					      LINES("Host: api.openai.com"));

		asked.count = 0;
		exchange_request_body(x, SLICE("{\"model\":\"gpt-4o\"}"));
		exchange_request_end(x, rows[i].how);
		assert_int_equal(asked.count, rows[i].told);
		exchange_abandon(x, MESSAGE_CUT, 9 * SEC);
		exchange_free(x);
		seen.rows = 0;
		if (rows[i].told) {
			assert_string_equal(asked.call.model_requested, "gpt-4o");
			assert_string_equal(asked.call.provider, "openai");
			assert_string_equal(asked.call.operation, "chat");
		}
	}
	env.ops = &ops;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_answer),
		TEST(error_status),
		TEST(error_text_is_not_kept),
		TEST(html_error),
		TEST(stream_without_usage),
		TEST(cut_stream_without_usage),
		TEST(a_loss_before_a_call_is_none_of_its_own),
		TEST(an_end_after_another_reader_is_not_known),
		TEST(an_end_among_losses_is_not_known),
		TEST(cut_anthropic_stream),
		TEST(dropped_after_the_end),
		TEST(message_stop_ends_a_stream),
		TEST(error_inside_a_stream),
		TEST(provider_reported_cost),
		TEST(sub_rows),
		TEST(service_tiers),
		TEST(ignored_exchanges),
		TEST(free_work),
		TEST(upgraded),
		TEST(continue_is_no_answer),
		TEST(judged_by_the_answer),
		TEST(judged_early),
		TEST(whole_requests_are_told_before_their_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
