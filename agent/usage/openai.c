/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's two dialects and what imitates them. Chat: counts named prompt and completion, also in
 * legacy completions and embeddings. Responses: counts named input and output. In both every detail
 * is part of its total; vendors that differ are told by the total they send along.
 */
#include "agent/base/money.h"
#include "agent/usage/dialect.h"

/* The counts of a chat-shaped usage object at a prefix. */
#define CHAT_USAGE(p)                                                                              \
	{p "{}", ROW_USAGE, 0, NULL}, {p ".**", ROW_RAW, 0, NULL},                                 \
		{p ".prompt_tokens", ROW_COUNT, RAW_INPUT, NULL},                                  \
		{p ".completion_tokens", ROW_COUNT, RAW_OUTPUT, NULL},                             \
		{p ".total_tokens", ROW_COUNT, RAW_TOTAL, NULL},                                   \
		{p ".prompt_tokens_details.cached_tokens", ROW_COUNT, RAW_CACHED, NULL},           \
		{p ".prompt_token_details.cached_tokens", ROW_COUNT, RAW_CACHED, NULL},            \
		{p ".prompt_cache_hit_tokens", ROW_COUNT, RAW_CACHED, NULL},                       \
		{p ".num_cached_tokens", ROW_COUNT, RAW_CACHED, NULL},                             \
		{p ".cached_tokens", ROW_COUNT, RAW_CACHED, NULL},                                 \
		{p ".prompt_tokens_details.cache_write_tokens", ROW_COUNT, RAW_CACHE_WRITE, NULL}, \
		{p ".prompt_tokens_details.audio_tokens", ROW_COUNT, RAW_INPUT_AUDIO, NULL},       \
		{p ".prompt_tokens_details.image_tokens", ROW_COUNT, RAW_INPUT_IMAGE, NULL},       \
		{p ".completion_tokens_details.reasoning_tokens", ROW_COUNT, RAW_REASONING, NULL}, \
		{p ".completion_tokens_details.audio_tokens", ROW_COUNT, RAW_OUTPUT_AUDIO, NULL},  \
		{p ".completion_tokens_details.image_tokens", ROW_COUNT, RAW_OUTPUT_IMAGE, NULL},  \
		{p ".prompt_audio_seconds", ROW_COUNT, RAW_AUDIO_SECONDS, NULL},                   \
		{p ".server_tool_use_details.web_search_requests", ROW_COUNT, RAW_WEB_SEARCH,      \
		 NULL},                                                                            \
		{p ".service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},                            \
		{p ".cost_in_usd_ticks", ROW_COUNT, RAW_COST_TICKS, NULL},                         \
		{p ".cost", ROW_USD, RAW_COST, NULL},                                              \
		{p ".cost.total_cost", ROW_USD, RAW_COST, NULL},                                   \
		{p ".cost_details.upstream_inference_cost", ROW_USD, RAW_UPSTREAM_COST, NULL},     \
	{                                                                                          \
		p ".is_byok", ROW_TRUE, RAW_BYOK, NULL                                             \
	}

static const struct dialect_row chat_rows[] = {
	CHAT_USAGE("usage"),
	CHAT_USAGE("x_groq.usage"),
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},
	{"object", ROW_MARK, 0, "chat.completion"},
	{"choices[].index", ROW_MARK, 0, ""},
	{"data[].object", ROW_MARK, 0, "embedding"},
	{"choices[].finish_reason", ROW_FINISH, 0, NULL},
	{"choices[].delta.content#", ROW_CONTENT, 0, NULL},
	{"choices[].delta.refusal#", ROW_CONTENT, 0, NULL},
	{"choices[].delta.reasoning#", ROW_CONTENT, 0, NULL},
	{"choices[].delta.reasoning_content#", ROW_CONTENT, 0, NULL},
	{"choices[].delta.tool_calls[].function.arguments#", ROW_CONTENT, 0, NULL},
	{"choices[].message.content#", ROW_CONTENT, 0, NULL},
	{"choices[].message.tool_calls[].function.arguments#", ROW_CONTENT, 0, NULL},
	{"choices[].text#", ROW_CONTENT, 0, NULL},
	{"error{}", ROW_ERROR, 0, NULL},
	{"error.type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
	{"error.code", ROW_TEXT, TEXT_ERROR_CODE, NULL},
	{"error.status", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
	{"x_groq.error{}", ROW_ERROR, 0, NULL},
	{"code", ROW_TEXT, TEXT_ERROR_CODE, NULL},
	{"type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
};

/* The counts of a responses-shaped usage object at a prefix. */
#define RESPONSES_USAGE(p)                                                                        \
	{p "{}", ROW_USAGE, 0, NULL}, {p ".**", ROW_RAW, 0, NULL},                                \
		{p ".input_tokens", ROW_COUNT, RAW_INPUT, NULL},                                  \
		{p ".output_tokens", ROW_COUNT, RAW_OUTPUT, NULL},                                \
		{p ".total_tokens", ROW_COUNT, RAW_TOTAL, NULL},                                  \
		{p ".input_tokens_details.cached_tokens", ROW_COUNT, RAW_CACHED, NULL},           \
		{p ".input_tokens_details.cache_write_tokens", ROW_COUNT, RAW_CACHE_WRITE, NULL}, \
		{p ".input_tokens_details.audio_tokens", ROW_COUNT, RAW_INPUT_AUDIO, NULL},       \
		{p ".input_tokens_details.image_tokens", ROW_COUNT, RAW_INPUT_IMAGE, NULL},       \
		{p ".output_tokens_details.reasoning_tokens", ROW_COUNT, RAW_REASONING, NULL},    \
		{p ".output_tokens_details.audio_tokens", ROW_COUNT, RAW_OUTPUT_AUDIO, NULL},     \
		{p ".output_tokens_details.image_tokens", ROW_COUNT, RAW_OUTPUT_IMAGE, NULL},     \
		{p ".server_side_tool_usage_details.web_search_calls", ROW_COUNT, RAW_WEB_SEARCH, \
		 NULL},                                                                           \
		{p ".cost_in_usd_ticks", ROW_COUNT, RAW_COST_TICKS, NULL},                        \
		{p ".cost", ROW_USD, RAW_COST, NULL},                                             \
		{p ".cost.total_cost", ROW_USD, RAW_COST, NULL},                                  \
		{p ".cost_details.upstream_inference_cost", ROW_USD, RAW_UPSTREAM_COST, NULL},    \
	{                                                                                         \
		p ".is_byok", ROW_TRUE, RAW_BYOK, NULL                                            \
	}

/* A response object at a prefix: the body itself, or "response." in stream events. */
#define RESPONSE(p)                                                                        \
	RESPONSES_USAGE(p "usage"), {p "id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},            \
		{p "model", ROW_TEXT, TEXT_MODEL, NULL},                                   \
		{p "service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},                     \
		{p "object", ROW_MARK, 0, "response"}, {p "error{}", ROW_ERROR, 0, NULL},  \
		{p "error.type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},                         \
		{p "error.code", ROW_TEXT, TEXT_ERROR_CODE, NULL},                         \
		{p "tool_usage.web_search.num_requests", ROW_COUNT, RAW_WEB_SEARCH, NULL}, \
		{p "output[]{}", ROW_ITEM, 0, NULL},                                       \
		{p "output[].type", ROW_TEXT, TEXT_ITEM_TYPE, NULL},                       \
		{p "output[].action.type", ROW_TEXT, TEXT_ITEM_ACTION, NULL},              \
		{p "output[].container_id", ROW_TEXT, TEXT_ITEM_CONTAINER, NULL},          \
	{                                                                                  \
		p "output[].content[].text#", ROW_CONTENT, 0, NULL                         \
	}

static const struct dialect_row responses_rows[] = {
	RESPONSE(""),
	RESPONSE("response."),
	{"type", ROW_TYPE, 0, "response."},
	{"delta#", ROW_CONTENT, 0, NULL},
	{"code", ROW_TEXT, TEXT_ERROR_CODE, NULL},
};

static const char *const responses_ends[] = {"response.completed", "response.incomplete",
					     "response.failed", NULL};

/*
 * Input and output with what the provider left outside of them: a total may show that it counts
 * reasoning (xAI chat) or audio input (Mistral) beside the two.
 */
static void totals(const int64_t raw[RAW_FIELDS], int64_t *input, int64_t *output)
{
	int64_t total = raw[RAW_TOTAL], reasoning = raw_or_zero(raw, RAW_REASONING);
	int64_t audio = raw_or_zero(raw, RAW_INPUT_AUDIO);

	*input = raw[RAW_INPUT];
	*output = raw[RAW_OUTPUT];
	if (*output == RAW_ABSENT) /* embeddings; an empty legacy completion */
		*output = total > *input && *input != RAW_ABSENT ? total - *input : 0;
	if (*input == RAW_ABSENT) /* only a total is sent (Voyage) */
		*input = total > *output ? total - *output : 0;
	if (total == RAW_ABSENT || total == *input + *output)
		return;
	if (total == *input + *output + reasoning)
		*output += reasoning;
	else if (total == *input + *output + audio)
		*input += audio;
}

static void set_tokens(const int64_t raw[RAW_FIELDS], int64_t input, int64_t output,
		       struct usage *u)
{
	bool clamped = false;
	int64_t *t = u->tokens;

	u->known = true;
	u->mismatch = raw[RAW_TOTAL] != RAW_ABSENT && raw[RAW_TOTAL] != input + output;
	t[TOKEN_INPUT_CACHE_READ] = usage_take(&input, raw_or_zero(raw, RAW_CACHED), &clamped);
	/* OpenAI's cache writes live as long as Anthropic's short ones. */
	t[TOKEN_INPUT_CACHE_WRITE_5M] =
		usage_take(&input, raw_or_zero(raw, RAW_CACHE_WRITE), &clamped);
	t[TOKEN_INPUT_AUDIO] = usage_take(&input, raw_or_zero(raw, RAW_INPUT_AUDIO), &clamped);
	t[TOKEN_INPUT_IMAGE] = usage_take(&input, raw_or_zero(raw, RAW_INPUT_IMAGE), &clamped);
	t[TOKEN_INPUT_UNCACHED] = input;
	t[TOKEN_OUTPUT_REASONING] = usage_take(&output, raw_or_zero(raw, RAW_REASONING), &clamped);
	t[TOKEN_OUTPUT_AUDIO] = usage_take(&output, raw_or_zero(raw, RAW_OUTPUT_AUDIO), &clamped);
	t[TOKEN_OUTPUT_IMAGE] = usage_take(&output, raw_or_zero(raw, RAW_OUTPUT_IMAGE), &clamped);
	t[TOKEN_OUTPUT_TEXT] = output;
	if (clamped)
		u->mismatch = true;
}

static void set_cost(const int64_t raw[RAW_FIELDS], struct usage *u)
{
	if (raw[RAW_COST] != RAW_ABSENT) {
		u->provider_cost_pusd = raw[RAW_COST];
		if (raw[RAW_BYOK] == 1 &&
		    __builtin_add_overflow(raw[RAW_COST], raw_or_zero(raw, RAW_UPSTREAM_COST),
					   &u->provider_cost_pusd))
			u->provider_cost_pusd = -1;
	} else if (raw[RAW_COST_TICKS] > 0) { /* 0 ticks = not reported (Azure) */
		u->provider_cost_pusd = raw[RAW_COST_TICKS] * (PUSD_PER_USD / 10000000000LL);
	}
}

static bool any_count(const int64_t raw[RAW_FIELDS])
{
	return raw[RAW_INPUT] != RAW_ABSENT || raw[RAW_OUTPUT] != RAW_ABSENT ||
	       raw[RAW_TOTAL] != RAW_ABSENT;
}

static void chat_finish(const struct answer *a, struct usage *u)
{
	int64_t input, output;

	set_cost(a->raw, u);
	if (!any_count(a->raw))
		return;
	totals(a->raw, &input, &output);
	/* Recorded: an incomplete response with text and an all-zero usage. Zero means unknown. */
	if (input == 0 && output == 0 && a->content_bytes)
		return;
	set_tokens(a->raw, input, output, u);
	if (a->raw[RAW_INPUT] == RAW_ABSENT && a->raw[RAW_TOTAL] == RAW_ABSENT)
		u->lower_bound = true; /* no call is without input */
	u->tool_units[TOOL_WEB_SEARCH] = raw_or_zero(a->raw, RAW_WEB_SEARCH);
	u->tool_units[TOOL_AUDIO_SECONDS] = raw_or_zero(a->raw, RAW_AUDIO_SECONDS);
}

static void responses_finish(const struct answer *a, struct usage *u)
{
	chat_finish(a, u);
	if (a->raw[RAW_WEB_SEARCH] == RAW_ABSENT)
		u->tool_units[TOOL_WEB_SEARCH] = a->item_sum[RAW_WEB_SEARCH];
	u->tool_units[TOOL_FILE_SEARCH] = a->item_sum[RAW_FILE_SEARCH];
	u->tool_units[TOOL_CODE_INTERPRETER] = a->container_count;
	u->mismatch |= a->items_unbilled;
}

static uint64_t hash_text(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ULL;
	return h;
}

/* Code interpreter is billed per container session, not per call. */
static void count_container(struct answer *a)
{
	uint64_t id = hash_text(a->text[TEXT_ITEM_CONTAINER]);

	for (uint32_t i = 0; i < a->container_count; i++) {
		if (a->container[i] == id)
			return;
	}
	if (a->container_count < ANSWER_CONTAINERS_MAX)
		a->container[a->container_count++] = id;
}

static void responses_item(struct answer *a)
{
	const char *type = a->text[TEXT_ITEM_TYPE], *action = a->text[TEXT_ITEM_ACTION];

	if (strcmp(type, "web_search_call") == 0) /* open_page and find_in_page are free */
		a->item_sum[RAW_WEB_SEARCH] += !*action || strcmp(action, "search") == 0;
	else if (strcmp(type, "file_search_call") == 0)
		a->item_sum[RAW_FILE_SEARCH]++;
	else if (strcmp(type, "code_interpreter_call") == 0)
		count_container(a);
	else if (strcmp(type, "image_generation_call") == 0)
		a->items_unbilled =
			true; /* tokens of an image model; neither stands in the usage */
}

/*
 * Grok on Azure AI Foundry: in most recordings cached tokens exceed the prompt, so neither the
 * whole input nor its cached part is established. What is told is the least that can have been
 * billed.
 */
static void foundry_finish(const struct answer *a, struct usage *u)
{
	chat_finish(a, u);
	if (u->known && strncasecmp(a->text[TEXT_MODEL], "grok", 4) == 0 &&
	    raw_or_zero(a->raw, RAW_CACHED) > 0)
		u->lower_bound = true;
}

/* Gemini's thinking shows only in the total. */
static void gemini_compat_finish(const struct answer *a, struct usage *u)
{
	int64_t raw[RAW_FIELDS], hidden;

	chat_finish(a, u);
	if (!u->known || a->raw[RAW_TOTAL] == RAW_ABSENT)
		return;
	hidden = a->raw[RAW_TOTAL] - usage_input_total(u) - usage_output_total(u);
	if (hidden <= 0)
		return;
	memcpy(raw, a->raw, sizeof(raw));
	raw[RAW_REASONING] = raw_or_zero(raw, RAW_REASONING) + hidden;
	set_tokens(raw, usage_input_total(u), usage_output_total(u) + hidden, u);
}

static void ocr_finish(const struct answer *a, struct usage *u)
{
	if (a->raw[RAW_PAGES] == RAW_ABSENT)
		return;
	u->known = true;
	u->tool_units[TOOL_PAGES] = a->raw[RAW_PAGES];
}

static const struct dialect_row ocr_rows[] = {
	{"usage_info{}", ROW_USAGE, 0, NULL},
	{"usage_info.**", ROW_RAW, 0, NULL},
	{"usage_info.pages_processed", ROW_COUNT, RAW_PAGES, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
};

const struct dialect dialect_openai_chat = {
	.name = "openai_chat",
	.rows = chat_rows,
	.row_count = ARRAY_LEN(chat_rows),
	.finish = chat_finish,
};

const struct dialect dialect_openai_responses = {
	.name = "openai_responses",
	.rows = responses_rows,
	.row_count = ARRAY_LEN(responses_rows),
	.end_types = responses_ends,
	.item = responses_item,
	.finish = responses_finish,
};

const struct dialect dialect_foundry = {
	.name = "foundry",
	.rows = chat_rows,
	.row_count = ARRAY_LEN(chat_rows),
	.finish = foundry_finish,
};

const struct dialect dialect_gemini_compat = {
	.name = "gemini_compat",
	.rows = chat_rows,
	.row_count = ARRAY_LEN(chat_rows),
	.finish = gemini_compat_finish,
};

const struct dialect dialect_mistral_ocr = {
	.name = "mistral_ocr",
	.rows = ocr_rows,
	.row_count = ARRAY_LEN(ocr_rows),
	.finish = ocr_finish,
};
