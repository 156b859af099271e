/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that is read back: which answers are records, the keys by which what they tell is known
 * again, the dates, and files of results line by line.
 */
#include "stage.h"

#include "agent/exchange/batch_dates.h"
#include "agent/usage/dialect.h"

#define RESPONSE(status, usage)                                                            \
	"{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1770757617,\"status\":" \
	"\"" status "\",\"model\":\"gpt-4o\",\"output\":[],\"usage\":" usage "}"
#define USAGE "{\"input_tokens\":15,\"output_tokens\":9,\"total_tokens\":24}"
#define BATCH(status, file, usage)                                                           \
	"{\"id\":\"batch_1\",\"object\":\"batch\",\"model\":\"gpt-4o\",\"status\":\"" status \
	"\",\"completed_at\":1787150607,\"output_file_id\":\"" file "\",\"usage\":" usage "}"
#define LINE(name, input)                                                                       \
	"{\"custom_id\":\"" name "\",\"response\":{\"status_code\":200,\"body\":{\"id\":\"r\"," \
	"\"model\":\"gpt-4o\",\"usage\":{\"prompt_tokens\":" input ",\"completion_tokens\":5,"  \
	"\"total_tokens\":1" input "}}}}\n"

#define OPENAI	  "Host: api.openai.com"
#define ANTHROPIC "Host: api.anthropic.com"

/* Plays one exchange; what came of it is in `seen`, behind what was there. */
static void play_with(const char *method, const char *target, const char *host, const char *key,
		      int status, const char *body)
{
	struct exchange *x = begin_as(method, target, false, LINES(host, key));

	request(x, "");
	answer_head(x, status, LINES("Content-Type: application/json"));
	answer(x, body, 3 * SEC);
	end(x, MESSAGE_COMPLETE);
}

static void get(const char *target, const char *host, const char *body)
{
	play_with("GET", target, host, "Authorization: Bearer sk-one", 200, body);
}

static bool same_key(const struct usage_key *a, const struct usage_key *b)
{
	return memcmp(a->object, b->object, sizeof(a->object)) == 0 &&
	       memcmp(a->part, b->part, sizeof(a->part)) == 0;
}

/* ---- one object ------------------------------------------------------------------------------ */

static void polls_of_a_response(void **state)
{
	(void)state;
	play_with("POST", "/v1/responses", OPENAI, "Authorization: Bearer sk-one", 200,
		  RESPONSE("queued", "null"));
	get("/v1/responses/resp_1", OPENAI, RESPONSE("in_progress", "null"));
	get("/v1/responses/resp_1", OPENAI, RESPONSE("in_progress", USAGE));
	assert_int_equal(seen.rows, 1);
	assert_int_equal(seen.ignored, 2);
	assert_int_equal(seen.reason, IGNORED_METHOD);
	get("/v1/responses/resp_1", OPENAI, RESPONSE("completed", USAGE));
	get("/v1/responses/resp_1?stream=true", OPENAI,
	    "event: response.completed\ndata: "
	    "{\"type\":\"response.completed\",\"response\":" RESPONSE("completed", USAGE) "}\n\n");
	assert_int_equal(seen.rows, 3);
	assert_true(seen.row[0].key.set && seen.row[0].key.made);
	assert_int_equal(seen.row[0].dated_us, 0);
	for (size_t i = 1; i < 3; i++) {
		assert_true(seen.row[i].key.set && !seen.row[i].key.made);
		assert_true(same_key(&seen.row[0].key, &seen.row[i].key));
		assert_int_equal(usage_input_total(&seen.row[i].usage), 15);
		assert_int_equal(seen.row[i].basis, BASIS_REPORTED_USAGE);
		assert_int_equal(seen.row[i].dated_us, 1770757617000000);
		assert_false(seen.row[i].batch);
	}
}

static void failed_polls_give_no_row(void **state)
{
	(void)state;
	play_with("GET", "/v1/responses/resp_1", OPENAI, "A: b", 404,
		  "{\"error\":{\"type\":\"not_found\",\"message\":\"x\"}}");
	play_with("GET", "/v1/files/f/content", OPENAI, "A: b", 500, LINE("a", "1"));
	play_with("GET", "/v1/files/f/content", OPENAI, "A: b", 200, "%PDF-1.7 { \"usage\"");
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.ignored, 3);
}

/* What a poll told before it was cut may not be all. */
static void a_cut_poll_gives_no_row(void **state)
{
	struct exchange *x = begin_as("GET", "/v1/responses/resp_1", false, LINES(OPENAI));

	(void)state;
	request(x, "");
	answer_head(x, 200, NULL);
	answer(x, "{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":15,", 3 * SEC);
	end(x, MESSAGE_CUT);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.ignored, 1);
}

/* Events of a run name its messages and steps too. */
static void a_cut_run_goes_by_its_own_id(void **state)
{
	struct exchange *x = begin_as("POST", "/v1/threads/t/runs", false,
				      LINES(OPENAI, "Authorization: Bearer sk-one"));

	(void)state;
	request(x, "");
	answer_head(x, 200, LINES("Content-Type: text/event-stream"));
	answer(x,
	       "event: thread.run.created\ndata: {\"id\":\"run_1\",\"usage\":null}\n\n"
	       "event: thread.run.step.completed\ndata: {\"id\":\"step_1\",\"usage\":"
	       "{\"prompt_tokens\":15,\"completion_tokens\":9,\"total_tokens\":24}}\n\n",
	       3 * SEC);
	end(x, MESSAGE_CUT);
	get("/v1/threads/t/runs/run_1", OPENAI,
	    "{\"id\":\"run_1\",\"object\":\"thread.run\",\"status\":\"completed\",\"usage\":"
	    "{\"prompt_tokens\":15,\"completion_tokens\":9,\"total_tokens\":24}}");
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.row[0].response_id, "run_1");
	assert_true(same_key(&seen.row[0].key, &seen.row[1].key));
}

/* Each of the five parts makes another key. */
static void keys_differ(void **state)
{
	static const struct {
		const char *target, *host, *credential;
	} rows[] = {
		{"/v1/files/f/content", OPENAI, "Authorization: Bearer sk-one"},
		{"/v1/files/f/content", OPENAI, "Authorization: Bearer sk-two"},
		{"/v1/files/f/content", "Host: api.groq.com", "Authorization: Bearer sk-one"},
		{"/v1/files/g/content", OPENAI, "Authorization: Bearer sk-one"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		play_with("GET", rows[i].target, rows[i].host, rows[i].credential, 200,
			  LINE("a", "1"));
	assert_int_equal(seen.rows, ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t j = 0; j < i; j++)
			assert_false(same_key(&seen.row[i].key, &seen.row[j].key));
	}
}

/* No id: nothing by which it could be known again. */
static void without_an_id(void **state)
{
	(void)state;
	play_with("POST", "/v1/responses", OPENAI, "A: b", 200,
		  "{\"object\":\"response\",\"usage\":" USAGE "}");
	assert_int_equal(seen.rows, 1);
	assert_false(seen.row[0].key.set);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* The whole goes by its output file, as its lines do; the lines have its date. */
static void a_batch_and_its_lines(void **state)
{
	(void)state;
	get("/v1/batches/batch_1", OPENAI,
	    BATCH("in_progress", "", "{\"input_tokens\":0,\"output_tokens\":0}"));
	assert_int_equal(seen.ignored, 1);
	get("/v1/batches/batch_1", OPENAI, BATCH("completed", "file-1", USAGE));
	get("/v1/files/file-1/content", OPENAI, LINE("a", "1") LINE("b", "2"));
	get("/v1/files/file-2/content", OPENAI, LINE("a", "1"));
	assert_int_equal(seen.rows, 4);
	assert_true(seen.row[0].summed && seen.row[0].batch);
	for (size_t i = 0; i < 4; i++)
		assert_true(seen.row[i].batch && seen.row[i].key.set && !seen.row[i].key.made);
	for (size_t i = 0; i < 3; i++) {
		assert_memory_equal(seen.row[i].key.object, seen.row[0].key.object, 16);
		assert_int_equal(seen.row[i].dated_us, 1787150607000000);
		assert_string_equal(tag(&seen.row[i], "inferred"), "");
	}
	assert_memory_not_equal(seen.row[1].event_id, seen.row[2].event_id, 16);
	assert_int_equal(seen.row[2].sub_index, 1);
	assert_int_equal(seen.row[3].dated_us, 0);
	assert_string_equal(tag(&seen.row[3], "inferred"), "started_at");
}

static void anthropic_results(void **state)
{
	static const char results[] =
		"{\"custom_id\":\"a\",\"result\":{\"type\":\"succeeded\",\"message\":{\"id\":\"m\","
		"\"model\":\"claude\",\"usage\":{\"input_tokens\":20,\"output_tokens\":5,"
		"\"service_tier\":\"batch\"}}}}\n"
		"{\"custom_id\":\"b\",\"result\":{\"type\":\"errored\",\"error\":{\"type\":\"x\"}}}"
		"\n"
		"{\"custom_id\":\"c\",\"result\":{\"type\":\"expired\"}}\n";

	(void)state;
	get("/v1/messages/batches/mb_1", ANTHROPIC,
	    "{\"id\":\"mb_1\",\"type\":\"message_batch\",\"processing_status\":\"ended\","
	    "\"ended_at\":\"2026-08-19T14:43:27Z\"}");
	assert_int_equal(seen.ignored, 1);
	get("/v1/messages/batches/mb_1/results", ANTHROPIC, results);
	assert_int_equal(seen.rows, 1);
	assert_true(seen.row[0].batch);
	assert_int_equal(seen.row[0].outcome, OUTCOME_OK);
	assert_int_equal(seen.row[0].dated_us, 1787150607000000);
	assert_string_equal(seen.row[0].service_tier, "batch");
}

/* A name that does not fit is none: then the answer's id counts, then the place. */
static void names_of_units(void **state)
{
	static const char line[] =
		"{\"custom_id\":\"%0*d\",\"response\":{\"body\":{%s\"usage\":{\"prompt_tokens\":1,"
		"\"completion_tokens\":1}}}}\n";
	char body[8192];
	int n = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n, line, ANSWER_UNIT_NAME_MAX + 1, 7,
			      "");
	for (int i = 0; i < 2; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n, line, ANSWER_UNIT_NAME_MAX + 1, 7,
			      "\"id\":\"resp_1\",");
	get("/v1/files/f/content", OPENAI, body);
	assert_int_equal(seen.rows, 4);
	assert_false(same_key(&seen.row[0].key, &seen.row[1].key));
	assert_true(same_key(&seen.row[2].key, &seen.row[3].key));
}

/* A custom id may say anything: only its hash leaves. */
static void custom_ids_stay_behind(void **state)
{
	(void)state;
	get("/v1/files/f/content", OPENAI, LINE("letter to Jane Roe", "1"));
	assert_int_equal(seen.rows, 1);
	assert_null(memmem(&seen.row[0], sizeof(seen.row[0]), "Jane", 4));
}

/* ---- lines ----------------------------------------------------------------------------------- */

#define SOME_LINES LINE("a", "1") LINE("b", "2") "no JSON\n\n" LINE("c", "3")

/* Any split gives the same rows. */
static void any_split(void **state)
{
	static const char body[] = SOME_LINES;

	(void)state;
	for (size_t piece = 1; piece < sizeof(body); piece += piece < 8 ? 1 : 37) {
		struct exchange *x;

		memset(&seen, 0, sizeof(seen));
		x = begin_as("GET", "/v1/files/f/content", false, LINES(OPENAI));
		request(x, "");
		answer_head(x, 200, NULL);
		for (size_t i = 0; i < sizeof(body) - 1; i += piece) {
			size_t left = sizeof(body) - 1 - i;

			exchange_response_body(
				x, (struct slice){body + i, left < piece ? left : piece}, 3 * SEC);
		}
		end(x, MESSAGE_COMPLETE);
		assert_int_equal(seen.rows, 3);
		for (int64_t i = 0; i < 3; i++)
			assert_int_equal(seen.row[i].usage.tokens[TOKEN_INPUT_UNCACHED], i + 1);
	}
}

/* A line is a unit by itself: what stood in one that is no JSON, or not whole, is not the next's.
 */
static void broken_lines_leave_nothing(void **state)
{
	static const char *const bad[] = {
		"{\"response\":{\"body\":{\"usage\":{\"prompt_tokens\":99}}} }}}\n",
		"{\"response\":{\"body\":{\"usage\":{\"prompt_tokens\":99}}}\n",
		"{\"response\":{\"body\":{\"usage\":{\"prompt_tokens\":99}}}}, 2\n",
		"[1]{\"response\":\"}\n",
	};
	char body[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		memset(&seen, 0, sizeof(seen));
		snprintf(body, sizeof(body), "%s%s%s", bad[i],
			 "{\"custom_id\":\"x\",\"response\":{\"body\":{}}}\n\n", LINE("a", "1"));
		get("/v1/files/f/content", OPENAI, body);
		assert_int_equal(seen.rows, 1);
		assert_int_equal(seen.row[0].usage.tokens[TOKEN_INPUT_UNCACHED], 1);
	}
}

/* The last line needs no end. */
static void without_a_last_line_end(void **state)
{
	char body[] = LINE("a", "1");

	(void)state;
	body[sizeof(body) - 2] = '\0';
	get("/v1/files/f/content", OPENAI, body);
	assert_int_equal(seen.rows, 1);
}

/* What is not seen costs its line. A line that the end cuts off is not told. */
static void gaps_and_cuts(void **state)
{
	static const char head[] = LINE("a", "1") "{\"response\":{\"body\":{\"usage\":"
						  "{\"prompt_tokens\":77,\"completion_tokens\":1}";
	static const char rest[] = "\"usage\":{\"prompt_tokens\":99}}}\n" LINE(
		"c",
		"3") "{\"custom_id\":\"d\",\"response\":{\"body\":{\"usage\":{\"prompt_tokens\":4}";
	struct exchange *x = begin_as("GET", "/v1/files/f/content", false, LINES(OPENAI));

	(void)state;
	request(x, "");
	answer_head(x, 200, NULL);
	answer(x, head, 3 * SEC);
	exchange_response_gap(x, 100);
	answer(x, rest, 4 * SEC);
	end(x, MESSAGE_CUT);
	assert_int_equal(seen.rows, 2);
	assert_int_equal(seen.row[0].usage.tokens[TOKEN_INPUT_UNCACHED], 1);
	assert_int_equal(seen.row[1].usage.tokens[TOKEN_INPUT_UNCACHED], 3);
	assert_int_equal(seen.row[1].basis, BASIS_REPORTED_USAGE);
}

/* What one line said is not the next one's. */
static void lines_stand_alone(void **state)
{
	(void)state;
	get("/v1/files/f/content", OPENAI,
	    "{\"custom_id\":\"a\",\"response\":{\"body\":{\"error\":{\"type\":\"x\"}}}}\n"
	    "{\"custom_id\":\"b\",\"response\":{\"body\":{\"id\":\"r1\",\"model\":\"m1\","
	    "\"service_tier\":\"flex\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1,"
	    "\"output_tokens_details\":{\"reasoning_tokens\":1}}}}}\n"
	    "{\"custom_id\":\"c\",\"response\":{\"body\":{\"usage\":{\"prompt_tokens\":4,"
	    "\"completion_tokens\":2}}}}\n"
	    "{\"custom_id\":\"d\",\"response\":{\"body\":{\"usage\":{\"prompt_tokens\":-4}}}}\n");
	assert_int_equal(seen.rows, 2);
	assert_int_equal(seen.row[0].outcome, OUTCOME_OK);
	assert_string_equal(seen.row[0].model, "m1");
	assert_string_equal(seen.row[1].model, "");
	assert_string_equal(seen.row[1].response_id, "");
	assert_string_equal(seen.row[1].service_tier, "");
	assert_int_equal(seen.row[1].usage.tokens[TOKEN_OUTPUT_REASONING], 0);
	assert_string_equal(seen.row[1].usage.raw_json,
			    "{\"prompt_tokens\":4,\"completion_tokens\":2}");
}

/* ---- dates ----------------------------------------------------------------------------------- */

static void dates_are_bounded(void **state)
{
	uint64_t before = counter_get(COUNTER_BATCH_DATES_EVICTED);
	struct batch_dates *d = NULL;
	uint8_t object[16] = {0};

	(void)state;
	assert_int_equal(batch_dates_new(&d), 0);
	for (uint32_t i = 0; i < BATCH_DATES_MAX + 2; i++) {
		memcpy(object, &i, sizeof(i));
		batch_dates_note(d, object, i + 1);
		batch_dates_note(d, object, i + 7); /* a later word on the same */
	}
	assert_int_equal(batch_dates_find(d, object), BATCH_DATES_MAX + 1 + 7);
	memcpy(object, &(uint32_t){2}, sizeof(uint32_t));
	assert_int_equal(batch_dates_find(d, object), 9);
	memcpy(object, &(uint32_t){1}, sizeof(uint32_t));
	assert_int_equal(batch_dates_find(d, object), 0);
	assert_int_equal(counter_get(COUNTER_BATCH_DATES_EVICTED) - before, 2);
	assert_int_equal(batch_dates_find(NULL, object), 0);
	batch_dates_note(NULL, object, 1);
	batch_dates_free(d);
}

static int set_up_dates(void **state)
{
	return set_up(state) || batch_dates_new(&env.batch_dates);
}

static int tear_down_dates(void **state)
{
	batch_dates_free(env.batch_dates);
	env.batch_dates = NULL;
	return tear_down(state);
}

#define DATED(f) cmocka_unit_test_setup_teardown(f, set_up_dates, tear_down_dates)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(polls_of_a_response),
		TEST(failed_polls_give_no_row),
		TEST(a_cut_poll_gives_no_row),
		TEST(a_cut_run_goes_by_its_own_id),
		TEST(keys_differ),
		TEST(without_an_id),
		DATED(a_batch_and_its_lines),
		DATED(anthropic_results),
		TEST(names_of_units),
		TEST(custom_ids_stay_behind),
		TEST(any_split),
		TEST(broken_lines_leave_nothing),
		TEST(without_a_last_line_end),
		TEST(gaps_and_cuts),
		TEST(lines_stand_alone),
		TEST(dates_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
