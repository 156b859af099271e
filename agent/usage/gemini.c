/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google's dialects. Gemini, the same on Vertex AI: usageMetadata in nearly every chunk, of which
 * the last one counts whole; thoughts stand beside the candidates, tool results beside the prompt,
 * cached tokens inside the prompt, modalities in lists. The Interactions API says the same in other
 * words. Embeddings by :predict tell their tokens one prediction at a time.
 */
#include "agent/usage/gemini.h"

#define MODALITIES(p, list, name, count)                                                  \
	{p "[]{}", ROW_ITEM, list, NULL}, {p "[]." name, ROW_TEXT, TEXT_ITEM_TYPE, NULL}, \
	{                                                                                 \
		p "[]." count, ROW_ITEM_COUNT, RAW_INPUT, NULL                            \
	}

/* One answer, or one chunk of it, at a prefix. */
#define GENERATED(p)                                                                             \
	{p "usageMetadata{}", ROW_USAGE, 0, NULL}, {p "usageMetadata.**", ROW_RAW, 0, NULL},     \
		{p "usageMetadata.promptTokenCount", ROW_COUNT, RAW_INPUT, NULL},                \
		{p "usageMetadata.toolUsePromptTokenCount", ROW_COUNT, RAW_TOOL_INPUT, NULL},    \
		{p "usageMetadata.cachedContentTokenCount", ROW_COUNT, RAW_CACHED, NULL},        \
		{p "usageMetadata.candidatesTokenCount", ROW_COUNT, RAW_OUTPUT, NULL},           \
		{p "usageMetadata.thoughtsTokenCount", ROW_COUNT, RAW_REASONING, NULL},          \
		{p "usageMetadata.totalTokenCount", ROW_COUNT, RAW_TOTAL, NULL},                 \
		MODALITIES(p "usageMetadata.promptTokensDetails", LIST_INPUT, "modality",        \
			   "tokenCount"),                                                        \
		MODALITIES(p "usageMetadata.promptTokenDetails", LIST_INPUT, "modality",         \
			   "tokenCount"),                                                        \
		MODALITIES(p "usageMetadata.toolUsePromptTokensDetails", LIST_INPUT, "modality", \
			   "tokenCount"),                                                        \
		MODALITIES(p "usageMetadata.cacheTokensDetails", LIST_CACHED, "modality",        \
			   "tokenCount"),                                                        \
		MODALITIES(p "usageMetadata.candidatesTokensDetails", LIST_OUTPUT, "modality",   \
			   "tokenCount"),                                                        \
		{p "usageMetadata.serviceTier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},              \
		{p "usageMetadata.trafficType", ROW_TEXT, TEXT_SERVICE_TIER, NULL},              \
		{p "responseId", ROW_TEXT, TEXT_RESPONSE_ID, NULL},                              \
		{p "modelVersion", ROW_TEXT, TEXT_MODEL, NULL},                                  \
		{p "promptFeedback.blockReason", ROW_REFUSED, 0, NULL},                          \
		{p "candidates[].finishReason", ROW_FINISH, 0, NULL},                            \
		{p "candidates[].content.parts[].text#", ROW_CONTENT, 0, NULL},                  \
		{p "candidates[].content.parts[].functionCall.name#", ROW_CONTENT, 0, NULL},     \
		{p "candidates[].groundingMetadata.webSearchQueries[]", ROW_SEARCH, 0, NULL},    \
		ROWS_ERROR(p, "status")

static const struct dialect_row generate_rows[] = {
	GENERATED(""),
	GENERATED("[]."),
	{"[]{}", ROW_ELEMENT, 0, NULL},
};

static const struct dialect_row batch_rows[] = {
	{"response.inlinedResponses.inlinedResponses[]{}", ROW_UNIT, 0, NULL},
	{"response.inlinedResponses.inlinedResponses[].metadata.key", ROW_UNIT_NAME, 0, NULL},
	GENERATED("response.inlinedResponses.inlinedResponses[].response."),
	{"metadata.endTime", ROW_TEXT, TEXT_DATE, NULL},
};

/* Messages of a Live session: as chunks, but for the name of what was answered. */
static const struct dialect_row live_rows[] = {
	{"usageMetadata{}", ROW_USAGE, 0, NULL},
	{"usageMetadata.**", ROW_RAW, 0, NULL},
	{"usageMetadata.promptTokenCount", ROW_COUNT, RAW_INPUT, NULL},
	{"usageMetadata.toolUsePromptTokenCount", ROW_COUNT, RAW_TOOL_INPUT, NULL},
	{"usageMetadata.cachedContentTokenCount", ROW_COUNT, RAW_CACHED, NULL},
	{"usageMetadata.responseTokenCount", ROW_COUNT, RAW_OUTPUT, NULL},
	{"usageMetadata.thoughtsTokenCount", ROW_COUNT, RAW_REASONING, NULL},
	{"usageMetadata.totalTokenCount", ROW_COUNT, RAW_TOTAL, NULL},
	MODALITIES("usageMetadata.promptTokensDetails", LIST_INPUT, "modality", "tokenCount"),
	MODALITIES("usageMetadata.toolUsePromptTokensDetails", LIST_INPUT, "modality",
		   "tokenCount"),
	MODALITIES("usageMetadata.cacheTokensDetails", LIST_CACHED, "modality", "tokenCount"),
	MODALITIES("usageMetadata.responseTokensDetails", LIST_OUTPUT, "modality", "tokenCount"),
	{"usageMetadata.trafficType", ROW_TEXT, TEXT_SERVICE_TIER, NULL},
	{"serverContent.modelTurn.parts[].text#", ROW_CONTENT, 0, NULL},
	{"serverContent.modelTurn.parts[].inlineData.data#", ROW_CONTENT, 0, NULL},
	{"serverContent.outputTranscription.text#", ROW_CONTENT, 0, NULL},
	{"serverContent.groundingMetadata.webSearchQueries[]", ROW_SEARCH, 0, NULL},
	{"toolCall.functionCalls[].name#", ROW_CONTENT, 0, NULL},
	ROWS_ERROR("", "status"), /* of a handshake that was refused */
};

static const struct session_rules live_session = {.events = NULL};

/* Enums as numbers, where a client of Vertex asks for them. */
const struct dialect_name gemini_names[] = {
	{TEXT_SERVICE_TIER, "1", "ON_DEMAND"},
	{TEXT_SERVICE_TIER, "2", "PROVISIONED_THROUGHPUT"},
	{TEXT_SERVICE_TIER, "3", "ON_DEMAND_PRIORITY"},
	{TEXT_SERVICE_TIER, "4", "ON_DEMAND_FLEX"},
	{TEXT_ITEM_TYPE, "2", "IMAGE"},
	{TEXT_ITEM_TYPE, "4", "AUDIO"},
	{TEXT_MODEL, NULL, NULL},
};

/* An interaction at a prefix: the body itself, or "interaction." in the events of a stream. */
#define INTERACTION(p)                                                                            \
	{p "usage{}", ROW_USAGE, 0, NULL}, {p "usage.**", ROW_RAW, 0, NULL},                      \
		{p "usage.total_input_tokens", ROW_COUNT, RAW_INPUT, NULL},                       \
		{p "usage.total_tool_use_tokens", ROW_COUNT, RAW_TOOL_INPUT, NULL},               \
		{p "usage.total_cached_tokens", ROW_COUNT, RAW_CACHED, NULL},                     \
		{p "usage.total_output_tokens", ROW_COUNT, RAW_OUTPUT, NULL},                     \
		{p "usage.total_thought_tokens", ROW_COUNT, RAW_REASONING, NULL},                 \
		{p "usage.total_tokens", ROW_COUNT, RAW_TOTAL, NULL},                             \
		MODALITIES(p "usage.input_tokens_by_modality", LIST_INPUT, "modality", "tokens"), \
		MODALITIES(p "usage.tool_use_tokens_by_modality", LIST_INPUT, "modality",         \
			   "tokens"),                                                             \
		MODALITIES(p "usage.cached_tokens_by_modality", LIST_CACHED, "modality",          \
			   "tokens"),                                                             \
		MODALITIES(p "usage.output_tokens_by_modality", LIST_OUTPUT, "modality",          \
			   "tokens"),                                                             \
		{p "id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},                                       \
		{p "model", ROW_TEXT, TEXT_MODEL, NULL},                                          \
		{p "service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},                            \
		{p "status", ROW_TEXT, TEXT_STATUS, NULL},                                        \
		{p "object", ROW_MARK, 0, "interaction"}, ROWS_ERROR(p, "status")

static const struct dialect_row interactions_rows[] = {
	INTERACTION(""),
	INTERACTION("interaction."),
	{"event_type", ROW_TYPE, 0, "interaction."},
	{"delta.text#", ROW_CONTENT, 0, NULL},
	{"steps[].content[].text#", ROW_CONTENT, 0, NULL},
};

static const char *const interactions_ends[] = {"interaction.completed", NULL};

static const struct dialect_row predict_rows[] = {
	{"predictions[].embeddings.statistics{}", ROW_ITEM, LIST_PREDICTIONS, NULL},
	{"predictions[].embeddings.statistics.token_count", ROW_ITEM_COUNT, RAW_INPUT, NULL},
	/* It stands behind the predictions. */
	{"metadata{}", ROW_USAGE, 0, NULL},
	{"metadata.**", ROW_RAW, 0, NULL},
	{"metadata.billableCharacterCount", ROW_COUNT, RAW_CHARACTERS, NULL},
	ROWS_ERROR("", "status"),
};

/* Its tokens are stored, not used: billed by the hour for as long as the cache lives. */
static const struct dialect_row cache_rows[] = {
	{"usageMetadata.**", ROW_RAW, 0, NULL},
	{"name", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	ROWS_ERROR("", "status"),
};

/* Where the tokens of an element of a list go; RAW_FIELDS = into no kind of their own. */
static enum raw_field modality_field(const struct answer *a)
{
	bool output = a->item_list == LIST_OUTPUT;

	if (strcasecmp(a->text[TEXT_ITEM_TYPE], "AUDIO") == 0)
		return output ? RAW_OUTPUT_AUDIO : RAW_INPUT_AUDIO;
	if (strcasecmp(a->text[TEXT_ITEM_TYPE], "IMAGE") == 0)
		return output ? RAW_OUTPUT_IMAGE : RAW_INPUT_IMAGE;
	return RAW_FIELDS;
}

/* Cached tokens are a kind of their own, so they leave that of their modality. */
void gemini_modality(struct answer *a)
{
	enum raw_field field = modality_field(a);
	int64_t n = raw_or_zero(a->item_raw, RAW_INPUT);

	if (field == RAW_FIELDS)
		return;
	if (a->item_sum[field] > RAW_COUNT_MAX || a->item_sum[field] < -RAW_COUNT_MAX)
		a->unreadable = true;
	else
		a->item_sum[field] += a->item_list == LIST_CACHED ? -n : n;
}

/* What a list says of a part; lists need not add up to the count beside them. */
static int64_t take_part(const struct answer *a, int64_t *rest, enum raw_field field)
{
	int64_t part = a->item_sum[field];
	bool clamped;

	return part > 0 ? usage_take(rest, part, &clamped) : 0;
}

void gemini_finish(const struct answer *a, struct usage *u)
{
	const int64_t *raw = a->raw;
	int64_t *t = u->tokens, output = raw_or_zero(raw, RAW_OUTPUT);
	int64_t thoughts = raw_or_zero(raw, RAW_REASONING);
	int64_t input = raw_or_zero(raw, RAW_INPUT) + raw_or_zero(raw, RAW_TOOL_INPUT);
	int64_t total = raw[RAW_TOTAL];

	if (!RAW_ANY(raw, RAW_INPUT, RAW_OUTPUT, RAW_REASONING))
		return;
	u->known = true;
	u->lower_bound = raw[RAW_INPUT] == RAW_ABSENT; /* no call is without input */
	u->mismatch = total != RAW_ABSENT && total != input + output + thoughts;
	t[TOKEN_INPUT_CACHE_READ] = usage_take(&input, raw_or_zero(raw, RAW_CACHED), &u->mismatch);
	t[TOKEN_INPUT_AUDIO] = take_part(a, &input, RAW_INPUT_AUDIO);
	t[TOKEN_INPUT_IMAGE] = take_part(a, &input, RAW_INPUT_IMAGE);
	t[TOKEN_INPUT_UNCACHED] = input;
	t[TOKEN_OUTPUT_AUDIO] = take_part(a, &output, RAW_OUTPUT_AUDIO);
	t[TOKEN_OUTPUT_IMAGE] = take_part(a, &output, RAW_OUTPUT_IMAGE);
	t[TOKEN_OUTPUT_REASONING] = thoughts;
	t[TOKEN_OUTPUT_TEXT] = output;
	/* Up to Gemini 2 a grounded prompt has one fee, however many its searches. */
	u->tool_units[TOOL_WEB_SEARCH] = a->searches;
	if (a->searches && (strncmp(a->text[TEXT_MODEL], "gemini-1", 8) == 0 ||
			    strncmp(a->text[TEXT_MODEL], "gemini-2", 8) == 0))
		u->tool_units[TOOL_WEB_SEARCH] = 1;
}

/* The total was without the thoughts in every message seen that had some. */
static void live_finish(const struct answer *a, struct usage *u)
{
	const int64_t *raw = a->raw;

	gemini_finish(a, u);
	if (raw[RAW_TOTAL] == raw_or_zero(raw, RAW_INPUT) + raw_or_zero(raw, RAW_TOOL_INPUT) +
				      raw_or_zero(raw, RAW_OUTPUT) &&
	    raw_or_zero(raw, RAW_CACHED) <= raw_or_zero(raw, RAW_INPUT))
		u->mismatch = false;
}

static void prediction(struct answer *a)
{
	int64_t n = a->item_raw[RAW_INPUT];

	if (n == RAW_ABSENT)
		a->items_unknown = true;
	else if (a->item_sum[RAW_INPUT] > RAW_COUNT_MAX)
		a->unreadable = true;
	else
		a->item_sum[RAW_INPUT] += n;
	a->items_unlike++;
}

static void predict_finish(const struct answer *a, struct usage *u)
{
	if (!a->items_unlike || a->items_unknown)
		return;
	u->known = true;
	u->tokens[TOKEN_INPUT_UNCACHED] = a->item_sum[RAW_INPUT];
}

const struct dialect dialect_gemini = {
	.name = "gemini",
	.rows = generate_rows,
	.row_count = ARRAY_LEN(generate_rows),
	.names = gemini_names,
	.usage_whole = true,
	.item = gemini_modality,
	.finish = gemini_finish,
};

const struct dialect dialect_gemini_batch = {
	.name = "gemini_batch",
	.object = "batch",
	.batch = true,
	.rows = batch_rows,
	.row_count = ARRAY_LEN(batch_rows),
	.names = gemini_names,
	.units = true,
	.usage_whole = true,
	.item = gemini_modality,
	.finish = gemini_finish,
};

const struct dialect dialect_gemini_interactions = {
	.name = "gemini_interactions",
	.object = "interaction",
	.rows = interactions_rows,
	.row_count = ARRAY_LEN(interactions_rows),
	.end_types = interactions_ends,
	.usage_whole = true,
	.item = gemini_modality,
	.finish = gemini_finish,
};

const struct dialect dialect_gemini_cache = {
	.name = "gemini_cache",
	.rows = cache_rows,
	.row_count = ARRAY_LEN(cache_rows),
};

const struct dialect dialect_vertex_predict = {
	.name = "vertex_predict",
	.rows = predict_rows,
	.row_count = ARRAY_LEN(predict_rows),
	.item = prediction,
	.finish = predict_finish,
};

const struct dialect dialect_gemini_live = {
	.name = "gemini_live",
	.rows = live_rows,
	.row_count = ARRAY_LEN(live_rows),
	.session = &live_session,
	.names = gemini_names,
	.item = gemini_modality,
	.finish = live_finish,
};
