/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vercel AI Gateway's own protocol: the parts of its AI SDK, in one document or as events of which
 * the last, "finish", carries the usage. Totals include the cache and the reasoning.
 */
#include "agent/usage/openai.h"

static const struct dialect_row rows[] = {
	{"usage{}", ROW_USAGE, 0, NULL},
	{"usage.**", ROW_RAW, 0, NULL},
	{"usage.inputTokens.total", ROW_COUNT, RAW_INPUT, NULL},
	{"usage.inputTokens.cacheRead", ROW_COUNT, RAW_CACHED, NULL},
	{"usage.inputTokens.cacheWrite", ROW_COUNT, RAW_CACHE_WRITE, NULL},
	{"usage.outputTokens.total", ROW_COUNT, RAW_OUTPUT, NULL},
	{"usage.outputTokens.reasoning", ROW_COUNT, RAW_REASONING, NULL},
	{"providerMetadata.gateway.generationId", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"content[].providerMetadata.gateway.generationId", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"content[].text#", ROW_CONTENT, 0, NULL},
	{"delta#", ROW_CONTENT, 0, NULL},
	{"type", ROW_TYPE, 0, "text-"},
	ROWS_ERROR("", "type"),
};

static const char *const ends[] = {"finish", NULL};

const struct dialect dialect_vercel = {
	.name = "vercel",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.end_types = ends,
	.finish = openai_chat_finish,
};
