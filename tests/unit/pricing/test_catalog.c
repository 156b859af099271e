/* SPDX-License-Identifier: Apache-2.0 */
/* What a price file may not say, and the one line that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>

#include <cmocka.h>

#include "pricing/catalog.h"
#include "tests/unit/pricing/files.h"

#define MODEL(body) CATALOG_HEAD "{\"provider\":\"p\",\"id\":\"m\"," body "}" CATALOG_TAIL
#define PRICES(p)   MODEL("\"periods\":[{\"prices\":{" p "}}]")

struct bad_file {
	const char *text;
	const char *error; /* must be part of the line */
};

static const struct bad_file bad_files[] = {
	{"", "line 1: not valid JSON"},
	{"{\n\"schema\":\"tolltap-prices/1\",\n\"models\":[oops]}", "line 3: not valid JSON"},
	{"{} trailing", "not valid JSON"},
	{"[]", "\"schema\" must be \"tolltap-prices/1\""},
	{"{\"schema\":\"tolltap-prices/2\"}", "\"schema\" must be \"tolltap-prices/1\""},
	{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"EUR\"}", "currency \"EUR\" is not USD"},
	{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"color\":1}",
	 "unknown key \"color\""},
	{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{\"input\":\"1 token\"}}",
	 "unit \"input\" must be per \"1000000 tokens\""},
	{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{\"coffee\":\"1 cup\"}}",
	 "unknown unit \"coffee\""},
	{PRICES("\"inptu\":\"1\""), "models[0] (p/m).periods[0]: unknown unit \"inptu\""},
	{PRICES("\"input\":2.5"), "price \"input\" must be decimal text in quotes"},
	{PRICES("\"input\":\"2,5\""), "price \"input\" is \"2,5\""},
	{PRICES("\"input\":\"-1\""), "price \"input\" is \"-1\""},
	{PRICES("\"input\":\"nan\""), "price \"input\" is \"nan\""},
	{PRICES("\"input\":\"1.0000000000001\""), "at most 12 digits"},
	{PRICES("\"input\":\"1\",\"input\":\"2\""), "price \"input\" stands twice"},
	{PRICES("\"input\":\"0.0000025\""), "price \"input\" of 0.0000025 USD is implausible"},
	{PRICES("\"input\":\"2500000\""), "is implausible; prices are per 1000000 tokens"},
	{PRICES("\"web_search\":\"1000\""), "is implausible; prices are per 1000 calls"},
	{MODEL("\"periods\":[]"), "\"periods\" must be a list of 1 to"},
	{MODEL("\"periods\":[{\"prices\":{},\"prizes\":{}}]"), "unknown key \"prizes\""},
	{MODEL("\"periods\":[{\"from\":\"2026-02-30\",\"prices\":{}}]"),
	 "\"from\" is \"2026-02-30\""},
	{MODEL("\"periods\":[{\"from\":\"30.02.2026\",\"prices\":{}}]"), "YYYY-MM-DD"},
	{MODEL("\"periods\":[{\"from\":\"2026-02-02\",\"to\":\"2026-02-01\",\"prices\":{}}]"),
	 "ends (2026-02-01) before it begins (2026-02-02)"},
	{MODEL("\"periods\":[{\"to\":\"2026-02-02\",\"prices\":{}},"
	       "{\"from\":\"2026-02-01\",\"prices\":{}}]"),
	 "models[0] (p/m): periods 0 and 1 overlap"},
	{MODEL("\"periods\":[{\"to\":\"2026-02-01\",\"prices\":{}},"
	       "{\"from\":\"2026-02-02\",\"prices\":{}}]"),
	 "models[0] (p/m): no price is valid after 2026-02-01"},
	{MODEL("\"periods\":[{\"prices\":{},\"daily\":{\"from\":\"25:00\",\"to\":\"01:00\"}}]"),
	 "\"daily\" needs two different times"},
	{MODEL("\"periods\":[{\"prices\":{},\"daily\":{\"from\":\"22:00\",\"to\":\"02:00\"}},"
	       "{\"prices\":{},\"daily\":{\"from\":\"01:59\",\"to\":\"22:00\"}}]"),
	 "periods 0 and 1 overlap"},
	{MODEL("\"periods\":[{\"prices\":{},\"above\":[{\"tokens\":1.5,\"prices\":{}}]}]"),
	 "must be a whole number"},
	{MODEL("\"periods\":[{\"prices\":{},\"above\":[{\"tokens\":0,\"prices\":{}}]}]"),
	 "must be a whole number"},
	{MODEL("\"periods\":[{\"prices\":{},\"above\":[{\"tokens\":1e30,\"prices\":{}}]}]"),
	 "must be a whole number"},
	{MODEL("\"periods\":[{\"prices\":{},\"above\":[{\"tokens\":2,\"prices\":{}},"
	       "{\"tokens\":2,\"prices\":{}}]}]"),
	 "context tiers must rise"},
	{MODEL("\"periods\":[{\"prices\":{\"input\":\"2\"},\"above\":[{\"tokens\":5,\"prices\":"
	       "{\"input\":\"1.9\"}}]}]"),
	 "(p/m).periods[0]: price \"input\" above 5 tokens is less than below"},
	{MODEL("\"periods\":[{\"prices\":{},\"tiers\":{\"flex\":{\"prices\":{\"output\":\"2\"},"
	       "\"above\":[{\"tokens\":5,\"prices\":{\"output\":\"3\"}},{\"tokens\":9,\"prices\":"
	       "{\"output\":\"2.9\"}}]}}}]"),
	 "price \"output\" above 9 tokens is less than below"},
	{MODEL("\"periods\":[{\"prices\":{},\"tiers\":{\"flex\":{\"factor\":0.5}}}]"),
	 "\"factor\" must be a text"},
	{MODEL("\"periods\":[{\"prices\":{},\"tiers\":{\"flex\":{\"factor\":\"0.5.0\"}}}]"),
	 "\"factor\" is \"0.5.0\""},
	{MODEL("\"periods\":[{\"prices\":{},\"tiers\":{\"flex\":{}}}]"), "\"factor\" is missing"},
	{MODEL("\"periods\":[{\"prices\":{},\"multipliers\":[{\"by\":\"mood\",\"value\":\"x\","
	       "\"factor\":\"2\"}]}]"),
	 "a multiplier by \"mood\" is unknown"},
	{MODEL("\"alias\":\"x\",\"periods\":[{\"prices\":{}}]"), "\"alias\" must be a list"},
	{MODEL("\"alias\":[1],\"periods\":[{\"prices\":{}}]"),
	 "\"alias\" holds something that is not a name"},
	{CATALOG_HEAD "{\"provider\":\"p\",\"id\":\"a\",\"periods\":[{\"prices\":{}}]},"
		      "{\"provider\":\"p\",\"id\":\"b\",\"alias\":[\"A\"],"
		      "\"periods\":[{\"prices\":{}}]}" CATALOG_TAIL,
	 "models[1] (p/b): name \"A\" already belongs to a"},
	{CATALOG_HEAD
	 "{\"provider\":\"q\",\"id\":\"a\",\"periods\":[{\"prices\":{}}]}" CATALOG_TAIL,
	 "its provider is not in \"providers\""},
	{CATALOG_HEAD "{\"id\":\"a\",\"periods\":[{\"prices\":{}}]}" CATALOG_TAIL,
	 "models[0]: \"provider\" is missing"},
	/* What the file holds does not steer the terminal that shows the error. */
	{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"sche\nma\x1b[2J\xff\":1}",
	 "unknown key \"sche?ma?[2J?\""},
};

static void check_refused(const char *error, const char *dir)
{
	struct catalog *sentinel = (struct catalog *)&files_dir, *c = sentinel;
	char err[CATALOG_ERROR_MAX] = "";
	int rc = catalog_load(&c, files_catalog, dir, err, sizeof(err));

	if (rc >= 0)
		fail_msg("accepted; should say: %s", error);
	assert_ptr_equal(c, sentinel);
	if (!strstr(err, error))
		fail_msg("said: %s\nnot: %s", err, error);
	assert_null(strchr(err, '\n'));
	assert_int_equal(strncmp(err, files_dir, strlen(files_dir)), 0);
}

static void bad_catalogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		files_write(files_catalog, bad_files[i].text);
		check_refused(bad_files[i].error, NULL);
	}
}

/* File, line, place, reason: what a person needs to find the slip. */
static void errors_name_the_line(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{},\n"
		 "\"providers\":[\n{\"provider\":\"p\"},\n{\"provider\":\"q\",\"oops\":[\"}\"]}],\n"
		 "\"models\":[]}",
		 ": line 4: providers[1]: unknown key \"oops\""},
		{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{},\n"
		 "\"providers\":[{\"provider\":\"p\"}],\n\"models\":[\n"
		 "{\"provider\":\"p\",\"id\":\"a) [b\\\"]\",\"periods\":[\n{\"prices\":{}},\n"
		 "{\"from\":\"2026-01-01\",\"prices\":{\"input\":\"x\"}}]}]}",
		 ".periods[1]: price \"input\" is \"x\""},
		{"{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{},\n"
		 "\"providers\":[{\"provider\":\"p\"}],\n\"models\":[\n"
		 "{\"provider\":\"p\",\"id\":\"a\",\"periods\":[{\"prices\":{}}]},\n"
		 "{\"provider\":\"p\",\"id\":\"b\",\"periods\":[{\"prices\":{}},{\"prices\":{}}]}]"
		 "}",
		 ": line 5: models[1] (p/b): periods 0 and 1 overlap"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		files_write(files_catalog, rows[i].text);
		check_refused(rows[i].error, NULL);
	}
	files_write(files_catalog, rows[1].text);
	check_refused(": line 6: models[0] (p/a) [b\"]).periods[1]: ", NULL);
}

/* A context threshold that is no count of tokens is no tier, and above all not the base price. */
static void imported_thresholds(void **state)
{
	static const char *const keys[] = {"above_2088888888888888880k", "above_0k", "above_-5k",
					   "above_xk", "above_k"};
	char text[512], err[CATALOG_ERROR_MAX] = "", *out = NULL;
	size_t size = 0, left_out = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		FILE *f = open_memstream(&out, &size);

		snprintf(text, sizeof(text),
			 "{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":2e-06,"
			 "\"input_cost_per_token_%s_tokens\":5e-06}}",
			 keys[i]);
		files_write(files_catalog, text);
		assert_int_equal(
			catalog_import("litellm", files_catalog, f, &left_out, err, sizeof(err)),
			0);
		fclose(f);
		assert_non_null(strstr(out, "\"prices\":{\"input\":\"2\"}"));
		assert_null(strstr(out, "above"));
		free(out);
	}
}

/* Lists where objects belong have elements without names. */
static void imported_shapes(void **state)
{
	static const struct {
		const char *form, *text;
		int rc;
	} cases[] = {
		{"litellm", "[{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-06}]",
		 -EINVAL},
		{"litellm", "{\"m\":[{\"litellm_provider\":\"openai\"}]}", 0},
		{"genai-prices", "{\"openai\":{}}", -EINVAL},
		{"genai-prices", "7", -EINVAL},
		{"genai-prices",
		 "[{\"id\":\"openai\",\"models\":[{\"id\":\"m\",\"prices\":[{\"prices\":[1,[2]]}]}]"
		 "}]",
		 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char err[CATALOG_ERROR_MAX] = "", *out = NULL;
		size_t size = 0, left_out = 0;
		FILE *f = open_memstream(&out, &size);

		files_write(files_catalog, cases[i].text);
		assert_int_equal(catalog_import(cases[i].form, files_catalog, f, &left_out, err,
						sizeof(err)),
				 cases[i].rc);
		assert_int_equal(cases[i].rc != 0, err[0] != 0);
		fclose(f);
		free(out);
	}
}

static void unreadable_files(void **state)
{
	char err[CATALOG_ERROR_MAX];
	struct catalog *c;

	(void)state;
	assert_int_equal(catalog_load(&c, "/nonexistent/x.json", NULL, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/x.json: cannot be read: No such file"));
	assert_true(catalog_load(&c, "/tmp", NULL, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "/tmp: is not a file"));
	files_write(files_catalog, PRICES("\"input\":\"1\""));
	assert_int_equal(catalog_load(&c, files_catalog, "/nonexistent", err, sizeof(err)),
			 -ENOENT);
	assert_non_null(strstr(err, "/nonexistent: cannot be read"));
}

static void truncated_anywhere(void **state)
{
	static const char text[] = PRICES("\"input\":\"1\"");
	char err[CATALOG_ERROR_MAX];

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		char cut[sizeof(text)];
		struct catalog *c;

		memcpy(cut, text, n);
		cut[n] = '\0';
		files_write(files_catalog, cut);
		assert_true(catalog_load(&c, files_catalog, NULL, err, sizeof(err)) < 0);
		assert_true(err[0] != '\0');
	}
}

/* An error longer than the caller's buffer is cut, never written past it. */
static void short_error_buffer(void **state)
{
	char err[24] = "";
	struct catalog *c;

	(void)state;
	err[23] = 'x';
	files_write(files_catalog, "[]");
	assert_true(catalog_load(&c, files_catalog, NULL, err, 16) < 0);
	assert_true(strlen(err) < 16);
	assert_int_equal(err[23], 'x');
}

static int64_t price(const struct catalog *c, const char *model, int64_t day, int64_t minute,
		     int64_t tokens)
{
	struct call call = {.role = ROLE_DIRECT,
			    .basis = BASIS_REPORTED_USAGE,
			    .billable = true,
			    .started_at_us = (day * 1440 + minute) * 60000000};

	snprintf(call.provider, sizeof(call.provider), "p");
	snprintf(call.model, sizeof(call.model), "%s", model);
	call.usage.known = true;
	call.usage.provider_cost_pusd = -1;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = tokens;
	price_call(c, &call);
	if (call.cost.cost_pusd < 0)
		return -(int64_t)call.cost.unpriced;
	return call.cost.cost_pusd;
}

static struct catalog *load_text(const char *text)
{
	char err[CATALOG_ERROR_MAX] = "";
	struct catalog *c = NULL;

	files_write(files_catalog, text);
	if (catalog_load(&c, files_catalog, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	return c;
}

/* 0.0001005 USD per million = 100.5 pUSD per token: ties go to the even picodollar, once. */
static void halves_go_to_even(void **state)
{
	struct catalog *c = load_text(PRICES("\"input\":\"0.0001005\""));

	(void)state;
	assert_int_equal(price(c, "m", 0, 0, 1), 100); /* 100.5 */
	assert_int_equal(price(c, "m", 0, 0, 2), 201); /* exact */
	assert_int_equal(price(c, "m", 0, 0, 3), 302); /* 301.5 */
	assert_int_equal(price(c, "m", 0, 0, 5), 502); /* 502.5 */
	assert_int_equal(price(c, "m", 0, 0, 7), 704); /* 703.5 */
	catalog_free(c);
}

/* The least digit of a price, 1e-18 dollars per token, is kept until the one rounding. */
static void small_digits_add_up(void **state)
{
	struct catalog *c = load_text(PRICES("\"input\":\"1.000000000001\""));

	(void)state;
	assert_int_equal(price(c, "m", 0, 0, 1), 1000000);
	assert_int_equal(price(c, "m", 0, 0, 500000), 500000000000);   /* .5 to even */
	assert_int_equal(price(c, "m", 0, 0, 500001), 500001000001);   /* .500001 */
	assert_int_equal(price(c, "m", 0, 0, 1000000), 1000000000001); /* exact */
	catalog_free(c);
}

static void only_valid_prices(void **state)
{
	struct catalog *c = load_text(MODEL("\"periods\":["
					    "{\"from\":\"1970-01-11\",\"to\":\"1970-01-21\","
					    "\"prices\":{\"input\":\"1\"}},"
					    "{\"from\":\"1970-01-21\",\"to\":\"1970-01-31\","
					    "\"prices\":{\"input\":\"2\"}}]"));

	(void)state;
	assert_int_equal(price(c, "m", 9, 1439, 1), -UNPRICED_NO_PRICE_AT_TIME);
	assert_int_equal(price(c, "m", 10, 0, 1), 1000000);
	assert_int_equal(price(c, "m", 19, 1439, 1), 1000000);
	assert_int_equal(price(c, "m", 20, 0, 1), 2000000);
	assert_int_equal(price(c, "m", 30, 0, 1), -UNPRICED_NO_PRICE_AT_TIME);
	assert_int_equal(price(c, "m-2026-01-01", 20, 0, 1), -UNPRICED_UNKNOWN_MODEL);
	catalog_free(c);
}

/* Off-peak prices: a window over midnight, to the minute. */
static void time_of_day(void **state)
{
	struct catalog *c = load_text(MODEL("\"periods\":[{\"prices\":{\"input\":\"1\"},"
					    "\"daily\":{\"from\":\"16:30\",\"to\":\"00:30\"}},"
					    "{\"prices\":{\"input\":\"2\"},"
					    "\"daily\":{\"from\":\"00:30\",\"to\":\"16:30\"}}]"));

	(void)state;
	assert_int_equal(price(c, "m", 5, 16 * 60 + 29, 1), 2000000);
	assert_int_equal(price(c, "m", 5, 16 * 60 + 30, 1), 1000000);
	assert_int_equal(price(c, "m", 5, 0, 1), 1000000);
	assert_int_equal(price(c, "m", 5, 29, 1), 1000000);
	assert_int_equal(price(c, "m", 5, 30, 1), 2000000);
	catalog_free(c);
}

/* The hash is that of the bytes: what sha256sum prints. */
static void hash_of_the_bytes(void **state)
{
	struct catalog *c;

	(void)state;
	c = load_text("{\"schema\":\"tolltap-prices/1\",\"currency\":\"USD\",\"units\":{},"
		      "\"providers\":[],\"models\":[]}");
	assert_string_equal(catalog_sha256(c),
			    "e5abffedef96138c2b422cbfbf1269120f08b9acc748d9889d9f8d358afc392f");
	catalog_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_catalogues),	cmocka_unit_test(unreadable_files),
		cmocka_unit_test(errors_name_the_line), cmocka_unit_test(imported_thresholds),
		cmocka_unit_test(imported_shapes),	cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(short_error_buffer),	cmocka_unit_test(halves_go_to_even),
		cmocka_unit_test(small_digits_add_up),	cmocka_unit_test(only_valid_prices),
		cmocka_unit_test(time_of_day),		cmocka_unit_test(hash_of_the_bytes),
	};

	return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
