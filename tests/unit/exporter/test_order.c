/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay in any order gives the same ledger sum: calls of all kinds, some told twice, some of one
 * event twice, priced by the shipped table and recorded in shuffled orders by runs of their own.
 */
#include "ledger_dir.h"
#include "pricing/catalog.h"

#define CALLS 400

static struct call calls[CALLS];

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void make_call(const struct catalog *catalog, struct call *call, uint32_t n, uint32_t *seed)
{
	static const struct {
		const char *provider, *model;
	} models[] = {{"openai", "gpt-4o"},
		      {"openai", "gpt-5.6-luna"},
		      {"anthropic", "claude-opus-4-6"},
		      {"gcp.gemini", "gemini-2.5-flash"},
		      {"openai", "nobody-knows-it"},
		      {"openrouter", "openai/gpt-4o"}};
	size_t m = next_random(seed) % ARRAY_LEN(models);

	sample_call(call, n);
	snprintf(call->provider, sizeof(call->provider), "%s", models[m].provider);
	snprintf(call->model, sizeof(call->model), "%s", models[m].model);
	call->service_tier[0] = call->speed[0] = call->inference_geo[0] = '\0';
	call->batch = false;
	call->basis = next_random(seed) % 8 ? BASIS_REPORTED_USAGE : BASIS_PARTIAL;
	call->usage.tokens[TOKEN_INPUT_UNCACHED] = next_random(seed) % 400000;
	call->usage.tokens[TOKEN_OUTPUT_TEXT] = next_random(seed) % 5000;
	call->usage.tool_units[TOOL_WEB_SEARCH] = 0;
	call->usage.provider_cost_pusd = m == 5 ? (int64_t)next_random(seed) % 1000000000 : -1;
	/* Every tenth tells again what the one before it told, as polls of one answer do. */
	if (n % 10 > 7) {
		call->key.set = true;
		call->key.object[0] = (uint8_t)(1 + n / 10);
	}
	if (n % 10 == 9) {
		call->usage = calls[n - 1].usage;
		snprintf(call->provider, sizeof(call->provider), "%s", calls[n - 1].provider);
		snprintf(call->model, sizeof(call->model), "%s", calls[n - 1].model);
		call->basis = calls[n - 1].basis;
	}
	if (n % 50 == 3) /* the event of the call before, recorded by another run too */
		*call = calls[n - 1];
	else
		price_call(catalog, call);
}

static void shuffle(uint32_t order[CALLS], uint32_t seed)
{
	for (uint32_t i = 0; i < CALLS; i++)
		order[i] = i;
	for (uint32_t i = CALLS - 1; seed && i > 0; i--) {
		uint32_t k = next_random(&seed) % (i + 1), kept = order[i];

		order[i] = order[k];
		order[k] = kept;
	}
}

/* Records all calls in one order, in several runs; what the ledger then holds. */
static void record_in(uint32_t seed, struct seen *seen)
{
	uint32_t order[CALLS];
	struct ledger *l = NULL;

	shuffle(order, seed);
	for (uint32_t i = 0; i < CALLS; i++) {
		if (i % 150 == 0) {
			if (l)
				ledger_close(l);
			l = open_ledger();
		}
		assert_int_equal(ledger_append(l, &calls[order[i]]), 0);
	}
	ledger_close(l);
	events_all(seen);
}

static void sum_of_any_order(void **state)
{
	struct seen first = {0}, seen;
	struct catalog *catalog = NULL;
	uint32_t seed = 11;

	if (catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err)))
		fail_msg("%s", err);
	for (uint32_t i = 0; i < CALLS; i++)
		make_call(catalog, &calls[i], i, &seed);
	catalog_free(catalog);
	for (uint32_t round = 0; round < 5; round++) {
		record_in(round, &seen);
		if (round == 0)
			first = seen;
		assert_int_equal(seen.count, CALLS - CALLS / 10 - CALLS / 50);
		assert_true(seen.cost > 0 && seen.cost == first.cost);
		teardown(state);
		setup(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sum_of_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
