/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's realtime API, speech and text over a WebSocket, and those that speak it (Azure, xAI). A
 * response tells its usage once, at its end; all of it is new, since each response is billed for
 * the conversation before it.
 */
#include "agent/usage/dialect.h"

#define REALTIME_USAGE(p)                                                                     \
	{p "{}", ROW_USAGE, 0, NULL}, {p ".**", ROW_RAW, 0, NULL},                            \
		{p ".input_tokens", ROW_COUNT, RAW_INPUT, NULL},                              \
		{p ".output_tokens", ROW_COUNT, RAW_OUTPUT, NULL},                            \
		{p ".total_tokens", ROW_COUNT, RAW_TOTAL, NULL},                              \
		{p ".input_token_details.cached_tokens", ROW_COUNT, RAW_CACHED, NULL},        \
		{p ".input_token_details.audio_tokens", ROW_COUNT, RAW_INPUT_AUDIO, NULL},    \
		{p ".input_token_details.image_tokens", ROW_COUNT, RAW_INPUT_IMAGE, NULL},    \
		{p ".input_token_details.cached_tokens_details.audio_tokens", ROW_COUNT,      \
		 RAW_CACHED_AUDIO, NULL},                                                     \
		{p ".input_token_details.cached_tokens_details.image_tokens", ROW_COUNT,      \
		 RAW_CACHED_IMAGE, NULL},                                                     \
		{p ".output_token_details.audio_tokens", ROW_COUNT, RAW_OUTPUT_AUDIO, NULL},  \
		{p ".output_token_details.reasoning_tokens", ROW_COUNT, RAW_REASONING, NULL}, \
		{p ".seconds", ROW_SECONDS, RAW_AUDIO_SECONDS, NULL},                         \
	{                                                                                     \
		p ".billable_audio_seconds", ROW_SECONDS, RAW_AUDIO_SECONDS, NULL             \
	}

static const struct dialect_row realtime_rows[] = {
	REALTIME_USAGE("response.usage"),
	REALTIME_USAGE("usage"), /* of a transcription; xAI's of a response */
	{"type", ROW_TYPE, 0, "response."},
	{"response.id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"response_id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"response.model", ROW_TEXT, TEXT_MODEL, NULL},
	{"response.status", ROW_TEXT, TEXT_STATUS, NULL},
	{"response.status_details.error{}", ROW_ERROR, 0, NULL},
	{"response.status_details.error.type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
	{"response.status_details.error.code", ROW_TEXT, TEXT_ERROR_CODE, NULL},
	{"response.output[].content[].transcript#", ROW_CONTENT, 0, NULL},
	{"response.output[].content[].text#", ROW_CONTENT, 0, NULL},
	{"delta#", ROW_CONTENT, 0, NULL},
	{"item_id", ROW_TEXT, TEXT_SIDE_ID, NULL},
	{"session.id", ROW_TEXT, TEXT_SESSION_ID, NULL},
	{"session.model", ROW_TEXT, TEXT_SESSION_MODEL, NULL},
	{"session.audio.input.transcription.model", ROW_TEXT, TEXT_SIDE_MODEL, NULL},
	{"session.input_audio_transcription.model", ROW_TEXT, TEXT_SIDE_MODEL, NULL},
	ROWS_ERROR("", "type"), /* of a handshake that was refused */
};

/* "error" events answer single messages of the client and end no response. */
static const struct session_row realtime_events[] = {
	{"response.created", SESSION_BEGIN},
	{"response.done", SESSION_DONE},
	{"conversation.item.input_audio_transcription.completed", SESSION_SIDE},
	{NULL, SESSION_NOTHING},
};

static const struct session_rules realtime_session = {.events = realtime_events};
static const struct session_rules azure_session = {.events = realtime_events, .deployment = true};

/* What is cached of a kind is billed as cached, so that no token stands in two kinds. */
static int64_t uncached(const int64_t raw[RAW_FIELDS], enum raw_field all, enum raw_field cached,
			bool *clamped)
{
	int64_t rest = raw_or_zero(raw, all);

	usage_take(&rest, raw_or_zero(raw, cached), clamped);
	return rest;
}

/* Input with its parts, all of them known to lie in it. */
static void set_input(const int64_t raw[RAW_FIELDS], int64_t input, struct usage *u)
{
	bool clamped = false;
	int64_t *t = u->tokens;

	t[TOKEN_INPUT_CACHE_READ] = usage_take(&input, raw_or_zero(raw, RAW_CACHED), &clamped);
	t[TOKEN_INPUT_AUDIO] = usage_take(
		&input, uncached(raw, RAW_INPUT_AUDIO, RAW_CACHED_AUDIO, &clamped), &clamped);
	t[TOKEN_INPUT_IMAGE] = usage_take(
		&input, uncached(raw, RAW_INPUT_IMAGE, RAW_CACHED_IMAGE, &clamped), &clamped);
	t[TOKEN_INPUT_UNCACHED] = input;
	u->mismatch |= clamped;
	/* Cached sound and pictures may cost more than cached text, never less. */
	if (raw_or_zero(raw, RAW_CACHED_AUDIO) || raw_or_zero(raw, RAW_CACHED_IMAGE))
		u->lower_bound = true;
}

static void set_output(const int64_t raw[RAW_FIELDS], int64_t output, struct usage *u)
{
	bool clamped = false;
	int64_t *t = u->tokens;

	t[TOKEN_OUTPUT_REASONING] = usage_take(&output, raw_or_zero(raw, RAW_REASONING), &clamped);
	t[TOKEN_OUTPUT_AUDIO] = usage_take(&output, raw_or_zero(raw, RAW_OUTPUT_AUDIO), &clamped);
	t[TOKEN_OUTPUT_TEXT] = output;
	u->mismatch |= clamped;
}

static void realtime_finish(const struct answer *a, struct usage *u)
{
	const int64_t *raw = a->raw;
	int64_t input = raw_or_zero(raw, RAW_INPUT), output = raw_or_zero(raw, RAW_OUTPUT);

	u->tool_units[TOOL_AUDIO_SECONDS] = raw_or_zero(raw, RAW_AUDIO_SECONDS);
	if (!RAW_ANY(raw, RAW_INPUT, RAW_OUTPUT)) {
		/* A transcription that is billed by its length alone. */
		u->known = raw[RAW_AUDIO_SECONDS] != RAW_ABSENT;
		return;
	}
	if (input == 0 && output == 0 && a->content_bytes)
		return; /* zero means unknown where something was said */
	u->known = true;
	u->lower_bound = raw[RAW_INPUT] == RAW_ABSENT;
	u->mismatch = raw[RAW_TOTAL] != RAW_ABSENT && raw[RAW_TOTAL] != input + output;
	set_input(raw, input, u);
	set_output(raw, output, u);
}

const struct dialect dialect_openai_realtime = {
	.name = "openai_realtime",
	.rows = realtime_rows,
	.row_count = ARRAY_LEN(realtime_rows),
	.session = &realtime_session,
	.finish = realtime_finish,
};

const struct dialect dialect_azure_realtime = {
	.name = "azure_realtime",
	.rows = realtime_rows,
	.row_count = ARRAY_LEN(realtime_rows),
	.session = &azure_session,
	.finish = realtime_finish,
};
