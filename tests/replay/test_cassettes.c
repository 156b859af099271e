/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded exchanges through the real path: wire bytes -> connection table -> HTTP/1.1 -> exchange
 * -> dialect -> call, against each recording's expected.json. Bodies are framed by length and in
 * chunks of every size class, plain and in each content coding, read in pieces of several sizes;
 * every variant must give the same row.
 *
 * Two sets: tests/replay/cases (the project's own, always there) and the folder named by
 * TOLLTAP_CASSETTES (default ../shared/data/cassettes), skipped by name when it is missing.
 */
#include "wire.h"

#include "agent/base/money.h"
#include "agent/providers/provider.h"
#include "agent/stream/conn.h"
#include "pricing/catalog.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROWS_MAX 8
#define NOW_NS	 5000000000ULL

/* ---- what came out ----------------------------------------------------------------------------
 */

struct outcome_seen {
	size_t rows;
	struct call row[ROWS_MAX];
	size_t ignored;
	enum ignored_reason reason;
	size_t judged;
	enum judgement judgement;
};

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct outcome_seen *seen = user;

	(void)conn;
	(void)started_ns;
	if (seen->rows < ROWS_MAX)
		seen->row[seen->rows] = *call;
	seen->rows++;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct outcome_seen *seen = user;

	(void)provider;
	seen->ignored++;
	seen->reason = reason;
}

static void on_judged(void *user, const struct conn_id *conn, enum judgement judgement,
		      const char *host)
{
	struct outcome_seen *seen = user;

	(void)conn;
	(void)host;
	seen->judged++;
	seen->judgement = judgement;
}

static const struct exchange_ops ops = {
	.done = on_done, .ignored = on_ignored, .judged = on_judged};

static struct provider_table *providers;
static struct catalog *catalog;

/* ---- one exchange through the real path ---------------------------------------------------------
 */

static void feed(struct conn_table *t, const struct conn_id *id, enum chunk_dir dir,
		 const struct bytes *wire, size_t piece, bool candidate)
{
	for (size_t at = 0; at < wire->len; at += piece) {
		size_t n = wire->len - at < piece ? wire->len - at : piece;
		struct chunk chunk = {
			.conn = *id,
			.dir = dir,
			.offset = at,
			.entry_ns = NOW_NS,
			.now_ns = NOW_NS + 1000,
			.data = {wire->ptr + at, n},
			.want = (uint32_t)n,
			.candidate = candidate,
		};

		conn_table_feed(t, &chunk);
	}
}

static void replay(const struct bytes *request, const struct bytes *response, size_t piece,
		   bool candidate, struct outcome_seen *seen)
{
	struct exchange_env env = {.providers = providers, .ops = &ops, .user = seen};
	struct conn_id id = {.ssl = 0x1000, .start_boot_ns = 7, .tgid = 42};
	struct conn_table *t = NULL;

	memset(seen, 0, sizeof(*seen));
	assert_int_equal(conn_table_new(&t, &env), 0);
	conn_table_open(t, &id, "", NOW_NS);
	feed(t, &id, CHUNK_WRITE, request, piece, candidate);
	feed(t, &id, CHUNK_READ, response, piece, candidate);
	conn_table_free(t);
}

/* ---- expectations
 * -------------------------------------------------------------------------------- */

struct cassette {
	char name[600];
	cJSON *expected;
	struct bytes request_head, request_body, response_head, response_body;
};

/* Recordings of protocols or endpoints that this path does not carry. */
static const struct exception {
	const char *name;
	const char *why;
} skipped[] = {
	{"openai/images-", "image endpoints give no row yet"},
	{"openai/transcription-", "audio endpoints give no row yet"},
	{"openai/assistants-", "assistants give no row yet"},
	{"openai/batch-", "batch results give no row yet"},
	{"xai/batch-", "batch results give no row yet"},
	{"anthropic/batch-", "batch results give no row yet"},
};

static const char *const providers_covered[] = {
	"openai",
	"azure-openai",
	"anthropic",
	"other",
	"vllm",
	"groq",
	"deepseek",
	"mistral",
	"together",
	"openrouter",
	"perplexity",
	"xai",
	"huggingface-router",
};

/* Answers that must give no row, and why not. */
static const struct {
	const char *name;
	enum ignored_reason reason;
} rowless[] = {
	{"anthropic/count-tokens-01", IGNORED_PATH_NOT_BILLABLE},
	{"openai/moderation-01", IGNORED_PATH_NOT_BILLABLE},
	{"openai/responses-retrieve-01", IGNORED_METHOD},
	{"other/not-an-llm-01", IGNORED_PATH_UNKNOWN},
	{"synthetic/count-tokens", IGNORED_PATH_NOT_BILLABLE},
	{"synthetic/poll", IGNORED_METHOD},
	{"synthetic/lookalike", IGNORED_NOT_LLM},
};

static const cJSON *member(const struct cassette *c, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(c->expected, key);
}

static const char *text_member(const struct cassette *c, const char *key)
{
	const char *text = cJSON_GetStringValue(member(c, key));

	return text ? text : "";
}

static const char *skip_reason(const struct cassette *c)
{
	const char *provider = text_member(c, "provider");

	for (size_t i = 0; i < ARRAY_LEN(skipped); i++) {
		if (strncmp(c->name, skipped[i].name, strlen(skipped[i].name)) == 0)
			return skipped[i].why;
	}
	if (text_member(c, "transport")[0])
		return text_member(c, "transport");
	if (strstr(c->name, "/openai-compat-")) /* of any provider */
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(providers_covered); i++) {
		if (strcmp(provider, providers_covered[i]) == 0)
			return NULL;
	}
	return "provider not covered";
}

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

/* Web searches that a recording lists by their actions. */
static int64_t searches(const struct cassette *c)
{
	const cJSON *actions =
		cJSON_GetObjectItemCaseSensitive(member(c, "extra"), "web_search_actions");
	const cJSON *action;
	int64_t n = 0;

	cJSON_ArrayForEach(action, actions)
	{
		n += strcmp(cJSON_GetStringValue(action), "search") == 0;
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
	expect_count(c, usage, "input_audio_seconds", u->tool_units[TOOL_AUDIO_SECONDS]);
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

static void check_raw_json(const struct cassette *c, const struct call *row)
{
	const cJSON *raw = member(c, "raw_usage");
	cJSON *stored = row->usage.raw_json[0] ? cJSON_Parse(row->usage.raw_json) : NULL;

	if (row->usage.raw_json[0] && !stored)
		fail_msg("%s: raw usage is no JSON: %s", c->name, row->usage.raw_json);
	if (cJSON_IsObject(raw) && !cJSON_GetObjectItemCaseSensitive(raw, "message_start"))
		check_raw(c, raw, stored);
	cJSON_Delete(stored);
}

static void check_cost(const struct cassette *c, const struct call *row)
{
	const cJSON *cost = member(c, "provider_reported_cost_usd");
	const cJSON *upstream =
		cJSON_GetObjectItemCaseSensitive(member(c, "extra"), "upstream_cost_usd");
	int64_t want = -1, own_key = 0;
	char text[64];

	if (strcmp(text_member(c, "provider"), "other") == 0)
		return; /* a gateway's estimate is no bill */
	if (cJSON_IsNumber(cost)) {
		snprintf(text, sizeof(text), "%.12f", cost->valuedouble);
		assert_true(decimal_parse_rounded(slice_of(text), 12, &want));
	}
	if (cJSON_IsNumber(upstream)) {
		snprintf(text, sizeof(text), "%.12f", upstream->valuedouble);
		assert_true(decimal_parse_rounded(slice_of(text), 12, &own_key));
		want += own_key;
	}
	if (row->usage.provider_cost_pusd != want)
		fail_msg("%s: provider cost %lld, expected %lld", c->name,
			 (long long)row->usage.provider_cost_pusd, (long long)want);
}

static enum basis expected_basis(const struct cassette *c, const struct call *row)
{
	const char *given = text_member(c, "basis");

	for (int i = 0; given[0] && i < BASES; i++) {
		if (strcmp(given, basis_names[i]) == 0)
			return (enum basis)i;
	}
	if (row->status >= 400)
		return BASIS_NOT_BILLED;
	if (!cJSON_IsTrue(member(c, "usage_on_wire")))
		return BASIS_ESTIMATED;
	if (row->usage.lower_bound)
		return BASIS_PARTIAL;
	return row->usage.provider_cost_pusd >= 0 ? BASIS_PROVIDER_REPORTED : BASIS_REPORTED_USAGE;
}

static void check_names(const struct cassette *c, const struct call *row)
{
	const char *model = text_member(c, "response_model");
	const char *id = text_member(c, "request_id_header");

	expect_text(c, "host", text_member(c, "host"), row->host);
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

static void check_row(const struct cassette *c, const struct outcome_seen *seen)
{
	const struct call *row = &seen->row[0];
	enum basis basis = expected_basis(c, row);
	bool failed = row->status >= 400 || strstr(c->name, "stream-error");

	if (!seen->rows)
		fail_msg("%s: no row (ignored: %s)", c->name, ignored_reason_names[seen->reason]);
	assert_int_equal(row->status, (int)member(c, "http_status")->valuedouble);
	check_names(c, row);
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
	check_raw_json(c, row);
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

/* ---- variants
 * ------------------------------------------------------------------------------------ */

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

static void run_cassette(const struct cassette *c)
{
	static const size_t chunks[] = {FRAMED_BY_LENGTH, 1, 13, SIZE_MAX};
	static const size_t pieces[] = {1, 61, SIZE_MAX};
	static struct outcome_seen first, seen;
	struct provider_host host =
		provider_table_host(providers, slice_of(text_member(c, "host")));
	bool candidate = !host.provider, any = false;

	for (enum coding coding = CODING_NONE; coding < CODINGS; coding++) {
		for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
			struct bytes request =
				message(&c->request_head, &c->request_body,
					i % 2 ? CODING_ZSTD : CODING_NONE, chunks[i]);
			struct bytes response =
				message(&c->response_head, &c->response_body, coding, chunks[i]);
			char variant[128];

			for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
				snprintf(variant, sizeof(variant), "%s chunk %zu piece %zu",
					 coding_names[coding], chunks[i], pieces[j]);
				replay(&request, &response, pieces[j], candidate, &seen);
				if (!any) {
					first = seen;
					check_seen(c, &seen, candidate);
				}
				same_rows(c, &first, &seen, variant);
				any = true;
			}
			bytes_free(&request);
			bytes_free(&response);
		}
	}
}

/* ---- folders
 * --------------------------------------------------------------------------------------- */

static void cassette_free(struct cassette *c)
{
	cJSON_Delete(c->expected);
	bytes_free(&c->request_head);
	bytes_free(&c->request_body);
	bytes_free(&c->response_head);
	bytes_free(&c->response_body);
}

static bool cassette_load(struct cassette *c, const char *dir, const char *name)
{
	struct bytes text = file_bytes(dir, "expected.json");

	memset(c, 0, sizeof(*c));
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->expected = text.ptr ? cJSON_Parse(text.ptr) : NULL;
	bytes_free(&text);
	if (!c->expected)
		return false;
	c->request_head = file_bytes(dir, "request.head");
	c->request_body = file_bytes(dir, "request.body");
	c->response_head = file_bytes(dir, "response.head");
	c->response_body = file_bytes(dir, "response.body");
	if (c->response_body.len > 2 && memcmp(c->response_body.ptr, "\x1f\x8b", 2) == 0) {
		struct bytes plain = gzip(&c->response_body, true);

		bytes_free(&c->response_body);
		c->response_body = plain;
	}
	return true;
}

/* Runs or skips one recording; returns true when it ran. */
static bool visit(const char *dir, const char *name)
{
	struct cassette c;
	const char *why;

	if (!cassette_load(&c, dir, name)) {
		cassette_free(&c);
		return false;
	}
	why = skip_reason(&c);
	if (why)
		printf("skip %s: %s\n", name, why);
	else
		run_cassette(&c);
	cassette_free(&c);
	return !why;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static size_t visit_group(const char *top, const char *group)
{
	struct dirent **entries = NULL;
	char dir[4096], name[600];
	size_t ran = 0;
	int n;

	snprintf(dir, sizeof(dir), "%s/%s", top, group);
	n = scandir(dir, &entries, not_hidden, by_name);
	for (int i = 0; i < n; i++) {
		snprintf(dir, sizeof(dir), "%s/%s/%s", top, group, entries[i]->d_name);
		snprintf(name, sizeof(name), "%s/%s", group, entries[i]->d_name);
		ran += visit(dir, name);
		free(entries[i]);
	}
	free(entries);
	return ran;
}

static size_t visit_all(const char *top)
{
	struct dirent **groups = NULL;
	int n = scandir(top, &groups, not_hidden, by_name);
	size_t ran = 0;

	for (int i = 0; i < n; i++) {
		if (groups[i]->d_type != DT_REG)
			ran += visit_group(top, groups[i]->d_name);
		free(groups[i]);
	}
	free(groups);
	return ran;
}

static void own_cases(void **state)
{
	(void)state;
	assert_true(visit_all("tests/replay/cases") >= 10);
}

static void recorded_cassettes(void **state)
{
	const char *top = getenv("TOLLTAP_CASSETTES");
	size_t ran;

	(void)state;
	if (!top)
		top = "../shared/data/cassettes";
	ran = visit_all(top);
	if (!ran) {
		printf("skip recorded_cassettes: no recordings in %s (TOLLTAP_CASSETTES)\n", top);
		skip();
	}
	printf("# %zu recorded exchanges checked\n", ran);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_cases),
		cmocka_unit_test(recorded_cassettes),
	};
	char err[CATALOG_ERROR_MAX];
	int rc;

	if (provider_table_new(&providers) ||
	    catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err)))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	catalog_free(catalog);
	provider_table_free(providers);
	return rc;
}
