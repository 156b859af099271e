/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors across dialects: one usage, told in each dialect as a body and as a stream, must give the
 * same disjoint kinds; and the rules of single providers.
 */
#include "agent/usage/meter.h"
#include "agent/usage/raw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Feeds text cut at `at` (SIZE_MAX = byte by byte). */
static void read_answer(const struct dialect *dialect, struct slice text, size_t at,
			struct meter_facts *facts, struct answer *answer, struct usage *usage)
{
	struct json_paths *paths = NULL;
	struct meter *m = NULL;

	assert_int_equal(dialect_paths_new(&paths, dialect), 0);
	assert_int_equal(meter_new(&m, dialect, paths, false), 0);
	if (at == SIZE_MAX) {
		for (size_t i = 0; i < text.len; i++)
			meter_feed(m, (struct slice){text.ptr + i, 1});
	} else {
		meter_feed(m, (struct slice){text.ptr, at});
		meter_feed(m, (struct slice){text.ptr + at, text.len - at});
	}
	meter_eof(m);
	*facts = *meter_facts(m);
	*answer = *meter_answer(m);
	meter_usage(m, usage);
	meter_free(m);
	json_paths_free(paths);
}

struct vector {
	const char *name;
	const struct dialect *dialect;
	const char *text;
	int64_t tokens[TOKEN_KINDS];
	bool unknown, mismatch, lower_bound;
	int64_t web_searches, cost; /* cost 0 = none */
};

#define PLAIN_KINDS                                                         \
	{                                                                   \
		[TOKEN_INPUT_UNCACHED] = 70, [TOKEN_INPUT_CACHE_READ] = 30, \
		[TOKEN_OUTPUT_TEXT] = 25, [TOKEN_OUTPUT_REASONING] = 15     \
	}
#define WRITE_KINDS                                                          \
	{                                                                    \
		[TOKEN_INPUT_UNCACHED] = 50, [TOKEN_INPUT_CACHE_READ] = 30,  \
		[TOKEN_INPUT_CACHE_WRITE_5M] = 20, [TOKEN_OUTPUT_TEXT] = 25, \
		[TOKEN_OUTPUT_REASONING] = 15                                \
	}

#define CHAT_PLAIN                                                              \
	"{\"prompt_tokens\":100,\"completion_tokens\":40,\"total_tokens\":140," \
	"\"prompt_tokens_details\":{\"cached_tokens\":30},"                     \
	"\"completion_tokens_details\":{\"reasoning_tokens\":15}}"
#define CHAT_WRITE                                                                    \
	"{\"prompt_tokens\":100,\"completion_tokens\":40,\"total_tokens\":140,"       \
	"\"prompt_tokens_details\":{\"cached_tokens\":30,\"cache_write_tokens\":20}," \
	"\"completion_tokens_details\":{\"reasoning_tokens\":15}}"
#define RESPONSES_PLAIN                                                    \
	"{\"input_tokens\":100,\"output_tokens\":40,\"total_tokens\":140," \
	"\"input_tokens_details\":{\"cached_tokens\":30},"                 \
	"\"output_tokens_details\":{\"reasoning_tokens\":15}}"
#define RESPONSES_WRITE                                                              \
	"{\"input_tokens\":100,\"output_tokens\":40,\"total_tokens\":140,"           \
	"\"input_tokens_details\":{\"cached_tokens\":30,\"cache_write_tokens\":20}," \
	"\"output_tokens_details\":{\"reasoning_tokens\":15}}"
#define ANTHROPIC_PLAIN                                           \
	"{\"input_tokens\":70,\"cache_read_input_tokens\":30,"    \
	"\"cache_creation_input_tokens\":0,\"output_tokens\":40," \
	"\"output_tokens_details\":{\"thinking_tokens\":15}}"
#define ANTHROPIC_WRITE                                            \
	"{\"input_tokens\":50,\"cache_read_input_tokens\":30,"     \
	"\"cache_creation_input_tokens\":20,\"output_tokens\":40," \
	"\"output_tokens_details\":{\"thinking_tokens\":15}}"

#define CHAT_BODY(u) "{\"object\":\"chat.completion\",\"choices\":[],\"usage\":" u "}"
#define CHAT_STREAM(u)                                                                        \
	": hello\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n" \
	"data:{\"choices\":[],\"usage\":" u "}\n\ndata: [DONE]\n\n"
#define RESPONSES_BODY(u) "{\"object\":\"response\",\"output\":[],\"usage\":" u "}"
#define RESPONSES_STREAM(u)                                                           \
	"event: response.created\ndata: {\"type\":\"response.created\",\"response\":" \
	"{\"usage\":null}}\n\ndata: {\"type\":\"response.completed\",\"response\":"   \
	"{\"usage\":" u "}}\n\n"
#define ANTHROPIC_BODY(u) "{\"type\":\"message\",\"usage\":" u "}"
#define ANTHROPIC_STREAM(u)                                                                    \
	"event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":"    \
	"{\"input_tokens\":1,\"output_tokens\":2,\"cache_creation_input_tokens\":0}}}\r\n\r\n" \
	"event: message_delta\r\ndata: {\"type\":\"message_delta\",\"usage\":" u "}\r\n\r\n"   \
	"event: message_stop\r\ndata: {\"type\":\"message_stop\"}\r\n\r\n"

#define REALTIME(usage) "{\"type\":\"response.done\",\"response\":{\"usage\":{" usage "}}}"

static const struct vector vectors[] = {
	{"chat", &dialect_openai_chat, CHAT_BODY(CHAT_PLAIN), .tokens = PLAIN_KINDS},
	{"chat stream", &dialect_openai_chat, CHAT_STREAM(CHAT_PLAIN), .tokens = PLAIN_KINDS},
	{"responses", &dialect_openai_responses, RESPONSES_BODY(RESPONSES_PLAIN),
	 .tokens = PLAIN_KINDS},
	{"responses stream", &dialect_openai_responses, RESPONSES_STREAM(RESPONSES_PLAIN),
	 .tokens = PLAIN_KINDS},
	{"messages", &dialect_anthropic, ANTHROPIC_BODY(ANTHROPIC_PLAIN), .tokens = PLAIN_KINDS},
	{"messages stream", &dialect_anthropic, ANTHROPIC_STREAM(ANTHROPIC_PLAIN),
	 .tokens = PLAIN_KINDS},
	{"chat, written", &dialect_openai_chat, CHAT_BODY(CHAT_WRITE), .tokens = WRITE_KINDS},
	{"chat stream, written", &dialect_openai_chat, CHAT_STREAM(CHAT_WRITE),
	 .tokens = WRITE_KINDS},
	{"responses, written", &dialect_openai_responses, RESPONSES_BODY(RESPONSES_WRITE),
	 .tokens = WRITE_KINDS},
	{"responses stream, written", &dialect_openai_responses, RESPONSES_STREAM(RESPONSES_WRITE),
	 .tokens = WRITE_KINDS},
	{"messages, written", &dialect_anthropic, ANTHROPIC_BODY(ANTHROPIC_WRITE),
	 .tokens = WRITE_KINDS},
	{"messages stream, written", &dialect_anthropic, ANTHROPIC_STREAM(ANTHROPIC_WRITE),
	 .tokens = WRITE_KINDS},
	{"reasoning beside the completion (xAI)", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":100,\"completion_tokens\":25,\"total_tokens\":140,"
		   "\"cached_tokens\":30,\"completion_tokens_details\":{\"reasoning_tokens\":15},"
		   "\"cost_in_usd_ticks\":25}"),
	 .tokens = PLAIN_KINDS, .cost = 2500},
	{"hits and misses (DeepSeek)", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":100,\"completion_tokens\":40,\"total_tokens\":140,"
		   "\"prompt_cache_hit_tokens\":30,\"prompt_cache_miss_tokens\":70,"
		   "\"completion_tokens_details\":{\"reasoning_tokens\":15}}"),
	 .tokens = PLAIN_KINDS},
	{"x_groq and usage count once (Groq)", &dialect_openai_chat,
	 "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":" CHAT_PLAIN
	 "},\"usage\":" CHAT_PLAIN "}\n\n",
	 .tokens = PLAIN_KINDS},
	{"cumulative chunks are not summed (Perplexity)", &dialect_openai_chat,
	 "data: "
	 "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":1,\"total_tokens\":101}}\n\n"
	 "data: {\"usage\":" CHAT_PLAIN "}\n\n",
	 .tokens = PLAIN_KINDS},
	{"audio beside the prompt (Mistral)", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":9,\"completion_tokens\":248,\"total_tokens\":632,"
		   "\"prompt_tokens_details\":{\"audio_tokens\":375}}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 9,
		    [TOKEN_INPUT_AUDIO] = 375,
		    [TOKEN_OUTPUT_TEXT] = 248}},
	{"only a total (Voyage)", &dialect_openai_chat,
	 "{\"object\":\"list\",\"usage\":{\"total_tokens\":12}}",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 12}},
	{"completion absent", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5,\"total_tokens\":5}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5}},
	{"floats and strings", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5.0,\"completion_tokens\":\"2\",\"total_tokens\":7e0}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5, [TOKEN_OUTPUT_TEXT] = 2}},
	{"a total that disagrees", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":9}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5, [TOKEN_OUTPUT_TEXT] = 2}, .mismatch = true},
	{"more cached than prompted never goes below zero", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":10,\"completion_tokens\":3,\"total_tokens\":13,"
		   "\"prompt_tokens_details\":{\"cached_tokens\":161}}"),
	 .tokens = {[TOKEN_INPUT_CACHE_READ] = 10, [TOKEN_OUTPUT_TEXT] = 3}, .mismatch = true},
	{"grok on Foundry is a lower bound", &dialect_foundry,
	 "{\"model\":\"grok-4-fast\",\"usage\":{\"prompt_tokens\":205,\"completion_tokens\":18,"
	 "\"total_tokens\":223,\"prompt_tokens_details\":{\"cached_tokens\":159},"
	 "\"cost_in_usd_ticks\":0}}",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 46,
		    [TOKEN_INPUT_CACHE_READ] = 159,
		    [TOKEN_OUTPUT_TEXT] = 18},
	 .lower_bound = true},
	{"hidden thinking (Gemini's compatible path)", &dialect_gemini_compat,
	 CHAT_BODY("{\"prompt_tokens\":35,\"completion_tokens\":12,\"total_tokens\":109}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 35,
		    [TOKEN_OUTPUT_TEXT] = 12,
		    [TOKEN_OUTPUT_REASONING] = 62}},
	{"own key upstream (OpenRouter)", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7,\"cost\":0,"
		   "\"is_byok\":true,\"cost_details\":{\"upstream_inference_cost\":0.00417},"
		   "\"server_tool_use_details\":{\"web_search_requests\":3}}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5, [TOKEN_OUTPUT_TEXT] = 2}, .cost = 4170000000,
	 .web_searches = 3},
	{"own key, and what it pays is not told (OpenRouter)", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7,\"cost\":0,"
		   "\"is_byok\":true}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5, [TOKEN_OUTPUT_TEXT] = 2}},
	{"an input that was not told", &dialect_openai_chat, CHAT_BODY("{\"completion_tokens\":2}"),
	 .tokens = {[TOKEN_OUTPUT_TEXT] = 2}, .lower_bound = true},
	{"an input that Anthropic did not tell", &dialect_anthropic,
	 ANTHROPIC_BODY("{\"output_tokens\":2}"), .tokens = {[TOKEN_OUTPUT_TEXT] = 2},
	 .lower_bound = true},
	{"iterations beyond any count", &dialect_anthropic,
	 ANTHROPIC_BODY("{\"input_tokens\":1,\"output_tokens\":8,\"iterations\":["
			"{\"type\":\"compaction\",\"input_tokens\":1000000000000000},"
			"{\"type\":\"message\",\"input_tokens\":1000000000000000}]}"),
	 .tokens = {0}, .unknown = true, .mismatch = true},
	{"costs beyond any amount", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5,\"completion_tokens\":2,\"cost\":9000000,"
		   "\"is_byok\":true,\"cost_details\":{\"upstream_inference_cost\":9000000}}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5, [TOKEN_OUTPUT_TEXT] = 2}},
	{"null usage", &dialect_openai_chat, CHAT_BODY("null"), .tokens = {0}, .unknown = true},
	{"usage without counts", &dialect_openai_chat, CHAT_BODY("{\"trafficType\":\"X\"}"),
	 .tokens = {0}, .unknown = true},
	{"zero usage with text", &dialect_openai_responses,
	 "data: {\"type\":\"response.output_text.delta\",\"delta\":\"words\"}\n\n"
	 "data: {\"type\":\"response.incomplete\",\"response\":{\"usage\":{\"input_tokens\":0,"
	 "\"output_tokens\":0,\"total_tokens\":0}}}\n\n",
	 .tokens = {0}, .unknown = true},
	{"an explicit zero stays zero", &dialect_openai_responses,
	 RESPONSES_BODY("{\"input_tokens\":0,\"output_tokens\":0,\"total_tokens\":0}"),
	 .tokens = {0}},
	{"searches counted by items", &dialect_openai_responses,
	 "{\"output\":[{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}},"
	 "{\"type\":\"web_search_call\",\"action\":{\"type\":\"open_page\"}},"
	 "{\"type\":\"reasoning\"}],\"usage\":" RESPONSES_PLAIN "}",
	 .tokens = PLAIN_KINDS, .web_searches = 1},
	{"searches as the provider counts them", &dialect_openai_responses,
	 "{\"output\":[{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}}],"
	 "\"tool_usage\":{\"web_search\":{\"num_requests\":4}},\"usage\":" RESPONSES_PLAIN "}",
	 .tokens = PLAIN_KINDS, .web_searches = 4},
	{"both lifetimes of cache writes", &dialect_anthropic,
	 ANTHROPIC_BODY("{\"input_tokens\":1,\"cache_creation_input_tokens\":30,"
			"\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,"
			"\"ephemeral_1h_input_tokens\":20},\"output_tokens\":2,"
			"\"server_tool_use\":{\"web_search_requests\":2}}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 1,
		    [TOKEN_INPUT_CACHE_WRITE_5M] = 10,
		    [TOKEN_INPUT_CACHE_WRITE_1H] = 20,
		    [TOKEN_OUTPUT_TEXT] = 2},
	 .web_searches = 2},
	{"delta replaces field by field", &dialect_anthropic,
	 "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,"
	 "\"cache_read_input_tokens\":4,\"output_tokens\":1}}}\n\n"
	 "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5}}\n\n"
	 "data: "
	 "{\"type\":\"message_delta\",\"usage\":{\"input_tokens\":null,\"output_tokens\":6}}\n\n"
	 "data: {\"type\":\"message_stop\"}\n\n",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 9,
		    [TOKEN_INPUT_CACHE_READ] = 4,
		    [TOKEN_OUTPUT_TEXT] = 6}},
	{"compaction counts", &dialect_anthropic,
	 ANTHROPIC_BODY("{\"input_tokens\":220,\"output_tokens\":8,\"iterations\":["
			"{\"type\":\"compaction\",\"input_tokens\":55196,\"output_tokens\":125},"
			"{\"type\":\"message\",\"input_tokens\":220,\"output_tokens\":8}]}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 55416, [TOKEN_OUTPUT_TEXT] = 133}},
	{"a fallback's top level is whole", &dialect_anthropic,
	 ANTHROPIC_BODY("{\"input_tokens\":7,\"output_tokens\":3,\"iterations\":["
			"{\"type\":\"message\",\"input_tokens\":50,\"output_tokens\":0},"
			"{\"type\":\"fallback_message\",\"input_tokens\":7,\"output_tokens\":3}]}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 7, [TOKEN_OUTPUT_TEXT] = 3}},
	{"the total of cache writes grew after the split was told", &dialect_anthropic,
	 "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,"
	 "\"cache_creation_input_tokens\":30,\"cache_creation\":{"
	 "\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20}}}}\n\n"
	 "data: {\"type\":\"message_delta\",\"usage\":{\"cache_creation_input_tokens\":50,"
	 "\"output_tokens\":6}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 9,
		    [TOKEN_INPUT_CACHE_WRITE_5M] = 30,
		    [TOKEN_INPUT_CACHE_WRITE_1H] = 20,
		    [TOKEN_OUTPUT_TEXT] = 6},
	 .mismatch = true},
	{"it shrank", &dialect_anthropic,
	 "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,"
	 "\"cache_creation_input_tokens\":30,\"cache_creation\":{"
	 "\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20}}}}\n\n"
	 "data: {\"type\":\"message_delta\",\"usage\":{\"cache_creation_input_tokens\":15,"
	 "\"output_tokens\":6}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 9,
		    [TOKEN_INPUT_CACHE_WRITE_1H] = 15,
		    [TOKEN_OUTPUT_TEXT] = 6},
	 .mismatch = true},
	{"the same total keeps its split", &dialect_anthropic,
	 "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,"
	 "\"cache_creation_input_tokens\":30,\"cache_creation\":{"
	 "\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20}}}}\n\n"
	 "data: {\"type\":\"message_delta\",\"usage\":{\"cache_creation_input_tokens\":30,"
	 "\"output_tokens\":6}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 9,
		    [TOKEN_INPUT_CACHE_WRITE_5M] = 10,
		    [TOKEN_INPUT_CACHE_WRITE_1H] = 20,
		    [TOKEN_OUTPUT_TEXT] = 6}},
	{"searches of the last delta", &dialect_anthropic,
	 "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,"
	 "\"server_tool_use\":{\"web_search_requests\":0}}}}\n\n"
	 "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":400,"
	 "\"output_tokens\":6,\"server_tool_use\":{\"web_search_requests\":3}}}\n\n",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 400, [TOKEN_OUTPUT_TEXT] = 6}, .web_searches = 3},
	{"rejected predictions are inside the output", &dialect_openai_chat,
	 CHAT_BODY("{\"prompt_tokens\":5,\"completion_tokens\":40,\"total_tokens\":45,"
		   "\"completion_tokens_details\":{\"accepted_prediction_tokens\":10,"
		   "\"rejected_prediction_tokens\":7}}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 5, [TOKEN_OUTPUT_TEXT] = 40}},
	{"two choices share one usage", &dialect_openai_chat,
	 "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
	 "data: {\"choices\":[{\"index\":1,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
	 "data: {\"choices\":[],\"usage\":" CHAT_PLAIN "}\n\ndata: [DONE]\n\n",
	 .tokens = PLAIN_KINDS},
	{"a failed response was billed so far", &dialect_openai_responses,
	 "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":"
	 "{\"code\":\"server_error\"},\"usage\":" RESPONSES_PLAIN "}}\n\n",
	 .tokens = PLAIN_KINDS},
	{"an incomplete response", &dialect_openai_responses,
	 "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":"
	 "{\"error\":null,\"usage\":" RESPONSES_PLAIN "}}\n\n",
	 .tokens = PLAIN_KINDS},
	{"an error after the usage", &dialect_openai_chat,
	 "data: {\"choices\":[],\"usage\":" CHAT_PLAIN "}\n\n"
	 "data: {\"error\":{\"type\":\"server_error\"}}\n\n",
	 .tokens = PLAIN_KINDS},
	{"a made image is billed beside the usage", &dialect_openai_responses,
	 "{\"output\":[{\"type\":\"image_generation_call\"}],\"usage\":" RESPONSES_PLAIN "}",
	 .tokens = PLAIN_KINDS, .mismatch = true},
	{"realtime, plain", &dialect_openai_realtime,
	 REALTIME("\"total_tokens\":140,\"input_tokens\":100,\"output_tokens\":40,"
		  "\"input_token_details\":{\"text_tokens\":100,\"cached_tokens\":30},"
		  "\"output_token_details\":{\"text_tokens\":40,\"reasoning_tokens\":15}"),
	 .tokens = PLAIN_KINDS},
	{"realtime, usage before and beside the response (xAI)", &dialect_openai_realtime,
	 "{\"usage\":{\"input_tokens\":156,\"input_token_details\":{\"text_tokens\":10,"
	 "\"audio_tokens\":140,\"grok_tokens\":6},\"output_tokens\":40,\"total_tokens\":196,"
	 "\"output_token_details\":{\"audio_tokens\":30},\"billable_audio_seconds\":4.6},"
	 "\"type\":\"response.done\",\"response\":{\"usage\":{},\"id\":\"r\"}}",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 16,
		    [TOKEN_INPUT_AUDIO] = 140,
		    [TOKEN_OUTPUT_TEXT] = 10,
		    [TOKEN_OUTPUT_AUDIO] = 30}},
	/* What is cached is in one kind alone; cached sound may cost more than the kind says. */
	{"realtime, cached sound and pictures", &dialect_openai_realtime,
	 REALTIME("\"total_tokens\":219,\"input_tokens\":122,\"output_tokens\":97,"
		  "\"input_token_details\":{\"text_tokens\":80,\"audio_tokens\":26,"
		  "\"image_tokens\":16,\"cached_tokens\":64,\"cached_tokens_details\":{"
		  "\"text_tokens\":40,\"audio_tokens\":20,\"image_tokens\":4}},"
		  "\"output_token_details\":{\"text_tokens\":28,\"audio_tokens\":69}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 40,
		    [TOKEN_INPUT_CACHE_READ] = 64,
		    [TOKEN_INPUT_AUDIO] = 6,
		    [TOKEN_INPUT_IMAGE] = 12,
		    [TOKEN_OUTPUT_TEXT] = 28,
		    [TOKEN_OUTPUT_AUDIO] = 69},
	 .lower_bound = true},
	{"realtime, more sound than input", &dialect_openai_realtime,
	 REALTIME("\"input_tokens\":10,\"output_tokens\":3,\"input_token_details\":{"
		  "\"audio_tokens\":11}"),
	 .tokens = {[TOKEN_INPUT_AUDIO] = 10, [TOKEN_OUTPUT_TEXT] = 3}, .mismatch = true},
	{"realtime, no usage", &dialect_openai_realtime,
	 "{\"type\":\"response.done\",\"response\":{\"usage\":null}}", .unknown = true},
	{"realtime, zero for what was said", &dialect_openai_realtime,
	 "{\"type\":\"response.done\",\"response\":{\"output\":[{\"content\":[{"
	 "\"transcript\":\"hi\"}]}],\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}}",
	 .unknown = true},
	{"a transcription by its tokens", &dialect_openai_realtime,
	 "{\"type\":\"conversation.item.input_audio_transcription.completed\",\"transcript\":"
	 "\"hi\",\"usage\":{\"type\":\"tokens\",\"total_tokens\":35,\"input_tokens\":26,"
	 "\"input_token_details\":{\"text_tokens\":2,\"audio_tokens\":24},"
	 "\"output_tokens\":9}}",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 2, [TOKEN_INPUT_AUDIO] = 24, [TOKEN_OUTPUT_TEXT] = 9}},
	{"a transcription by its length", &dialect_openai_realtime,
	 "{\"usage\":{\"type\":\"duration\",\"seconds\":4}}", .tokens = {0}},
	{"live, thoughts outside of the total", &dialect_gemini_live,
	 "{\"usageMetadata\":{\"promptTokenCount\":100,\"responseTokenCount\":25,"
	 "\"thoughtsTokenCount\":15,\"totalTokenCount\":125,\"cachedContentTokenCount\":30}}",
	 .tokens = PLAIN_KINDS},
	{"live, thoughts in the total", &dialect_gemini_live,
	 "{\"usageMetadata\":{\"promptTokenCount\":90,\"toolUsePromptTokenCount\":10,"
	 "\"responseTokenCount\":25,\"thoughtsTokenCount\":15,\"totalTokenCount\":140,"
	 "\"cachedContentTokenCount\":30}}",
	 .tokens = PLAIN_KINDS},
	{"live, by kind", &dialect_gemini_live,
	 "{\"usageMetadata\":{\"promptTokenCount\":100,\"responseTokenCount\":40,"
	 "\"totalTokenCount\":140,\"promptTokensDetails\":[{\"modality\":\"TEXT\","
	 "\"tokenCount\":10},{\"modality\":\"AUDIO\",\"tokenCount\":60},{\"modality\":"
	 "\"IMAGE\",\"tokenCount\":30}],\"responseTokensDetails\":[{\"modality\":\"AUDIO\","
	 "\"tokenCount\":38}]}}",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 10,
		    [TOKEN_INPUT_AUDIO] = 60,
		    [TOKEN_INPUT_IMAGE] = 30,
		    [TOKEN_OUTPUT_TEXT] = 2,
		    [TOKEN_OUTPUT_AUDIO] = 38}},
	{"live, another total", &dialect_gemini_live,
	 "{\"usageMetadata\":{\"promptTokenCount\":100,\"responseTokenCount\":40,"
	 "\"totalTokenCount\":141}}",
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 100, [TOKEN_OUTPUT_TEXT] = 40}, .mismatch = true},
	{"plain iterations change nothing", &dialect_anthropic,
	 ANTHROPIC_BODY("{\"input_tokens\":7,\"output_tokens\":3,\"iterations\":["
			"{\"type\":\"message\",\"input_tokens\":1,\"output_tokens\":1}]}"),
	 .tokens = {[TOKEN_INPUT_UNCACHED] = 7, [TOKEN_OUTPUT_TEXT] = 3}},
};

static void check(const struct vector *v, const struct usage *u)
{
	if (u->known == v->unknown || u->mismatch != v->mismatch ||
	    u->lower_bound != v->lower_bound)
		fail_msg("%s: known %d mismatch %d lower bound %d", v->name, u->known, u->mismatch,
			 u->lower_bound);
	for (int i = 0; i < TOKEN_KINDS; i++) {
		if (u->tokens[i] != v->tokens[i])
			fail_msg("%s: %s is %lld, expected %lld", v->name, token_kind_names[i],
				 (long long)u->tokens[i], (long long)v->tokens[i]);
	}
	if (u->tool_units[TOOL_WEB_SEARCH] != v->web_searches)
		fail_msg("%s: %lld searches", v->name, (long long)u->tool_units[TOOL_WEB_SEARCH]);
	if (u->provider_cost_pusd != (v->cost ? v->cost : -1))
		fail_msg("%s: cost %lld", v->name, (long long)u->provider_cost_pusd);
}

static void across_dialects(void **state)
{
	struct meter_facts facts;
	struct answer answer;
	struct usage usage;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct slice text = slice_of(vectors[i].text);

		for (size_t at = 0; at <= text.len + 1; at += 1 + at / 16) {
			read_answer(vectors[i].dialect, text, at > text.len ? SIZE_MAX : at, &facts,
				    &answer, &usage);
			check(&vectors[i], &usage);
		}
		read_answer(vectors[i].dialect, text, SIZE_MAX, &facts, &answer, &usage);
		check(&vectors[i], &usage);
	}
}

static void advisors_are_their_own_records(void **state)
{
	static const char text[] = ANTHROPIC_BODY(
		"{\"input_tokens\":2390,\"output_tokens\":121,"
		"\"output_tokens_details\":{\"thinking_tokens\":28},\"iterations\":["
		"{\"type\":\"message\",\"input_tokens\":1128,\"output_tokens\":110},"
		"{\"type\":\"advisor_message\",\"model\":\"big\",\"input_tokens\":2518,"
		"\"output_tokens\":22},"
		"{\"type\":\"message\",\"input_tokens\":1262,\"output_tokens\":11}]}");
	struct json_paths *paths = NULL;
	struct meter *m = NULL;
	struct usage main_usage, sub;

	(void)state;
	assert_int_equal(dialect_paths_new(&paths, &dialect_anthropic), 0);
	assert_int_equal(meter_new(&m, &dialect_anthropic, paths, false), 0);
	meter_feed(m, SLICE(text));
	meter_usage(m, &main_usage);
	assert_int_equal(meter_answer(m)->sub_count, 1);
	assert_string_equal(meter_answer(m)->sub[0].model, "big");
	meter_sub_usage(m, 0, &sub);
	assert_int_equal(usage_input_total(&main_usage), 2390);
	assert_int_equal(usage_output_total(&main_usage), 121);
	assert_int_equal(main_usage.tokens[TOKEN_OUTPUT_REASONING], 28);
	assert_int_equal(usage_input_total(&sub), 2518);
	assert_int_equal(usage_output_total(&sub), 22);
	meter_free(m);
	json_paths_free(paths);
}

/* Sessions, not calls: one container used twice and another used once are two. */
static void containers(void **state)
{
	struct slice text =
		SLICE("{\"output\":[{\"type\":\"code_interpreter_call\",\"container_id\":\"a\"},"
		      "{\"type\":\"code_interpreter_call\",\"container_id\":\"b\"},"
		      "{\"type\":\"file_search_call\"},"
		      "{\"type\":\"code_interpreter_call\",\"container_id\":\"a\"}],"
		      "\"usage\":" RESPONSES_PLAIN "}");
	struct meter_facts facts;
	struct answer answer;
	struct usage usage;

	(void)state;
	read_answer(&dialect_openai_responses, text, 0, &facts, &answer, &usage);
	assert_int_equal(usage.tool_units[TOOL_CODE_INTERPRETER], 2);
	assert_int_equal(usage.tool_units[TOOL_FILE_SEARCH], 1);
}

static void shapes(void **state)
{
	static const struct {
		const char *text;
		bool stream, alien, marked, failed, ended;
	} rows[] = {
		{"<html>", .alien = true},
		{"plain words", .alien = true},
		{"{\"ok\":true}", .ended = true},
		{"{\"error\":\"no such thing\"}", .ended = true},
		{"{\"error\":{\"message\":\"m\",\"type\":\"t\"}}", .marked = true, .failed = true,
		 .ended = true},
		{"  \r\n\xef\xbb\xbf{\"object\":\"chat.completion\"", .marked = true},
		{"data: {\"choices\":[{\"index\":0}]}\n\n", .stream = true, .marked = true},
		{"event: ping\ndata: {}\n\n", .stream = true},
		{"event: error\ndata: {\"error\":{\"code\":\"c\"}}\n\n", .stream = true,
		 .marked = true, .failed = true},
		{"data: [DONE]\n\n", .stream = true, .ended = true},
	};
	struct meter_facts facts;
	struct answer answer;
	struct usage usage;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		read_answer(&dialect_openai_chat, slice_of(rows[i].text), SIZE_MAX, &facts, &answer,
			    &usage);
		if (facts.stream != rows[i].stream || facts.alien != rows[i].alien ||
		    facts.marked != rows[i].marked || facts.failed != rows[i].failed ||
		    facts.ended != rows[i].ended)
			fail_msg("%s: stream %d alien %d marked %d failed %d ended %d",
				 rows[i].text, facts.stream, facts.alien, facts.marked,
				 facts.failed, facts.ended);
	}
}

/* However it is cut, nothing says any more that the counts are the last. */
static void junk_behind_a_document(void **state)
{
	static const char text[] = ANTHROPIC_BODY("{\"input_tokens\":1,\"output_tokens\":2}") "\nx";
	struct meter_facts facts;
	struct answer answer;
	struct usage usage;

	(void)state;
	read_answer(&dialect_anthropic, (struct slice){text, sizeof(text) - 3}, SIZE_MAX, &facts,
		    &answer, &usage);
	assert_true(facts.final && facts.ended);
	for (size_t at = 0; at < sizeof(text); at++) {
		read_answer(&dialect_anthropic, SLICE(text), at, &facts, &answer, &usage);
		assert_true(facts.broken && !facts.final && !facts.ended);
		assert_int_equal(usage_input_total(&usage), 1);
	}
}

#define LOOSE_COUNT "{\"inputTextTokenCount\":1}"

/*
 * However it is cut, another document that does not end means that the answer has not ended. A
 * usage object that was read to its end stands; counts that only the document's end made the last
 * do not.
 */
static void a_document_behind_a_document(void **state)
{
	static const struct {
		const struct dialect *dialect;
		const char *text;
		bool final, ended;
	} rows[] = {
		{&dialect_anthropic, ANTHROPIC_BODY("{\"input_tokens\":1}") " \n", true, true},
		{&dialect_anthropic, ANTHROPIC_BODY("{\"input_tokens\":1}") "6\"", true, false},
		{&dialect_anthropic, ANTHROPIC_BODY("{\"input_tokens\":1}") "{} {", true, false},
		{&dialect_bedrock_invoke, LOOSE_COUNT, true, true},
		{&dialect_bedrock_invoke, LOOSE_COUNT "6\"", false, false},
		{&dialect_bedrock_invoke, LOOSE_COUNT "6 {}\n", true, true},
	};
	struct meter_facts facts;
	struct answer answer;
	struct usage usage;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice text = slice_of(rows[i].text);

		for (size_t at = 0; at <= text.len + 1; at++) {
			read_answer(rows[i].dialect, text, at > text.len ? SIZE_MAX : at, &facts,
				    &answer, &usage);
			if (facts.final != rows[i].final || facts.ended != rows[i].ended ||
			    facts.broken)
				fail_msg("%s cut at %zu: final %d ended %d broken %d", rows[i].text,
					 at, facts.final, facts.ended, facts.broken);
			assert_int_equal(usage_input_total(&usage), 1);
		}
	}
}

/* ---- raw usage
 * ------------------------------------------------------------------------------------ */

static void raw_usage(void **state)
{
	static const char *const sets[][2] = {
		{"a", "1"},
		{"d.x", "2"},
		{"list.[0].n", "3"},
		{"list.[1].n", "4"},
		{"b", "5.25e-06"},
		{"d.y.z", "6"},
		{"list.[1].m", "7"},
		{"a", "8"},
		{"bad key", "9"},
		{"d.\"quote\"", "9"},
		{"list.[2].[0]", "10"},
		{"huge", "1e999"}, /* no double: a reader's infinity, or its refusal of the row */
		{"huge", "-123.0E+306"},
		{"huge", "1e99999999999999999999"},
		{"d.x", "1E309"}, /* the number before it stays */
		{"tiny", "1e-999"},
	};
	struct raw_store s = {0};
	char text[CALL_RAW_MAX], tiny[40];

	(void)state;
	raw_store_render(&s, text, sizeof(text));
	assert_string_equal(text, "");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		raw_store_set(&s, slice_of(sets[i][0]), slice_of(sets[i][1]));
	raw_store_render(&s, text, sizeof(text));
	assert_string_equal(
		text,
		"{\"a\":8,\"d\":{\"x\":2,\"y\":{\"z\":6}},"
		"\"list\":[{\"n\":3},{\"n\":4,\"m\":7},[10]],\"b\":5.25e-06,\"tiny\":1e-999}");
	raw_store_render(&s, tiny, sizeof(tiny));
	assert_true(strlen(tiny) < sizeof(tiny));
}

/* Keys that come twice, or look like a list's elements, leave an object that a reader can take. */
static void raw_usage_is_json(void **state)
{
	static const struct {
		const char *paths[4], *want;
	} cases[] = {
		{{"[", "x"}, "{\"x\":2}"},
		{{"[0]", "x"}, "{\"x\":2}"},
		{{"[0]"}, ""},
		{{"[]", "[x]", "a.", "x"}, "{\"x\":4}"},
		{{"a", "a.b", "c"}, "{\"a\":1,\"c\":3}"},
		{{"a.b", "a", "c"}, "{\"a\":{\"b\":1},\"c\":3}"},
		{{"a.[0]", "a.b", "a.[1]"}, "{\"a\":[1,3]}"},
		{{"a.b", "a.[0]", "a.c"}, "{\"a\":{\"b\":1,\"c\":3}}"},
		{{"a.b.c", "a.b", "a.d"}, "{\"a\":{\"b\":{\"c\":1},\"d\":3}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct raw_store s = {0};
		char text[CALL_RAW_MAX];

		for (size_t k = 0; k < 4 && cases[i].paths[k]; k++)
			raw_store_set(&s, slice_of(cases[i].paths[k]),
				      (struct slice){&"1234"[k], 1});
		raw_store_render(&s, text, sizeof(text));
		assert_string_equal(text, cases[i].want);
	}
}

/* However many numbers come, the store and its text stay bounded and whole. */
static void raw_usage_is_bounded(void **state)
{
	struct raw_store s = {0};
	char path[64], text[CALL_RAW_MAX];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "group_%d.iterations.[%d].input_tokens", i % 7, i);
		raw_store_set(&s, slice_of(path), SLICE("123456"));
	}
	assert_true(s.used <= sizeof(s.text));
	raw_store_render(&s, text, sizeof(text));
	assert_true(strlen(text) > 1000 && strlen(text) < sizeof(text));
	assert_int_equal(text[strlen(text) - 1], '}');
}

/* One count that is none takes the certainty from all of them. */
static void unreadable_counts(void **state)
{
	static const char *const bad[] = {"-1",	  "1.5",  "1e999",   "1000000000000001",
					  "true", "\"\"", "\"ten\"", "99999999999999999999"};
	static const struct {
		const struct dialect *dialect;
		const char *before;
	} forms[] = {
		{&dialect_openai_chat, "{\"usage\":{\"completion_tokens\":5,\"prompt_tokens\":"},
		{&dialect_openai_chat, "{\"usage\":{\"prompt_tokens\":5,\"cached_tokens\":"},
		{&dialect_openai_responses, "{\"usage\":{\"input_tokens\":5,\"output_tokens\":"},
		{&dialect_anthropic, "{\"usage\":{\"input_tokens\":5,\"output_tokens\":"},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms) * ARRAY_LEN(bad); i++) {
		struct meter_facts facts;
		struct answer answer;
		struct usage usage;
		int n = snprintf(text, sizeof(text), "%s%s}}", forms[i / ARRAY_LEN(bad)].before,
				 bad[i % ARRAY_LEN(bad)]);

		read_answer(forms[i / ARRAY_LEN(bad)].dialect, (struct slice){text, (size_t)n}, 9,
			    &facts, &answer, &usage);
		if (usage.known || !usage.mismatch || usage_input_total(&usage) ||
		    usage_output_total(&usage))
			fail_msg("taken as certain: %s", text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(across_dialects),
		cmocka_unit_test(advisors_are_their_own_records),
		cmocka_unit_test(containers),
		cmocka_unit_test(shapes),
		cmocka_unit_test(junk_behind_a_document),
		cmocka_unit_test(a_document_behind_a_document),
		cmocka_unit_test(raw_usage),
		cmocka_unit_test(raw_usage_is_json),
		cmocka_unit_test(raw_usage_is_bounded),
		cmocka_unit_test(unreadable_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
