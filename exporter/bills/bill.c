/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/bill.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

const char *const bill_class_names[BILL_CLASSES] = {
	[BILL_INPUT] = "input",
	[BILL_CACHE_READ] = "cache_read",
	[BILL_CACHE_WRITE_5M] = "cache_write_5m",
	[BILL_CACHE_WRITE_1H] = "cache_write_1h",
	[BILL_INPUT_AUDIO] = "input_audio",
	[BILL_INPUT_IMAGE] = "input_image",
	[BILL_OUTPUT] = "output",
	[BILL_OUTPUT_AUDIO] = "output_audio",
	[BILL_OUTPUT_IMAGE] = "output_image",
	[BILL_WEB_SEARCH] = "web_search",
	[BILL_FILE_SEARCH] = "file_search",
	[BILL_CODE_INTERPRETER] = "code_interpreter",
	[BILL_IMAGES] = "images",
	[BILL_AUDIO_SECONDS] = "audio_seconds",
	[BILL_CHARACTERS] = "characters",
	[BILL_PAGES] = "pages",
	[BILL_SEARCH_UNITS] = "search_units",
	[BILL_OTHER] = "other",
	[BILL_ALL] = "all",
};

const enum bill_class bill_class_of_token[TOKEN_KINDS] = {
	[TOKEN_INPUT_UNCACHED] = BILL_INPUT,
	[TOKEN_INPUT_CACHE_READ] = BILL_CACHE_READ,
	[TOKEN_INPUT_CACHE_WRITE_5M] = BILL_CACHE_WRITE_5M,
	[TOKEN_INPUT_CACHE_WRITE_1H] = BILL_CACHE_WRITE_1H,
	[TOKEN_INPUT_AUDIO] = BILL_INPUT_AUDIO,
	[TOKEN_INPUT_IMAGE] = BILL_INPUT_IMAGE,
	[TOKEN_OUTPUT_TEXT] = BILL_OUTPUT,
	[TOKEN_OUTPUT_REASONING] = BILL_OUTPUT,
	[TOKEN_OUTPUT_AUDIO] = BILL_OUTPUT_AUDIO,
	[TOKEN_OUTPUT_IMAGE] = BILL_OUTPUT_IMAGE,
};

const enum bill_class bill_class_of_tool[TOOL_UNITS] = {
	[TOOL_WEB_SEARCH] = BILL_WEB_SEARCH,
	[TOOL_FILE_SEARCH] = BILL_FILE_SEARCH,
	[TOOL_CODE_INTERPRETER] = BILL_CODE_INTERPRETER,
	[TOOL_IMAGES] = BILL_IMAGES,
	[TOOL_AUDIO_SECONDS] = BILL_AUDIO_SECONDS,
	[TOOL_CHARACTERS] = BILL_CHARACTERS,
	[TOOL_PAGES] = BILL_PAGES,
	[TOOL_SEARCH_UNITS] = BILL_SEARCH_UNITS,
};

enum bill_side bill_side_of(enum bill_class class)
{
	if (class <= BILL_INPUT_IMAGE)
		return SIDE_INPUT;
	return class <= BILL_OUTPUT_IMAGE ? SIDE_OUTPUT : SIDE_UNITS;
}

/* ---- words ------------------------------------------------------------------------------- */

/* Both words stand in the text ("" stands in every one). The first row that fits counts. */
static const struct {
	const char *word, *other;
	enum bill_class class;
} class_words[] = {
	{"storage", "", BILL_OTHER},
	{"training", "", BILL_OTHER},
	{"uncached", "", BILL_INPUT},
	{"cache", "1h", BILL_CACHE_WRITE_1H},
	{"cache", "1 hour", BILL_CACHE_WRITE_1H},
	{"cache", "1-hour", BILL_CACHE_WRITE_1H},
	{"cache", "write", BILL_CACHE_WRITE_5M},
	{"cache", "creation", BILL_CACHE_WRITE_5M},
	{"cache", "", BILL_CACHE_READ},
	{"output", "audio", BILL_OUTPUT_AUDIO},
	{"output", "image", BILL_OUTPUT_IMAGE},
	{"output", "", BILL_OUTPUT},
	{"completion", "", BILL_OUTPUT},
	{"reasoning", "", BILL_OUTPUT},
	{"input", "audio", BILL_INPUT_AUDIO},
	{"input", "image", BILL_INPUT_IMAGE},
	{"input", "", BILL_INPUT},
	{"prompt", "", BILL_INPUT},
	{"web", "search", BILL_WEB_SEARCH},
	{"file", "search", BILL_FILE_SEARCH},
	{"code", "interpreter", BILL_CODE_INTERPRETER},
	{"search", "unit", BILL_SEARCH_UNITS},
	{"character", "", BILL_CHARACTERS},
	{"page", "", BILL_PAGES},
	{"audio", "", BILL_AUDIO_SECONDS},
	{"second", "", BILL_AUDIO_SECONDS},
	{"image", "", BILL_IMAGES},
};

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

enum bill_class bill_class_of_words(struct slice words)
{
	char text[BILL_ITEM_MAX];

	(void)slice_copy(text, sizeof(text), words);
	lower(text);
	for (size_t i = 0; i < ARRAY_LEN(class_words); i++) {
		if (strstr(text, class_words[i].word) && strstr(text, class_words[i].other))
			return class_words[i].class;
	}
	return BILL_OTHER;
}

void bill_tier_copy(char dst[BILL_TIER_MAX], struct slice tier)
{
	static const char *const plain[] = {"default", "standard", "auto", "on_demand",
					    "standard_only"};

	(void)slice_copy(dst, BILL_TIER_MAX, slice_trim(tier));
	lower(dst);
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (!strcmp(dst, plain[i]))
			(void)slice_copy(dst, BILL_TIER_MAX, SLICE(BILL_STANDARD));
	}
}

bool bill_currency_copy(char dst[BILL_CURRENCY_MAX], struct slice currency)
{
	currency = slice_trim(currency);
	if (currency.len != 3)
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (!isalpha((unsigned char)currency.ptr[i]))
			return false;
		dst[i] = (char)toupper((unsigned char)currency.ptr[i]);
	}
	dst[3] = '\0';
	return true;
}

void bill_provider_copy(char dst[32], struct slice name)
{
	static const struct {
		const char *said, *ours;
	} rows[] = {
		{"amazon web services", "aws.bedrock"},
		{"aws", "aws.bedrock"},
		{"microsoft", "azure.ai.openai"},
		{"microsoft azure", "azure.ai.openai"},
		{"azure", "azure.ai.openai"},
		{"google", "gcp.vertex_ai"},
		{"google cloud", "gcp.vertex_ai"},
		{"google cloud platform", "gcp.vertex_ai"},
		{"mistral", "mistral_ai"},
		{"mistral ai", "mistral_ai"},
		{"xai", "x_ai"},
		{"x.ai", "x_ai"},
		{"fireworks", "fireworks_ai"},
		{"fireworks ai", "fireworks_ai"},
		{"together", "together_ai"},
		{"together ai", "together_ai"},
	};

	(void)slice_copy(dst, 32, slice_trim(name));
	lower(dst);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!strcmp(dst, rows[i].said))
			(void)slice_copy(dst, 32, slice_of(rows[i].ours));
	}
}

/* ---- numbers ----------------------------------------------------------------------------- */

bool bill_money_parse(struct slice text, int scale, int64_t *amount, int *decimals)
{
	const char *point;
	bool negative;
	int64_t value;

	text = slice_trim(text);
	negative = text.len && text.ptr[0] == '-';
	if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
		text.ptr++;
		text.len--;
	}
	if (!decimal_parse_rounded(text, scale, &value))
		return false;
	if (decimals) {
		point = memchr(text.ptr, '.', text.len);
		*decimals = point ? (int)(text.ptr + text.len - point) - 1 : 0;
	}
	*amount = negative ? -value : value;
	return true;
}

int64_t bill_slack(int decimals)
{
	int64_t slack = PUSD_PER_USD / 2;

	for (int i = 0; i < decimals && slack; i++)
		slack /= 10;
	return slack;
}

bool bill_count_parse(struct slice text, int64_t *count)
{
	return decimal_parse(slice_trim(text), 0, count);
}

char *bill_day_text(char dst[BILL_DAY_TEXT_MAX], int64_t day)
{
	time_t at = (time_t)(day * SECONDS_PER_DAY);
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(dst, BILL_DAY_TEXT_MAX, "%Y-%m-%d", &tm))
		snprintf(dst, BILL_DAY_TEXT_MAX, "-");
	return dst;
}

/* ---- rows -------------------------------------------------------------------------------- */

struct bill_row *bill_rows_add(struct bill_rows *rows)
{
	if (rows->count == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 64;
		struct bill_row *grown;

		if (rows->cap >= BILL_PAGE_ROWS_MAX)
			return NULL;
		grown = reallocarray(rows->row, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		rows->row = grown;
		rows->cap = cap;
	}
	memset(&rows->row[rows->count], 0, sizeof(*rows->row));
	return &rows->row[rows->count++];
}

void bill_rows_free(struct bill_rows *rows)
{
	free(rows->row);
	*rows = (struct bill_rows){0};
}
