/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cohere, both versions of its API. Billed are the billed_units: they leave out a hidden preamble
 * and part of the reasoning, which `tokens` counts beside them, and they know no cached input. A
 * stream is events (v2) or JSON documents, one a line (v1).
 */
#include "agent/usage/dialect.h"

#define BILLED(p)                                                                       \
	{p "{}", ROW_USAGE, 0, NULL}, {p ".**", ROW_RAW, 0, NULL},                      \
		{p ".billed_units.input_tokens", ROW_COUNT, RAW_INPUT, NULL},           \
		{p ".billed_units.output_tokens", ROW_COUNT, RAW_OUTPUT, NULL},         \
		{p ".billed_units.image_tokens", ROW_COUNT, RAW_INPUT_IMAGE, NULL},     \
		{p ".billed_units.images", ROW_COUNT, RAW_IMAGES, NULL},                \
		{p ".billed_units.search_units", ROW_COUNT, RAW_SEARCH_UNITS, NULL},    \
	{                                                                               \
		p ".billed_units.classifications", ROW_COUNT, RAW_CLASSIFICATIONS, NULL \
	}

static const struct dialect_row rows[] = {
	BILLED("meta"),
	BILLED("response.meta"),
	BILLED("usage"),
	BILLED("delta.usage"),
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"generation_id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"is_finished", ROW_LINE, 0, NULL},
	{"event_type", ROW_TYPE, 0, "stream-"},
	{"type", ROW_TYPE, 0, "message-"},
	{"text#", ROW_CONTENT, 0, NULL},
	{"message.content[].text#", ROW_CONTENT, 0, NULL},
	{"message.content[].thinking#", ROW_CONTENT, 0, NULL},
	{"delta.message.content.text#", ROW_CONTENT, 0, NULL},
	{"delta.message.content.thinking#", ROW_CONTENT, 0, NULL},
	{"delta.message.tool_plan#", ROW_CONTENT, 0, NULL},
	{"delta.message.tool_calls.function.arguments#", ROW_CONTENT, 0, NULL},
	{"finish_reason", ROW_FAILED, 0, "ERROR"},
	{"delta.finish_reason", ROW_FAILED, 0, "ERROR"},
};

static const char *const ends[] = {"stream-end", "message-end", NULL};

static void finish(const struct answer *a, struct usage *u)
{
	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_OUTPUT, RAW_INPUT_IMAGE, RAW_IMAGES, RAW_SEARCH_UNITS,
		     RAW_CLASSIFICATIONS))
		return;
	u->known = true;
	u->tokens[TOKEN_INPUT_UNCACHED] = raw_or_zero(a->raw, RAW_INPUT);
	u->tokens[TOKEN_INPUT_IMAGE] = raw_or_zero(a->raw, RAW_INPUT_IMAGE);
	u->tokens[TOKEN_OUTPUT_TEXT] = raw_or_zero(a->raw, RAW_OUTPUT);
	u->tool_units[TOOL_SEARCH_UNITS] = raw_or_zero(a->raw, RAW_SEARCH_UNITS);
	u->tool_units[TOOL_IMAGES] = raw_or_zero(a->raw, RAW_IMAGES);
	/* A classification is billed by the piece, and no unit here is one. */
	u->lower_bound = u->mismatch = raw_or_zero(a->raw, RAW_CLASSIFICATIONS) > 0;
}

const struct dialect dialect_cohere = {
	.name = "cohere",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.end_types = ends,
	.lines = true,
	.finish = finish,
};
