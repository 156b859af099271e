/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's two dialects and what imitates them. Chat: counts named prompt and completion, also in
 * legacy completions and embeddings. Responses: counts named input and output. In both every detail
 * is part of its total; vendors that differ are told by the total they send along.
 */
#include "agent/usage/openai.h"

#include "agent/base/money.h"

/* What all usage objects have. */
#define SHARED_USAGE(p)                                                                        \
	{p "{}", ROW_USAGE, 0, NULL}, {p ".**", ROW_RAW, 0, NULL},                             \
		{p ".total_tokens", ROW_COUNT, RAW_TOTAL, NULL},                               \
		{p ".cost_in_usd_ticks", ROW_COUNT, RAW_COST_TICKS, NULL},                     \
		{p ".cost", ROW_USD, RAW_COST, NULL},                                          \
		{p ".cost.total_cost", ROW_USD, RAW_COST, NULL},                               \
		{p ".cost_details.upstream_inference_cost", ROW_USD, RAW_UPSTREAM_COST, NULL}, \
	{                                                                                      \
		p ".is_byok", ROW_TRUE, RAW_BYOK, NULL                                         \
	}

/* The counts of a chat-shaped usage object at a prefix. */
#define CHAT_COUNTS(p)                                                                             \
	{p ".prompt_tokens", ROW_COUNT, RAW_INPUT, NULL},                                          \
		{p ".completion_tokens", ROW_COUNT, RAW_OUTPUT, NULL},                             \
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
	{                                                                                          \
		p ".service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL                               \
	}

#define CHAT_USAGE(p) SHARED_USAGE(p), CHAT_COUNTS(p)

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
	{"choices[].delta.content~", ROW_CONTENT, 0, NULL},
	{"choices[].delta.refusal~", ROW_CONTENT, 0, NULL},
	{"choices[].delta.reasoning~", ROW_CONTENT, 0, NULL},
	{"choices[].delta.reasoning_content~", ROW_CONTENT, 0, NULL},
	{"choices[].delta.tool_calls[].function.arguments~", ROW_CONTENT, 0, NULL},
	{"choices[].delta.tool_calls[].id", ROW_TOOL_CALL, 0, NULL},
	{"choices[].message.tool_calls[].id", ROW_TOOL_CALL, 0, NULL},
	{"choices[].message.content~", ROW_CONTENT, 0, NULL},
	{"choices[].message.tool_calls[].function.arguments~", ROW_CONTENT, 0, NULL},
	{"choices[].text~", ROW_CONTENT, 0, NULL},
	ROWS_ERROR("", "type"),
	{"error.status", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
	{"x_groq.error{}", ROW_ERROR, 0, NULL},
	{"code", ROW_TEXT, TEXT_ERROR_CODE, NULL},
	{"type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
};

/* The counts of a responses-shaped usage object at a prefix. */
#define RESPONSES_COUNTS(p)                                                                       \
	{p ".input_tokens", ROW_COUNT, RAW_INPUT, NULL},                                          \
		{p ".output_tokens", ROW_COUNT, RAW_OUTPUT, NULL},                                \
		{p ".input_tokens_details.cached_tokens", ROW_COUNT, RAW_CACHED, NULL},           \
		{p ".input_tokens_details.cache_write_tokens", ROW_COUNT, RAW_CACHE_WRITE, NULL}, \
		{p ".input_tokens_details.audio_tokens", ROW_COUNT, RAW_INPUT_AUDIO, NULL},       \
		{p ".input_tokens_details.image_tokens", ROW_COUNT, RAW_INPUT_IMAGE, NULL},       \
		{p ".input_token_details.cached_tokens", ROW_COUNT, RAW_CACHED, NULL},            \
		{p ".input_token_details.audio_tokens", ROW_COUNT, RAW_INPUT_AUDIO, NULL},        \
		{p ".output_tokens_details.reasoning_tokens", ROW_COUNT, RAW_REASONING, NULL},    \
		{p ".output_tokens_details.audio_tokens", ROW_COUNT, RAW_OUTPUT_AUDIO, NULL},     \
		{p ".output_tokens_details.image_tokens", ROW_COUNT, RAW_OUTPUT_IMAGE, NULL},     \
	{                                                                                         \
		p ".server_side_tool_usage_details.web_search_calls", ROW_COUNT, RAW_WEB_SEARCH,  \
			NULL                                                                      \
	}

#define RESPONSES_USAGE(p) SHARED_USAGE(p), RESPONSES_COUNTS(p)

/* What a response says beside its usage, in whichever words that is. */
#define RESPONSE_FACTS(p)                                                                     \
	{p "id", ROW_TEXT, TEXT_RESPONSE_ID, NULL}, {p "model", ROW_TEXT, TEXT_MODEL, NULL},  \
		{p "service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL}, ROWS_ERROR(p, "type"), \
		{p "tool_usage.web_search.num_requests", ROW_COUNT, RAW_WEB_SEARCH, NULL},    \
		{p "output[]{}", ROW_ITEM, 0, NULL},                                          \
		{p "output[].type", ROW_TEXT, TEXT_ITEM_TYPE, NULL},                          \
		{p "output[].action.type", ROW_TEXT, TEXT_ITEM_ACTION, NULL},                 \
		{p "output[].container_id", ROW_TEXT, TEXT_ITEM_CONTAINER, NULL},             \
		{p "output[].call_id", ROW_TOOL_CALL, 0, NULL},                               \
	{                                                                                     \
		p "output[].content[].text#", ROW_CONTENT, 0, NULL                            \
	}

/* A response object at a prefix: the body itself, or "response." in stream events. */
#define RESPONSE(p)                                                                           \
	RESPONSES_USAGE(p "usage"), RESPONSE_FACTS(p), {p "object", ROW_MARK, 0, "response"}, \
	{                                                                                     \
		p "created_at", ROW_TEXT, TEXT_DATE, NULL                                     \
	}

static const struct dialect_row responses_rows[] = {
	RESPONSE(""),
	RESPONSE("response."),
	{"type", ROW_TYPE, 0, "response."},
	{"delta#", ROW_CONTENT, 0, NULL},
	{"code", ROW_TEXT, TEXT_ERROR_CODE, NULL},
	{"status", ROW_TEXT, TEXT_STATUS, NULL},
	{"status_code", ROW_TEXT, TEXT_STATUS, NULL},
	{"response.status", ROW_TEXT, TEXT_STATUS, NULL},
};

/* The events of a stream, each a message (openai-beta: responses_websockets). */
static const struct session_row responses_events[] = {
	{"response.created", SESSION_BEGIN},
	{"response.completed", SESSION_DONE},
	{"response.incomplete", SESSION_DONE},
	{"response.failed", SESSION_DONE},
	{"response.done", SESSION_DONE},
	{"error", SESSION_ERROR},
	{NULL, SESSION_NOTHING},
};

static const struct session_rules responses_session = {.events = responses_events, .asked = true};

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
		/* On the customer's own key the vendor bills beside the router: without its part
		 * the whole is not known.
		 */
		if (raw[RAW_BYOK] == 1 &&
		    (raw[RAW_UPSTREAM_COST] == RAW_ABSENT ||
		     __builtin_add_overflow(raw[RAW_COST], raw[RAW_UPSTREAM_COST],
					    &u->provider_cost_pusd)))
			u->provider_cost_pusd = -1;
	} else if (raw[RAW_COST_TICKS] > 0) { /* 0 ticks = not reported (Azure) */
		u->provider_cost_pusd = raw[RAW_COST_TICKS] * (PUSD_PER_USD / 10000000000LL);
	}
}

void openai_chat_finish(const struct answer *a, struct usage *u)
{
	int64_t input, output;

	set_cost(a->raw, u);
	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_OUTPUT, RAW_TOTAL))
		return;
	totals(a->raw, &input, &output);
	/* Recorded: an incomplete response with text and an all-zero usage. Zero means unknown. */
	if (input == 0 && output == 0 && a->content_bytes)
		return;
	set_tokens(a->raw, input, output, u);
	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_TOTAL))
		u->lower_bound = true; /* no call is without input */
	u->tool_units[TOOL_WEB_SEARCH] = raw_or_zero(a->raw, RAW_WEB_SEARCH);
	u->tool_units[TOOL_AUDIO_SECONDS] = raw_or_zero(a->raw, RAW_AUDIO_SECONDS);
}

static void responses_finish(const struct answer *a, struct usage *u)
{
	openai_chat_finish(a, u);
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
	openai_chat_finish(a, u);
	if (u->known && strncasecmp(a->text[TEXT_MODEL], "grok", 4) == 0 &&
	    raw_or_zero(a->raw, RAW_CACHED) > 0)
		u->lower_bound = true;
}

/* Gemini's thinking shows only in the total. */
static void gemini_compat_finish(const struct answer *a, struct usage *u)
{
	int64_t raw[RAW_FIELDS], hidden;

	openai_chat_finish(a, u);
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

static const struct dialect_row images_rows[] = {
	RESPONSES_USAGE("usage"),
	{"type", ROW_TYPE, 0, "image_"},
	{"data[]{}", ROW_ITEM, 0, NULL},
	ROWS_ERROR("", "type"),
};

static const char *const images_ends[] = {"image_generation.completed", "image_edit.completed",
					  NULL};

/* All that came out is of this kind. */
static void output_is(const struct answer *a, enum raw_field kind, struct usage *u)
{
	int64_t raw[RAW_FIELDS];

	memcpy(raw, a->raw, sizeof(raw));
	raw[kind] = usage_output_total(u);
	set_tokens(raw, usage_input_total(u), usage_output_total(u), u);
}

static void image(struct answer *a)
{
	if (a->item_sum[RAW_IMAGES] < RAW_COUNT_MAX)
		a->item_sum[RAW_IMAGES]++;
}

/* Tokens, of which all that come out are an image's unless a list says so; else the images. */
static void images_finish(const struct answer *a, struct usage *u)
{
	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_OUTPUT, RAW_TOTAL)) {
		u->tool_units[TOOL_IMAGES] = a->item_sum[RAW_IMAGES];
		return;
	}
	openai_chat_finish(a, u);
	if (!u->known || a->raw[RAW_OUTPUT_IMAGE] != RAW_ABSENT)
		return;
	output_is(a, RAW_OUTPUT_IMAGE, u);
}

static const struct dialect_row audio_rows[] = {
	RESPONSES_USAGE("usage"),
	{"usage.seconds", ROW_SECONDS, RAW_AUDIO_SECONDS, NULL},
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"type", ROW_TYPE, 0, ""},
	{"delta#", ROW_CONTENT, 0, NULL},
	{"audio#", ROW_CONTENT, 0, NULL},
	{"text#", ROW_CONTENT, 0, NULL},
	ROWS_ERROR("", "type"),
};

static const char *const audio_ends[] = {"transcript.text.done", "speech.audio.done", NULL};

/* Transcription: tokens or seconds. Speech: tokens, of which those that come out are audio. */
static void audio_finish(const struct answer *a, struct usage *u)
{
	int64_t seconds = a->raw[RAW_AUDIO_SECONDS];

	openai_chat_finish(a, u);
	if (!u->known && seconds != RAW_ABSENT) {
		u->known = true;
		u->tool_units[TOOL_AUDIO_SECONDS] = seconds;
	}
}

static void speech_finish(const struct answer *a, struct usage *u)
{
	openai_chat_finish(a, u);
	if (u->known)
		output_is(a, RAW_OUTPUT_AUDIO, u);
}

/*
 * Runs of assistants: events of a run's steps tell parts of what the run's own tell at the end, so
 * the last usage stands whole.
 */
static const struct dialect_row runs_rows[] = {
	CHAT_USAGE("usage"),
	{"usage.prompt_token_details.audio_tokens", ROW_COUNT, RAW_INPUT_AUDIO, NULL},
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, "run_"}, /* not those of its steps and messages */
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"object", ROW_MARK, 0, "thread."},
	{"status", ROW_TEXT, TEXT_STATUS, NULL},
	{"created_at", ROW_TEXT, TEXT_DATE, NULL},
	{"delta.content[].text.value#", ROW_CONTENT, 0, NULL},
	ROWS_ERROR("", "type"),
};

static const char *const runs_ends[] = {
	"thread.run.completed",
	"thread.run.incomplete",
	"thread.run.requires_action",
	"thread.run.failed",
	"thread.run.cancelled",
	"thread.run.expired",
	NULL,
};

/* The usage of a whole batch; zero until it is over. */
static const struct dialect_row batch_rows[] = {
	RESPONSES_USAGE("usage"),
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"object", ROW_MARK, 0, "batch"},
	{"status", ROW_TEXT, TEXT_STATUS, NULL},
	{"completed_at", ROW_TEXT, TEXT_DATE, NULL},
	{"output_file_id", ROW_TEXT, TEXT_OUTPUT, NULL},
};

static void batch_finish(const struct answer *a, struct usage *u)
{
	if (raw_or_zero(a->raw, RAW_INPUT) || raw_or_zero(a->raw, RAW_OUTPUT))
		openai_chat_finish(a, u);
}

/* The answer to one request of a batch at a prefix: to one of chat, responses or embeddings. */
#define BATCH_ANSWER(p)                                                               \
	SHARED_USAGE(p "usage"), CHAT_COUNTS(p "usage"), RESPONSES_COUNTS(p "usage"), \
		RESPONSE_FACTS(p),                                                    \
	{                                                                             \
		p "choices[].message.content#", ROW_CONTENT, 0, NULL                  \
	}

static const struct dialect_row batch_lines_rows[] = {
	BATCH_ANSWER("response.body."),
	{"custom_id", ROW_UNIT_NAME, 0, NULL},
};

static const struct dialect_row xai_batch_rows[] = {
	{"results[]{}", ROW_UNIT, 0, NULL},
	{"results[].batch_request_id", ROW_UNIT_NAME, 0, NULL},
	BATCH_ANSWER("results[].batch_result.response.chat_get_completion."),
};

static const struct dialect_row mistral_batch_rows[] = {
	{"outputs[]{}", ROW_UNIT, 0, NULL},
	{"outputs[].custom_id", ROW_UNIT_NAME, 0, NULL},
	BATCH_ANSWER("outputs[].response.body."),
	{"completed_at", ROW_TEXT, TEXT_DATE, NULL},
};

static const struct dialect_row ocr_rows[] = {
	{"usage_info{}", ROW_USAGE, 0, NULL},
	{"usage_info.**", ROW_RAW, 0, NULL},
	{"usage_info.pages_processed", ROW_COUNT, RAW_PAGES, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
};

const struct dialect dialect_openai_chat = {
	.name = "openai_chat",
	.usage_on_request = true,
	.rows = chat_rows,
	.row_count = ARRAY_LEN(chat_rows),
	.finish = openai_chat_finish,
};

const struct dialect dialect_openai_responses = {
	.name = "openai_responses",
	.object = "response",
	.rows = responses_rows,
	.row_count = ARRAY_LEN(responses_rows),
	.end_types = responses_ends,
	.item = responses_item,
	.finish = responses_finish,
};

const struct dialect dialect_openai_responses_socket = {
	.name = "openai_responses_socket",
	.object = "response",
	.rows = responses_rows,
	.row_count = ARRAY_LEN(responses_rows),
	.session = &responses_session,
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

const struct dialect dialect_openai_images = {
	.name = "openai_images",
	.rows = images_rows,
	.row_count = ARRAY_LEN(images_rows),
	.end_types = images_ends,
	.unit_models = "dall-e-",
	.item = image,
	.finish = images_finish,
};

const struct dialect dialect_openai_audio = {
	.name = "openai_audio",
	.rows = audio_rows,
	.row_count = ARRAY_LEN(audio_rows),
	.end_types = audio_ends,
	.finish = audio_finish,
};

const struct dialect dialect_openai_speech = {
	.name = "openai_speech",
	.rows = audio_rows,
	.row_count = ARRAY_LEN(audio_rows),
	.end_types = audio_ends,
	.unit_models = "tts-",
	.finish = speech_finish,
};

const struct dialect dialect_openai_runs = {
	.name = "openai_runs",
	.object = "run",
	.rows = runs_rows,
	.row_count = ARRAY_LEN(runs_rows),
	.end_types = runs_ends,
	.usage_whole = true,
	.finish = openai_chat_finish,
};

const struct dialect dialect_mistral_ocr = {
	.name = "mistral_ocr",
	.rows = ocr_rows,
	.row_count = ARRAY_LEN(ocr_rows),
	.finish = ocr_finish,
};

const struct dialect dialect_openai_batch = {
	.name = "openai_batch",
	.object = "file",
	.batch = true,
	.rows = batch_rows,
	.row_count = ARRAY_LEN(batch_rows),
	.summed = true,
	.finish = batch_finish,
};

const struct dialect dialect_openai_batch_lines = {
	.name = "openai_batch_lines",
	.object = "file",
	.batch = true,
	.rows = batch_lines_rows,
	.row_count = ARRAY_LEN(batch_lines_rows),
	.units = true,
	.lines = true,
	.item = responses_item,
	.finish = responses_finish,
};

const struct dialect dialect_xai_batch_results = {
	.name = "xai_batch_results",
	.object = "batch",
	.batch = true,
	.rows = xai_batch_rows,
	.row_count = ARRAY_LEN(xai_batch_rows),
	.units = true,
	.item = responses_item,
	.finish = responses_finish,
};

const struct dialect dialect_mistral_batch = {
	.name = "mistral_batch",
	.object = "batch",
	.batch = true,
	.rows = mistral_batch_rows,
	.row_count = ARRAY_LEN(mistral_batch_rows),
	.units = true,
	.item = responses_item,
	.finish = responses_finish,
};
