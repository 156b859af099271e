/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/usage/call.h"

#include <nettle/sha2.h>

const char *const token_kind_names[TOKEN_KINDS] = {
	[TOKEN_INPUT_UNCACHED] = "input_uncached",
	[TOKEN_INPUT_CACHE_READ] = "input_cache_read",
	[TOKEN_INPUT_CACHE_WRITE_5M] = "input_cache_write_5m",
	[TOKEN_INPUT_CACHE_WRITE_1H] = "input_cache_write_1h",
	[TOKEN_INPUT_AUDIO] = "input_audio",
	[TOKEN_INPUT_IMAGE] = "input_image",
	[TOKEN_OUTPUT_TEXT] = "output_text",
	[TOKEN_OUTPUT_REASONING] = "output_reasoning",
	[TOKEN_OUTPUT_AUDIO] = "output_audio",
	[TOKEN_OUTPUT_IMAGE] = "output_image",
};

const char *const tool_unit_names[TOOL_UNITS] = {
	[TOOL_WEB_SEARCH] = "web_search",
	[TOOL_FILE_SEARCH] = "file_search",
	[TOOL_CODE_INTERPRETER] = "code_interpreter",
	[TOOL_IMAGES] = "images",
	[TOOL_AUDIO_SECONDS] = "audio_seconds",
	[TOOL_CHARACTERS] = "characters",
	[TOOL_PAGES] = "pages",
	[TOOL_SEARCH_UNITS] = "search_units",
};

const char *const basis_names[BASES] = {
	[BASIS_PROVIDER_REPORTED] = "provider_reported",
	[BASIS_REPORTED_USAGE] = "reported_usage",
	[BASIS_ESTIMATED] = "estimated",
	[BASIS_PARTIAL] = "partial",
	[BASIS_UNPRICED] = "unpriced",
	[BASIS_NOT_BILLED] = "not_billed",
};

const char *const outcome_names[OUTCOMES] = {
	[OUTCOME_OK] = "ok",
	[OUTCOME_ERROR] = "error",
	[OUTCOME_ABORTED] = "aborted",
	[OUTCOME_UNKNOWN] = "unknown",
};

const char *const billing_mode_names[BILLING_MODES] = {
	[BILLING_METERED] = "metered",
	[BILLING_SUBSCRIPTION] = "subscription",
};

const char *const unpriced_reason_names[UNPRICED_REASONS] = {
	[UNPRICED_NOT] = "",
	[UNPRICED_UNKNOWN_MODEL] = "unknown_model",
	[UNPRICED_NO_PRICE_AT_TIME] = "no_price_at_time",
	[UNPRICED_UNIT_MISSING] = "unit_missing",
	[UNPRICED_HOST_ROLE_UNKNOWN] = "host_role_unknown",
	[UNPRICED_OVERFLOW] = "overflow",
};

const char *const usage_missing_names[USAGE_MISSING_REASONS] = {
	[MISSING_NOT] = "",
	[MISSING_NOT_ASKED] = "not_asked",
	[MISSING_NOT_TOLD] = "not_told",
	[MISSING_UNDER_WAY] = "under_way",
	[MISSING_CUT] = "cut",
	[MISSING_NO_ANSWER] = "no_answer",
	[MISSING_NOT_CAPTURED] = "not_captured",
	[MISSING_UNDECODABLE] = "undecodable",
	[MISSING_UNKNOWN_SHAPE] = "unknown_shape",
	[MISSING_AMBIGUOUS] = "ambiguous",
	[MISSING_INCOMPLETE] = "incomplete",
};

const char *const run_source_names[RUN_SOURCES] = {
	"", "trace_id", "session_id", "response_id", "conversation_id", "tool_call_id"};
const char *const collapse_names[COLLAPSES] = {
	[COLLAPSED_NOT] = "",
	[COLLAPSED_RESPONSE_ID] = "response_id",
	[COLLAPSED_REQUEST_BODY] = "request_body",
};

const char *const host_role_names[HOST_ROLES] = {
	[ROLE_UNKNOWN] = "unknown",
	[ROLE_DIRECT] = "direct",
	[ROLE_GATEWAY] = "gateway",
	[ROLE_SELF_HOSTED] = "self_hosted",
};

const char *const tag_source_names[TAG_SOURCES] = {
	[TAG_DEFAULT] = "default", [TAG_NODE] = "node", [TAG_NAMESPACE] = "namespace",
	[TAG_POD] = "pod",	   [TAG_ENV] = "env",	[TAG_HEADER] = "header",
	[TAG_BODY] = "body",	   [TAG_RULE] = "rule",
};

static struct tag *tags_find(struct tags *tags, struct slice key)
{
	for (uint32_t i = 0; i < tags->count; i++) {
		if (slice_eq(slice_of(tags->item[i].key), key))
			return &tags->item[i];
	}
	return NULL;
}

bool tags_set(struct tags *tags, struct slice key, struct slice value, enum tag_source source)
{
	char clean[TAG_KEY_MAX]; /* as it will stand: keys that differ in dirt alone are one */
	struct tag *tag;

	if (key.len == 0 || !slice_copy(clean, sizeof(clean), key))
		return false;
	tag = tags_find(tags, slice_of(clean));
	if (tag && tag->source > source)
		return true;
	if (!tag) {
		if (tags->count == CALL_TAGS_MAX)
			return false;
		tag = &tags->item[tags->count++];
		slice_copy(tag->key, sizeof(tag->key), slice_of(clean));
	}
	slice_copy(tag->value, sizeof(tag->value), value);
	tag->source = source;
	return true;
}

/* What is not listed goes: also what is added to the record later. */
#define PART(field)                                                             \
	{                                                                       \
		offsetof(struct call, field), sizeof(((struct call *)0)->field) \
	}
static const struct {
	size_t offset, size;
} minimal_parts[] = {
	PART(event_id),
	PART(sub_index),
	PART(started_at_us),
	PART(dated_us),
	PART(duration_us),
	PART(time_to_first_token_us),
	PART(provider),
	PART(role),
	PART(operation),
	PART(api),
	PART(model_requested),
	PART(model),
	PART(stream),
	PART(status),
	PART(outcome),
	PART(basis),
	PART(usage_missing),
	PART(estimated_by),
	PART(usage),
	PART(key),
	PART(usage_conflict),
	PART(summed),
	PART(service_tier),
	PART(batch),
	PART(inference_geo),
	PART(speed),
	PART(billing_mode),
	PART(billable),
	PART(billed_by),
	PART(collapsed_by),
	PART(attempt),
	PART(operation_id),
	PART(tags),
	PART(gaps),
	PART(cost),
};

void call_minimise(struct call *call)
{
	const struct call whole = *call;

	memset(call, 0, sizeof(*call));
	for (size_t i = 0; i < ARRAY_LEN(minimal_parts); i++)
		memcpy((char *)call + minimal_parts[i].offset,
		       (const char *)&whole + minimal_parts[i].offset, minimal_parts[i].size);
}

void usage_digest(const struct usage *usage, uint8_t digest[16])
{
	struct sha256_ctx hash;

	sha256_init(&hash);
	sha256_update(&hash, sizeof(usage->tokens), (const uint8_t *)usage->tokens);
	sha256_update(&hash, sizeof(usage->tool_units), (const uint8_t *)usage->tool_units);
	sha256_update(&hash, sizeof(usage->provider_cost_pusd),
		      (const uint8_t *)&usage->provider_cost_pusd);
	sha256_digest(&hash, 16, digest);
}

static int64_t sum_kinds(const struct usage *usage, int first, int last)
{
	int64_t sum = 0;

	for (int i = first; i <= last; i++) {
		if (__builtin_add_overflow(sum, usage->tokens[i], &sum))
			return INT64_MAX;
	}
	return sum;
}

int64_t usage_input_total(const struct usage *usage)
{
	return sum_kinds(usage, TOKEN_INPUT_UNCACHED, TOKEN_INPUT_IMAGE);
}

int64_t usage_output_total(const struct usage *usage)
{
	return sum_kinds(usage, TOKEN_OUTPUT_TEXT, TOKEN_OUTPUT_IMAGE);
}
