/* SPDX-License-Identifier: Apache-2.0 */
#include "pricing/kinds.h"

#define TOKENS "1000000 tokens"

/* clang-format off */
const struct price_kind_row price_kinds[PRICE_KINDS] = {
#define TOKEN_ROW(k, kind_name, fallback_kind, genai_key, litellm_key) \
	[k] = {kind_name, TOKENS, 1000000, true, fallback_kind, 2000, genai_key, litellm_key}
#define FEE_ROW(k, kind_name, unit_text, divisor, max, genai_key, litellm_key) \
	[k] = {kind_name, unit_text, divisor, false, k, max, genai_key, litellm_key}
	TOKEN_ROW(PRICE_INPUT, "input", PRICE_INPUT, "input_mtok", "input_cost_per_token"),
	TOKEN_ROW(PRICE_CACHE_READ, "cache_read", PRICE_INPUT, "cache_read_mtok",
		  "cache_read_input_token_cost"),
	TOKEN_ROW(PRICE_CACHE_WRITE_5M, "cache_write_5m", PRICE_CACHE_WRITE_5M, "cache_write_mtok",
		  "cache_creation_input_token_cost"),
	TOKEN_ROW(PRICE_CACHE_WRITE_1H, "cache_write_1h", PRICE_CACHE_WRITE_1H,
		  "cache_write_1h_mtok", "cache_creation_input_token_cost_above_1hr"),
	TOKEN_ROW(PRICE_INPUT_AUDIO, "input_audio", PRICE_INPUT_AUDIO, "input_audio_mtok",
		  "input_cost_per_audio_token"),
	TOKEN_ROW(PRICE_CACHE_READ_AUDIO, "cache_read_audio", PRICE_INPUT_AUDIO,
		  "cache_audio_read_mtok", "cache_read_input_audio_token_cost"),
	TOKEN_ROW(PRICE_INPUT_IMAGE, "input_image", PRICE_INPUT, "input_image_mtok",
		  "input_cost_per_image_token"),
	TOKEN_ROW(PRICE_CACHE_READ_IMAGE, "cache_read_image", PRICE_INPUT_IMAGE,
		  "cache_image_read_mtok", NULL),
	TOKEN_ROW(PRICE_INPUT_VIDEO, "input_video", PRICE_INPUT_VIDEO, "input_video_mtok", NULL),
	TOKEN_ROW(PRICE_OUTPUT, "output", PRICE_OUTPUT, "output_mtok", "output_cost_per_token"),
	TOKEN_ROW(PRICE_REASONING, "reasoning", PRICE_OUTPUT, "output_reasoning_mtok",
		  "output_cost_per_reasoning_token"),
	TOKEN_ROW(PRICE_CITATION, "citation", PRICE_CITATION, "output_citation_mtok",
		  "citation_cost_per_token"),
	TOKEN_ROW(PRICE_OUTPUT_AUDIO, "output_audio", PRICE_OUTPUT_AUDIO, "output_audio_mtok",
		  "output_cost_per_audio_token"),
	TOKEN_ROW(PRICE_OUTPUT_IMAGE, "output_image", PRICE_OUTPUT_IMAGE, "output_image_mtok",
		  "output_cost_per_image_token"),
	TOKEN_ROW(PRICE_OUTPUT_VIDEO, "output_video", PRICE_OUTPUT_VIDEO, "output_video_mtok", NULL),
	FEE_ROW(PRICE_WEB_SEARCH, "web_search", "1000 calls", 1000, 200, "web_searches_kcount", NULL),
	FEE_ROW(PRICE_FILE_SEARCH, "file_search", "1000 calls", 1000, 200,
		"storage_searches_kcount", NULL),
	FEE_ROW(PRICE_CODE_INTERPRETER, "code_interpreter", "1000 sessions", 1000, 2000, NULL,
		"code_interpreter_cost_per_session"),
	FEE_ROW(PRICE_IMAGE, "image", "1000 images", 1000, 5000, NULL, "output_cost_per_image"),
	FEE_ROW(PRICE_IMAGE_INPUT, "image_input", "1000 images", 1000, 5000, NULL,
		"input_cost_per_image"),
	FEE_ROW(PRICE_AUDIO_INPUT, "audio_input", "3600 seconds", 3600, 100, "input_audio_hours",
		"input_cost_per_second"),
	FEE_ROW(PRICE_AUDIO_OUTPUT, "audio_output", "3600 seconds", 3600, 100, NULL,
		"output_cost_per_second"),
	FEE_ROW(PRICE_VIDEO_INPUT, "video_input", "3600 seconds", 3600, 10000, NULL,
		"input_cost_per_video_per_second"),
	FEE_ROW(PRICE_VIDEO_OUTPUT, "video_output", "3600 seconds", 3600, 10000, NULL,
		"output_cost_per_video_per_second"),
	FEE_ROW(PRICE_CHARACTER, "character", "1000000 characters", 1000000, 2000, "input_mchars",
		"input_cost_per_character"),
	FEE_ROW(PRICE_PAGE, "page", "1000 pages", 1000, 500, "input_document_kpages",
		"ocr_cost_per_page"),
	FEE_ROW(PRICE_SEARCH_UNIT, "search_unit", "1000 units", 1000, 200, "rerank_searches_kcount",
		"input_cost_per_query"),
	FEE_ROW(PRICE_REQUEST, "request", "1000 calls", 1000, 2000, "requests_kcount",
		"input_cost_per_request"),
	FEE_ROW(PRICE_DURATION, "duration", "3600 seconds", 3600000000LL, 5000, NULL, NULL),
#undef TOKEN_ROW
#undef FEE_ROW
};
/* clang-format on */

const enum price_kind price_of_token[TOKEN_KINDS] = {
	[TOKEN_INPUT_UNCACHED] = PRICE_INPUT,
	[TOKEN_INPUT_CACHE_READ] = PRICE_CACHE_READ,
	[TOKEN_INPUT_CACHE_WRITE_5M] = PRICE_CACHE_WRITE_5M,
	[TOKEN_INPUT_CACHE_WRITE_1H] = PRICE_CACHE_WRITE_1H,
	[TOKEN_INPUT_AUDIO] = PRICE_INPUT_AUDIO,
	[TOKEN_INPUT_IMAGE] = PRICE_INPUT_IMAGE,
	[TOKEN_OUTPUT_TEXT] = PRICE_OUTPUT,
	[TOKEN_OUTPUT_REASONING] = PRICE_REASONING,
	[TOKEN_OUTPUT_AUDIO] = PRICE_OUTPUT_AUDIO,
	[TOKEN_OUTPUT_IMAGE] = PRICE_OUTPUT_IMAGE,
};

const enum price_kind price_of_tool[TOOL_UNITS] = {
	[TOOL_WEB_SEARCH] = PRICE_WEB_SEARCH,
	[TOOL_FILE_SEARCH] = PRICE_FILE_SEARCH,
	[TOOL_CODE_INTERPRETER] = PRICE_CODE_INTERPRETER,
	[TOOL_IMAGES] = PRICE_IMAGE,
	[TOOL_AUDIO_SECONDS] = PRICE_AUDIO_INPUT,
	[TOOL_CHARACTERS] = PRICE_CHARACTER,
	[TOOL_PAGES] = PRICE_PAGE,
	[TOOL_SEARCH_UNITS] = PRICE_SEARCH_UNIT,
};

bool price_kind_find(const char *name, enum price_kind *out)
{
	for (int i = 0; i < PRICE_KINDS; i++) {
		if (!strcmp(price_kinds[i].name, name)) {
			*out = (enum price_kind)i;
			return true;
		}
	}
	return false;
}
