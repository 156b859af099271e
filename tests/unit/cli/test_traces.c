/* SPDX-License-Identifier: Apache-2.0 */
/* traces, trace and session as commands: what is joined and by what, exact sums, refusals. */
#include "command.h"
#include "../exporter/older.h"

#define RUNS  20
#define CALLS 7 /* of a run */
#define AT_S  1790553600LL

static void run_call(struct call *call, uint32_t n, int64_t at_ms, int64_t cost_pusd)
{
	sample_call(call, n);
	call->started_at_us = AT_S * 1000000 + at_ms * 1000;
	call->duration_us = 1500;
	call->cost.cost_pusd = call->cost.list_pusd = cost_pusd;
	call->trace_id[0] = call->span_id[0] = call->session_id[0] = call->run_id[0] = '\0';
	call->joined_by = RUN_ALONE;
}

static void set_trace(struct call *call, uint32_t run, uint32_t span)
{
	snprintf(call->trace_id, sizeof(call->trace_id), "%032x", run + 1);
	snprintf(call->span_id, sizeof(call->span_id), "%016x", span);
	snprintf(call->run_id, sizeof(call->run_id), "%s", call->trace_id);
	call->joined_by = RUN_BY_TRACE;
}

static int64_t cost_of(uint32_t run, uint32_t i)
{
	return 1000000007LL * (run + 1) + 13 * i;
}

static void append(struct ledger *l, const struct call *call)
{
	assert_int_equal(ledger_append(l, call), 0);
}

/* Turn about: one process, one connection, one model; and a call of none after each round. */
static void record_interleaved(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < CALLS; i++) {
		for (uint32_t run = 0; run < RUNS; run++) {
			uint32_t n = i * RUNS + run;

			run_call(&call, n, n, cost_of(run, i));
			set_trace(&call, run, i);
			append(l, &call);
		}
		run_call(&call, 1000 + i, i * RUNS, 3);
		append(l, &call);
	}
	ledger_close(l);
}

static const char *usd(pusd_sum sum)
{
	static char text[PUSD_TEXT_MAX];

	return pusd_format(text, sum);
}

static pusd_sum run_cost(uint32_t run)
{
	pusd_sum sum = 0;

	for (uint32_t i = 0; i < CALLS; i++)
		sum += cost_of(run, i);
	return sum;
}

static size_t lines(void)
{
	size_t n = 0;

	for (const char *p = printed; *p; p++)
		n += *p == '\n';
	return n;
}

static void interleaved_runs_stay_apart(void **state)
{
	char line[256];
	pusd_sum all = 3 * CALLS;

	(void)state;
	record_interleaved();
	assert_int_equal(command(cmd_traces, "traces --output=json"), EXIT_OK);
	assert_int_equal(lines(), RUNS + 2);
	for (uint32_t run = 0; run < RUNS; run++) {
		char *at;

		snprintf(line, sizeof(line), "{\"id\":\"%032x\",\"joined_by\":\"trace_id\",",
			 run + 1);
		at = strstr(printed, line);
		assert_non_null(at);
		/* The first and the last call of a run are 6 rounds of 20 ms apart. */
		assert_true(strstr(at, "\"elapsed_ms\":121.500,\"call_ms\":10.500,\"calls\":7,") <
			    strchr(at, '\n'));
		snprintf(line, sizeof(line), "\"cost_usd\":\"%s\",", usd(run_cost(run)));
		assert_non_null(strstr(at, line));
		assert_true(strstr(at, line) < strchr(at, '\n'));
		all += run_cost(run);
	}
	assert_says("{\"id\":\"(none)\",\"joined_by\":null,");
	snprintf(line, sizeof(line), "\"cost_usd\":\"%s\",", usd(all));
	assert_non_null(strstr(strstr(printed, "{\"id\":null,"), line));
	/* What is not shown is in the sum. */
	assert_int_equal(command(cmd_traces, "traces --output=json --limit=3"), EXIT_OK);
	assert_int_equal(lines(), 3 + 3);
	assert_says("{\"id\":\"(older)\",\"joined_by\":null,");
	assert_says("\"calls\":119,");
	assert_non_null(strstr(strstr(printed, "{\"id\":null,"), line));
	assert_int_equal(command(cmd_spend, "spend --by=run --output=json"), EXIT_OK);
	assert_int_equal(lines(), RUNS + 2);
	snprintf(line, sizeof(line), "\"cost_usd\":\"%s\",", usd(run_cost(4)));
	assert_says(line);
}

/* Two runs of one session, and calls of it outside of them; another session without traces. */
static void record_session(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < 8; i++) {
		run_call(&call, i, i * 10, cost_of(0, i));
		snprintf(call.session_id, sizeof(call.session_id), i < 6 ? "s-1" : "s-2");
		snprintf(call.run_id, sizeof(call.run_id), "%s", call.session_id);
		call.joined_by = RUN_BY_SESSION;
		if (i < 4)
			set_trace(&call, i / 2, 1);
		if (i == 3) {
			snprintf(call.model, sizeof(call.model), "gpt-5");
			call.attempt = 2;
			call.outcome = OUTCOME_ERROR;
			call.status = 500;
		}
		append(l, &call);
	}
	ledger_close(l);
}

static void sessions_hold_traces(void **state)
{
	char line[128];

	(void)state;
	record_session();
	assert_int_equal(command(cmd_traces, "traces --output=csv"), EXIT_OK);
	assert_says("\n00000000000000000000000000000001,trace_id,2026-09-28T00:00:00.000000Z,");
	assert_says("\ns-1,session_id,2026-09-28T00:00:00.040000Z,");
	assert_says("\ns-2,session_id,");
	assert_silent("(none)");
	/* With its traces it is whole. */
	assert_int_equal(command(cmd_session, "session s-1 --output=csv"), EXIT_OK);
	snprintf(line, sizeof(line), "\nsession,s-1,,0,,,,,,%s,",
		 usd(cost_of(0, 4) + cost_of(0, 5)));
	assert_says(line);
	assert_says("\ntrace,00000000000000000000000000000002,s-1,1,,,,,,0,");
	assert_says("\nspan,0000000000000001,00000000000000000000000000000002,2,");
	assert_says(",0000000000000001,3,gpt-5,500,error,2,trace_id,,");
	assert_says("\nmodel,gpt-5,,0,gpt-5,");
	assert_silent("s-2");
	assert_int_equal(command(cmd_session, "session s-1 --output=csv --steps"), EXIT_OK);
	assert_silent("\ncall,");
	assert_says("\nmodel,gpt-5,");
	/* One of them, as people see it. */
	assert_int_equal(command(cmd_trace, "trace 00000000000000000000000000000002"), EXIT_OK);
	assert_says("\ntrace 00000000000000000000000000000002 ");
	assert_says("\n  span 0000000000000001 ");
	assert_says("\n    call gpt-5, attempt 2, error 500 ");
	assert_says("\nmodel gpt-5 ");
	assert_silent("session s-1");
	/* What has no trace goes by its session. */
	assert_int_equal(command(cmd_trace, "trace s-1 --output=csv"), EXIT_OK);
	assert_says("\nrun,s-1,,0,");
	assert_silent("\ntrace,");
}

/* The tree's sum is that of spend, to the picodollar. */
static void a_tree_is_what_spend_sums(void **state)
{
	char line[128];

	(void)state;
	record_interleaved();
	assert_int_equal(
		command(cmd_trace, "trace 00000000000000000000000000000005 --output=json --steps"),
		EXIT_OK);
	assert_int_equal(lines(), 2); /* each call is alone in its span */
	snprintf(line, sizeof(line), "\"cost_usd\":\"%s\",\"at_least\":false,", usd(run_cost(4)));
	assert_says(line);
	assert_int_equal(command(cmd_spend, "spend --where=trace=00000000000000000000000000000005 "
					    "--output=json"),
			 EXIT_OK);
	assert_says(line);
}

/* Lost calls may have been its own where they were lost near it, not months away. */
static void losses_near_it_are_told(void **state)
{
	char sql[160];
	sqlite3 *db;

	(void)state;
	record_session();
	db = open_sqlite();
	snprintf(sql, sizeof(sql), "INSERT INTO losses VALUES(1,%lld,%lld,'agent_crash',7,1,9,1)",
		 (AT_S + 7200) * 1000000, (AT_S + 7201) * 1000000);
	execute(db, sql);
	assert_int_equal(command(cmd_session, "session s-2"), EXIT_OK);
	assert_silent("at least");
	snprintf(sql, sizeof(sql), "UPDATE losses SET since_us=%lld", (AT_S + 600) * 1000000);
	execute(db, sql);
	sqlite3_close(db);
	assert_int_equal(command(cmd_session, "session s-2"), EXIT_OK);
	assert_says("at least");
}

/* A run whose calls tell nothing themselves: one row, and one that goes on from it joins it. */
static void runs_without_a_name(void **state)
{
	struct ledger *l = open_ledger();
	struct call call;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		run_call(&call, i, i * 10, cost_of(0, i));
		snprintf(call.run_id, sizeof(call.run_id), i < 3 ? "run-a" : "run-b");
		call.joined_by = i == 1 ? RUN_BY_RESPONSE : i == 2 ? RUN_BY_TOOL_CALL : RUN_ALONE;
		append(l, &call);
	}
	ledger_close(l);
	assert_int_equal(command(cmd_traces, "traces --output=csv"), EXIT_OK);
	assert_int_equal(lines(), 1 + 3);
	assert_says("\nrun-a,tool_call_id,2026-09-28T00:00:00.000000Z,21.500,4.500,3,");
	assert_says("\n(none),,2026-09-28T00:00:00.030000Z,1.500,1.500,1,");
	assert_int_equal(command(cmd_spend, "spend --by=run --output=csv"), EXIT_OK);
	assert_says("\n(none),1,");
	assert_says("\nrun-a,3,");
	assert_int_equal(command(cmd_trace, "trace run-a --output=csv"), EXIT_OK);
	assert_says("\nrun,run-a,,0,");
	assert_says(",run-a,1,gpt-4o-2024-08-06,200,ok,1,response_id,");
	assert_says(",run-a,1,gpt-4o-2024-08-06,200,ok,1,,");
}

static void an_older_ledger(void **state)
{
	(void)state;
	record_session();
	downgrade(4);
	assert_int_equal(command(cmd_traces, "traces"), EXIT_STORAGE);
	assert_says("an older Tolltap, which knew no run");
	assert_int_equal(command(cmd_session, "session s-2 --output=csv"), EXIT_OK);
	assert_says("\nsession,s-2,,0,");
}

static void refusals(void **state)
{
	static const struct {
		int (*run)(int, char **);
		const char *line, *says;
		int code;
	} cases[] = {
		{cmd_trace, "trace", "one id is needed", EXIT_USAGE},
		{cmd_trace, "trace a b", "one id is needed", EXIT_USAGE},
		{cmd_trace, "trace (none)", "'(none)' is no trace's id", EXIT_USAGE},
		{cmd_trace, "trace nobodys", "no call of 'nobodys' is recorded", EXIT_FAILED},
		{cmd_session, "session nobodys", "no call of 'nobodys' is recorded", EXIT_FAILED},
		{cmd_session, "session s-1 --until=2026-01-01", "no call of 's-1' is recorded",
		 EXIT_FAILED},
		{cmd_session, "session s-1 --timezone=Mars/Base", "unknown time zone", EXIT_USAGE},
		{cmd_traces, "traces s-1", "tolltap trace s-1", EXIT_USAGE},
		{cmd_traces, "traces --limit=0", "--limit: a number above 0", EXIT_USAGE},
		{cmd_events, "events --limit=x", "--limit: a number above 0", EXIT_USAGE},
		{cmd_traces, "traces --output=xml", "--output", EXIT_USAGE},
	};

	(void)state;
	record_session();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(command(cases[i].run, cases[i].line), cases[i].code);
		assert_says(cases[i].says);
		assert_ptr_equal(strchr(printed, '\n') + 1, strchr(printed, '\0')); /* one line */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(interleaved_runs_stay_apart),
		TEST(sessions_hold_traces),
		TEST(a_tree_is_what_spend_sums),
		TEST(losses_near_it_are_told),
		TEST(runs_without_a_name),
		TEST(an_older_ledger),
		TEST(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
