/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon Bedrock. Converse has one form for all models. InvokeModel hands through each model's own
 * body and says in the answer's head, or in the last chunk of a stream, what it bills: that counts,
 * and a body that says otherwise is a mismatch. In both, input leaves out what the cache holds.
 */
#include "agent/usage/anthropic.h"

/* Counts of Converse, and of Nova; the two names of each cache count hold the same number. */
#define CAMEL_COUNTS(p)                                                          \
	{p ".inputTokens", ROW_COUNT, RAW_INPUT, NULL},                          \
		{p ".outputTokens", ROW_COUNT, RAW_OUTPUT, NULL},                \
		{p ".totalTokens", ROW_COUNT, RAW_TOTAL, NULL},                  \
		{p ".cacheReadInputTokens", ROW_COUNT, RAW_CACHED, NULL},        \
		{p ".cacheReadInputTokenCount", ROW_COUNT, RAW_CACHED, NULL},    \
		{p ".cacheWriteInputTokens", ROW_COUNT, RAW_CACHE_WRITE, NULL},  \
	{                                                                        \
		p ".cacheWriteInputTokenCount", ROW_COUNT, RAW_CACHE_WRITE, NULL \
	}

/* ---- Converse -------------------------------------------------------------------------------- */

static const struct dialect_row converse_rows[] = {
	{"usage{}", ROW_USAGE, 0, NULL},
	{"usage.**", ROW_RAW, 0, NULL},
	CAMEL_COUNTS("usage"),
	{"usage.cacheDetails[]{}", ROW_ITEM, 0, NULL},
	{"usage.cacheDetails[].ttl", ROW_TEXT, TEXT_ITEM_TYPE, NULL},
	{"usage.cacheDetails[].inputTokens", ROW_ITEM_COUNT, RAW_CACHE_WRITE, NULL},
	{"serviceTier.type", ROW_TEXT, TEXT_SERVICE_TIER, NULL},
	/* Has prices of its own. */
	{"performanceConfig.latency", ROW_TEXT, TEXT_SERVICE_TIER, "optimized"},
	{"trace.promptRouter.invokedModelId", ROW_TEXT, TEXT_MODEL, NULL},
	{"stopReason", ROW_MARK, 0, ""},
	{"output.message.content[].text#", ROW_CONTENT, 0, NULL},
	{"output.message.content[].toolUse.toolUseId", ROW_TOOL_CALL, 0, NULL},
	{"start.toolUse.toolUseId", ROW_TOOL_CALL, 0, NULL},
	{"delta.text#", ROW_CONTENT, 0, NULL},
	{"delta.toolUse.input#", ROW_CONTENT, 0, NULL},
	{"delta.reasoningContent.text#", ROW_CONTENT, 0, NULL},
};

static const char *const converse_ends[] = {"metadata", NULL};

static void add(struct answer *a, enum raw_field field, int64_t n)
{
	if (a->item_sum[field] > RAW_COUNT_MAX - n)
		a->unreadable = true;
	else
		a->item_sum[field] += n;
}

/* Cache writes of one lifetime. */
static void converse_item(struct answer *a)
{
	enum raw_field field = RAW_CACHE_WRITE_5M;

	if (strcmp(a->text[TEXT_ITEM_TYPE], "1h") == 0)
		field = RAW_CACHE_WRITE_1H;
	else if (strcmp(a->text[TEXT_ITEM_TYPE], "5m") != 0)
		a->items_unknown = true;
	add(a, field, raw_or_zero(a->item_raw, RAW_CACHE_WRITE));
}

static void converse_finish(const struct answer *a, struct usage *u)
{
	int64_t raw[RAW_FIELDS];

	if (!RAW_ANY(a->raw, RAW_INPUT, RAW_OUTPUT))
		return;
	memcpy(raw, a->raw, sizeof(raw));
	raw[RAW_CACHE_WRITE_5M] = a->item_sum[RAW_CACHE_WRITE_5M];
	raw[RAW_CACHE_WRITE_1H] = a->item_sum[RAW_CACHE_WRITE_1H];
	anthropic_tokens(raw, u);
	u->lower_bound = raw[RAW_INPUT] == RAW_ABSENT || raw[RAW_OUTPUT] == RAW_ABSENT;
	if (raw[RAW_TOTAL] != RAW_ABSENT &&
	    raw[RAW_TOTAL] != usage_input_total(u) + usage_output_total(u))
		u->mismatch = true;
	u->mismatch |= a->items_unknown;
}

/* ---- InvokeModel ----------------------------------------------------------------------------- */

enum list { LIST_ITERATIONS, LIST_RESULTS };

#define METRICS "amazon-bedrock-invocationMetrics"

static const struct dialect_head invoke_head[] = {
	{"x-amzn-bedrock-input-token-count", RAW_BILLED_INPUT, "input_token_count"},
	{"x-amzn-bedrock-output-token-count", RAW_BILLED_OUTPUT, "output_token_count"},
	{"x-amzn-bedrock-cache-read-input-token-count", RAW_BILLED_CACHED,
	 "cache_read_input_token_count"},
	{"x-amzn-bedrock-cache-write-input-token-count", RAW_BILLED_CACHE_WRITE,
	 "cache_write_input_token_count"},
	{NULL, 0, NULL},
};

static const struct dialect_row invoke_rows[] = {
	{METRICS "{}", ROW_LAST, 0, NULL},
	{METRICS ".**", ROW_RAW, 0, NULL},
	{METRICS ".inputTokenCount", ROW_COUNT, RAW_BILLED_INPUT, NULL},
	{METRICS ".outputTokenCount", ROW_COUNT, RAW_BILLED_OUTPUT, NULL},
	{METRICS ".cacheReadInputTokenCount", ROW_COUNT, RAW_BILLED_CACHED, NULL},
	{METRICS ".cacheWriteInputTokenCount", ROW_COUNT, RAW_BILLED_CACHE_WRITE, NULL},
	/* Claude */
	ANTHROPIC_ROWS,
	{"completion#", ROW_CONTENT, 0, NULL},
	/* Nova */
	CAMEL_COUNTS("usage"),
	CAMEL_COUNTS("metadata.usage"),
	{"metadata.usage.**", ROW_RAW, 0, NULL},
	{"output.message.content[].text#", ROW_CONTENT, 0, NULL},
	{"contentBlockDelta.delta.text#", ROW_CONTENT, 0, NULL},
	/* Titan */
	{"inputTextTokenCount", ROW_COUNT, RAW_INPUT, "inputTextTokenCount"},
	{"totalOutputTextTokenCount", ROW_COUNT, RAW_OUTPUT, "totalOutputTextTokenCount"},
	{"results[]{}", ROW_ITEM, LIST_RESULTS, NULL},
	{"results[].tokenCount", ROW_ITEM_COUNT, RAW_OUTPUT, NULL},
	{"results[].outputText#", ROW_CONTENT, 0, NULL},
	{"outputText#", ROW_CONTENT, 0, NULL},
	/* Llama */
	{"prompt_token_count", ROW_COUNT, RAW_INPUT, "prompt_token_count"},
	{"generation_token_count", ROW_COUNT, RAW_OUTPUT, "generation_token_count"},
	{"generation#", ROW_CONTENT, 0, NULL},
	/* Mistral, AI21, Cohere, and what is served in OpenAI's form */
	{"usage.prompt_tokens", ROW_COUNT, RAW_INPUT, NULL},
	{"usage.completion_tokens", ROW_COUNT, RAW_OUTPUT, NULL},
	{"outputs[].text#", ROW_CONTENT, 0, NULL},
	{"completions[].data.text#", ROW_CONTENT, 0, NULL},
	{"generations[].text#", ROW_CONTENT, 0, NULL},
	{"text#", ROW_CONTENT, 0, NULL},
	{"choices[].message.content#", ROW_CONTENT, 0, NULL},
	{"choices[].delta.content#", ROW_CONTENT, 0, NULL},
};

static void invoke_item(struct answer *a)
{
	if (a->item_list == LIST_ITERATIONS)
		anthropic_item(a);
	else
		add(a, RAW_OUTPUT, raw_or_zero(a->item_raw, RAW_OUTPUT));
}

/* The bill's count stands for the body's; true when the two differ. */
static bool replace(int64_t raw[RAW_FIELDS], enum raw_field field, enum raw_field billed)
{
	bool differ =
		raw[field] != RAW_ABSENT && raw[billed] != RAW_ABSENT && raw[field] != raw[billed];

	if (raw[billed] != RAW_ABSENT)
		raw[field] = raw[billed];
	return differ;
}

static void invoke_finish(const struct answer *a, struct usage *u)
{
	int64_t raw[RAW_FIELDS];
	bool differ;

	anthropic_counts(a, raw);
	if (raw[RAW_OUTPUT] == RAW_ABSENT && a->item_list == LIST_RESULTS)
		raw[RAW_OUTPUT] = a->item_sum[RAW_OUTPUT];
	differ = replace(raw, RAW_INPUT, RAW_BILLED_INPUT);
	differ |= replace(raw, RAW_OUTPUT, RAW_BILLED_OUTPUT);
	differ |= replace(raw, RAW_CACHED, RAW_BILLED_CACHED);
	differ |= replace(raw, RAW_CACHE_WRITE, RAW_BILLED_CACHE_WRITE);
	if (!RAW_ANY(raw, RAW_INPUT, RAW_OUTPUT))
		return;
	anthropic_tokens(raw, u);
	/* Embeddings have no output; generated text that no count covers has. */
	u->lower_bound =
		raw[RAW_INPUT] == RAW_ABSENT || (raw[RAW_OUTPUT] == RAW_ABSENT && a->content_bytes);
	u->tool_units[TOOL_WEB_SEARCH] = raw_or_zero(raw, RAW_WEB_SEARCH);
	u->mismatch |= differ || a->items_unknown;
}

const struct dialect dialect_bedrock_converse = {
	.name = "bedrock_converse",
	.rows = converse_rows,
	.row_count = ARRAY_LEN(converse_rows),
	.end_types = converse_ends,
	.item = converse_item,
	.finish = converse_finish,
};

const struct dialect dialect_bedrock_invoke = {
	.name = "bedrock_invoke",
	.rows = invoke_rows,
	.row_count = ARRAY_LEN(invoke_rows),
	.head = invoke_head,
	.chunks = true,
	.item = invoke_item,
	.finish = invoke_finish,
	.finish_sub = anthropic_finish_sub,
};
