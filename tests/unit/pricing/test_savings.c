/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What caching saved, and what a call that was priced before stands on when it is priced again.
 * Prices of claude-sonnet-4-5 in picodollars per token: input 3M, read 0.3M, write 5m 3.75M,
 * write 1h 6M.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "pricing/catalog.h"

#define M 1000000LL

static struct catalog *catalog;

static int load(void **state)
{
	static char err[CATALOG_ERROR_MAX];

	(void)state;
	return catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err));
}

static int unload(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

static struct call sonnet(int64_t input, int64_t read, int64_t write_5m, int64_t write_1h)
{
	struct call call = {
		.provider = "anthropic",
		.model = "claude-sonnet-4-5",
		.host = "api.anthropic.com",
		.role = ROLE_DIRECT,
		.started_at_us = 1763800000LL * 1000000,
		.basis = BASIS_REPORTED_USAGE,
		.billable = true,
		.usage.known = true,
		.usage.provider_cost_pusd = -1,
	};

	call.usage.tokens[TOKEN_INPUT_UNCACHED] = input;
	call.usage.tokens[TOKEN_INPUT_CACHE_READ] = read;
	call.usage.tokens[TOKEN_INPUT_CACHE_WRITE_5M] = write_5m;
	call.usage.tokens[TOKEN_INPUT_CACHE_WRITE_1H] = write_1h;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 10;
	return call;
}

static int64_t saved(struct call call)
{
	price_call(catalog, &call);
	assert_int_equal(call.cost.unpriced, UNPRICED_NOT);
	return call.cost.cache_savings_pusd;
}

static void savings(void **state)
{
	(void)state;
	assert_int_equal(saved(sonnet(1000, 0, 0, 0)), 0);
	assert_int_equal(saved(sonnet(5, 1000, 0, 0)), 2700 * M);  /* 1000x(3M-0.3M) */
	assert_int_equal(saved(sonnet(5, 0, 1000, 0)), -750 * M);  /* 1000x(3M-3.75M) */
	assert_int_equal(saved(sonnet(5, 0, 0, 1000)), -3000 * M); /* 1000x(3M-6M) */
	/* 2700M - 75M - 30M */
	assert_int_equal(saved(sonnet(5, 1000, 100, 10)), 2595 * M);
}

/* Of a batch at half price half is saved; of a subscription, and without a price, nothing. */
static void savings_follow_the_price(void **state)
{
	struct call batch = sonnet(5, 1000, 0, 0), covered = batch, unknown = batch, leg = batch;

	(void)state;
	batch.batch = true;
	assert_int_equal(saved(batch), 1350 * M);
	covered.billing_mode = BILLING_SUBSCRIPTION;
	assert_int_equal(saved(covered), 0);
	leg.billable = false;
	assert_int_equal(saved(leg), 0);
	snprintf(unknown.model, sizeof(unknown.model), "claude-of-another-world");
	price_call(catalog, &unknown);
	assert_int_equal(unknown.basis, BASIS_UNPRICED);
	assert_int_equal(unknown.cost.cache_savings_pusd, 0);
}

/* Without a price a row says unpriced; with one it is again what its usage makes it. */
static void priced_again(void **state)
{
	static const struct {
		enum basis basis;
		enum usage_missing missing;
		enum outcome outcome;
		const char *estimated_by;
	} rows[] = {
		{BASIS_REPORTED_USAGE, MISSING_NOT, OUTCOME_OK, ""},
		{BASIS_REPORTED_USAGE, MISSING_NOT, OUTCOME_ERROR, ""},
		{BASIS_ESTIMATED, MISSING_NOT_ASKED, OUTCOME_OK, "o200k"},
		{BASIS_ESTIMATED, MISSING_CUT, OUTCOME_ABORTED, "o200k"},
		{BASIS_PARTIAL, MISSING_CUT, OUTCOME_ABORTED, ""},
		{BASIS_PARTIAL, MISSING_INCOMPLETE, OUTCOME_OK, ""},
		{BASIS_PARTIAL, MISSING_NOT_CAPTURED, OUTCOME_UNKNOWN, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call call = sonnet(100, 0, 0, 0);

		call.basis = rows[i].basis;
		call.usage_missing = rows[i].missing;
		call.outcome = rows[i].outcome;
		snprintf(call.estimated_by, sizeof(call.estimated_by), "%s", rows[i].estimated_by);
		snprintf(call.model, sizeof(call.model), "no-such-model");
		price_call(catalog, &call);
		assert_int_equal(call.basis, BASIS_UNPRICED);
		assert_int_equal(call.cost.cost_pusd, -1);
		snprintf(call.model, sizeof(call.model), "claude-sonnet-4-5");
		price_call(catalog, &call);
		assert_int_equal(call.basis, rows[i].basis);
		assert_int_equal(call.cost.cost_pusd, 450 * M); /* 100x3M + 10x15M */
		assert_int_equal(call.cost.unpriced, UNPRICED_NOT);
		price_call(catalog, &call); /* and nothing comes of doing it twice */
		assert_int_equal(call.basis, rows[i].basis);
		assert_int_equal(call.cost.cost_pusd, 450 * M);
	}
}

/* A sum of requests is a lower bound only as long as its tier is in doubt. */
static void a_sum_priced_again(void **state)
{
	struct call call = sonnet(300000, 0, 0, 0);

	(void)state;
	snprintf(call.provider, sizeof(call.provider), "openai");
	snprintf(call.model, sizeof(call.model), "gpt-5.6-luna");
	call.summed = true;
	price_call(catalog, &call);
	assert_int_equal(call.basis, BASIS_PARTIAL);
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 3000;
	price_call(catalog, &call);
	assert_int_equal(call.basis, BASIS_REPORTED_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(savings),
		cmocka_unit_test(savings_follow_the_price),
		cmocka_unit_test(priced_again),
		cmocka_unit_test(a_sum_priced_again),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
