/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's dialects: the last usage object counts whole, be it in events or in the elements of a
 * streamed array; kinds are disjoint and add up to the provider's total; any split and any gap give
 * facts that hold.
 */
#include "agent/usage/meter.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct reading {
	struct meter_facts facts;
	struct usage usage;
	struct answer answer;
};

/* Pieces of `piece` bytes; when gap is not SIZE_MAX all from there up to `on` is missing. */
static struct reading read_gap(const struct dialect *dialect, const char *text, size_t piece,
			       size_t gap, size_t on)
{
	size_t len = strlen(text);
	struct json_paths *paths = NULL;
	struct meter *m = NULL;
	struct reading r;

	assert_int_equal(dialect_paths_new(&paths, dialect), 0);
	assert_int_equal(meter_new(&m, dialect, paths, METER_PLAIN), 0);
	for (size_t i = 0; i < len;) {
		size_t end = i < gap && gap < len ? gap : len;
		size_t n = end - i < piece ? end - i : piece;

		if (i == gap) {
			meter_gap(m, 0);
			i = on;
			continue;
		}
		meter_feed(m, (struct slice){text + i, n});
		i += n;
	}
	meter_eof(m);
	memset(&r, 0, sizeof(r));
	r.facts = *meter_facts(m);
	r.answer = *meter_answer(m);
	meter_usage(m, &r.usage);
	meter_free(m);
	json_paths_free(paths);
	return r;
}

static struct reading read_whole(const struct dialect *dialect, const char *text)
{
	struct reading all = read_gap(dialect, text, SIZE_MAX, SIZE_MAX, 0);

	for (size_t piece = 1; piece < 8; piece++) {
		struct reading r = read_gap(dialect, text, piece, SIZE_MAX, 0);

		assert_memory_equal(&r.usage, &all.usage, sizeof(r.usage));
		assert_memory_equal(&r.facts, &all.facts, sizeof(r.facts));
	}
	return all;
}

struct vector {
	const struct dialect *dialect;
	const char *text;
	int64_t tokens[TOKEN_KINDS];
	int64_t searches;
	bool stream, unknown, mismatch, lower_bound;
	const char *tier; /* NULL = not looked at */
};

#define USAGE(counts) "\"usageMetadata\":{" counts "}"
#define TEXT(t)	      "\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" t "\"}]}}],"
#define LAST	      "\"candidates\":[{\"finishReason\":\"STOP\"}],"

static const struct vector vectors[] = {
	/* Everything at once. */
	{&dialect_gemini,
	 "{" USAGE("\"promptTokenCount\":100,\"cachedContentTokenCount\":30,"
		   "\"candidatesTokenCount\":25,\"thoughtsTokenCount\":15,"
		   "\"toolUsePromptTokenCount\":7,\"totalTokenCount\":147,"
		   "\"promptTokensDetails\":[{\"tokenCount\":40,\"modality\":\"AUDIO\"},"
		   "{\"modality\":\"TEXT\",\"tokenCount\":50},{\"modality\":\"IMAGE\","
		   "\"tokenCount\":10},{\"modality\":\"VIDEO\"}],"
		   "\"cacheTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":30}],"
		   "\"toolUsePromptTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":2}],"
		   "\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":20}],"
		   "\"serviceTier\":\"flex\"") "}",
	 {[TOKEN_INPUT_UNCACHED] = 55,
	  [TOKEN_INPUT_CACHE_READ] = 30,
	  [TOKEN_INPUT_AUDIO] = 10,
	  [TOKEN_INPUT_IMAGE] = 12,
	  [TOKEN_OUTPUT_TEXT] = 5,
	  [TOKEN_OUTPUT_IMAGE] = 20,
	  [TOKEN_OUTPUT_REASONING] = 15},
	 .tier = "flex"},
	/* Events; counts fall and vanish; the traffic alone is no usage. */
	{&dialect_gemini,
	 "data: {" TEXT("a") USAGE(
		 "\"trafficType\":\"ON_DEMAND\"") "}\n\n"
						  "data: {" TEXT("b") USAGE(
							  "\"promptTokenCount\":"
							  "15,"
							  "\"candidatesTokenCoun"
							  "t\":20,"
							  "\"totalTokenCount\":"
							  "35") "}\n\n"
								"data: {" LAST USAGE(
									"\"promp"
									"tTokenC"
									"ount\":"
									"13,"
									"\"thoug"
									"htsToke"
									"nCount"
									"\":4,"
									"\"total"
									"TokenCo"
									"unt\":"
									"17") "}"
									      "\n\n"
									      "d"
									      "a"
									      "t"
									      "a"
									      ":"
									      " "
									      "{" USAGE(
										      "\"trafficTyp"
										      "e\":4") "}\n"
											       "\n",
	 {[TOKEN_INPUT_UNCACHED] = 13, [TOKEN_OUTPUT_REASONING] = 4},
	 .stream = true,
	 .tier = "ON_DEMAND_FLEX"},
	/* The same as one array. */
	{&dialect_gemini,
	 "[{" TEXT("a") USAGE("\"promptTokenCount\":15,\"candidatesTokenCount\":20,"
			      "\"promptTokensDetails\":[{\"modality\":4,\"tokenCount\":9}],"
			      "\"totalTokenCount\":35") "}\n,\r\n{" LAST
		 USAGE("\"promptTokenCount\":13,\"thoughtsTokenCount\":4,\"totalTokenCount\":17,"
		       "\"promptTokensDetails\":[{\"modality\":4,\"tokenCount\":3}]") "}]",
	 {[TOKEN_INPUT_UNCACHED] = 10, [TOKEN_INPUT_AUDIO] = 3, [TOKEN_OUTPUT_REASONING] = 4},
	 .stream = true},
	/* Searches: the last list counts; each has its fee from Gemini 3 on. */
	{&dialect_gemini,
	 "[{\"candidates\":[{\"groundingMetadata\":{\"webSearchQueries\":[\"a\"]}}]},"
	 "{\"modelVersion\":\"gemini-3-x\",\"candidates\":[{\"groundingMetadata\":"
	 "{\"webSearchQueries\":[\"a\",\"b\"]}}]," USAGE("\"promptTokenCount\":1") "}]",
	 {[TOKEN_INPUT_UNCACHED] = 1},
	 .searches = 2,
	 .stream = true},
	{&dialect_gemini,
	 "{\"modelVersion\":\"gemini-2.5-x\",\"candidates\":[{\"groundingMetadata\":"
	 "{\"webSearchQueries\":[\"a\",\"b\"]}}]," USAGE("\"promptTokenCount\":1") "}",
	 {[TOKEN_INPUT_UNCACHED] = 1},
	 .searches = 1},
	/* Doubts. */
	{&dialect_gemini,
	 "{" USAGE("\"candidatesTokenCount\":5") "}",
	 {[TOKEN_OUTPUT_TEXT] = 5},
	 .lower_bound = true},
	{&dialect_gemini,
	 "{" USAGE(
		 "\"promptTokenCount\":5,\"cachedContentTokenCount\":9,\"totalTokenCount\":5") "}",
	 {[TOKEN_INPUT_CACHE_READ] = 5},
	 .mismatch = true},
	{&dialect_gemini,
	 "{" USAGE("\"promptTokenCount\":5,\"totalTokenCount\":9") "}",
	 {[TOKEN_INPUT_UNCACHED] = 5},
	 .mismatch = true},
	{&dialect_gemini, "{" USAGE("\"promptTokenCount\":-5") "}", .unknown = true,
	 .mismatch = true},
	{&dialect_gemini, "[]", .unknown = true},
	/* Interactions: the end of the stream has the last word. */
	{&dialect_gemini_interactions,
	 "event: step.delta\ndata: {\"event_type\":\"step.delta\",\"delta\":{\"text\":\"a\"}}\n\n"
	 "event: interaction.completed\ndata: {\"event_type\":\"interaction.completed\","
	 "\"interaction\":{\"id\":\"v1\",\"model\":\"m\",\"service_tier\":\"standard\",\"usage\":{"
	 "\"total_input_tokens\":20,\"total_cached_tokens\":4,\"total_output_tokens\":6,"
	 "\"total_thought_tokens\":5,\"total_tool_use_tokens\":3,\"total_tokens\":34,"
	 "\"input_tokens_by_modality\":[{\"modality\":\"audio\",\"tokens\":9}]}}}\n\n"
	 "event: done\ndata: [DONE]\n\n",
	 {[TOKEN_INPUT_UNCACHED] = 10,
	  [TOKEN_INPUT_CACHE_READ] = 4,
	  [TOKEN_INPUT_AUDIO] = 9,
	  [TOKEN_OUTPUT_TEXT] = 6,
	  [TOKEN_OUTPUT_REASONING] = 5},
	 .stream = true,
	 .tier = "standard"},
	/* Predictions are summed; one without a count leaves the sum open. */
	{&dialect_vertex_predict,
	 "{\"predictions\":[{\"embeddings\":{\"statistics\":{\"token_count\":10}}},"
	 "{\"embeddings\":{\"statistics\":{\"token_count\":5.0}}}],"
	 "\"metadata\":{\"billableCharacterCount\":29}}",
	 {[TOKEN_INPUT_UNCACHED] = 15},
	 .stream = false},
	{&dialect_vertex_predict,
	 "{\"predictions\":[{\"embeddings\":{\"statistics\":{\"token_count\":10}}},"
	 "{\"embeddings\":{\"statistics\":{}}}],\"metadata\":{\"billableCharacterCount\":29}}",
	 .unknown = true},
	/* What is stored is not used. */
	{&dialect_gemini_cache, "{" USAGE("\"totalTokenCount\":9602") "}", .unknown = true},
	{&dialect_free, "{" USAGE("\"totalTokenCount\":9602") ",\"totalTokens\":3}",
	 .unknown = true},
};

static void tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct reading r = read_whole(v->dialect, v->text);

		if (r.usage.known == v->unknown || r.usage.mismatch != v->mismatch ||
		    r.usage.lower_bound != v->lower_bound || r.facts.stream != v->stream)
			fail_msg("vector %zu: known %d mismatch %d lower bound %d stream %d", i,
				 r.usage.known, r.usage.mismatch, r.usage.lower_bound,
				 r.facts.stream);
		for (int k = 0; k < TOKEN_KINDS; k++) {
			if (r.usage.tokens[k] != v->tokens[k])
				fail_msg("vector %zu: %s is %lld", i, token_kind_names[k],
					 (long long)r.usage.tokens[k]);
		}
		assert_int_equal(r.usage.tool_units[TOOL_WEB_SEARCH], v->searches);
		if (v->tier)
			assert_string_equal(r.answer.text[TEXT_SERVICE_TIER], v->tier);
	}
}

#define FIRST  "{" TEXT("a") USAGE("\"promptTokenCount\":15,\"candidatesTokenCount\":20") "}"
#define SECOND "{" LAST USAGE("\"promptTokenCount\":16,\"candidatesTokenCount\":40") "}"

/* Cut at any byte, an answer tells what its last whole usage object said. */
static void cut_anywhere(void **state)
{
	static const char *const texts[] = {"[" FIRST "," SECOND "]",
					    "data: " FIRST "\n\ndata: " SECOND "\n\n"};

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
		const char *first_end = strstr(texts[t], "20}}") + 2;
		const char *second_end = strstr(texts[t], "40}}") + 2;
		size_t len = strlen(texts[t]);

		for (size_t at = first_end + 1 - texts[t]; at < len; at++) {
			struct reading r = read_gap(&dialect_gemini, texts[t], SIZE_MAX, at, len);
			bool second = at > (size_t)(second_end - texts[t]);

			assert_true(r.usage.known);
			assert_int_equal(r.usage.tokens[TOKEN_INPUT_UNCACHED], second ? 16 : 15);
			assert_int_equal(r.usage.tokens[TOKEN_OUTPUT_TEXT], second ? 40 : 20);
			assert_string_equal(r.usage.raw_json,
					    second ? "{\"promptTokenCount\":16,"
						     "\"candidatesTokenCount\":40}"
						   : "{\"promptTokenCount\":15,"
						     "\"candidatesTokenCount\":20}");
			if (!r.facts.ended)
				assert_false(r.facts.final);
		}
	}
}

/* Bytes lost inside an array: there is no place to go on from, and no end is believed. */
static void array_gap(void **state)
{
	const char *text = "[" FIRST "," SECOND "]";
	size_t len = strlen(text);

	(void)state;
	for (size_t at = 1; at < len - 1; at++) {
		struct reading r = read_gap(&dialect_gemini, text, 5, at, at + 1);

		assert_false(r.facts.final);
		assert_false(r.facts.ended);
		assert_true(r.usage.tokens[TOKEN_OUTPUT_TEXT] <= 40);
	}
}

/* Errors, also the one element that a stream's error is; a prompt that was refused. */
static void errors(void **state)
{
	struct reading r = read_whole(
		&dialect_gemini, "[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}]");

	(void)state;
	assert_true(r.facts.failed && r.facts.marked);
	assert_string_equal(r.answer.text[TEXT_ERROR_TYPE], "RESOURCE_EXHAUSTED");
	r = read_whole(&dialect_gemini, "{\"promptFeedback\":{\"blockReason\":\"MODEL_ARMOR\"},"
					"\"usageMetadata\":{\"trafficType\":\"ON_DEMAND\"}}");
	assert_true(r.answer.refused);
	assert_false(r.usage.known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(array_gap),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
