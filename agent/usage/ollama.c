/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ollama's own API: one JSON document, or one a line, of which the last says "done" and carries the
 * counts. A prompt that was served from the server's cache has no count: unknown, not zero.
 */
#include "agent/usage/dialect.h"

static const struct dialect_row rows[] = {
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"done", ROW_LINE, 0, NULL},
	{"done_reason", ROW_FINISH, 0, NULL},
	{"prompt_eval_count", ROW_COUNT, RAW_INPUT, "prompt_eval_count"},
	{"eval_count", ROW_COUNT, RAW_OUTPUT, "eval_count"},
	{"total_duration", ROW_RAW, 0, "total_duration"},
	{"load_duration", ROW_RAW, 0, "load_duration"},
	{"prompt_eval_duration", ROW_RAW, 0, "prompt_eval_duration"},
	{"eval_duration", ROW_RAW, 0, "eval_duration"},
	{"message.content#", ROW_CONTENT, 0, NULL},
	{"message.thinking#", ROW_CONTENT, 0, NULL},
	{"response#", ROW_CONTENT, 0, NULL},
	{"thinking#", ROW_CONTENT, 0, NULL},
	{"error", ROW_FAILED, 0, ""},
};

static void finish(const struct answer *a, struct usage *u)
{
	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_OUTPUT))
		return;
	u->known = true;
	u->lower_bound = a->raw[RAW_INPUT] == RAW_ABSENT;
	u->tokens[TOKEN_INPUT_UNCACHED] = raw_or_zero(a->raw, RAW_INPUT);
	u->tokens[TOKEN_OUTPUT_TEXT] = raw_or_zero(a->raw, RAW_OUTPUT);
}

const struct dialect dialect_ollama = {
	.name = "ollama",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.lines = true,
	.finish = finish,
};
