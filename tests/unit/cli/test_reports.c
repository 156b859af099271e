/* SPDX-License-Identifier: Apache-2.0 */
/* spend, whatif and forecast as commands: what they print, refuse and exit with. */
#include "command.h"
#include "../exporter/older.h"
#include "agent/cli/flags.h"

#include <ctype.h>
#include <errno.h>

#define DAY_S 86400LL

/* 2026-09-28, a Monday */
#define MONDAY_S 1790553600LL

static void plain_call(struct call *call, uint32_t n, int64_t at_s)
{
	sample_call(call, n);
	call->started_at_us = at_s * 1000000;
	call->batch = call->summed = call->usage.mismatch = false;
	call->usage_missing = MISSING_NOT;
	call->service_tier[0] = call->speed[0] = call->inference_geo[0] = '\0';
	call->usage.provider_cost_pusd = -1;
	memset(call->usage.tokens, 0, sizeof(call->usage.tokens));
	memset(call->usage.tool_units, 0, sizeof(call->usage.tool_units));
}

/* ---- spend ------------------------------------------------------------------------------- */

static void record_spend(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < 4; i++) {
		/* 21:30, 22:30, 23:30 of Monday and 00:30 of Tuesday, UTC */
		plain_call(&call, i, MONDAY_S + 21 * 3600 + 1800 + i * 3600);
		call.cost.cost_pusd = call.cost.list_pusd = 1000000 * (1 << i) + 1;
		call.usage.tokens[TOKEN_INPUT_UNCACHED] = 100;
		call.usage.tokens[TOKEN_OUTPUT_TEXT] = i == 3 ? 0 : 50;
		call.cost.cache_savings_pusd = i ? 5 : -20;
		call.outcome = i == 1 ? OUTCOME_ABORTED : OUTCOME_OK;
		snprintf(call.model, sizeof(call.model), i == 3 ? "two" : "one");
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

static void test_spend_periods(void **state)
{
	(void)state;
	record_spend();
	assert_int_equal(command(cmd_spend, "spend --period=day --output=csv"), EXIT_OK);
	assert_says("\r\n2026-09-28,3,300,");
	assert_says("\r\n2026-09-29,1,100,");
	assert_int_equal(command(cmd_spend, "spend --period=day --timezone=Europe/Berlin "
					    "--output=csv"),
			 EXIT_OK);
	assert_says("\r\n2026-09-28,1,100,"); /* 23:30 in Berlin */
	assert_says("\r\n2026-09-29,3,300,");
	assert_int_equal(command(cmd_spend,
				 "spend --period=hour --timezone=Asia/Kathmandu "
				 "--by=model --since=2026-09-29 --until=2026-09-29T05:00 "
				 "--output=csv"),
			 EXIT_OK);
	assert_says("hour,model,calls");
	assert_says("\r\n2026-09-29T03:00:00+05:45,one,1,");
	assert_says("\r\n2026-09-29T04:00:00+05:45,one,1,");
	assert_silent("2026-09-29T05");
	assert_int_equal(command(cmd_spend, "spend --period=week"), EXIT_OK);
	assert_says("2026-W40");
	assert_silent("time zone");
	assert_int_equal(command(cmd_spend, "spend --period=month --timezone=Asia/Tokyo"), EXIT_OK);
	assert_says("2026-09 ");
	assert_says("time zone: Asia/Tokyo");
}

static void test_spend_efficiency(void **state)
{
	(void)state;
	record_spend();
	assert_int_equal(command(cmd_spend, "spend --efficiency --output=json"), EXIT_OK);
	/* 7000003 pUSD over 3 calls, 450 tokens of which 150 are output */
	assert_says("{\"model\":\"one\",\"calls\":3,");
	assert_says("\"cost_per_call_usd\":\"0.000002333334\",\"tokens_per_call\":\"150\","
		    "\"output_share\":\"0.3333\",\"cost_per_1k_output_usd\":\"0.000046666687\","
		    "\"cache_savings_usd\":\"-0.00000000001\",\"waste_usd\":\"0.000002000001\","
		    "\"aborted_usd\":\"0.000002000001\",\"errored_usd\":\"0\","
		    "\"retried_usd\":\"0\",\"aborted_calls\":1,");
	/* no output at all: not 0, not infinity */
	assert_says("{\"model\":\"two\",\"calls\":1,");
	assert_says("\"output_share\":\"0\",\"cost_per_1k_output_usd\":null,");
	assert_int_equal(command(cmd_spend, "spend --efficiency --where=model=none --output=json"),
			 EXIT_OK);
	assert_says("\"calls\":0,");
	assert_says("\"cost_per_call_usd\":null,\"tokens_per_call\":null,\"output_share\":null,"
		    "\"cost_per_1k_output_usd\":null,");
	assert_int_equal(command(cmd_spend, "spend --efficiency"), EXIT_OK);
	assert_says("COST PER 1K OUTPUT USD");
	for (char *p = printed; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	assert_silent("nan");
	assert_silent("inf");
	assert_int_equal(command(cmd_spend, "spend --output=csv"), EXIT_OK);
	assert_silent("cost_per_call_usd");
	downgrade(3);
	assert_int_equal(command(cmd_spend, "spend --efficiency --output=json"), EXIT_OK);
	assert_says("\"cache_savings_usd\":null,");
}

static void test_refusals(void **state)
{
	static const struct {
		int (*run)(int, char **);
		const char *line, *says;
		int code;
	} cases[] = {
		{cmd_spend, "spend --period=year", "--period: hour, day, week or month",
		 EXIT_USAGE},
		{cmd_spend, "spend --timezone=Mars/Base", "unknown time zone 'Mars/Base'",
		 EXIT_USAGE},
		{cmd_spend, "spend --report.timezone=Mars/Base", "report.timezone: unknown",
		 EXIT_CONFIG},
		{cmd_spend, "spend --since=2026-02-31", "'2026-02-31' is no time", EXIT_USAGE},
		{cmd_spend, "spend --where=week=2025-W53", "no week=2025-W53 in UTC", EXIT_USAGE},
		{cmd_spend, "spend --timezone=America/Sao_Paulo --since=2018-11-04T00:00",
		 "is no time in America/Sao_Paulo", EXIT_USAGE},
		{cmd_events, "events --timezone=Mars/Base", "unknown time zone", EXIT_USAGE},
		{cmd_whatif, "whatif --from=a", "--to=MODEL are needed", EXIT_USAGE},
		{cmd_whatif, "whatif --from=one --to=nobodys", "no price of 'nobodys'", EXIT_USAGE},
		{cmd_whatif, "whatif --from=one --to=claude-haiku-4-5",
		 "--to: several providers have 'claude-haiku-4-5'; choose with --to-provider: ",
		 EXIT_USAGE},
		{cmd_whatif, "whatif --from=nobodys --to=gpt-4o-mini --to-provider=openai",
		 "no call of 'nobodys'", EXIT_FAILED},
		{cmd_forecast, "forecast --days=7", "from 8 to 366", EXIT_USAGE},
		{cmd_forecast, "forecast --by=week", "not by week", EXIT_USAGE},
		{cmd_forecast, "forecast --at=2026-10-01", "at least 8 are needed", EXIT_FAILED},
	};

	(void)state;
	record_spend();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(command(cases[i].run, cases[i].line), cases[i].code);
		assert_says(cases[i].says);
		assert_ptr_equal(strchr(printed, '\n') + 1, strchr(printed, '\0')); /* one line */
	}
}

/* ---- whatif ------------------------------------------------------------------------------ */

static void haiku(struct call *call, uint32_t n, int64_t at_s)
{
	plain_call(call, n, at_s);
	snprintf(call->provider, sizeof(call->provider), "anthropic");
	snprintf(call->model, sizeof(call->model), "claude-haiku-4-5-20251001");
	/* 1 + 0.2 + 3.75 + 2 thousandths of a dollar */
	call->usage.tokens[TOKEN_INPUT_UNCACHED] = 1000;
	call->usage.tokens[TOKEN_INPUT_CACHE_READ] = 2000;
	call->usage.tokens[TOKEN_INPUT_CACHE_WRITE_5M] = 3000;
	call->usage.tokens[TOKEN_OUTPUT_TEXT] = 400;
	call->cost.cost_pusd = call->cost.list_pusd = 6950000000;
}

static void record_haiku(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	haiku(&call, 0, MONDAY_S + 3600);
	assert_int_equal(ledger_append(l, &call), 0);
	haiku(&call, 1, MONDAY_S + DAY_S);
	call.basis = BASIS_PARTIAL;
	assert_int_equal(ledger_append(l, &call), 0);
	haiku(&call, 2, MONDAY_S + DAY_S); /* the other model reads no pages */
	call.usage.tool_units[TOOL_PAGES] = 3;
	assert_int_equal(ledger_append(l, &call), 0);
	haiku(&call, 3, MONDAY_S + DAY_S);
	call.cost.cost_pusd = call.cost.list_pusd = -1;
	call.basis = BASIS_UNPRICED;
	assert_int_equal(ledger_append(l, &call), 0);
	haiku(&call, 4, MONDAY_S + DAY_S); /* another row is its bill */
	call.collapsed_by = COLLAPSED_RESPONSE_ID;
	call.billable = false;
	assert_int_equal(ledger_append(l, &call), 0);
	plain_call(&call, 5, MONDAY_S + DAY_S); /* another model */
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
}

static void test_whatif(void **state)
{
	char loss[256];
	sqlite3 *db;

	(void)state;
	record_haiku();
	assert_int_equal(command(cmd_whatif, "whatif --from=claude-haiku-4-5 --to=gpt-4o-mini "
					     "--to-provider=openai --output=json"),
			 EXIT_OK);
	/* (1000 + 3000) * 0.15 + 2000 * 0.075 + 400 * 0.6 = 990 millionths */
	assert_says("{\"period\":\"2026-09-28\",\"model\":\"claude-haiku-4-5-20251001\","
		    "\"calls\":1,\"compared\":1,\"cost_usd\":\"0.00695\","
		    "\"whatif_usd\":\"0.00099\",\"difference_usd\":\"-0.00596\","
		    "\"unpriced_now\":0,\"unpriced_then\":0,\"lower_bound\":0,"
		    "\"to_provider\":\"openai\",\"to_model\":\"gpt-4o-mini\","
		    "\"assumes\":\"same_tokens\",\"total\":false}");
	assert_says("{\"period\":\"2026-09-29\",\"model\":\"claude-haiku-4-5-20251001\","
		    "\"calls\":3,\"compared\":1,\"cost_usd\":\"0.00695\","
		    "\"whatif_usd\":\"0.00099\",\"difference_usd\":\"-0.00596\","
		    "\"unpriced_now\":1,\"unpriced_then\":1,\"lower_bound\":1,");
	assert_says("{\"period\":null,\"model\":null,\"calls\":4,\"compared\":2,"
		    "\"cost_usd\":\"0.0139\",\"whatif_usd\":\"0.00198\","
		    "\"difference_usd\":\"-0.01192\",");
	assert_int_equal(command(cmd_whatif, "whatif --from=claude-haiku-4-5-20251001 "
					     "--to=gpt-4o-mini --to-provider=openai --period=week"),
			 EXIT_OK);
	assert_says("2026-W40  claude-haiku-4-5-20251001      4         2    0.0139     0.00198  "
		    "      -0.01192");
	assert_says("another model would count and write other");
	assert_says("2 calls without a price, now or then, are in neither sum");
	assert_says("at least: 1 of the calls");
	assert_silent("lost");
	db = open_sqlite();
	snprintf(loss, sizeof(loss), "INSERT INTO losses VALUES(1,%lld,%lld,'agent_crash',7,1,9,1)",
		 MONDAY_S * 1000000, MONDAY_S * 1000000 + 5);
	execute(db, loss);
	sqlite3_close(db);
	assert_int_equal(command(cmd_whatif, "whatif --from=claude-haiku-4-5 --to=gpt-4o-mini "
					     "--to-provider=openai"),
			 EXIT_OK);
	assert_says("7 calls were lost and 9 s not metered in this time");
	/* of several providers the calls' own; at its own prices nothing changes */
	assert_int_equal(command(cmd_whatif, "whatif --from=claude-haiku-4-5 --to=claude-haiku-4-5 "
					     "--period=month "
					     "--until=2026-09-29 --output=csv"),
			 EXIT_OK);
	assert_says("2026-09,claude-haiku-4-5-20251001,1,1,0.00695,0.00695,0,0,0,0,");
	/* what nobody prices is counted, and no sum of 0 is shown */
	assert_int_equal(command(cmd_whatif, "whatif --from=claude-haiku-4-5 --to=nobodys "
					     "--to-provider=openai --period=month --output=csv"),
			 EXIT_OK);
	assert_says("2026-09,claude-haiku-4-5-20251001,4,0,,,,1,4,0,");
}

/* ---- forecast ---------------------------------------------------------------------------- */

/* Cents of day t after Monday, without noise. */
static int64_t cents(int64_t t)
{
	static const int64_t pattern[] = {500, 520, 480, 510, 450, 90, 60};

	return pattern[t % 7] + 3 * t;
}

#define CENT_PUSD 10000000000LL

static void record_days(int64_t days, int64_t hole, int64_t hole_end)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (int64_t t = 0; t < days; t++) {
		if (t >= hole && t < hole_end)
			continue;
		for (uint32_t part = 0; part < 2; part++) {
			plain_call(&call, (uint32_t)t * 2 + part, MONDAY_S + t * DAY_S + 43200);
			snprintf(call.model, sizeof(call.model), "model-%u", part);
			call.cost.list_pusd = call.cost.cost_pusd =
				(part ? cents(t) / 3 : cents(t) - cents(t) / 3) * CENT_PUSD;
			assert_int_equal(ledger_append(l, &call), 0);
		}
	}
	ledger_close(l);
}

/* As pusd_format_rounded writes it. */
static const char *dollars(int64_t from, int64_t until)
{
	static char text[PUSD_TEXT_MAX];
	int64_t sum = 0;

	for (int64_t t = from; t < until; t++)
		sum += cents(t);
	return pusd_format_rounded(text, (pusd_sum)sum * CENT_PUSD, 6);
}

/* 2026-11-11 is day 44, November is days 34 to 63. */
#define TODAY 44

static void test_forecast(void **state)
{
	char expected[512];

	(void)state;
	record_days(TODAY + 1, 0, 0);
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-11-11T18:00 --output=json"),
			 EXIT_OK);
	snprintf(expected, sizeof(expected), "\"forecast_usd\":\"%s\"", dollars(34, 64));
	assert_says(expected); /* without noise: to the picodollar */
	snprintf(expected, sizeof(expected), "\"high_95_usd\":\"%s\"", dollars(34, 64));
	assert_says(expected);
	snprintf(expected, sizeof(expected), "\"to_date_usd\":\"%.*s\"",
		 (int)strlen(dollars(34, TODAY + 1)) - 4, dollars(34, TODAY + 1));
	assert_says(expected);
	assert_says("\"trend_usd_per_day\":\"0.030000\",\"method\":\"trend+weekday\",\"days\":28,"
		    "\"days_left\":20,\"days_with_losses\":0,\"days_not_metered\":0,"
		    "\"at_least\":false,\"estimated\":false,\"total\":true}");
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-11-11T18:00 --by=model"),
			 EXIT_OK);
	assert_says("\nmodel-0  2026-11 ");
	assert_says("\nmodel-1  2026-11 ");
	assert_says("\nTOTAL    2026-11 ");
	assert_says("an estimate, from 28 whole days");
	/* days of a zone: the calls of noon are on the same dates */
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-11-11T18:00Z "
					       "--timezone=Asia/Kathmandu --output=json"),
			 EXIT_OK);
	snprintf(expected, sizeof(expected), "\"forecast_usd\":\"%s\"", dollars(34, 64));
	assert_says(expected);
	/* the first day is not whole: 8 days on, 7 are */
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-10-06"), EXIT_FAILED);
	assert_says("7 whole days are recorded; at least 8 are needed");
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-10-07 --output=json"), EXIT_OK);
	assert_says("\"method\":\"trend\",\"days\":8,");
}

/* Days on which no agent ran are not days of 0; days with losses are said. */
static void test_forecast_holes(void **state)
{
	char text[512];
	sqlite3 *db;

	(void)state;
	record_days(TODAY + 1, 25, 28);
	db = open_sqlite();
	snprintf(text, sizeof(text),
		 "INSERT INTO runs(host,started_us,ended_us) VALUES('h',%lld,%lld),('h',%lld,%lld);"
		 "INSERT INTO losses VALUES(1,%lld,%lld,'agent_crash',1,1,9,1)",
		 MONDAY_S * 1000000, (MONDAY_S + 25 * DAY_S) * 1000000 - 1,
		 (MONDAY_S + 28 * DAY_S) * 1000000, (MONDAY_S + 90 * DAY_S) * 1000000,
		 (MONDAY_S + 30 * DAY_S) * 1000000 + 1, (MONDAY_S + 30 * DAY_S) * 1000000 + 2);
	execute(db, text);
	sqlite3_close(db);
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-11-11T18:00 --output=json"),
			 EXIT_OK);
	snprintf(text, sizeof(text), "\"forecast_usd\":\"%s\"", dollars(34, 64));
	assert_says(text);
	assert_says("\"days\":25,\"days_left\":20,\"days_with_losses\":1,\"days_not_metered\":3,"
		    "\"at_least\":true,");
	assert_int_equal(command(cmd_forecast, "forecast --at=2026-11-11T18:00"), EXIT_OK);
	assert_says("1 of the days had losses");
	assert_says("3 days on which no agent ran are left out");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spend_periods), TEST(test_spend_efficiency), TEST(test_refusals),
		TEST(test_whatif),	  TEST(test_forecast),	       TEST(test_forecast_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
