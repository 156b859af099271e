/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anthropic messages. Input tokens are the uncached part only; thinking is inside output tokens.
 * A stream opens with message.usage, then message_delta's usage replaces it field by field.
 */
#include "agent/usage/dialect.h"

#define USAGE_COUNTS(p, kind)                                                                     \
	{p ".input_tokens", kind, RAW_INPUT, NULL}, {p ".output_tokens", kind, RAW_OUTPUT, NULL}, \
		{p ".cache_read_input_tokens", kind, RAW_CACHED, NULL},                           \
		{p ".cache_creation_input_tokens", kind, RAW_CACHE_WRITE, NULL},                  \
		{p ".cache_creation.ephemeral_5m_input_tokens", kind, RAW_CACHE_WRITE_5M, NULL},  \
		{p ".cache_creation.ephemeral_1h_input_tokens", kind, RAW_CACHE_WRITE_1H, NULL},  \
	{                                                                                         \
		p ".output_tokens_details.thinking_tokens", kind, RAW_REASONING, NULL             \
	}

#define USAGE(p)                                                                             \
	{p ".**", ROW_RAW, 0, NULL}, USAGE_COUNTS(p, ROW_COUNT),                             \
		{p ".server_tool_use.web_search_requests", ROW_COUNT, RAW_WEB_SEARCH, NULL}, \
		{p ".service_tier", ROW_TEXT, TEXT_SERVICE_TIER, NULL},                      \
		{p ".inference_geo", ROW_TEXT, TEXT_INFERENCE_GEO, NULL},                    \
	{                                                                                    \
		p ".speed", ROW_TEXT, TEXT_SPEED, NULL                                       \
	}

static const struct dialect_row rows[] = {
	USAGE("usage"),
	/* The usage of message_start is an opening: no ROW_USAGE, its counts are not final. */
	USAGE("message.usage"),
	{"usage{}", ROW_USAGE, 0, NULL},
	{"usage.iterations[]{}", ROW_ITEM, 0, NULL},
	{"usage.iterations[].type", ROW_TEXT, TEXT_ITEM_TYPE, NULL},
	{"usage.iterations[].model", ROW_TEXT, TEXT_ITEM_MODEL, NULL},
	USAGE_COUNTS("usage.iterations[]", ROW_ITEM_COUNT),
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"message.id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	{"message.model", ROW_TEXT, TEXT_MODEL, NULL},
	{"type", ROW_TYPE, 0, "message"},
	{"delta.stop_reason", ROW_FINISH, 0, NULL},
	{"delta.text#", ROW_CONTENT, 0, NULL},
	{"delta.thinking#", ROW_CONTENT, 0, NULL},
	{"delta.partial_json#", ROW_CONTENT, 0, NULL},
	{"content[].text#", ROW_CONTENT, 0, NULL},
	{"error{}", ROW_ERROR, 0, NULL},
	{"error.type", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
};

static const char *const ends[] = {"message_stop", NULL};

/*
 * The two lifetimes of cache writes. Without a split all are short; a split that disagrees with the
 * total (message_delta repeats only the total) keeps what it surely says and calls the rest short.
 */
static void set_cache_writes(const int64_t raw[RAW_FIELDS], struct usage *u)
{
	int64_t w5 = raw_or_zero(raw, RAW_CACHE_WRITE_5M),
		w1 = raw_or_zero(raw, RAW_CACHE_WRITE_1H);
	int64_t rest = raw[RAW_CACHE_WRITE];
	bool clamped = false;

	if (rest == RAW_ABSENT)
		rest = w5 + w1;
	u->tokens[TOKEN_INPUT_CACHE_WRITE_1H] = usage_take(&rest, w1, &clamped);
	u->tokens[TOKEN_INPUT_CACHE_WRITE_5M] = rest;
	if (w5 + w1 && rest != w5)
		u->mismatch = true;
}

static void set_tokens(const int64_t raw[RAW_FIELDS], struct usage *u)
{
	int64_t output = raw_or_zero(raw, RAW_OUTPUT);

	u->known = true;
	u->tokens[TOKEN_INPUT_UNCACHED] = raw_or_zero(raw, RAW_INPUT);
	u->tokens[TOKEN_INPUT_CACHE_READ] = raw_or_zero(raw, RAW_CACHED);
	set_cache_writes(raw, u);
	u->tokens[TOKEN_OUTPUT_REASONING] =
		usage_take(&output, raw_or_zero(raw, RAW_REASONING), &u->mismatch);
	u->tokens[TOKEN_OUTPUT_TEXT] = output;
}

/*
 * Iterations: when one of them is no plain message, the top level may leave work out. The main
 * model's bill is then the sum of messages and compactions; an advisor's is its own record.
 */
static void finish(const struct answer *a, struct usage *u)
{
	int64_t raw[RAW_FIELDS];

	if (a->raw[RAW_INPUT] == RAW_ABSENT && a->raw[RAW_OUTPUT] == RAW_ABSENT)
		return;
	memcpy(raw, a->raw, sizeof(raw));
	if (a->items_unlike && !a->items_fallback) {
		for (int i = RAW_INPUT; i <= RAW_CACHE_WRITE_1H; i++)
			raw[i] = a->item_sum[i];
	}
	set_tokens(raw, u);
	u->lower_bound = raw[RAW_INPUT] == RAW_ABSENT || raw[RAW_OUTPUT] == RAW_ABSENT;
	u->tool_units[TOOL_WEB_SEARCH] = raw_or_zero(raw, RAW_WEB_SEARCH);
	if (a->items_unknown)
		u->mismatch = true;
}

static void finish_sub(const struct answer_sub *sub, struct usage *u)
{
	set_tokens(sub->raw, u);
}

static void add_to_main(struct answer *a)
{
	for (int i = 0; i < RAW_FIELDS; i++) {
		a->item_sum[i] += raw_or_zero(a->item_raw, (enum raw_field)i);
		if (a->item_sum[i] > RAW_COUNT_MAX) {
			a->item_sum[i] = 0;
			a->unreadable = true;
		}
	}
}

static void add_sub(struct answer *a)
{
	struct answer_sub *sub;

	if (a->sub_count == ANSWER_SUBS_MAX) {
		a->items_unknown = true;
		return;
	}
	sub = &a->sub[a->sub_count++];
	memcpy(sub->model, a->text[TEXT_ITEM_MODEL], sizeof(sub->model));
	memcpy(sub->raw, a->item_raw, sizeof(sub->raw));
}

static void item(struct answer *a)
{
	const char *type = a->text[TEXT_ITEM_TYPE];

	if (strcmp(type, "message") == 0) {
		add_to_main(a);
		return;
	}
	a->items_unlike++;
	if (strcmp(type, "compaction") == 0)
		add_to_main(a);
	else if (strcmp(type, "advisor_message") == 0)
		add_sub(a);
	else if (strcmp(type, "fallback_message") == 0)
		a->items_fallback = true;
	else
		a->items_unknown = true;
}

const struct dialect dialect_anthropic = {
	.name = "anthropic",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.end_types = ends,
	.item = item,
	.finish = finish,
	.finish_sub = finish_sub,
};
