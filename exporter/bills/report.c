/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/report.h"

#define RESULT(path) "data[].results[]." path
#define TEXT_FIELD(path, text)                   \
	{                                        \
		RESULT(path), false, TEXT_##text \
	}
#define COUNT_FIELD(path, count)                  \
	{                                         \
		RESULT(path), true, COUNT_##count \
	}

/* ---- OpenAI ------------------------------------------------------------------------------ */

static const struct bill_field openai_costs[] = {
	TEXT_FIELD("amount.value", AMOUNT), TEXT_FIELD("amount.currency", CURRENCY),
	TEXT_FIELD("line_item", ITEM),	    TEXT_FIELD("project_id", PROJECT),
	TEXT_FIELD("api_key_id", KEY),	    TEXT_FIELD("quantity", QUANTITY),
};

#define OPENAI_GROUPS                                                         \
	TEXT_FIELD("project_id", PROJECT), TEXT_FIELD("api_key_id", KEY),     \
		TEXT_FIELD("model", MODEL), TEXT_FIELD("service_tier", TIER), \
		COUNT_FIELD("input_tokens", INPUT)

static const struct bill_field openai_completions[] = {
	OPENAI_GROUPS,
	COUNT_FIELD("input_uncached_tokens", UNCACHED),
	COUNT_FIELD("input_cached_tokens", CACHED),
	COUNT_FIELD("input_cache_write_tokens", CACHE_WRITE),
	COUNT_FIELD("input_text_tokens", INPUT_TEXT),
	COUNT_FIELD("input_audio_tokens", INPUT_AUDIO),
	COUNT_FIELD("input_image_tokens", INPUT_IMAGE),
	COUNT_FIELD("output_tokens", OUTPUT),
	COUNT_FIELD("output_text_tokens", OUTPUT_TEXT),
	COUNT_FIELD("output_audio_tokens", OUTPUT_AUDIO),
	COUNT_FIELD("output_image_tokens", OUTPUT_IMAGE),
};

static const struct bill_field openai_embeddings[] = {OPENAI_GROUPS};
static const struct bill_field openai_images[] = {OPENAI_GROUPS, COUNT_FIELD("images", UNITS)};
static const struct bill_field openai_speeches[] = {OPENAI_GROUPS,
						    COUNT_FIELD("characters", UNITS)};
static const struct bill_field openai_transcriptions[] = {OPENAI_GROUPS,
							  COUNT_FIELD("seconds", UNITS)};
static const struct bill_field openai_searches[] = {OPENAI_GROUPS,
						    COUNT_FIELD("num_requests", UNITS)};
static const struct bill_field openai_sessions[] = {TEXT_FIELD("project_id", PROJECT),
						    COUNT_FIELD("num_sessions", UNITS)};

static const char *const by_item[] = {"project_id", "api_key_id", "line_item", NULL};
static const char *const by_tier[] = {"project_id", "api_key_id",   "model",
				      "batch",	    "service_tier", NULL};
static const char *const by_model[] = {"project_id", "api_key_id", "model", NULL};
static const char *const by_key[] = {"project_id", "api_key_id", NULL};
static const char *const by_project[] = {"project_id", NULL};

#define OPENAI(name_, path_, days, groups, table, finish_, unit_, keys_, money)                  \
	{                                                                                        \
		.provider = "openai", .name = (name_), .path = "/v1/organization/" path_,        \
		.days_param = (days), .group_by = (groups), .group_param = "group_by[]",         \
		.project_param = "project_ids[]", .key_param = (keys_) ? "api_key_ids[]" : NULL, \
		.has_keys = (keys_), .is_money = (money), .fields = (table),                     \
		.field_count = ARRAY_LEN(table), .unit = (unit_), .finish = (finish_)            \
	}

/* ---- Anthropic --------------------------------------------------------------------------- */

static const struct bill_field anthropic_costs[] = {
	TEXT_FIELD("amount", AMOUNT),	     TEXT_FIELD("currency", CURRENCY),
	TEXT_FIELD("description", ITEM),     TEXT_FIELD("cost_type", COST),
	TEXT_FIELD("token_type", TYPE),	     TEXT_FIELD("model", MODEL),
	TEXT_FIELD("service_tier", TIER),    TEXT_FIELD("context_window", WINDOW),
	TEXT_FIELD("workspace_id", PROJECT),
};

static const struct bill_field anthropic_usage[] = {
	COUNT_FIELD("uncached_input_tokens", UNCACHED),
	COUNT_FIELD("cache_read_input_tokens", CACHED),
	COUNT_FIELD("cache_creation.ephemeral_5m_input_tokens", CACHE_WRITE),
	COUNT_FIELD("cache_creation.ephemeral_1h_input_tokens", CACHE_WRITE_1H),
	COUNT_FIELD("output_tokens", OUTPUT),
	COUNT_FIELD("server_tool_use.web_search_requests", UNITS),
	TEXT_FIELD("api_key_id", KEY),
	TEXT_FIELD("workspace_id", PROJECT),
	TEXT_FIELD("model", MODEL),
	TEXT_FIELD("service_tier", TIER),
	TEXT_FIELD("context_window", WINDOW),
};

static const char *const by_description[] = {"workspace_id", "description", NULL};
static const char *const by_window[] = {"api_key_id",	"workspace_id",	  "model",
					"service_tier", "context_window", NULL};

/* ---- the table --------------------------------------------------------------------------- */

const struct bill_report bill_reports[] = {
	OPENAI("costs", "costs", "180", by_item, openai_costs, openai_cost_finish, BILL_OTHER, true,
	       true),
	OPENAI("usage.completions", "usage/completions", "31", by_tier, openai_completions,
	       openai_usage_finish, BILL_OTHER, true, false),
	OPENAI("usage.embeddings", "usage/embeddings", "31", by_model, openai_embeddings,
	       openai_usage_finish, BILL_OTHER, true, false),
	OPENAI("usage.images", "usage/images", "31", by_model, openai_images, openai_usage_finish,
	       BILL_IMAGES, true, false),
	OPENAI("usage.audio_speeches", "usage/audio_speeches", "31", by_model, openai_speeches,
	       openai_usage_finish, BILL_CHARACTERS, true, false),
	OPENAI("usage.audio_transcriptions", "usage/audio_transcriptions", "31", by_model,
	       openai_transcriptions, openai_usage_finish, BILL_AUDIO_SECONDS, true, false),
	OPENAI("usage.web_search_calls", "usage/web_search_calls", "31", by_model, openai_searches,
	       openai_usage_finish, BILL_WEB_SEARCH, true, false),
	OPENAI("usage.file_search_calls", "usage/file_search_calls", "31", by_key, openai_searches,
	       openai_usage_finish, BILL_FILE_SEARCH, true, false),
	OPENAI("usage.code_interpreter_sessions", "usage/code_interpreter_sessions", "31",
	       by_project, openai_sessions, openai_usage_finish, BILL_CODE_INTERPRETER, false,
	       false),
	{
		.provider = "anthropic",
		.name = "costs",
		.path = "/v1/organizations/cost_report",
		.days_param = "31",
		.group_by = by_description,
		.group_param = "group_by[]",
		.rfc3339 = true,
		.is_money = true,
		.fields = anthropic_costs,
		.field_count = ARRAY_LEN(anthropic_costs),
		.finish = anthropic_cost_finish,
	},
	{
		.provider = "anthropic",
		.name = "usage.messages",
		.path = "/v1/organizations/usage_report/messages",
		.days_param = "31",
		.group_by = by_window,
		.group_param = "group_by[]",
		.project_param = "workspace_ids[]",
		.key_param = "api_key_ids[]",
		.has_keys = true,
		.rfc3339 = true,
		.fields = anthropic_usage,
		.field_count = ARRAY_LEN(anthropic_usage),
		.unit = BILL_WEB_SEARCH,
		.finish = anthropic_usage_finish,
	},
	{.name = NULL},
};
