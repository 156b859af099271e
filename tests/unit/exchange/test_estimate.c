/* SPDX-License-Identifier: Apache-2.0 */
/* Streams without usage: what their text would count, and when nothing is said. */
#include "stage.h"

#include "agent/tokens/tokenizers.h"

#define HELLO	    "{\"role\":\"user\",\"content\":\"hello world\"}" /* 2 tokens, 4 of its form */
#define MODEL(name) "\"model\":\"" name "\""
#define STREAM	    "\"stream\":true"
#define ASKS	    "\"stream_options\":{\"include_usage\":true}"
#define EVENTS	    "Content-Type: text/event-stream"
#define DONE	    "data: [DONE]\n\n"

static struct tokenizers *tokenizers;
static struct operation_table *operations;

static int open_tables(void **state)
{
	(void)state;
	return tokenizers_open(&tokenizers, "agent/tokens") || operation_table_new(&operations);
}

static int close_tables(void **state)
{
	(void)state;
	tokenizers_free(tokenizers);
	operation_table_free(operations);
	return 0;
}

static const struct call *play(const char *body, const char *events, enum message_end how)
{
	struct exchange *x;

	env.tokenizers = tokenizers;
	env.operations = operations;
	seen.rows = 0;
	x = begin_chat();
	for (const char *p = body; *p; p++) /* however it comes */
		exchange_request_body(x, (struct slice){p, 1});
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, LINES(EVENTS));
	answer(x, events, 3 * SEC);
	return end(x, how);
}

static void expect_estimate(const struct call *c, enum basis basis, const char *by, int64_t input,
			    int64_t output)
{
	assert_int_equal(c->basis, basis);
	assert_true(c->usage.known);
	assert_string_equal(c->estimated_by, by);
	assert_int_equal(c->usage.tokens[TOKEN_INPUT_UNCACHED], input);
	assert_int_equal(c->usage.tokens[TOKEN_OUTPUT_TEXT], output);
	assert_string_equal(c->usage.raw_json, "");
}

static void expect_nothing(const struct call *c)
{
	assert_false(c->usage.known && c->estimated_by[0]);
	assert_string_equal(c->estimated_by, "");
}

static void a_stream_that_nobody_asked(void **state)
{
	const char *const bodies[] = {
		"{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO "]}",
		"{\"messages\":[" HELLO "]," MODEL("gpt-4o") "," STREAM "}",
		"{\"messages\":[" HELLO "]," STREAM "," MODEL("openai/gpt-4o-mini") "}",
		"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
		"\"hello world\"}]}]," MODEL("gpt-4.1") "," STREAM "}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		expect_estimate(play(bodies[i], DELTA("hel") DELTA("lo") DELTA(" world") DONE,
				     MESSAGE_COMPLETE),
				BASIS_ESTIMATED, "o200k_base", 2 + 4 + 3, 2);
}

static void each_family_by_its_table(void **state)
{
	const char *text = DELTA("hello world") DONE;

	(void)state;
	expect_estimate(play("{" MODEL("gpt-5") "," STREAM ",\"messages\":[" HELLO "," HELLO "]}",
			     text, MESSAGE_COMPLETE),
			BASIS_ESTIMATED, "o200k_base", 2 * (2 + 4) + 2, 2);
	expect_estimate(play("{" MODEL("gpt-3.5-turbo") "," STREAM ",\"messages\":[" HELLO "]}",
			     text, MESSAGE_COMPLETE),
			BASIS_ESTIMATED, "cl100k_base", 2 + 4 + 3, 2);
	expect_estimate(play("{" MODEL("llama-3") "," STREAM ",\"messages\":[" HELLO "]}", text,
			     MESSAGE_COMPLETE),
			BASIS_ESTIMATED, "o200k_base_other", 2 + 4 + 3, 2);
}

/* What was generated is a lower bound; the input is whole. */
static void a_stream_that_is_cut(void **state)
{
	(void)state;
	expect_estimate(play("{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO "]}",
			     DELTA("hello"), MESSAGE_CUT),
			BASIS_PARTIAL, "o200k_base", 9, 1);
}

static void where_nothing_is_estimated(void **state)
{
	const char *text = DELTA("hello world") DONE;

	(void)state;
	expect_nothing(play("{" MODEL("gpt-4o") "," STREAM "," ASKS ",\"messages\":[" HELLO "]}",
			    text, MESSAGE_COMPLETE)); /* asked for, not told */
	expect_nothing(play("{" MODEL("gpt-4o") "," STREAM "," ASKS ",\"messages\":[" HELLO "]}",
			    DELTA("hello") LAST_CHUNK DONE, MESSAGE_COMPLETE)); /* told */
	expect_nothing(play("{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO "]}",
			    DELTA("hello") LAST_CHUNK DONE, MESSAGE_COMPLETE)); /* told unasked */
	expect_nothing(play("{" MODEL("gpt-4o") "," STREAM ",\"stream\":false,\"messages\":[" HELLO
						"]}",
			    text, MESSAGE_COMPLETE));
	expect_nothing(play("{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO ",",
			    DELTA("hello"), MESSAGE_UNSEEN)); /* its end was not seen */
	expect_nothing(play("no JSON", text, MESSAGE_COMPLETE));
	assert_int_equal(tokenizers->held_bytes, 0);
}

/* Beyond the allowance, text counts by its length; the name says so. */
static void text_beyond_the_allowance(void **state)
{
	const char *body = "{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO "]}";

	(void)state;
	tokenizers->allowance_bytes = 11; /* hello world */
	expect_estimate(play(body, DELTA("hello world") DONE, MESSAGE_COMPLETE), BASIS_ESTIMATED,
			"o200k_base_rough", 2 + 4 + 3, 3);
	tokenizers->allowance_bytes = 0;
	expect_estimate(play(body, DELTA("hello world") DONE, MESSAGE_COMPLETE), BASIS_ESTIMATED,
			"o200k_base_rough", 3 + 4 + 3, 3);
	tokenizers->allowance_bytes = 22;
	expect_estimate(play(body, DELTA("hello world") DONE, MESSAGE_COMPLETE), BASIS_ESTIMATED,
			"o200k_base", 2 + 4 + 3, 2);
	tokenizers->allowance_bytes = TOKENIZERS_BYTES_PER_S;
}

/* An answer before the request's end: nobody knows by which table. */
static void an_answer_that_comes_early(void **state)
{
	struct exchange *x;

	(void)state;
	env.tokenizers = tokenizers;
	env.operations = operations;
	x = begin_chat();
	exchange_request_body(x, SLICE("{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO));
	answer_head(x, 200, LINES(EVENTS));
	answer(x, DELTA("hello"), 3 * SEC);
	exchange_request_body(x, SLICE("]}"));
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer(x, DONE, 3 * SEC);
	expect_nothing(end(x, MESSAGE_COMPLETE));
}

static void a_request_with_a_gap(void **state)
{
	struct exchange *x;

	(void)state;
	env.tokenizers = tokenizers;
	env.operations = operations;
	x = begin_chat();
	exchange_request_body(x, SLICE("{" MODEL("gpt-4o") "," STREAM ",\"messages\":["));
	exchange_request_gap(x, 100);
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, LINES(EVENTS));
	answer(x, DELTA("hello") DONE, 3 * SEC);
	expect_nothing(end(x, MESSAGE_COMPLETE));
}

static void tools_are_text(void **state)
{
	const struct call *c;
	int64_t plain;

	(void)state;
	plain = play("{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO "]}", DONE,
		     MESSAGE_COMPLETE)
			->usage.tokens[TOKEN_INPUT_UNCACHED];
	c = play("{" MODEL("gpt-4o") "," STREAM ",\"messages\":[" HELLO "],\"tools\":[{\"type\":"
				     "\"function\",\"function\":{\"name\":\"weather\","
				     "\"description\":\"Get the "
				     "weather\",\"parameters\":{\"type\":\"object\",\"properties\":"
				     "{\"city\":{\"type\":"
				     "\"string\"}}}}}]}",
		 DELTA("hello") DONE, MESSAGE_COMPLETE);
	assert_in_range(c->usage.tokens[TOKEN_INPUT_UNCACHED], plain + 6, plain + 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stream_that_nobody_asked), TEST(each_family_by_its_table),
		TEST(a_stream_that_is_cut),	  TEST(where_nothing_is_estimated),
		TEST(text_beyond_the_allowance),  TEST(an_answer_that_comes_early),
		TEST(a_request_with_a_gap),	  TEST(tools_are_text),
	};

	return cmocka_run_group_tests_name("estimate", tests, open_tables, close_tables);
}
