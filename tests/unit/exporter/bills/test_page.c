/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of the billing APIs as documented, old and new, cut at every byte, and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/bills/import.h"
#include "exporter/bills/pull.h"
#include "exporter/bills/report.h"
#include "exporter/text.h"

#include <errno.h>
#include <stdio.h>

static const struct bill_report *report(const char *provider, const char *name)
{
	for (const struct bill_report *r = bill_reports; r->name; r++) {
		if (!strcmp(r->provider, provider) && !strcmp(r->name, name))
			return r;
	}
	fail_msg("no report %s of %s", name, provider);
	return NULL;
}

static int read_page(const struct bill_report *r, const char *body, struct bill_page *page)
{
	char err[BILL_ERROR_MAX];

	return bill_page_read(r, slice_of(body), page, err, sizeof(err));
}

#define BUCKET(results)                                                                        \
	"{\"object\":\"page\",\"data\":[{\"object\":\"bucket\",\"start_time\":1793491200,"     \
	"\"end_time\":1793577600,\"results\":[" results "]}],\"has_more\":false,\"next_page\"" \
	":null}"

/* ---- files --------------------------------------------------------------------------------- */

/* A NUL byte ends a text and not a cell: what stands behind it would be read as never written. */
static void test_nul_bytes(void **state)
{
	static const struct {
		const char *row;
		size_t len;
	} rows[] = {
#define ROW(text) {text, sizeof(text) - 1}
		ROW("2026\0\0\0\0\0\0,openai,m,1\n"), ROW("\0\0\0\0-\0\0\0\0\0,openai,m,1\n"),
		ROW("2026-11-02,openai,m,1\0\n"),     ROW("2026-11-02,openai,\"m\0\",1\n"),
		ROW("2026-11-02,openai,m,1\r\0\n"),   ROW("\0"),
#undef ROW
	};
	static const char head[] = "date,provider,model,amount\n2026-11-01,openai,m,1\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* Of just its size, so that a read behind it is seen. */
		size_t len = sizeof(head) - 1 + rows[i].len;
		char *bytes = malloc(len), err[BILL_ERROR_MAX] = "";
		struct bill_file file;

		assert_non_null(bytes);
		memcpy(bytes, head, sizeof(head) - 1);
		memcpy(bytes + sizeof(head) - 1, rows[i].row, rows[i].len);
		assert_int_equal(bill_file_read(bytes, len, &file, err, sizeof(err)), -EBADMSG);
		assert_non_null(strstr(err, "line 3: "));
		free(bytes);
	}
}

/* ---- money --------------------------------------------------------------------------------- */

static void test_money(void **state)
{
	static const struct {
		const char *text;
		int scale;
		int64_t amount;
	} good[] = {
		{"0.06", 12, 60000000000},
		{"0.1", 12, 100000000000}, /* no double holds it */
		{"0.8958740000000000", 12, 895874000000},
		{"0.13080438340307526", 12, 130804383403},
		{"0.0000000000005", 12, 1},
		{"-1.5", 12, -1500000000000},
		{"-0.0000000000005", 12, -1},
		{"0E-6176", 12, 0},
		{"1.25e-06", 12, 1250000},
		{"123.78912", 10, 1237891200000}, /* cents */
		{"12345", 10, 123450000000000},
		{"9223372.036854775807", 12, INT64_MAX},
	};
	static const char *const bad[] = {"", "-", "--1", "1,5", "$1", "NaN", "1e", "9223373", "."};
	int64_t amount;
	int decimals;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!bill_money_parse(slice_of(good[i].text), good[i].scale, &amount, NULL) ||
		    amount != good[i].amount)
			fail_msg("%s: %lld", good[i].text, (long long)amount);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (bill_money_parse(slice_of(bad[i]), 12, &amount, NULL))
			fail_msg("%s is taken for %lld", bad[i], (long long)amount);
	}
	assert_true(bill_money_parse(SLICE(" 3.50 "), 12, &amount, &decimals));
	assert_int_equal(decimals, 2);
}

/* The amount with the most digits tells where a page's were cut, and a millionth is the most. */
static void test_slack(void **state)
{
	static const struct {
		const char *first, *second;
		int64_t slack;
	} rows[] = {
		{"123.78912", "1", 50000}, /* cents */
		{"1", "20", 500000},
		{"1.123456789", "1", 5},
		{"1.0123456789012", "7.5", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bill_page page;
		char body[512];

		snprintf(body, sizeof(body),
			 "{\"data\":[{\"starting_at\":\"2026-11-01T00:00:00Z\",\"ending_at\":"
			 "\"2026-11-02T00:00:00Z\",\"results\":[{\"amount\":\"%s\",\"currency\":"
			 "\"USD\"},{\"amount\":\"%s\",\"currency\":\"USD\"}]}],\"has_more\":false}",
			 rows[i].first, rows[i].second);
		assert_int_equal(read_page(report("anthropic", "costs"), body, &page), 0);
		assert_int_equal(page.rows.row[0].slack, rows[i].slack);
		assert_int_equal(page.rows.row[1].slack, rows[i].slack);
		bill_page_free(&page);
	}
}

/* ---- OpenAI -------------------------------------------------------------------------------- */

static void test_openai_costs(void **state)
{
	struct bill_page page;
	const struct bill_row *row;

	(void)state;
	/* The bucket's times stand behind its results, and keys that nobody knows everywhere. */
	assert_int_equal(
		read_page(
			report("openai", "costs"),
			"{\"data\":[{\"results\":[{\"new\":{\"amount\":{\"value\":9}},\"amount\":"
			"{\"value\":0.1,\"currency\":\"usd\"},\"line_item\":\"gpt-4o-2024-08-06, "
			"cached input\",\"project_id\":\"proj_a\",\"api_key_id\":null,"
			"\"quantity\":80.0},{\"amount\":{\"value\":\"-2.5\",\"currency\":\"EUR\"},"
			"\"line_item\":null,\"project_id\":null}],\"start_time\":1793491200,"
			"\"end_time\":1793577600}],\"next_page\":\"page_2\",\"has_more\":true}",
			&page),
		0);
	assert_int_equal(page.rows.count, 2);
	assert_true(page.has_more);
	assert_string_equal(page.cursor, "page_2");
	row = &page.rows.row[0];
	assert_string_equal(row->provider, "openai");
	assert_int_equal(row->from_s, 1793491200);
	assert_int_equal(row->amount, 100000000000);
	assert_string_equal(row->currency, "USD");
	assert_string_equal(row->model, "gpt-4o-2024-08-06");
	assert_int_equal(row->class, BILL_CACHE_READ);
	assert_true(row->has_quantity && row->quantity == 80);
	assert_string_equal(row->project, "proj_a");
	row = &page.rows.row[1];
	assert_int_equal(row->amount, -2500000000000);
	assert_string_equal(row->currency, "EUR");
	assert_int_equal(row->class, BILL_OTHER);
	bill_page_free(&page);
}

static void test_line_items(void **state)
{
	static const struct {
		const char *item, *model, *tier, *window;
		enum bill_class class;
	} rows[] = {
		{"gpt-5.5-2026-04-23, input", "gpt-5.5-2026-04-23", "", "", BILL_INPUT},
		{"gpt-5.5-2026-04-23, cached input", "gpt-5.5-2026-04-23", "", "", BILL_CACHE_READ},
		{"gpt-4o-2024-08-06, Output", "gpt-4o-2024-08-06", "", "", BILL_OUTPUT},
		{"priority | gpt-5.6-sol, output, long context", "gpt-5.6-sol", "priority", "long",
		 BILL_OUTPUT},
		{"gpt-audio-mini-2025-12-15 audio, input", "gpt-audio-mini-2025-12-15", "", "",
		 BILL_INPUT_AUDIO},
		{"gpt-image-2 image, output", "gpt-image-2", "", "", BILL_OUTPUT_IMAGE},
		{"gpt-image-2 text, cached input", "gpt-image-2", "", "", BILL_CACHE_READ},
		{"whisper-1, audio", "whisper-1", "", "", BILL_AUDIO_SECONDS},
		{"web search tool calls", "", "", "", BILL_WEB_SEARCH},
		{"Vector storage", "", "", "", BILL_OTHER},
		{"gpt-4o", "gpt-4o", "", "", BILL_ALL},
		{"", "", "", "", BILL_OTHER},
		{" | ", "", "", "", BILL_OTHER},
		{",", "", "", "", BILL_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bill_row row = {0};

		openai_line_item(slice_of(rows[i].item), &row);
		assert_string_equal(row.model, rows[i].model);
		assert_string_equal(row.tier, rows[i].tier);
		assert_string_equal(row.window, rows[i].window);
		if (row.class != rows[i].class)
			fail_msg("%s: %s", rows[i].item, bill_class_names[row.class]);
	}
}

/* Units of a class in a page, -1 when it has none. */
static int64_t units(const struct bill_page *page, enum bill_class class)
{
	for (size_t i = 0; i < page->rows.count; i++) {
		if (page->rows.row[i].class == class)
			return page->rows.row[i].quantity;
	}
	return -1;
}

static void test_openai_usage(void **state)
{
	static const struct {
		const char *result;
		int64_t input, cached, written, audio, output;
	} rows[] = {
		/* as it is now: text, audio and image make up what is not cached */
		{"{\"input_tokens\":59200,\"input_cached_tokens\":5760,"
		 "\"input_uncached_tokens\":53440,\"input_text_tokens\":53000,"
		 "\"input_audio_tokens\":440,\"input_image_tokens\":0,\"output_tokens\":10646,"
		 "\"output_text_tokens\":10646}",
		 53000, 5760, -1, 440, 10646},
		/* without the new counts */
		{"{\"input_tokens\":1000,\"input_cached_tokens\":800,\"output_tokens\":5}", 200,
		 800, -1, -1, 5},
		{"{\"input_tokens\":1000,\"input_cached_tokens\":700,"
		 "\"input_cache_write_tokens\":200,\"output_tokens\":5}",
		 100, 700, 200, -1, 5},
		/* before text was told apart, audio stood beside */
		{"{\"input_tokens\":1000,\"input_audio_tokens\":50,\"output_tokens\":5}", 1000, -1,
		 -1, 50, 5},
		/* a split that is none is not used */
		{"{\"input_tokens\":1000,\"input_text_tokens\":3,\"input_audio_tokens\":50,"
		 "\"output_tokens\":5}",
		 1000, -1, -1, -1, 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bill_page page;
		char body[1024];

		snprintf(body, sizeof(body), BUCKET("%s"), rows[i].result);
		assert_int_equal(read_page(report("openai", "usage.completions"), body, &page), 0);
		assert_int_equal(units(&page, BILL_INPUT), rows[i].input);
		assert_int_equal(units(&page, BILL_CACHE_READ), rows[i].cached);
		assert_int_equal(units(&page, BILL_CACHE_WRITE_5M), rows[i].written);
		assert_int_equal(units(&page, BILL_INPUT_AUDIO), rows[i].audio);
		assert_int_equal(units(&page, BILL_OUTPUT), rows[i].output);
		bill_page_free(&page);
	}
}

static void test_openai_tiers(void **state)
{
	static const char *const tiers[][2] = {
		{"\"batch\":true,\"service_tier\":\"default\"", "batch"},
		{"\"batch\":false,\"service_tier\":\"default\"", "standard"},
		{"\"batch\":false,\"service_tier\":null", "standard"},
		{"\"service_tier\":\"flex\"", "flex"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tiers); i++) {
		struct bill_page page;
		char body[512];

		snprintf(body, sizeof(body), BUCKET("{%s,\"output_tokens\":1}"), tiers[i][0]);
		assert_int_equal(read_page(report("openai", "usage.completions"), body, &page), 0);
		assert_string_equal(page.rows.row[0].tier, tiers[i][1]);
		bill_page_free(&page);
	}
}

/* ---- Anthropic ----------------------------------------------------------------------------- */

#define A_BUCKET(results)                                                                     \
	"{\"data\":[{\"starting_at\":\"2026-11-01T00:00:00Z\",\"ending_at\":\"2026-11-02T00:" \
	"00:00Z\",\"results\":[" results "]}],\"has_more\":true,\"next_page\":\"page_MjAy==\"}"

static void test_anthropic(void **state)
{
	static const struct {
		const char *type;
		enum bill_class class;
	} types[] = {
		{"\"tokens\",\"token_type\":\"uncached_input_tokens\"", BILL_INPUT},
		{"\"tokens\",\"token_type\":\"cache_read_input_tokens\"", BILL_CACHE_READ},
		{"\"tokens\",\"token_type\":\"cache_creation.ephemeral_5m_input_tokens\"",
		 BILL_CACHE_WRITE_5M},
		{"\"tokens\",\"token_type\":\"cache_creation.ephemeral_1h_input_tokens\"",
		 BILL_CACHE_WRITE_1H},
		{"\"tokens\",\"token_type\":\"output_tokens\"", BILL_OUTPUT},
		{"\"web_search\",\"token_type\":null", BILL_WEB_SEARCH},
		{"\"code_execution\"", BILL_OTHER},
		{"\"session_usage\"", BILL_OTHER},
	};
	struct bill_page page;
	char body[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		snprintf(body, sizeof(body),
			 A_BUCKET("{\"amount\":\"123.78912\",\"currency\":\"USD\",\"cost_type\":%s,"
				  "\"model\":\"claude-opus-5\",\"service_tier\":\"batch\"}"),
			 types[i].type);
		assert_int_equal(read_page(report("anthropic", "costs"), body, &page), 0);
		assert_int_equal(page.rows.row[0].amount, 1237891200000);
		assert_int_equal(page.rows.row[0].class, types[i].class);
		assert_int_equal(page.rows.row[0].from_s, 1793491200);
		assert_string_equal(page.rows.row[0].tier, "batch");
		assert_string_equal(page.cursor, "page_MjAy==");
		bill_page_free(&page);
	}
	assert_int_equal(read_page(report("anthropic", "usage.messages"),
				   A_BUCKET("{\"uncached_input_tokens\":5,\"cache_creation\":{"
					    "\"ephemeral_1h_input_tokens\":7,"
					    "\"ephemeral_5m_input_tokens\":0},\"output_tokens\":2,"
					    "\"server_tool_use\":{\"web_search_requests\":3}}"),
				   &page),
			 0);
	assert_int_equal(page.rows.count, 4);
	assert_int_equal(units(&page, BILL_CACHE_WRITE_1H), 7);
	assert_int_equal(units(&page, BILL_WEB_SEARCH), 3);
	bill_page_free(&page);
}

/* ---- pages that are none ------------------------------------------------------------------- */

#define AMOUNT(value) "{\"amount\":{\"value\":" value ",\"currency\":\"usd\"}}"

static void test_hostile_pages(void **state)
{
	static const char *const bodies[] = {
		"",
		"{}",
		"[]",
		"null",
		"<html>",
		"{\"data\":[]}",
		"{\"data\":[],\"has_more\":null}",
		"{\"data\":[],\"has_more\":false}}",
		"{\"data\":[{\"results\":[]}],\"has_more\":false}",
		"{\"data\":[{\"start_time\":2,\"end_time\":1793577600}],\"has_more\":false}",
		"{\"data\":[{\"start_time\":1793577600,\"end_time\":1793491200}],"
		"\"has_more\":false}",
		BUCKET(AMOUNT("\"one\"")),
		BUCKET(AMOUNT("null")),
		BUCKET(AMOUNT("1e30")),
		BUCKET(AMOUNT("{\"value\":1}")),
		BUCKET("{\"amount\":{\"value\":1}}"),
		BUCKET("{\"amount\":{\"value\":1,\"currency\":\"dollars\"}}"),
		BUCKET("{}"),
	};
	char long_number[1200] = BUCKET(AMOUNT("1"));
	struct bill_page page;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		if (read_page(report("openai", "costs"), bodies[i], &page) != -EBADMSG)
			fail_msg("taken for a page: %s", bodies[i]);
	}
	snprintf(long_number, sizeof(long_number), BUCKET(AMOUNT("0.%0900d")), 1);
	assert_int_equal(read_page(report("openai", "costs"), long_number, &page), -EBADMSG);
	assert_int_equal(read_page(report("openai", "usage.completions"),
				   BUCKET("{\"input_tokens\":-5}"), &page),
			 -EBADMSG);
	assert_int_equal(read_page(report("openai", "usage.completions"),
				   BUCKET("{\"input_tokens\":1.5}"), &page),
			 -EBADMSG);
	assert_int_equal(read_page(report("openai", "usage.completions"),
				   BUCKET("{\"input_tokens\":1,\"input_cached_tokens\":2}"), &page),
			 -EBADMSG);
}

/* A page cut anywhere is never taken for a whole one. */
static void test_cut_pages(void **state)
{
	static const char body[] = BUCKET(AMOUNT("0.06"));
	struct bill_page page;
	char cut[sizeof(body)];

	(void)state;
	for (size_t len = 0; len < sizeof(body) - 1; len++) {
		memcpy(cut, body, len);
		cut[len] = '\0';
		assert_int_equal(read_page(report("openai", "costs"), cut, &page), -EBADMSG);
	}
	assert_int_equal(read_page(report("openai", "costs"), body, &page), 0);
	bill_page_free(&page);
}

/* ---- requests ------------------------------------------------------------------------------ */

static void test_requests(void **state)
{
	struct bill_pull pull = {.report = report("anthropic", "usage.messages"),
				 .projects = "ws_a,ws&b",
				 .keys = "",
				 .from_s = 1793491200,
				 .to_s = 1793577600};
	struct text path = TEXT_INIT(4096);

	(void)state;
	bill_pull_path(&path, &pull, "a/b=");
	assert_string_equal(
		text_cstr(&path),
		"/v1/organizations/usage_report/messages?starting_at=2026-11-01T00%3A00%3A00Z"
		"&ending_at=2026-11-02T00%3A00%3A00Z&bucket_width=1d&group_by%5B%5D=api_key_id"
		"&group_by%5B%5D=workspace_id&group_by%5B%5D=model&group_by%5B%5D=service_tier"
		"&group_by%5B%5D=context_window&workspace_ids%5B%5D=ws_a"
		"&workspace_ids%5B%5D=ws%26b&limit=31&page=a%2Fb%3D");
	text_free(&path);
}

static void test_urls(void **state)
{
	static const char *const good[] = {"https://api.openai.com", "http://127.0.0.1:80",
					   "http://localhost", "http://[::1]:9", "HTTPS://h/x"};
	static const char *const bad[] = {"",
					  "http://example.com",
					  "http://127.0.0.1.example",
					  "https://u@h",
					  "https:///",
					  "file:///etc/passwd",
					  "http://localhost.evil",
					  "https://h?x",
					  "http://[::1].evil"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(bill_url_allowed(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (bill_url_allowed(bad[i]))
			fail_msg("%s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_money),	     cmocka_unit_test(test_slack),
		cmocka_unit_test(test_openai_costs), cmocka_unit_test(test_line_items),
		cmocka_unit_test(test_openai_usage), cmocka_unit_test(test_openai_tiers),
		cmocka_unit_test(test_anthropic),    cmocka_unit_test(test_hostile_pages),
		cmocka_unit_test(test_cut_pages),    cmocka_unit_test(test_requests),
		cmocka_unit_test(test_urls),	     cmocka_unit_test(test_nul_bytes),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
