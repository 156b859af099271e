/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/anthropic.h"

static const struct dialect_row rows[] = {ANTHROPIC_ROWS};

/* Of the results of a batch, only what succeeded has a message. */
static const struct dialect_row results_rows[] = {
	ANTHROPIC_USAGE("result.message.usage"),
	{"result.message.usage{}", ROW_USAGE, 0, NULL},
	{"result.message.usage.iterations[]{}", ROW_ITEM, 0, NULL},
	{"result.message.usage.iterations[].type", ROW_TEXT, TEXT_ITEM_TYPE, NULL},
	{"result.message.usage.iterations[].model", ROW_TEXT, TEXT_ITEM_MODEL, NULL},
	ANTHROPIC_COUNTS("result.message.usage.iterations[]", ROW_ITEM_COUNT),
	{"result.message.id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"result.message.model", ROW_TEXT, TEXT_MODEL, NULL},
	{"custom_id", ROW_UNIT_NAME, 0, NULL},
};

static const struct dialect_row batch_rows[] = {
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"type", ROW_MARK, 0, "message_batch"},
	{"ended_at", ROW_TEXT, TEXT_DATE, NULL},
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

void anthropic_tokens(const int64_t raw[RAW_FIELDS], struct usage *u)
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
void anthropic_counts(const struct answer *a, int64_t raw[RAW_FIELDS])
{
	memcpy(raw, a->raw, sizeof(a->raw));
	if (!a->items_unlike || a->items_fallback)
		return;
	for (int i = RAW_INPUT; i <= RAW_CACHE_WRITE_1H; i++)
		raw[i] = a->item_sum[i];
}

static void finish(const struct answer *a, struct usage *u)
{
	int64_t raw[RAW_FIELDS];

	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_OUTPUT))
		return;
	anthropic_counts(a, raw);
	anthropic_tokens(raw, u);
	u->lower_bound = raw[RAW_INPUT] == RAW_ABSENT || raw[RAW_OUTPUT] == RAW_ABSENT;
	u->tool_units[TOOL_WEB_SEARCH] = raw_or_zero(raw, RAW_WEB_SEARCH);
	if (a->items_unknown)
		u->mismatch = true;
}

void anthropic_finish_sub(const struct answer_sub *sub, struct usage *u)
{
	anthropic_tokens(sub->raw, u);
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

void anthropic_item(struct answer *a)
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
	.item = anthropic_item,
	.finish = finish,
	.finish_sub = anthropic_finish_sub,
};

const struct dialect dialect_anthropic_batch = {
	.name = "anthropic_batch",
	.object = "batch",
	.batch = true,
	.rows = batch_rows,
	.row_count = ARRAY_LEN(batch_rows),
};

const struct dialect dialect_anthropic_batch_results = {
	.name = "anthropic_batch_results",
	.object = "batch",
	.batch = true,
	.rows = results_rows,
	.row_count = ARRAY_LEN(results_rows),
	.units = true,
	.lines = true,
	.item = anthropic_item,
	.finish = finish,
	.finish_sub = anthropic_finish_sub,
};
