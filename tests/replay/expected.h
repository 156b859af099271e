/* SPDX-License-Identifier: Apache-2.0 */
/* What came out against a recording's expected.json. */
#ifndef TT_TEST_EXPECTED_H
#define TT_TEST_EXPECTED_H

#include "cassette.h"
#include "played.h"

#include "agent/base/money.h"
#include "pricing/catalog.h"

static struct catalog *catalog;

/* Answers that must give no row, and why not. */
static const struct {
	const char *name;
	enum ignored_reason reason;
} rowless[] = {
	{"other/not-an-llm-01", IGNORED_PATH_UNKNOWN},
	{"synthetic/poll-under-way", IGNORED_METHOD},
	{"synthetic/batch-under-way", IGNORED_METHOD},
	{"synthetic/batch-input-file", IGNORED_METHOD},
	{"synthetic/lookalike", IGNORED_NOT_LLM},
};

static void expect_count(const struct cassette *c, const cJSON *usage, const char *key, int64_t got)
{
	const cJSON *want = cJSON_GetObjectItemCaseSensitive(usage, key);

	if (cJSON_IsNull(want))
		return; /* cannot be told from the traffic */
	if (got != (want ? (int64_t)want->valuedouble : 0))
		fail_msg("%s: %s is %lld, expected %.0f", c->name, key, (long long)got,
			 want ? want->valuedouble : 0.0);
}

static void expect_text(const struct cassette *c, const char *key, const char *want,
			const char *got)
{
	if (strcmp(want, got) != 0)
		fail_msg("%s: %s is \"%s\", expected \"%s\"", c->name, key, got, want);
}

/* Web searches that a recording lists by their actions, or by xAI's number. */
static int64_t searches(const struct cassette *c)
{
	const cJSON *actions =
		cJSON_GetObjectItemCaseSensitive(member(c, "extra"), "web_search_actions");
	const cJSON *action;
	const cJSON *tools =
		cJSON_GetObjectItemCaseSensitive(member(c, "raw_usage"), "server_side_tools_used");
	const cJSON *tool;
	int64_t n = 0;

	cJSON_ArrayForEach(action, actions)
	{
		n += strcmp(cJSON_GetStringValue(action), "search") == 0;
	}
	cJSON_ArrayForEach(tool, tools)
	{
		n += tool->valuedouble == 1;
	}
	return n;
}

static void check_usage(const struct cassette *c, const cJSON *usage, const struct usage *u)
{
	const cJSON *output = cJSON_GetObjectItemCaseSensitive(usage, "output_tokens");
	const cJSON *reasoning = cJSON_GetObjectItemCaseSensitive(usage, "reasoning_tokens");
	const int64_t *t = u->tokens;

	if (!u->known)
		fail_msg("%s: usage unknown", c->name);
	expect_count(c, usage, "input_tokens", usage_input_total(u));
	expect_count(c, usage, "output_tokens", usage_output_total(u));
	expect_count(c, usage, "cache_read_tokens", t[TOKEN_INPUT_CACHE_READ]);
	expect_count(c, usage, "cache_write_tokens",
		     t[TOKEN_INPUT_CACHE_WRITE_5M] + t[TOKEN_INPUT_CACHE_WRITE_1H]);
	expect_count(c, usage, "cache_write_1h_tokens", t[TOKEN_INPUT_CACHE_WRITE_1H]);
	expect_count(c, usage, "input_audio_tokens", t[TOKEN_INPUT_AUDIO]);
	expect_count(c, usage, "input_image_tokens", t[TOKEN_INPUT_IMAGE]);
	expect_count(c, usage, "output_audio_tokens", t[TOKEN_OUTPUT_AUDIO]);
	expect_count(c, usage, "output_image_tokens", t[TOKEN_OUTPUT_IMAGE]);
	if (cJSON_HasObjectItem(usage, "web_search_requests") || !searches(c))
		expect_count(c, usage, "web_search_requests", u->tool_units[TOOL_WEB_SEARCH]);
	else
		assert_int_equal(u->tool_units[TOOL_WEB_SEARCH], searches(c));
	expect_count(c, usage, "document_pages", u->tool_units[TOOL_PAGES]);
	expect_count(c, usage, "search_units", u->tool_units[TOOL_SEARCH_UNITS]);
	expect_count(c, usage,
		     cJSON_HasObjectItem(usage, "billable_audio_seconds") ? "billable_audio_seconds"
									  : "input_audio_seconds",
		     u->tool_units[TOOL_AUDIO_SECONDS]);
	expect_count(c, usage, "images", u->tool_units[TOOL_IMAGES]);
	expect_count(c, usage, "characters", u->tool_units[TOOL_CHARACTERS]);
	/* One provider reports more reasoning than output: kinds are disjoint, so it is clamped. */
	if (!reasoning || reasoning->valuedouble <= output->valuedouble)
		expect_count(c, usage, "reasoning_tokens", t[TOKEN_OUTPUT_REASONING]);
	else
		assert_int_equal(t[TOKEN_OUTPUT_TEXT], 0);
	for (int i = 0; i < TOKEN_KINDS; i++)
		assert_true(t[i] >= 0);
}

/* Each number of the recorded usage object stands unchanged in the stored one. */
static void check_raw(const struct cassette *c, const cJSON *want, const cJSON *got)
{
	const cJSON *item, *at;
	int index = 0;

	cJSON_ArrayForEach(item, want)
	{
		at = cJSON_IsArray(want) ? cJSON_GetArrayItem(got, index++)
					 : cJSON_GetObjectItemCaseSensitive(got, item->string);
		if (cJSON_IsNumber(item) && (!at || at->valuedouble != item->valuedouble))
			fail_msg("%s: raw %s lost or changed", c->name, item->string);
		if (at)
			check_raw(c, item, at);
	}
}

static void check_raw_json(const struct cassette *c, const cJSON *raw, const struct call *row)
{
	cJSON *stored = row->usage.raw_json[0] ? cJSON_Parse(row->usage.raw_json) : NULL;

	if (row->usage.raw_json[0] && !stored)
		fail_msg("%s: raw usage is no JSON: %s", c->name, row->usage.raw_json);
	if (cJSON_IsObject(raw) && !cJSON_GetObjectItemCaseSensitive(raw, "message_start"))
		check_raw(c, raw, stored);
	cJSON_Delete(stored);
}

static int64_t usd_of(const cJSON *dollars)
{
	char text[64];
	int64_t pusd;

	snprintf(text, sizeof(text), "%.12f", dollars->valuedouble);
	assert_true(decimal_parse_rounded(slice_of(text), 12, &pusd));
	return pusd;
}

static void check_cost(const struct cassette *c, const struct call *row)
{
	const cJSON *cost = member(c, "provider_reported_cost_usd");
	const cJSON *upstream =
		cJSON_GetObjectItemCaseSensitive(member(c, "extra"), "upstream_cost_usd");
	int64_t want = -1;

	if (strcmp(text_member(c, "provider"), "other") == 0)
		return; /* a gateway's estimate is no bill */
	if (cJSON_IsNumber(cost))
		want = usd_of(cost);
	if (cJSON_IsNumber(upstream))
		want += usd_of(upstream);
	if (row->usage.provider_cost_pusd != want)
		fail_msg("%s: provider cost %lld, expected %lld", c->name,
			 (long long)row->usage.provider_cost_pusd, (long long)want);
}

/* An endpoint that costs nothing, whatever it counts. */
static bool is_free(const struct cassette *c)
{
	return strstr(c->name, "count-tokens") || strstr(c->name, "moderation");
}

static enum basis expected_basis(const struct cassette *c, const struct call *row)
{
	const char *given = text_member(c, "basis");

	for (int i = 0; given[0] && i < BASES; i++) {
		if (strcmp(given, basis_names[i]) == 0)
			return (enum basis)i;
	}
	if (row->status >= 400 || is_free(c) || strstr(c->name, "blocked"))
		return BASIS_NOT_BILLED;
	if (!cJSON_IsTrue(member(c, "usage_on_wire")) || strstr(c->name, "cached-content-create"))
		return BASIS_ESTIMATED;
	if (row->usage.lower_bound)
		return BASIS_PARTIAL;
	return row->usage.provider_cost_pusd >= 0 ? BASIS_PROVIDER_REPORTED : BASIS_REPORTED_USAGE;
}

static void check_names(const struct cassette *c, const struct call *row)
{
	const char *model = text_member(c, "response_model");
	const char *id = text_member(c, "request_id_header");

	/* Recorders put this location into the address, not into the Host field. */
	if (strcmp(text_member(c, "host"), "test-location-aiplatform.googleapis.com") != 0)
		assert_int_equal(strcasecmp(text_member(c, "host"), row->host), 0);
	expect_text(c, "request_model", text_member(c, "request_model"), row->model_requested);
	expect_text(c, "model",
		    model[0]		? model
		    : row->status < 400 ? text_member(c, "request_model")
					: row->model,
		    row->model);
	if (row->status < 300 && text_member(c, "response_id")[0])
		expect_text(c, "response_id", text_member(c, "response_id"), row->response_id);
	if (id[0] && id[0] != '<')
		expect_text(c, "request_id", id, row->request_id);
	if (text_member(c, "service_tier")[0])
		expect_text(c, "service_tier", text_member(c, "service_tier"), row->service_tier);
}

static void check_subs(const struct cassette *c, const struct outcome_seen *seen)
{
	const cJSON *subs = cJSON_GetObjectItemCaseSensitive(member(c, "extra"), "sub_models");
	const cJSON *sub;
	size_t i = 1;

	assert_int_equal(seen->rows, 1 + (size_t)cJSON_GetArraySize(subs));
	cJSON_ArrayForEach(sub, subs)
	{
		const struct call *row = &seen->row[i];

		expect_text(c, "sub model", sub->string, row->model);
		check_usage(c, sub, &row->usage);
		assert_int_equal(row->sub_index, i++);
	}
}

/* What it costs on 22 November 2026 by the shipped table, where the case says so. */
static void check_price(const struct cassette *c, const struct call *row)
{
	const cJSON *price = member(c, "price");
	const cJSON *cost = cJSON_GetObjectItemCaseSensitive(price, "cost_pusd");
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(price, "price_id");
	struct call call = *row;

	if (!price)
		return;
	call.started_at_us = 20779 * 86400LL * 1000000;
	price_call(catalog, &call);
	if (call.cost.cost_pusd != (int64_t)cost->valuedouble)
		fail_msg("%s: cost %lld, expected %.0f", c->name, (long long)call.cost.cost_pusd,
			 cost->valuedouble);
	expect_text(c, "price_id", cJSON_GetStringValue(id), call.cost.price_id);
}

/* The results of a batch: a row each, at batch prices, each under a key of its own. */
static void check_batch(const struct cassette *c, const struct outcome_seen *seen,
			const cJSON *results)
{
	const cJSON *result;
	size_t i = 0;

	if (seen->rows != (size_t)cJSON_GetArraySize(results))
		fail_msg("%s: %zu rows of a batch", c->name, seen->rows);
	cJSON_ArrayForEach(result, results)
	{
		const char *tier =
			cJSON_GetStringValue(cJSON_GetObjectItem(result, "service_tier"));
		const cJSON *cost = cJSON_GetObjectItem(result, "cost_usd");
		const struct call *row = &seen->row[i];

		expect_text(c, "model", cJSON_GetStringValue(cJSON_GetObjectItem(result, "model")),
			    row->model);
		expect_text(c, "service tier", tier ? tier : row->service_tier, row->service_tier);
		check_usage(c, cJSON_GetObjectItem(result, "usage"), &row->usage);
		assert_int_equal(row->usage.provider_cost_pusd, cost ? usd_of(cost) : -1);
		assert_int_equal(row->basis, cost ? BASIS_PROVIDER_REPORTED : BASIS_REPORTED_USAGE);
		assert_int_equal(row->outcome, OUTCOME_OK);
		assert_int_equal(row->sub_index, i++);
		assert_true(row->batch && row->key.set && !row->key.made);
		assert_memory_equal(row->key.object, seen->row[0].key.object, 16);
		if (i > 1)
			assert_memory_not_equal(row->key.part, row[-1].key.part, 16);
	}
}

static void check_row(const struct cassette *c, const struct outcome_seen *seen)
{
	const cJSON *results =
		cJSON_GetObjectItemCaseSensitive(member(c, "extra"), "batch_results");
	const struct call *row = &seen->row[0];
	enum basis basis = expected_basis(c, row);
	bool failed = row->status >= 400 || strstr(c->name, "stream-error");

	if (!seen->rows)
		fail_msg("%s: no row (ignored: %s)", c->name, ignored_reason_names[seen->reason]);
	if (results) {
		check_batch(c, seen, results);
		return;
	}
	assert_int_equal(row->status, (int)member(c, "http_status")->valuedouble);
	check_names(c, row);
	assert_int_equal(row->billable, !is_free(c));
	if (row->status < 400 && row->stream != cJSON_IsTrue(member(c, "stream")))
		fail_msg("%s: stream flag", c->name);
	if (row->outcome != (failed ? OUTCOME_ERROR : OUTCOME_OK))
		fail_msg("%s: outcome %s", c->name, outcome_names[row->outcome]);
	if (strcmp(c->name, "openai/responses-stream-incomplete-01") == 0) {
		/* All-zero usage although text was produced: unknown, not zero. */
		assert_false(row->usage.known);
		assert_int_equal(row->basis, BASIS_ESTIMATED);
		return;
	}
	if (row->basis != basis)
		fail_msg("%s: basis %s, expected %s", c->name, basis_names[row->basis],
			 basis_names[basis]);
	if (cJSON_IsObject(member(c, "usage")))
		check_usage(c, member(c, "usage"), &row->usage);
	else
		assert_false(row->usage.known);
	check_raw_json(c, member(c, "raw_usage"), row);
	check_cost(c, row);
	check_price(c, row);
	check_subs(c, seen);
}

static void check_seen(const struct cassette *c, const struct outcome_seen *seen, bool candidate)
{
	for (size_t i = 0; i < ARRAY_LEN(rowless); i++) {
		if (strcmp(c->name, rowless[i].name) != 0)
			continue;
		assert_int_equal(seen->rows, 0);
		assert_int_equal(seen->ignored, 1);
		assert_int_equal(seen->reason, rowless[i].reason);
		return;
	}
	check_row(c, seen);
	if (candidate) {
		assert_int_equal(seen->judged, 1);
		assert_int_equal(seen->judgement, JUDGE_WATCH);
		assert_int_equal(seen->row[0].role, ROLE_UNKNOWN);
	}
}

static void same_rows(const struct cassette *c, const struct outcome_seen *a,
		      const struct outcome_seen *b, const char *variant)
{
	assert_int_equal(a->rows, b->rows);
	assert_int_equal(a->ignored, b->ignored);
	for (size_t i = 0; i < a->rows && i < ROWS_MAX; i++) {
		if (memcmp(&a->row[i], &b->row[i], sizeof(a->row[i])) != 0)
			fail_msg("%s: %s gives another row", c->name, variant);
	}
}

#endif
