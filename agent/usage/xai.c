/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xAI's gRPC (xai_api.Chat): a whole completion, or chunks of one of which each tells the counts so
 * far, so that the last ones stand. They are those of its chat: reasoning stands beside the
 * completion, cached tokens inside the prompt. Numbers are of GetChatCompletionResponse,
 * GetChatCompletionChunk, SamplingUsage and GetCompletionsRequest.
 */
#include "agent/usage/openai.h"

/* A SamplingUsage at a field; of the tools it lists, one entry a call, web searches have number 1.
 */
#define SAMPLING_USAGE(p)                                                                   \
	{p "{}", ROW_USAGE, 0, NULL}, {p ".1", ROW_COUNT, RAW_OUTPUT, "completion_tokens"}, \
		{p ".2", ROW_COUNT, RAW_INPUT, "prompt_tokens"},                            \
		{p ".3", ROW_COUNT, RAW_TOTAL, "total_tokens"},                             \
		{p ".4", ROW_RAW, 0, "prompt_text_tokens"},                                 \
		{p ".5", ROW_COUNT, RAW_INPUT_IMAGE, "prompt_image_tokens"},                \
		{p ".6", ROW_COUNT, RAW_REASONING, "reasoning_tokens"},                     \
		{p ".7", ROW_COUNT, RAW_CACHED, "cached_prompt_text_tokens"},               \
		{p ".8", ROW_RAW, 0, "num_sources_used"}, {p ".9[]", ROW_SEARCH, 0, "1"},   \
	{                                                                                   \
		p ".11", ROW_COUNT, RAW_COST_TICKS, "cost_in_usd_ticks"                     \
	}

static const struct dialect_row rows[] = {
	SAMPLING_USAGE("9"),
	{"1", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"6", ROW_TEXT, TEXT_MODEL, NULL},
	{"2.3.1#", ROW_CONTENT, 0, NULL},    /* outputs, message, content */
	{"2.3.3.10#", ROW_CONTENT, 0, NULL}, /* tool_calls, function */
	{"2.3.4#", ROW_CONTENT, 0, NULL},    /* reasoning_content */
};

static const struct dialect_row chunk_rows[] = {
	SAMPLING_USAGE("6"),
	{"1", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"4", ROW_TEXT, TEXT_MODEL, NULL},
	{"2.1.1#", ROW_CONTENT, 0, NULL}, /* outputs, delta, content */
	{"2.1.3.10#", ROW_CONTENT, 0, NULL},
	{"2.1.4#", ROW_CONTENT, 0, NULL},
};

/* The answer to a deferred request: an id by which to ask for the completion. */
static const struct dialect_row deferred_rows[] = {
	{"1", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
};

static const struct request_field request[] = {
	{"2", "model", NULL},
	{"16", "user", NULL},
	{"22", "previous_response_id", NULL},
	{"31", "service_tier", NULL},
	{"34", "safety_identifier", NULL},
	{NULL, NULL, NULL},
};

static void finish(const struct answer *a, struct usage *u)
{
	openai_chat_finish(a, u);
	u->tool_units[TOOL_WEB_SEARCH] = a->searches;
}

const struct dialect dialect_xai_grpc = {
	.name = "xai_grpc",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.wire = WIRE_GRPC,
	.request = request,
	.usage_whole = true,
	.finish = finish,
};

const struct dialect dialect_xai_grpc_stream = {
	.name = "xai_grpc_stream",
	.rows = chunk_rows,
	.row_count = ARRAY_LEN(chunk_rows),
	.wire = WIRE_GRPC_STREAM,
	.request = request,
	.usage_whole = true,
	.finish = finish,
};

const struct dialect dialect_xai_grpc_deferred = {
	.name = "xai_grpc_deferred",
	.rows = deferred_rows,
	.row_count = ARRAY_LEN(deferred_rows),
	.wire = WIRE_GRPC,
	.request = request,
};
