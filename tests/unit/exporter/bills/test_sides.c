/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's side: a real ledger with priced calls of tiers, contexts and batches, whose cost per
 * class adds up to its own sum; and the time its agents were there.
 */
#include "../ledger_dir.h"

#include "exporter/bills/sides.h"
#include "pricing/catalog.h"

#define DAY_US	 86400000000LL
#define FIRST_US (1793491200LL * 1000000) /* 2026-11-01 */

static struct catalog *catalog;

static const struct recon_scope scope = {
	.from_s = FIRST_US / 1000000,
	.to_s = FIRST_US / 1000000 + 3 * SECONDS_PER_DAY,
	.account = "",
	.projects = "",
	.keys = "",
	.where = "",
};

static int load_catalog(void **state)
{
	(void)state;
	return catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err));
}

static int free_catalog(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

static void plain_call(struct call *c, uint32_t n, const char *provider, const char *model)
{
	sample_call(c, n);
	c->started_at_us = FIRST_US + n % 3 * DAY_US + n;
	c->usage = (struct usage){.known = true, .provider_cost_pusd = -1};
	c->batch = false;
	c->service_tier[0] = c->inference_geo[0] = c->speed[0] = '\0';
	snprintf(c->provider, sizeof(c->provider), "%s", provider);
	snprintf(c->model, sizeof(c->model), "%s", model);
	for (int i = 0; i < TOKEN_KINDS; i++)
		c->usage.tokens[i] = i == TOKEN_INPUT_AUDIO || i == TOKEN_INPUT_IMAGE ||
						     i == TOKEN_OUTPUT_AUDIO ||
						     i == TOKEN_OUTPUT_IMAGE
					     ? 0
					     : 1000 + n * 7 + i;
}

/* Every kind of price that a bill could be of. */
static void any_call(struct call *c, uint32_t n)
{
	bool anthropic = n % 2;

	plain_call(c, n, anthropic ? "anthropic" : "openai",
		   anthropic ? "claude-sonnet-4-5-20250929" : "gpt-5-mini-2025-08-07");
	if (!anthropic)
		c->usage.tokens[TOKEN_INPUT_CACHE_WRITE_5M] =
			c->usage.tokens[TOKEN_INPUT_CACHE_WRITE_1H] = 0;
	if (n % 5 == 0)
		c->batch = anthropic;
	if (n % 6 == 0)
		snprintf(c->service_tier, sizeof(c->service_tier), "%s",
			 anthropic ? "standard" : "flex");
	if (n % 7 == 0)
		c->usage.tokens[TOKEN_INPUT_UNCACHED] += 300000; /* of another context tier */
	if (n % 4 == 1)
		c->usage.tool_units[TOOL_WEB_SEARCH] = 1 + n % 3;
	if (n % 11 == 0)
		c->basis = BASIS_PARTIAL;
	price_call(catalog, c);
}

/* Parts of all classes come to the ledger's own sum, in total and of what is unsure. */
static void test_costs_add_up(void **state)
{
	bill_sum cost = 0, unsure = 0, units = 0;
	bill_sum expected = 0, expected_unsure = 0, expected_units = 0;
	struct ledger_side side;
	struct ledger *l = open_ledger();
	struct query *q;
	struct call c;

	(void)state;
	for (uint32_t n = 1; n < 400; n++) {
		any_call(&c, n);
		assert_true(c.cost.cost_pusd > 0);
		assert_int_equal(ledger_append(l, &c), 0);
		expected += c.cost.cost_pusd;
		expected_unsure += c.basis == BASIS_PARTIAL ? c.cost.cost_pusd : 0;
		expected_units += usage_input_total(&c.usage) + usage_output_total(&c.usage) +
				  c.usage.tool_units[TOOL_WEB_SEARCH];
	}
	ledger_close(l);
	q = open_query();
	assert_int_equal(ledger_side_load(q, &scope, &(struct query_filter){0}, catalog, &side), 0);
	for (size_t i = 0; i < side.count; i++) {
		const struct recon_ledger *s = &side.sum[i];

		cost += s->cost_pusd;
		unsure += s->estimated_pusd;
		units += s->quantity;
		for (size_t k = 0; k < i; k++)
			assert_true(memcmp(&side.sum[k].key, &s->key, sizeof(s->key)) != 0);
	}
	assert_true(cost == expected && units == expected_units && unsure == expected_unsure);
	assert_int_equal(side.calls, 399);
	ledger_side_free(&side);
	/* Without a price table the parts go by units, and still add up. */
	assert_int_equal(ledger_side_load(q, &scope, &(struct query_filter){0}, NULL, &side), 0);
	cost = 0;
	for (size_t i = 0; i < side.count; i++)
		cost += side.sum[i].cost_pusd;
	assert_true(cost == expected);
	ledger_side_free(&side);
	query_close(q);
}

static bill_sum cost_of(const struct ledger_side *side, enum bill_class class, const char *tier)
{
	for (size_t i = 0; i < side->count; i++) {
		if (side->sum[i].key.class == class && !strcmp(side->sum[i].key.tier, tier))
			return side->sum[i].cost_pusd;
	}
	return -1;
}

/* One call of each tier: each class costs its units at that tier's price, worked out by hand. */
static void test_costs_by_class(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_side side;
	struct query *q;
	struct call c;

	(void)state;
	for (uint32_t n = 3; n <= 6; n += 3) {
		plain_call(&c, n, "anthropic", "claude-haiku-4-5-20251001");
		memset(c.usage.tokens, 0, sizeof(c.usage.tokens));
		c.usage.tokens[TOKEN_INPUT_UNCACHED] = 1000;   /* at 1 USD a million */
		c.usage.tokens[TOKEN_INPUT_CACHE_READ] = 3000; /* at 0.1 */
		c.usage.tokens[TOKEN_OUTPUT_TEXT] = 40;	       /* at 5 */
		c.usage.tokens[TOKEN_OUTPUT_REASONING] = 60;
		c.usage.tool_units[TOOL_WEB_SEARCH] = 2; /* at 0.01 */
		c.batch = n == 6;			 /* tokens at half */
		price_call(catalog, &c);
		assert_int_equal(ledger_append(l, &c), 0);
	}
	ledger_close(l);
	q = open_query();
	assert_int_equal(ledger_side_load(q, &scope, &(struct query_filter){0}, catalog, &side), 0);
	assert_string_equal(side.sum[0].key.model, "claude-haiku-4-5");
	assert_true(cost_of(&side, BILL_INPUT, "standard") == 1000 * 1000000);
	assert_true(cost_of(&side, BILL_CACHE_READ, "standard") == 3000 * 100000);
	assert_true(cost_of(&side, BILL_OUTPUT, "standard") == 100 * 5000000);
	assert_true(cost_of(&side, BILL_WEB_SEARCH, "standard") == 2 * 10000000000);
	assert_true(cost_of(&side, BILL_INPUT, "batch") == 1000 * 500000);
	assert_true(cost_of(&side, BILL_OUTPUT, "batch") == 100 * 2500000);
	assert_true(cost_of(&side, BILL_WEB_SEARCH, "batch") == 2 * 10000000000);
	ledger_side_free(&side);
	query_close(q);
}

/* Self-hosted, unknown, refused and subscribed calls are on nobody's bill. */
static void test_what_is_no_bill(void **state)
{
	struct ledger *l = open_ledger();
	struct ledger_side side;
	struct query *q;
	struct call c;

	(void)state;
	for (uint32_t n = 0; n < 5; n++) {
		plain_call(&c, n, "openai", "gpt-5-mini-2025-08-07");
		if (n == 0)
			c.role = ROLE_SELF_HOSTED;
		if (n == 1)
			c.role = ROLE_UNKNOWN;
		if (n == 2)
			c.basis = BASIS_NOT_BILLED;
		if (n == 3)
			c.billing_mode = BILLING_SUBSCRIPTION;
		assert_int_equal(ledger_append(l, &c), 0);
	}
	ledger_close(l);
	q = open_query();
	assert_int_equal(ledger_side_load(q, &scope, &(struct query_filter){0}, catalog, &side), 0);
	assert_int_equal(side.calls, 1);
	assert_int_equal(side.foreign_calls, 2);
	ledger_side_free(&side);
	query_close(q);
}

/* ---- uptime -------------------------------------------------------------------------------- */

static void write_runs(const char *sql)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void check_uptime(const char *sql, size_t hosts, int64_t seconds, const char *metered)
{
	struct recon_uptime up;
	struct query *q;
	char text[512];

	snprintf(text, sizeof(text), "DELETE FROM runs;DELETE FROM losses;%s", sql);
	write_runs(text);
	q = open_query();
	assert_int_equal(recon_uptime_load(q, &scope, &up), 0);
	assert_true(up.known);
	assert_int_equal(up.hosts, hosts);
	assert_int_equal(up.seconds, seconds);
	assert_string_equal(up.host_names, hosts == 2 ? "a, b"
					   : hosts    ? strstr(sql, "'b'") ? "b" : "a"
						      : "");
	for (int64_t day = 0; day < 3; day++)
		assert_int_equal(recon_uptime_has(&up, FIRST_US / DAY_US + day),
				 metered[day] == '1');
	assert_false(recon_uptime_has(&up, FIRST_US / DAY_US - 1));
	assert_false(recon_uptime_has(&up, FIRST_US / DAY_US + 3));
	recon_uptime_free(&up);
	query_close(q);
}

#define RUN(host, from, to)                                                              \
	"INSERT INTO runs(host,started_us,ended_us) VALUES('" host "',1793491200000000+" \
	"86400000000*" #from ",1793491200000000+86400000000*" #to ");"

static void test_uptime(void **state)
{
	(void)state;
	ledger_close(open_ledger());
	check_uptime("", 0, 0, "000");
	check_uptime(RUN("a", -5, 9), 1, 3 * SECONDS_PER_DAY, "111");
	check_uptime(RUN("a", 0, 1) RUN("a", 2, 4), 1, 2 * SECONDS_PER_DAY, "101");
	check_uptime(RUN("a", -5, 9) RUN("b", 1, 3), 2, 5 * SECONDS_PER_DAY, "011");
	check_uptime(RUN("b", -5, 1) RUN("b", 1, 9), 1, 3 * SECONDS_PER_DAY, "111");
	check_uptime(RUN("a", 0, 2) RUN("a", 1, 2), 1, 2 * SECONDS_PER_DAY, "110");
	check_uptime(RUN("a", -5, 9) "INSERT INTO losses(since_us,at_us,reason,calls,rows,"
				     "unmetered_seconds,times) VALUES(1793577700000000,"
				     "1793577800000000,'agent_crash',0,0,121,1);",
		     1, 3 * SECONDS_PER_DAY, "101");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_costs_add_up),
		TEST(test_costs_by_class),
		TEST(test_what_is_no_bill),
		TEST(test_uptime),
	};

	return cmocka_run_group_tests_name("sides", tests, load_catalog, free_catalog);
}
