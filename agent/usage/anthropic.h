/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Anthropic's messages mean, wherever they are spoken: its own API, and inside Bedrock's
 * InvokeModel. Input tokens are the uncached part only; thinking is inside output tokens. A stream
 * opens with message.usage, then message_delta's usage replaces it field by field.
 */
#ifndef TT_USAGE_ANTHROPIC_H
#define TT_USAGE_ANTHROPIC_H

#include "agent/usage/dialect.h"

#define ANTHROPIC_COUNTS(p, kind)                                                                 \
	{p ".input_tokens", kind, RAW_INPUT, NULL}, {p ".output_tokens", kind, RAW_OUTPUT, NULL}, \
		{p ".cache_read_input_tokens", kind, RAW_CACHED, NULL},                           \
		{p ".cache_creation_input_tokens", kind, RAW_CACHE_WRITE, NULL},                  \
		{p ".cache_creation.ephemeral_5m_input_tokens", kind, RAW_CACHE_WRITE_5M, NULL},  \
		{p ".cache_creation.ephemeral_1h_input_tokens", kind, RAW_CACHE_WRITE_1H, NULL},  \
	{                                                                                         \
		p ".output_tokens_details.thinking_tokens", kind, RAW_REASONING, NULL             \
	}

#define ANTHROPIC_USAGE(p)                                                                   \
	{p ".**", ROW_RAW, 0, NULL}, ANTHROPIC_COUNTS(p, ROW_COUNT),                         \
		{p ".server_tool_use.web_search_requests", ROW_COUNT, RAW_WEB_SEARCH, NULL}, \
		{p ".service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},                      \
		{p ".inference_geo", ROW_TEXT, TEXT_INFERENCE_GEO, NULL},                    \
	{                                                                                    \
		p ".speed", ROW_TEXT, TEXT_SPEED, NULL                                       \
	}

/* The usage of message_start is an opening: no ROW_USAGE, its counts are not final. */
#define ANTHROPIC_ROWS                                                                             \
	ANTHROPIC_USAGE("usage"), ANTHROPIC_USAGE("message.usage"),                                \
		{"usage{}", ROW_USAGE, 0, NULL}, {"usage.iterations[]{}", ROW_ITEM, 0, NULL},      \
		{"usage.iterations[].type", ROW_TEXT, TEXT_ITEM_TYPE, NULL},                       \
		{"usage.iterations[].model", ROW_TEXT, TEXT_ITEM_MODEL, NULL},                     \
		ANTHROPIC_COUNTS("usage.iterations[]", ROW_ITEM_COUNT),                            \
		{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},                                          \
		{"message.id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},                                  \
		{"model", ROW_TEXT, TEXT_MODEL, NULL},                                             \
		{"message.model", ROW_TEXT, TEXT_MODEL, NULL}, {"type", ROW_TYPE, 0, "message"},   \
		{"delta.stop_reason", ROW_FINISH, 0, NULL}, {"delta.text#", ROW_CONTENT, 0, NULL}, \
		{"delta.thinking#", ROW_CONTENT, 0, NULL},                                         \
		{"delta.partial_json#", ROW_CONTENT, 0, NULL},                                     \
		{"content[].text#", ROW_CONTENT, 0, NULL}, {"error{}", ROW_ERROR, 0, NULL},        \
		{"content[].id", ROW_TOOL_CALL, 0, NULL},                                          \
		{"content_block.id", ROW_TOOL_CALL, 0, NULL},                                      \
	{                                                                                          \
		"error.type", ROW_TEXT, TEXT_ERROR_TYPE, NULL                                      \
	}

/* One iteration, at its end. */
void anthropic_item(struct answer *a);

/* The main model's counts: those of the top level, or the sum of its iterations. */
void anthropic_counts(const struct answer *a, int64_t raw[RAW_FIELDS]);

/* Disjoint kinds of such counts; all are known from here on. */
void anthropic_tokens(const int64_t raw[RAW_FIELDS], struct usage *u);

void anthropic_finish_sub(const struct answer_sub *sub, struct usage *u);

#endif
