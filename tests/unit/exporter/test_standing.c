/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tolltap_ledger_cost_usd follows the ledger where counters do not: over restarts, reprices and
 * prices that were filled in it equals what spend says, and no counter falls but by a restart.
 */
#include "ledger_dir.h"

#include "agent/base/clock.h"
#include "exporter/aggregate.h"
#include "exporter/reprice.h"
#include "exporter/standing.h"
#include "tests/unit/pricing/files.h"

#define MODEL(id, input)                                                                     \
	"{\"provider\":\"p\",\"id\":\"" id "\",\"periods\":[{\"prices\":{\"input\":\"" input \
	"\"}}]}"

static struct catalog *a, *b;

static struct catalog *load(const char *table)
{
	struct catalog *c = NULL;

	files_write(files_catalog, table);
	if (catalog_load(&c, files_catalog, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	return c;
}

static int load_tables(void **state)
{
	if (files_setup(state))
		return -1;
	a = load(CATALOG_HEAD MODEL("m", "2") CATALOG_TAIL);
	b = load(CATALOG_HEAD MODEL("m", "1") "," MODEL("n", "4") CATALOG_TAIL);
	return 0;
}

static int free_tables(void **state)
{
	catalog_free(a);
	catalog_free(b);
	return files_teardown(state);
}

/* One run of an agent: its metrics begin at nothing. */
struct run {
	struct ledger *ledger;
	struct aggregate *metrics;
};

static struct run begin(void)
{
	struct run run = {.ledger = open_ledger()};

	assert_int_equal(aggregate_new(&run.metrics), 0);
	aggregate_set_standing(run.metrics, ledger_standing(run.ledger));
	return run;
}

static void end(struct run *run)
{
	aggregate_set_standing(run->metrics, NULL);
	ledger_close(run->ledger);
	aggregate_free(run->metrics);
}

static void call_now(struct run *run, uint32_t n, const char *model)
{
	struct call call;

	sample_call(&call, n);
	snprintf(call.provider, sizeof(call.provider), "p");
	snprintf(call.model, sizeof(call.model), "%s", model);
	call.started_at_us = clock_wall_ns() / 1000;
	memset(&call.usage, 0, sizeof(call.usage));
	call.usage.known = true;
	call.usage.provider_cost_pusd = -1;
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 1000000;
	call.usage_missing = MISSING_NOT;
	call.batch = call.summed = false;
	call.service_tier[0] = call.speed[0] = call.inference_geo[0] = '\0';
	price_call(a, &call);
	assert_int_equal(ledger_append(run->ledger, &call), 0);
	aggregate_add(run->metrics, &call, model);
}

/* A sample's value, or "" when there is none. */
static void sample(const struct run *run, const char *name, char *dst, size_t size)
{
	size_t len;
	char *body, *at;

	assert_int_equal(aggregate_render(run->metrics, false, &body, &len), 0);
	at = strstr(body, name);
	snprintf(dst, size, "%.*s", at ? (int)strcspn(at + strlen(name), "\n") : 0,
		 at ? at + strlen(name) : "");
	free(body);
}

static void expect(const struct run *run, const char *name, const char *value)
{
	char found[64];

	sample(run, name, found, sizeof(found));
	assert_string_equal(found, value);
}

static void expect_spend(const char *where, const char *value)
{
	struct query_filter filter = {0};
	struct query *q = open_query();
	char usd[PUSD_TEXT_MAX];
	struct spend *rows;
	size_t count;

	assert_int_equal(query_filter_where(&filter, where), 0);
	assert_int_equal(query_spend(q, &filter, NULL, 0, &rows, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(pusd_format(usd, rows[0].cost), value);
	query_spend_free(rows, count);
	query_close(q);
}

static void reprice_all(void)
{
	const struct query_filter filter = {0};
	const struct reprice opts = {
		.catalog = b, .filter = &filter, .filter_text = "", .by = "t", .now_us = 1};
	int64_t changed, id;

	if (reprice_apply(dir, &opts, &changed, &id, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(changed, 3);
}

#define GAUGE(period, basis)                                                          \
	"tolltap_ledger_cost_usd{period=\"" period "\",provider=\"p\",basis=\"" basis \
	"\",billing_mode=\"metered\"} "
#define COUNTER "tolltap_cost_usd_total{provider=\"p\",model=\"m\",basis=\"reported_usage\""

static void wait_for(const struct run *run, const char *name, const char *value)
{
	char found[64] = "";

	for (int i = 0; i < 100 && strcmp(found, value); i++) {
		ledger_retain(run->ledger, &(struct retention){0}); /* a tick */
		usleep(20000);
		sample(run, name, found, sizeof(found));
	}
	assert_string_equal(found, value);
}

/* All calls of the test have one day. */
static void wait_out_midnight(void)
{
	while (clock_wall_ns() / (int64_t)NSEC_PER_SEC % 86400 > 86400 - 20)
		usleep(100000);
}

static void the_gauge_follows_the_ledger(void **state)
{
	char before[128], after[128];
	struct run run;

	(void)state;
	wait_out_midnight();
	run = begin();
	call_now(&run, 1, "m");
	call_now(&run, 2, "m");
	call_now(&run, 3, "n"); /* unpriced */
	wait_for(&run, GAUGE("day", "reported_usage"), "4");
	expect(&run, GAUGE("month", "reported_usage"), "4");
	expect(&run, GAUGE("day", "unpriced"), "0");
	sample(&run, COUNTER, before, sizeof(before));
	assert_non_null(strstr(before, "} 4"));
	/* A restart: counters begin anew, the gauge does not. */
	end(&run);
	run = begin();
	expect(&run, GAUGE("month", "reported_usage"), "4");
	expect(&run, COUNTER, "");
	call_now(&run, 4, "x"); /* unpriced by both */
	/* A reprice, while the agent runs. */
	sample(&run, COUNTER, before, sizeof(before));
	for (int i = 0; i < 100 && sql_int("SELECT count(*) FROM calls") < 4; i++)
		usleep(20000);
	reprice_all();
	wait_for(&run, GAUGE("month", "reported_usage"), "6"); /* 2x1 + 4 */
	expect(&run, GAUGE("day", "reported_usage"), "6");
	expect(&run, GAUGE("day", "unpriced"), "0");
	expect_spend("basis=reported_usage", "6");
	expect_spend("basis=unpriced", "0");
	sample(&run, COUNTER, after, sizeof(after));
	assert_string_equal(before, after);
	end(&run);
	run = begin();
	expect(&run, GAUGE("day", "reported_usage"), "6");
	end(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_gauge_follows_the_ledger),
	};

	return cmocka_run_group_tests(tests, load_tables, free_tables);
}
