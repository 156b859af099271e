/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call as another model's. In picodollars per token: gpt-4o input 2.5M, cache read 1.25M, output
 * 10M, batch half, priority 1.7 times; claude-haiku-4-5 input 1M, read 0.1M, write 5m 1.25M, output
 * 5M; llama-house (of a file of overrides) input 0.2M, output 0.4M.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "pricing/whatif.h"

#define M 1000000LL

static struct catalog *catalog;
static char dir[] = "/tmp/tolltap-test-XXXXXX";
static char file[64];

/* A model of one's own, and a discount that goes by key: the other model's calls have no key. */
static const char overrides[] =
	"{\"schema\":\"tolltap-overrides/1\",\"overrides\":["
	"{\"provider\":\"vllm\",\"models\":[\"llama-house\"],\"prices\":{\"input\":\"0.2\","
	"\"output\":\"0.4\"}},"
	"{\"provider\":\"openai\",\"key_fingerprint\":\"0badcafe\",\"factor\":\"0.5\"}]}";

static int load(void **state)
{
	static char err[CATALOG_ERROR_MAX];
	FILE *f;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/own.json", dir);
	f = fopen(file, "we");
	if (!f || fputs(overrides, f) < 0 || fclose(f))
		return -1;
	if (catalog_load(&catalog, "pricing/catalog.json", dir, err, sizeof(err)))
		print_error("%s\n", err);
	return catalog ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	catalog_free(catalog);
	unlink(file);
	return rmdir(dir);
}

static struct call gpt_4o(void)
{
	struct call call = {
		.provider = "openai",
		.model = "gpt-4o",
		.host = "api.openai.com",
		.role = ROLE_DIRECT,
		.started_at_us = 1790553600LL * 1000000,
		.basis = BASIS_REPORTED_USAGE,
		.billable = true,
		.key_fingerprint = "0badcafe",
		.usage.known = true,
		.usage.provider_cost_pusd = -1,
	};

	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 10;
	call.usage.tokens[TOKEN_INPUT_CACHE_READ] = 20;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 30;
	return call;
}

static int64_t cost_as(struct call call, const char *provider, const char *model)
{
	struct call out;

	price_as_model(catalog, &call, provider, model, 0, &out);
	return out.cost.cost_pusd;
}

static void test_same_tokens(void **state)
{
	struct call call = gpt_4o();

	(void)state;
	/* without the key's discount: 25 + 25 + 300 */
	assert_int_equal(cost_as(call, "openai", "gpt-4o"), 350 * M);
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), (10 + 2 + 150) * M);
	assert_int_equal(cost_as(call, "vllm", "llama-house"), 6 * M + 12 * M);
	assert_int_equal(cost_as(call, "openai", "nobodys"), -1);
	/* what the wire said, and whose host it was, say nothing of another model */
	call.usage.provider_cost_pusd = 7;
	call.basis = BASIS_PROVIDER_REPORTED;
	call.role = ROLE_UNKNOWN;
	assert_int_equal(cost_as(call, "openai", "gpt-4o"), 350 * M);
}

/* Tiers are the provider's own; another's standard one is taken. A batch stays a batch. */
static void test_tiers(void **state)
{
	struct call call = gpt_4o();

	(void)state;
	snprintf(call.service_tier, sizeof(call.service_tier), "priority");
	assert_int_equal(cost_as(call, "openai", "gpt-4o"), 595 * M);
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), 162 * M);
	call.service_tier[0] = '\0';
	call.batch = true;
	assert_int_equal(cost_as(call, "openai", "gpt-4o"), 175 * M);
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), 81 * M);
	assert_int_equal(cost_as(call, "vllm", "llama-house"), -1); /* has no batch prices */
}

static void test_cache_writes(void **state)
{
	struct call call = gpt_4o(), out;

	(void)state;
	call.usage.tokens[TOKEN_INPUT_CACHE_WRITE_5M] = 4;
	call.usage.tokens[TOKEN_INPUT_CACHE_WRITE_1H] = 8;
	/* no price for writing: plain input, 12 * 2.5 */
	price_as_model(catalog, &call, "openai", "gpt-4o", 0, &out);
	assert_int_equal(out.cost.cost_pusd, 380 * M);
	assert_int_equal(out.basis, BASIS_REPORTED_USAGE);
	/* and where there is one it is that: 4 * 1.25 + 8 * 2 */
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), (162 + 5 + 16) * M);
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = INT64_MAX;
	assert_int_equal(cost_as(call, "openai", "gpt-4o"), -1);
}

static void test_what_stays(void **state)
{
	struct call call = gpt_4o(), out;

	(void)state;
	call.basis = BASIS_NOT_BILLED;
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), 0);
	call = gpt_4o();
	call.billing_mode = BILLING_SUBSCRIPTION;
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), 0);
	call = gpt_4o();
	call.usage.known = false;
	call.basis = BASIS_ESTIMATED;
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), -1);
	call = gpt_4o();
	call.basis = BASIS_UNPRICED;
	assert_int_equal(cost_as(call, "anthropic", "claude-haiku-4-5"), 162 * M);
	call = gpt_4o();
	price_as_model(catalog, &call, "openai", "gpt-4o", 1, &out);
	assert_int_equal(out.started_at_us, 1);
	assert_string_equal(call.model, "gpt-4o");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_tokens),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_cache_writes),
		cmocka_unit_test(test_what_stays),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
