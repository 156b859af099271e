/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's cost split over what it counts: exactly what the table asks for each where it priced the
 * call, and to the picodollar the recorded cost whatever else. Prices of claude-sonnet-4-5 in
 * dollars per million tokens: input 3, read 0.3, output 15; web search 10 per 1000.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "pricing/catalog.h"
#include "pricing/meters.h"

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

static struct call call_of(const char *provider, const char *model)
{
	struct call call = {
		.role = ROLE_DIRECT,
		.started_at_us = 1763800000LL * 1000000,
		.basis = BASIS_REPORTED_USAGE,
		.billable = true,
		.usage.known = true,
		.usage.provider_cost_pusd = -1,
	};

	snprintf(call.provider, sizeof(call.provider), "%s", provider);
	snprintf(call.model, sizeof(call.model), "%s", model);
	return call;
}

static void assert_share(const struct meter_share *s, int meter, int64_t units, int64_t cost,
			 const char *price)
{
	char text[96];

	assert_int_equal(s->meter, meter);
	assert_int_equal(s->units, units);
	assert_true(s->cost == cost);
	if (!price) {
		assert_int_equal(s->cost_price.den, 0);
		return;
	}
	assert_true(unit_price_format(s->cost_price, text, sizeof(text)));
	assert_string_equal(text, price);
	assert_true(unit_price_costs(s->cost_price, meter, units, cost));
	assert_false(unit_price_costs(s->cost_price, meter, units, cost + 1));
}

static void the_table_splits_what_it_priced(void **state)
{
	struct call call = call_of("anthropic", "claude-sonnet-4-5");
	struct meter_share s[METERS];

	(void)state;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 7;
	call.usage.tokens[TOKEN_INPUT_CACHE_READ] = 1000;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 3;
	call.usage.tool_units[TOOL_WEB_SEARCH] = 2;
	price_call(catalog, &call);
	assert_int_equal(call.cost.cost_pusd, 7 * 3 * M + 300 * M + 45 * M + 2 * 10000 * M);
	assert_int_equal(
		meter_shares(catalog, &call, 1, call.cost.list_pusd, call.cost.cost_pusd, s), 4);
	assert_share(&s[0], TOKEN_INPUT_UNCACHED, 7, 21 * M, "3");
	assert_share(&s[1], TOKEN_INPUT_CACHE_READ, 1000, 300 * M, "0.3");
	assert_share(&s[2], TOKEN_OUTPUT_TEXT, 3, 45 * M, "15");
	assert_share(&s[3], METER_TOOLS + TOOL_WEB_SEARCH, 2, 20000 * M, "10");
}

/* Half price in a batch, but not for searches. */
static void factors_are_in_the_unit_price(void **state)
{
	struct call call = call_of("anthropic", "claude-sonnet-4-5");
	struct meter_share s[METERS];

	(void)state;
	call.batch = true;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 7;
	call.usage.tool_units[TOOL_WEB_SEARCH] = 2;
	price_call(catalog, &call);
	assert_int_equal(
		meter_shares(catalog, &call, 1, call.cost.list_pusd, call.cost.cost_pusd, s), 2);
	assert_share(&s[0], TOKEN_INPUT_UNCACHED, 7, 21 * M / 2, "1.5");
	assert_share(&s[1], METER_TOOLS + TOOL_WEB_SEARCH, 2, 20000 * M, "10");
}

/* A provider's own cost, twice what the table asks and a bit: in its proportion, nothing is lost.
 */
static void another_cost_is_split_in_proportion(void **state)
{
	struct call call = call_of("anthropic", "claude-sonnet-4-5");
	struct meter_share s[METERS];

	(void)state;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 10; /* 30 M */
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 4;     /* 60 M */
	assert_int_equal(meter_shares(catalog, &call, 1, 90 * M, 180 * M + 2, s), 2);
	assert_true(s[0].cost == 60 * M + 1); /* the remainders: 2/3 and 1/3 */
	assert_true(s[1].cost == 120 * M + 1);
	assert_true(s[0].list == 30 * M && s[1].list == 60 * M);
	assert_false(unit_price_costs(s[0].cost_price, s[0].meter, s[0].units, s[0].cost));
}

static void without_a_table_tokens_weigh(void **state)
{
	struct call call = call_of("openrouter", "somebody/unheard-of");
	struct meter_share s[METERS];

	(void)state;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 1;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 1;
	call.usage.tokens[TOKEN_OUTPUT_REASONING] = 1;
	call.usage.tool_units[TOOL_WEB_SEARCH] = 5;
	for (int table = 0; table < 2; table++) {
		assert_int_equal(meter_shares(table ? catalog : NULL, &call, 1, -1, 11, s), 4);
		assert_share(&s[0], TOKEN_INPUT_UNCACHED, 1, 4, NULL); /* equal remainders: */
		assert_share(&s[1], TOKEN_OUTPUT_TEXT, 1, 4, NULL);    /* the first ones */
		assert_share(&s[2], TOKEN_OUTPUT_REASONING, 1, 3, NULL);
		assert_share(&s[3], METER_TOOLS + TOOL_WEB_SEARCH, 5, 0, NULL);
		assert_true(s[0].list == 0);
	}
	call = call_of("openrouter", "somebody/unheard-of");
	call.usage.known = false;
	assert_int_equal(meter_shares(catalog, &call, 3, -1, 11, s), 1);
	assert_share(&s[0], METER_REQUEST, 3, 11, NULL);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 20;
}

struct models {
	uint64_t seed;
	int priced, exact; /* shares of calls that the table priced */
};

/* Random usage of every model of the catalogue: both sums hold, and no share is below 0. */
static void split_model(void *user, const char *provider, const char *id)
{
	struct models *m = user;

	for (int round = 0; round < 4; round++) {
		struct call call = call_of(provider, id);
		struct meter_share s[METERS];
		pusd_sum list = 0, cost = 0, recorded;
		int count;

		for (int i = 0; i < TOKEN_KINDS; i++) {
			bool common = i <= TOKEN_INPUT_CACHE_READ || i == TOKEN_OUTPUT_TEXT;

			if (next_random(&m->seed) % (common ? 2 : 64) == 0)
				call.usage.tokens[i] = (int64_t)(next_random(&m->seed) % 300000);
		}
		for (int i = 0; i < TOOL_UNITS; i++) {
			if (next_random(&m->seed) % 64 == 0)
				call.usage.tool_units[i] = (int64_t)(next_random(&m->seed) % 50);
		}
		call.duration_us = 1234567;
		price_call(catalog, &call);
		recorded = call.cost.cost_pusd;
		if (round == 3) /* a cost of another table, or of a sum beyond 64 bits */
			recorded = (pusd_sum)next_random(&m->seed) << 50;
		count = meter_shares(catalog, &call, 1, call.cost.list_pusd, recorded, s);
		assert_in_range(count, 1, METERS);
		for (int i = 0; i < count; i++) {
			assert_true(s[i].list >= 0 && s[i].cost >= 0 && s[i].units > 0);
			assert_true(i == 0 || s[i].meter > s[i - 1].meter);
			list += s[i].list;
			cost += s[i].cost;
			if (round == 3 || call.cost.unpriced != UNPRICED_NOT)
				continue;
			m->exact += unit_price_costs(s[i].cost_price, s[i].meter, s[i].units,
						     s[i].cost);
			m->priced++;
		}
		assert_true(cost == (recorded < 0 ? 0 : recorded));
		assert_true(list == (call.cost.list_pusd < 0 ? 0 : call.cost.list_pusd));
	}
}

static void shares_always_sum_to_the_cost(void **state)
{
	struct models m = {.seed = 7};

	(void)state;
	assert_true(catalog_each_model(catalog, NULL, split_model, &m) > 500);
	assert_true(m.priced > 2000);
	print_message("%d of %d shares are quantity x price to the last digit\n", m.exact,
		      m.priced);
	assert_true(m.exact >= m.priced * 99 / 100); /* prices below a picodollar a token round */
}

static void changes_are_split_like_the_cost(void **state)
{
	struct call call = call_of("anthropic", "claude-sonnet-4-5");
	struct meter_share s[METERS];
	pusd_sum parts[METERS];

	(void)state;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 10;
	call.usage.tokens[TOKEN_OUTPUT_TEXT] = 4;
	meter_split_like(s, meter_shares(catalog, &call, 1, 90 * M, 90 * M, s), -100, parts);
	assert_true(parts[0] == -33 && parts[1] == -67);
	meter_split_like(s, meter_shares(catalog, &call, 1, 90 * M, 0, s), 3, parts); /* by list */
	assert_true(parts[0] == 1 && parts[1] == 2);
	meter_split_like(s, meter_shares(catalog, &call, 1, 0, 0, s), 5, parts);
	assert_true(parts[0] == 5 && parts[1] == 0);
}

static void unit_prices_are_exact_or_none(void **state)
{
	static const struct {
		__int128 num, den;
		const char *text;
	} cases[] = {
		{150000000000LL, 1, "0.15"},
		{1, 1, "0.000000000001"},
		{1, 1024, "0.0000000000000009765625"},
		{0, 1, "0"},
		{2000000000000LL, 1, "2"},
		{1, 3, NULL},
		{1, 0, NULL},
	};
	char text[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct unit_price price = {cases[i].num, cases[i].den};

		assert_int_equal(unit_price_format(price, text, sizeof(text)),
				 cases[i].text != NULL);
		if (cases[i].text)
			assert_string_equal(text, cases[i].text);
	}
	assert_false(unit_price_format((struct unit_price){1, 1}, text, 8));
}

static void every_meter_has_a_name_and_a_unit(void **state)
{
	(void)state;
	for (int i = 0; i < METERS; i++) {
		assert_true(*meter_name(i));
		assert_true(*meter_unit(i) >= 'A' && *meter_unit(i) <= 'Z');
		assert_int_equal(1000000000000LL % meter_per(i), 0); /* a power of ten */
	}
	assert_int_equal(meter_per(TOKEN_OUTPUT_TEXT), 1000000);
	assert_int_equal(meter_per(METER_TOOLS + TOOL_AUDIO_SECONDS), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_splits_what_it_priced),
		cmocka_unit_test(factors_are_in_the_unit_price),
		cmocka_unit_test(another_cost_is_split_in_proportion),
		cmocka_unit_test(without_a_table_tokens_weigh),
		cmocka_unit_test(shares_always_sum_to_the_cost),
		cmocka_unit_test(changes_are_split_like_the_cost),
		cmocka_unit_test(unit_prices_are_exact_or_none),
		cmocka_unit_test(every_meter_has_a_name_and_a_unit),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
