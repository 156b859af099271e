/* SPDX-License-Identifier: Apache-2.0 */
/* prices.d: which row applies, what it does to cost and list price, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/key_names.h"
#include "pricing/catalog.h"
#include "tests/unit/pricing/files.h"

/* Public price of p/m: 2 USD in, 10 USD out; half in a batch. */
static const char table[] =
	CATALOG_HEAD "{\"provider\":\"p\",\"id\":\"m\",\"dated\":[\"m\"],\"periods\":[{\"prices\":"
		     "{\"input\":\"2\",\"output\":\"10\",\"web_search\":\"10\"},"
		     "\"tiers\":{\"batch\":{\"factor\":\"0.5\"}}}]}" CATALOG_TAIL;

/* What the name of a model resolves to on the provider's own host. */
static const char *model_id(const struct catalog *c, const char *provider, const char *model)
{
	struct call call = {.role = ROLE_DIRECT};

	slice_copy(call.provider, sizeof(call.provider), slice_of(provider));
	slice_copy(call.model, sizeof(call.model), slice_of(model));
	return catalog_model_id(c, &call);
}

static struct catalog *load(const char *overrides)
{
	char err[CATALOG_ERROR_MAX] = "";
	struct catalog *c = NULL;

	files_empty_prices_d();
	files_write(files_catalog, table);
	files_override("a.json", overrides);
	if (catalog_load(&c, files_catalog, files_prices_d, err, sizeof(err)))
		fail_msg("%s", err);
	return c;
}

/* 10 tokens in, 10 out: 120,000,000 at list price. */
static struct call call_to(const char *provider, const char *model)
{
	struct call call = {.role = ROLE_DIRECT, .basis = BASIS_REPORTED_USAGE, .billable = true};

	snprintf(call.provider, sizeof(call.provider), "%s", provider);
	snprintf(call.model, sizeof(call.model), "%s", model);
	call.started_at_us = 20000LL * 86400 * 1000000;
	call.usage.known = true;
	call.usage.provider_cost_pusd = -1;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 10;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 10;
	return call;
}

static void discount(void **state)
{
	struct catalog *c = load(OVERRIDES("{\"provider\":\"p\",\"factor\":\"0.85\"}"));
	struct call call = call_to("p", "m");

	(void)state;
	call.batch = true;
	call.usage.tool_units[TOOL_WEB_SEARCH] = 1;
	price_call(c, &call);
	assert_int_equal(call.cost.list_pusd, 10060000000); /* 120M/2 + 10G */
	assert_int_equal(call.cost.cost_pusd, 8551000000);  /* x 0.85 */
	assert_string_equal(call.cost.price_id, "p/m@initial+batch+a.json#0");
	catalog_free(c);
}

static void negotiated_prices(void **state)
{
	struct catalog *c = load(OVERRIDES("{\"provider\":\"p\",\"models\":[\"m\"],\"prices\":"
					   "{\"input\":\"1\",\"output\":\"3\"}}"));
	struct call call = call_to("p", "m-2026-01-01");

	(void)state;
	price_call(c, &call);
	assert_int_equal(call.cost.list_pusd, 120000000);
	assert_int_equal(call.cost.cost_pusd, 40000000); /* 10x1M + 10x3M */
	assert_string_equal(call.cost.price_id, "a.json#0");

	/* A contract that says nothing of batches does not price them. */
	call.batch = true;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, -1);
	assert_int_equal(call.cost.unpriced, UNPRICED_UNIT_MISSING);
	catalog_free(c);
}

static void own_models(void **state)
{
	struct catalog *c = load(OVERRIDES(
		"{\"provider\":\"vllm\",\"models\":[\"llama\"],\"prices\":{\"input\":\"0.1\","
		"\"output\":\"0.2\"}},"
		"{\"provider\":\"vllm\",\"models\":[\"gpu\"],\"prices\":{\"input\":\"0\","
		"\"output\":\"0\",\"duration\":\"2.52\"}}"));
	struct call call = call_to("vllm", "llama");

	(void)state;
	call.role = ROLE_SELF_HOSTED;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 3000000); /* 10x0.1M + 10x0.2M */
	assert_int_equal(call.cost.list_pusd, 3000000);

	call = call_to("vllm", "gpu");
	call.role = ROLE_SELF_HOSTED;
	call.duration_us = 1500000;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 1050000000); /* 1.5 s x 0.0007 USD */

	call = call_to("vllm", "other");
	call.role = ROLE_SELF_HOSTED;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 0);
	call.role = ROLE_DIRECT;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, -1);
	catalog_free(c);
}

/* A rented card: time alone is paid, so tokens need neither a price nor to be known. */
static void by_the_second(void **state)
{
	struct catalog *c = load(OVERRIDES(
		"{\"provider\":\"vllm\",\"models\":[\"gpu\"],\"prices\":{\"duration\":\"3.6\"}},"
		"{\"provider\":\"vllm\",\"models\":[\"both\"],\"prices\":{\"input\":\"1\","
		"\"output\":\"2\",\"duration\":\"3.6\"}}"));
	struct call call = call_to("vllm", "gpu");

	(void)state;
	call.role = ROLE_SELF_HOSTED;
	call.duration_us = 2500000;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 2500000000); /* 2.5 s x 0.001 USD */
	assert_int_equal(call.basis, BASIS_REPORTED_USAGE);

	call.usage = (struct usage){.provider_cost_pusd = -1};
	call.basis = BASIS_ESTIMATED;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 2500000000);
	assert_int_equal(call.cost.list_pusd, 2500000000);
	assert_int_equal(call.basis, BASIS_ESTIMATED);

	call = call_to("vllm", "both");
	call.role = ROLE_SELF_HOSTED;
	call.duration_us = 2500000;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 2530000000); /* + 10x1M + 10x2M */
	call.usage.known = false;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, -1);
	catalog_free(c);
}

/* Resold with a margin: dearer than the list, by account. */
static void margin(void **state)
{
	struct catalog *c = load(OVERRIDES("{\"account\":\"acme\",\"factor\":\"1.15\"}"));
	struct call call = call_to("p", "m");

	(void)state;
	tags_set(&call.tags, SLICE("account"), SLICE("acme"), TAG_ENV);
	price_call(c, &call);
	assert_int_equal(call.cost.list_pusd, 120000000);
	assert_int_equal(call.cost.cost_pusd, 138000000); /* x 1.15 */
	catalog_free(c);
}

/* Account and project are what a tag says, or what the provider's own headers name. */
static void accounts_and_projects(void **state)
{
	static const struct {
		const char *tag, *value;
		int64_t cost;
	} rows[] = {
		{"account", "org-1", 60000000},
		{"openai_organization", "org-1", 60000000},
		{"anthropic_organization", "org-1", 60000000},
		{"project", "proj_1", 12000000},
		{"openai_project", "proj_1", 12000000},
		{"gcp_project", "proj_1", 12000000},
		{"openai_project", "proj_2", 120000000},
		{"openai_organization", "proj_1", 120000000},
		{"team", "org-1", 120000000},
	};
	struct catalog *c = load(OVERRIDES("{\"account\":\"org-1\",\"factor\":\"0.5\"},"
					   "{\"project\":\"proj_1\",\"factor\":\"0.1\"}"));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call call = call_to("p", "m");

		tags_set(&call.tags, slice_of(rows[i].tag), slice_of(rows[i].value), TAG_HEADER);
		price_call(c, &call);
		if (call.cost.cost_pusd != rows[i].cost)
			fail_msg("%s=%s: %lld", rows[i].tag, rows[i].value,
				 (long long)call.cost.cost_pusd);
	}
	catalog_free(c);
}

/* Told in tokens and in seconds it is one thing to bill. */
static void audio_is_billed_once(void **state)
{
	static const struct {
		const char *prices;
		int64_t tokens, seconds, cost; /* beside 10 in and 10 out at 1 USD: 20M */
	} rows[] = {
		{",\"input_audio\":\"10\",\"audio_input\":\"0.36\"", 375, 15, 1520000000},
		{",\"input_audio\":\"10\",\"audio_input\":\"0.36\"", 375, 0, 3770000000},
		{",\"input_audio\":\"10\"", 375, 15, 3770000000},   /* 375 x 10M */
		{",\"audio_input\":\"0.36\"", 375, 15, 1520000000}, /* 15 s x 100M */
		{",\"audio_input\":\"0.36\"", 375, 0, -1},
		{"", 375, 15, -1},
		{"", 0, 15, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call call = call_to("p", "m");
		struct catalog *c;
		char text[512];

		snprintf(text, sizeof(text),
			 OVERRIDES("{\"provider\":\"p\",\"models\":[\"m\"],\"prices\":"
				   "{\"input\":\"1\",\"output\":\"1\"%s}}"),
			 rows[i].prices);
		c = load(text);
		call.usage.tokens[TOKEN_INPUT_AUDIO] = rows[i].tokens;
		call.usage.tool_units[TOOL_AUDIO_SECONDS] = rows[i].seconds;
		price_call(c, &call);
		if (call.cost.cost_pusd != rows[i].cost)
			fail_msg("row %zu: %lld", i, (long long)call.cost.cost_pusd);
		catalog_free(c);
	}
}

/* The strongest selector wins whatever the order in the file; rows are never combined. */
static void strongest_selector(void **state)
{
	static const struct {
		const char *key, *project, *account, *host;
		int64_t cost;
	} cases[] = {
		{"", "", "", "", 60000000},			     /* provider and model: 0.5 */
		{"", "", "", "gw.example", 48000000},		     /* host: 0.4 */
		{"", "", "acme", "gw.example", 36000000},	     /* account: 0.3 */
		{"", "web", "acme", "gw.example", 24000000},	     /* project: 0.2 */
		{"0badcafe", "web", "acme", "gw.example", 12000000}, /* key: 0.1 */
		{"0badcaff", "", "", "", 60000000},
	};
	struct catalog *c =
		load(OVERRIDES("{\"provider\":\"p\",\"factor\":\"0.9\"},"
			       "{\"key_fingerprint\":\"0badcafe\",\"factor\":\"0.1\"},"
			       "{\"provider\":\"p\",\"models\":[\"m\"],\"factor\":\"0.5\"},"
			       "{\"project\":\"web\",\"factor\":\"0.2\"},"
			       "{\"host\":\"gw.example\",\"factor\":\"0.4\"},"
			       "{\"account\":\"acme\",\"factor\":\"0.3\"}"));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct call call = call_to("p", "m");

		snprintf(call.key_fingerprint, sizeof(call.key_fingerprint), "%s", cases[i].key);
		snprintf(call.host, sizeof(call.host), "%s", cases[i].host);
		if (cases[i].project[0])
			tags_set(&call.tags, SLICE("project"), slice_of(cases[i].project), TAG_ENV);
		if (cases[i].account[0])
			tags_set(&call.tags, SLICE("account"), slice_of(cases[i].account), TAG_ENV);
		price_call(c, &call);
		assert_int_equal(call.cost.list_pusd, 120000000);
		assert_int_equal(call.cost.cost_pusd, cases[i].cost);
	}
	catalog_free(c);
}

/* A row that names a key is one row of each fingerprint that has the name. */
static void keys_by_name(void **state)
{
	static const struct {
		const char *key;
		int64_t cost;
	} cases[] = {
		{"0badcafe", 12000000},
		{"0badcaff", 12000000},
		{"11111111", 24000000},
		{"22222222", 120000000},
	};
	struct key_names names = {0};
	struct catalog *c;

	(void)state;
	assert_int_equal(key_names_add(&names, &(struct key_name){"0badcafe", .name = "batch"}), 0);
	assert_int_equal(key_names_add(&names, &(struct key_name){"0badcaff", .name = "batch"}), 0);
	assert_int_equal(key_names_add(&names, &(struct key_name){"11111111", .name = "web"}), 0);
	key_names_use(&names);
	c = load(OVERRIDES("{\"key_fingerprint\":\"batch\",\"factor\":\"0.1\"},"
			   "{\"key_fingerprint\":\"11111111\",\"factor\":\"0.2\"}"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct call call = call_to("p", "m");

		snprintf(call.key_fingerprint, sizeof(call.key_fingerprint), "%s", cases[i].key);
		price_call(c, &call);
		assert_int_equal(call.cost.cost_pusd, cases[i].cost);
	}
	catalog_free(c);
	/* Both names of one key: nothing would say which row wins. */
	files_override("a.json",
		       OVERRIDES("{\"key_fingerprint\":\"web\",\"factor\":\"0.1\"},"
				 "{\"key_fingerprint\":\"11111111\",\"factor\":\"0.2\"}"));
	{
		char err[CATALOG_ERROR_MAX] = "";

		assert_true(catalog_load(&c, files_catalog, files_prices_d, err, sizeof(err)) < 0);
		assert_non_null(strstr(err, "the same selectors and dates as a.json#0"));
	}
	key_names_use(NULL);
	free(names.row);
}

static void validity(void **state)
{
	/* Day 20000 is 2024-10-04. */
	struct catalog *c =
		load(OVERRIDES("{\"provider\":\"p\",\"to\":\"2024-10-04\",\"factor\":\"0.5\"},"
			       "{\"provider\":\"p\",\"from\":\"2024-10-04\",\"to\":\"2024-10-05\","
			       "\"factor\":\"0.25\"}"));
	struct call call = call_to("p", "m");

	(void)state;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 30000000);
	call.started_at_us -= 1;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 60000000);
	call.started_at_us += 86400LL * 1000000 + 1;
	price_call(c, &call);
	assert_int_equal(call.cost.cost_pusd, 120000000);
	catalog_free(c);
}

static void aliases(void **state)
{
	struct catalog *c = load(ALIASES("{\"provider\":\"p\",\"names\":[\"Our-Deploy\"],"
					 "\"as\":\"m\"},{\"provider\":\"p\",\"names\":[\"second\"],"
					 "\"as\":\"our-deploy\"}"));

	(void)state;
	assert_string_equal(model_id(c, "p", "our-deploy"), "m");
	assert_string_equal(model_id(c, "p", "second"), "m");
	assert_null(model_id(c, "vllm", "our-deploy"));
	catalog_free(c);
}

static void files_in_name_order(void **state)
{
	char err[CATALOG_ERROR_MAX] = "", before[65];
	struct catalog *c = load(ALIASES("{\"provider\":\"p\",\"names\":[\"x\"],\"as\":\"m\"}"));

	(void)state;
	snprintf(before, sizeof(before), "%s", catalog_sha256(c));
	catalog_free(c);
	files_override("b.json", ALIASES("{\"provider\":\"p\",\"names\":[\"y\"],\"as\":\"x\"}"));
	files_override(".hidden.json", "junk");
	files_override("README.txt", "junk");
	assert_int_equal(catalog_load(&c, files_catalog, files_prices_d, err, sizeof(err)), 0);
	assert_string_equal(model_id(c, "p", "y"), "m");
	assert_string_not_equal(catalog_sha256(c), before);
	catalog_free(c);
	files_empty_prices_d();
}

static const struct {
	const char *text, *error;
} bad_files[] = {
	{"{\"schema\":\"tolltap-prices/1\"}", "\"schema\" must be \"tolltap-overrides/1\""},
	{OVERRIDES("{\"factor\":\"0.9\"}"), "overrides[0]: a row without a selector"},
	{OVERRIDES("{\"provider\":\"p\"}"), "give either \"prices\" or \"factor\""},
	{OVERRIDES("{\"provider\":\"p\",\"factor\":\"1\",\"prices\":{}}"),
	 "give either \"prices\" or \"factor\""},
	{OVERRIDES("{\"provider\":\"p\",\"factor\":\"-1\"}"), "\"factor\" is \"-1\""},
	{OVERRIDES("{\"provider\":\"p\",\"factor\":\"1001\"}"), "\"factor\" is \"1001\""},
	{OVERRIDES("{\"provider\":\"p\",\"factor\":\"1\",\"tiers\":{}}"),
	 "\"factor\" goes over the list"},
	{OVERRIDES("{\"provider\":\"p\",\"models\":[],\"factor\":\"1\"}"), "\"models\" must be"},
	{OVERRIDES("{\"provider\":\"p\",\"prices\":{\"tokens\":\"1\"}}"),
	 "overrides[0]: unknown unit \"tokens\""},
	{OVERRIDES("{\"provider\":\"p\",\"prices\":{\"input\":\"0.000001\"}}"), "is implausible"},
	{OVERRIDES("{\"provider\":\"p\",\"factor\":\"1\"},"
		   "{\"provider\":\"p\",\"factor\":\"0.9\"}"),
	 "overrides[1]: the same selectors and dates as a.json#0"},
	{OVERRIDES("{\"provider\":\"p\",\"models\":[\"a\",\"b\"],\"factor\":\"1\"},"
		   "{\"provider\":\"p\",\"models\":[\"B\"],\"factor\":\"0.9\"}"),
	 "overrides[1]: the same selectors and dates as a.json#0"},
	{OVERRIDES("{\"key_fingerprint\":\"batch\",\"factor\":\"1\"}"),
	 "overrides[0]: \"key_fingerprint\" is neither 8 hex digits nor a name of the "
	 "configuration's keys: \"batch\""},
	{ALIASES("{\"provider\":\"p\",\"names\":[\"a\"],\"as\":\"b\"},"
		 "{\"provider\":\"p\",\"names\":[\"b\"],\"as\":\"a\"}"),
	 "aliases[0]: \"as\" names no model of p: \"b\""},
	{ALIASES("{\"provider\":\"p\",\"names\":[\"a\"],\"as\":\"a\"}"), "a cycle never resolves"},
	{ALIASES("{\"provider\":\"p\",\"names\":[1],\"as\":\"m\"}"), "not a text"},
	{OVERRIDES("\n{\"provider\":\"p\",\"factor\":\"1\"},\n{\"provider\":\"q\"}"),
	 ": line 3: overrides[1]: give either"},
	{OVERRIDES("{\"provider\":\"p\",\"prices\":{\"input\":\"2\"},\"above\":[{\"tokens\":5,"
		   "\"prices\":{\"input\":\"1\"}}]}"),
	 "price \"input\" above 5 tokens is less than below"},
};

static void bad_overrides(void **state)
{
	(void)state;
	files_write(files_catalog, table);
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		char err[CATALOG_ERROR_MAX] = "";
		struct catalog *c = NULL;

		files_override("a.json", bad_files[i].text);
		assert_true(catalog_load(&c, files_catalog, files_prices_d, err, sizeof(err)) < 0);
		assert_null(c);
		if (!strstr(err, bad_files[i].error) || !strstr(err, "/a.json: "))
			fail_msg("said: %s\nnot: %s", err, bad_files[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discount),
		cmocka_unit_test(negotiated_prices),
		cmocka_unit_test(own_models),
		cmocka_unit_test(by_the_second),
		cmocka_unit_test(margin),
		cmocka_unit_test(accounts_and_projects),
		cmocka_unit_test(audio_is_billed_once),
		cmocka_unit_test(strongest_selector),
		cmocka_unit_test(keys_by_name),
		cmocka_unit_test(validity),
		cmocka_unit_test(aliases),
		cmocka_unit_test(files_in_name_order),
		cmocka_unit_test(bad_overrides),
	};

	return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
