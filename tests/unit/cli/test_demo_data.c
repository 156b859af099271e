/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/cli/demo_bills.h"
#include "agent/cli/demo_calls.h"
#include "pricing/catalog.h"

#include <stdio.h>

#define ROWS	 20000
#define DAY_US	 86400000000LL
#define UNTIL_US (1793491200LL * 1000000) /* 2026-11-01, a Sunday */

static struct catalog *catalog;

static int load_prices(void **state)
{
	char err[CATALOG_ERROR_MAX];

	(void)state;
	return catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err));
}

static int free_prices(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

/* What all calls come to. */
struct seen {
	uint64_t calls, hash;
	uint64_t day[DEMO_DAYS];
	uint64_t basis[BASES], outcome[OUTCOMES];
	uint64_t subscription, batch, passed_on, cached, second_attempts;
	struct demo_bills *bills;
	pusd_sum ledger[2]; /* openai, anthropic */
};

static uint64_t mixed(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 1099511628211ULL; /* FNV-1a */
	return hash;
}

static void note(struct seen *seen, const struct call *call)
{
	int64_t at = call->started_at_us - (UNTIL_US - DEMO_DAYS * DAY_US);

	assert_in_range(at, 0, DEMO_DAYS * DAY_US - 1);
	seen->calls++;
	seen->day[at / DAY_US]++;
	seen->basis[call->basis]++;
	seen->outcome[call->outcome]++;
	seen->subscription += call->billing_mode == BILLING_SUBSCRIPTION;
	seen->batch += call->batch;
	seen->passed_on += call->is_on_behalf;
	seen->cached += call->usage.tokens[TOKEN_INPUT_CACHE_READ] > 0;
	seen->second_attempts += call->attempt > 1;
	seen->hash = mixed(seen->hash, call->event_id, sizeof(call->event_id));
	seen->hash = mixed(seen->hash, &call->started_at_us, sizeof(call->started_at_us));
	seen->hash = mixed(seen->hash, &call->usage.tokens, sizeof(call->usage.tokens));
	seen->hash = mixed(seen->hash, call->workload.pod, strlen(call->workload.pod));
	for (int i = 0; i < TOKEN_KINDS; i++)
		assert_true(call->usage.tokens[i] >= 0);
	if (call->billing_mode == BILLING_METERED && call->cost.cost_pusd > 0) {
		seen->ledger[0] += strcmp(call->provider, "openai") ? 0 : call->cost.cost_pusd;
		seen->ledger[1] += strcmp(call->provider, "anthropic") ? 0 : call->cost.cost_pusd;
	}
}

static void see(struct seen *seen, uint64_t rows)
{
	struct demo_calls *calls = demo_calls_new(rows, UNTIL_US);
	struct call call;

	memset(seen, 0, sizeof(*seen));
	seen->bills = demo_bills_new(UNTIL_US);
	while (demo_calls_next(calls, &call)) {
		price_call(catalog, &call);
		demo_bills_add(seen->bills, &call);
		note(seen, &call);
	}
	demo_calls_free(calls);
}

static void the_same_every_time(void **state)
{
	static const uint64_t sizes[] = {1, 2, 999, ROWS};
	struct seen first, second;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		see(&first, sizes[i]);
		see(&second, sizes[i]);
		assert_int_equal(first.calls, sizes[i]);
		assert_true(first.hash == second.hash);
		demo_bills_free(first.bills);
		demo_bills_free(second.bills);
	}
}

static void all_that_a_ledger_has(void **state)
{
	struct seen seen;
	uint64_t weekends = 0, weekdays = 0, first = 0, last = 0;

	(void)state;
	see(&seen, ROWS);
	for (int i = 0; i < BASES; i++) {
		if (i != BASIS_PROVIDER_REPORTED)
			assert_true(seen.basis[i] > 0);
	}
	assert_true(seen.outcome[OUTCOME_ABORTED] > 50 && seen.outcome[OUTCOME_ERROR] > 50);
	assert_true(seen.subscription > 100 && seen.batch > 100 && seen.passed_on > 100);
	assert_true(seen.cached > ROWS / 4 && seen.second_attempts > 50);
	/* The last day is a Saturday. */
	for (int i = 0; i < DEMO_DAYS; i++) {
		bool weekend = (DEMO_DAYS - 1 - i) % 7 == 0 || (DEMO_DAYS - 1 - i) % 7 == 6;

		*(weekend ? &weekends : &weekdays) += seen.day[i];
		first += i < 14 ? seen.day[i] : 0;
		last += i >= DEMO_DAYS - 14 ? seen.day[i] : 0;
	}
	assert_true(weekends * 5 * 4 < weekdays * 2 * 3); /* below three quarters of a weekday */
	assert_true(last * 10 > first * 11);
	demo_bills_free(seen.bills);
}

static pusd_sum bill_total(struct demo_bills *b, const char *provider)
{
	char *text = NULL, *rest, *line;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	pusd_sum total = 0;

	demo_bill_write(b, provider, f);
	fclose(f);
	rest = text;
	line = strsep(&rest, "\n");
	assert_string_equal(line, "date,provider,model,amount\r");
	while ((line = strsep(&rest, "\n")) && *line) {
		const char *amount = strrchr(line, ',') + 1;
		int64_t pusd;

		assert_true(
			decimal_parse((struct slice){amount, strcspn(amount, "\r")}, 12, &pusd));
		total += pusd;
	}
	free(text);
	return total;
}

/* To the picodollar: a bill is the ledger and what was planted. */
static void bills_differ_as_they_say(void **state)
{
	struct seen seen;

	(void)state;
	see(&seen, ROWS);
	for (size_t i = 0; i < 2; i++) {
		const char *provider = demo_bill_provider(i);
		pusd_sum planted = 0, billed = bill_total(seen.bills, provider);
		struct demo_planted p;

		for (size_t k = 0; demo_bill_planted(seen.bills, k, &p); k++) {
			if (strcmp(p.provider, provider) != 0)
				continue;
			assert_true(p.amount != 0);
			planted += p.amount;
		}
		assert_true(seen.ledger[i] > 0);
		assert_true(billed == seen.ledger[i] + planted);
	}
	assert_null(demo_bill_provider(2));
	demo_bills_free(seen.bills);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_every_time),
		cmocka_unit_test(all_that_a_ledger_has),
		cmocka_unit_test(bills_differ_as_they_say),
	};

	return cmocka_run_group_tests_name("demo_data", tests, load_prices, free_prices);
}
