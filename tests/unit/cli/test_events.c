/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/cli/events.h"
#include "exporter/ledger.h"
#include "unit/exporter/sample.h"

#include <cjson/cJSON.h>
#include <unistd.h>

static char dir[64];
static char printed[64 << 10];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tolltap-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	remove_tree(dir);
	return 0;
}

static void print_one(const struct call *call, enum output_form form, enum events_view view)
{
	struct event event = {.seq = 9, .revision = 1, .call = *call};
	struct events_printer *p;
	FILE *stream = fmemopen(printed, sizeof(printed), "w");

	assert_int_equal(events_printer_new(&p, stream, form, view), 0);
	events_printer_print(p, &event);
	assert_int_equal(events_printer_end(p), 0);
	fclose(stream);
}

static const char known_line[] =
	"{\"event_id\":\"746f6c6c7461702d7465737400000000\","
	"\"started_at\":\"2026-11-22T06:33:15.000001Z\",\"duration_ms\":1234.567,"
	"\"time_to_first_token_ms\":345.678,\"provider\":\"openai\",\"host\":\"api.openai.com\","
	"\"operation\":\"chat\",\"api\":\"chat.completions\",\"model_requested\":\"gpt-4o\","
	"\"model\":\"gpt-4o-2024-08-06\",\"stream\":true,\"status\":200,\"outcome\":\"ok\","
	"\"basis\":\"reported_usage\",\"tokens\":{\"input_uncached\":100,\"input_cache_read\":50,"
	"\"output_text\":20},\"usage_raw\":{\"prompt_tokens\":150,\"details\":{\"cached_tokens\":"
	"50}},\"usage_conflict\":false,\"usage_missing\":\"incomplete\",\"estimated_by\":null,"
	"\"tool_units\":{\"web_"
	"search\":2},\"cost_usd\":\"0."
	"0005125\",\"cost_pusd\":512500000,"
	"\"list_cost_usd\":\"0.0005125\",\"list_cost_pusd\":512500000,\"billable\":true,"
	"\"billed_by\":\"openai\",\"collapsed_by\":null,\"price_id\":\"openai/gpt-4o@2024-08-06\","
	"\"prices_sha256\":\"ab\",\"service_tier\":\"default\",\"billing_mode\":\"metered\","
	"\"batch\":true,"
	"\"response_id\":\"chatcmpl-1\",\"request_id\":\"req_1\",\"attempt\":1,"
	"\"operation_id\":\"op-1\",\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\","
	"\"session_id\":\"s-1\",\"run_id\":\"0af7651916cd43dd8448eb211c80319c\",\"joined_by\":"
	"\"trace_id\",\"key_fingerprint\":\"0badcafe\",\"workload\":{\"pid\":4242,"
	"\"uid\":1000,\"user\":\"alice\",\"comm\":\"python3\",\"exe\":\"/usr/bin/python3.11\","
	"\"cgroup\":\"/system.slice/app.service\",\"container_id\":\"c0ffee\","
	"\"unit\":\"app.service\",\"slice\":\"system.slice\",\"login\":\"bob\","
	"\"login_session\":\"c1\",\"started_by\":\"agent/claude\","
	"\"argv\":\"--job=nightly\",\"namespace\":\"ns\",\"pod\":\"pod-1\","
	"\"pod_uid\":\"1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901\",\"container\":\"main\","
	"\"node\":\"node-1\"},\"on_behalf_of\":null,\"tags\":{\"team\":\"pay\\\"ments\","
	"\"feature\":\"search\"},"
	"\"gaps\":1}\n";

/* Nothing known: every key is there, null; the objects that hold facts are empty. */
static const char unknown_line[] =
	"{\"event_id\":\"00000000000000000000000000000000\","
	"\"started_at\":\"1970-01-01T00:00:00.000000Z\",\"duration_ms\":0.000,"
	"\"time_to_first_token_ms\":null,\"provider\":null,\"host\":null,\"operation\":null,"
	"\"api\":null,\"model_requested\":null,\"model\":null,\"stream\":false,\"status\":null,"
	"\"outcome\":null,\"basis\":\"unpriced\",\"tokens\":null,\"usage_raw\":null,"
	"\"usage_conflict\":false,\"usage_missing\":null,\"estimated_by\":null,\"tool_units\":{},"
	"\"cost_usd\":null,"
	"\"cost_pusd\":null,\"list_"
	"cost_usd\":null,"
	"\"list_cost_pusd\":null,\"billable\":false,\"billed_by\":null,\"collapsed_by\":null,"
	"\"price_id\":null,"
	"\"prices_sha256\":null,\"service_tier\":null,\"billing_mode\":\"metered\",\"batch\":false,"
	"\"response_id\":null,\"request_id\":null,\"attempt\":0,\"operation_id\":null,"
	"\"trace_id\":null,\"session_id\":null,\"run_id\":null,\"joined_by\":null,\"key_"
	"fingerprint\":null,\"workload\":{},\"on_"
	"behalf_of\":null,"
	"\"tags\":{},\"gaps\":0}\n";

static void test_json_line(void **state)
{
	struct call unknown = {.time_to_first_token_us = -1,
			       .outcome = OUTCOME_UNKNOWN,
			       .basis = BASIS_UNPRICED,
			       .cost = {.list_pusd = -1, .cost_pusd = -1}};
	struct call call;

	(void)state;
	sample_call(&call, 0);
	print_one(&call, OUTPUT_JSON, false);
	assert_string_equal(printed, known_line);
	print_one(&unknown, OUTPUT_JSON, false);
	assert_string_equal(printed, unknown_line);
}

/* Every key the contract names is in the line, and the line is one JSON object. */
static void test_contract_keys(void **state)
{
	static const char *const keys[] = {
		"event_id",	   "started_at",    "duration_ms",   "time_to_first_token_ms",
		"provider",	   "host",	    "operation",     "api",
		"model_requested", "model",	    "stream",	     "status",
		"outcome",	   "basis",	    "tokens",	     "usage_raw",
		"usage_conflict",  "usage_missing", "tool_units",    "cost_usd",
		"cost_pusd",	   "price_id",	    "prices_sha256", "service_tier",
		"billing_mode",	   "response_id",   "request_id",    "attempt",
		"operation_id",	   "trace_id",	    "session_id",    "key_fingerprint",
		"workload",	   "tags",	    "gaps",	     "list_cost_pusd",
		"billable",	   "billed_by",	    "collapsed_by",  "on_behalf_of",
		"estimated_by"};
	static const char *const wide_keys[] = {"tag_sources",	   "seq",
						"revision",	   "host_role",
						"unpriced_reason", "credential_kind"};
	struct call call = {.basis = BASIS_NOT_BILLED};
	cJSON *json;

	(void)state;
	print_one(&call, OUTPUT_JSON, false);
	json = cJSON_Parse(printed);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_true(cJSON_HasObjectItem(json, keys[i]));
	cJSON_Delete(json);
	sample_call(&call, 0);
	print_one(&call, OUTPUT_JSON, true);
	json = cJSON_Parse(printed);
	for (size_t i = 0; i < ARRAY_LEN(wide_keys); i++)
		assert_true(cJSON_HasObjectItem(json, wide_keys[i]));
	json = (cJSON_Delete(json), cJSON_Parse(strstr(printed, "{\"team\":\"env\"")));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "feature")), "header");
	cJSON_Delete(json);
}

/* RFC 4180: CRLF, quotes around a quote, a comma; a header of the same number of fields. */
static void test_csv(void **state)
{
	struct call call;
	size_t fields[2] = {1, 1};
	bool quoted = false;
	int line = 0;

	(void)state;
	sample_call(&call, 0);
	snprintf(call.workload.comm, sizeof(call.workload.comm), "a \"b\",c");
	print_one(&call, OUTPUT_CSV, false);
	for (const char *p = printed; *p; p++) {
		quoted ^= *p == '"';
		if (*p == ',' && !quoted)
			fields[line]++;
		if (*p == '\n' && !quoted) {
			assert_int_equal(p[-1], '\r');
			line++;
		}
	}
	assert_int_equal(line, 2);
	assert_int_equal(fields[0], fields[1]);
	assert_non_null(strstr(printed, ",\"a \"\"b\"\",c\","));
	assert_non_null(strstr(printed, ",0.0005125,512500000,"));
}

static char *csv_of(const char *text)
{
	static const struct output_column columns[] = {{"text", OUTPUT_LEFT}, {"n", OUTPUT_LEFT}};
	static char csv[256];
	struct output *o;
	FILE *f = tmpfile();

	assert_int_equal(output_new(&o, f, OUTPUT_CSV, columns, 2), 0);
	output_text(o, text);
	output_int(o, -1);
	output_row(o);
	assert_int_equal(output_end(o), 0);
	rewind(f);
	csv[fread(csv, 1, sizeof(csv) - 1, f)] = '\0';
	fclose(f);
	return csv;
}

/* What a spreadsheet would take for a formula is text in it; a number is a number. */
static void test_csv_is_safe_for_spreadsheets(void **state)
{
	static const char *const cases[][2] = {
		{"=1+1", "'=1+1"},
		{"+1", "'+1"},
		{"@SUM(A1)", "'@SUM(A1)"},
		{"-1+1", "'-1+1"},
		{"-", "'-"},
		{"-.5", "'-.5"},
		{"-1.", "'-1."},
		{"-1e5", "'-1e5"},
		{"\t=1", "'\t=1"},
		{"\r=1", "\"'\r=1\""},
		{"\n=1", "\"'\n=1\""},
		{"=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""},
		{"\uff1d1", "'\uff1d1"},
		{"-0.000512500", "-0.000512500"},
		{"-12", "-12"},
		{"gpt-4=o+", "gpt-4=o+"},
		{"'=1", "'=1"},
		{"", ""},
	};
	char expected[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(expected, sizeof(expected), "text,n\r\n%s,-1\r\n", cases[i][1]);
		assert_string_equal(csv_of(cases[i][0]), expected);
	}
}

static void test_table_is_safe_for_terminals(void **state)
{
	struct call call;

	(void)state;
	sample_call(&call, 0);
	snprintf(call.workload.comm, sizeof(call.workload.comm), "\033[2Jx\xc2\x9b");
	print_one(&call, OUTPUT_TABLE, false);
	assert_null(strchr(printed, '\033'));
	assert_null(strchr(printed, '\xc2'));
	assert_non_null(strstr(printed, "?[2Jx?"));
	assert_non_null(strstr(printed, "gpt-4o-2024-08-06"));
}

/* Bytes that are not UTF-8 may stand in a process name; the line stays valid JSON. */
static void test_json_bytes(void **state)
{
	static const struct {
		const char *comm, *json;
	} cases[] = {
		{"a\xff"
		 "b",
		 "\"comm\":\"a\xef\xbf\xbd"
		 "b\""},
		{"\xc3\xa9", "\"comm\":\"\xc3\xa9\""},
		{"\xed\xa0\x80", "\"comm\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf0\x9f\x98", "\"comm\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\"\\\n", "\"comm\":\"\\\"\\\\\\u000a\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct call call = {0};

		snprintf(call.workload.comm, sizeof(call.workload.comm), "%s", cases[i].comm);
		print_one(&call, OUTPUT_JSON, false);
		assert_non_null(strstr(printed, cases[i].json));
	}
}

/* ---- the commands, as run ---------------------------------------------------------------- */

static int run(int (*command)(int, char **), const char *name, const char *flags)
{
	static char text[512];
	char *argv[16], *rest = text;
	int argc = 0, saved = dup(STDOUT_FILENO), rc;
	char path[128];
	ssize_t n;
	FILE *f;

	snprintf(text, sizeof(text), "%s --storage.path=%s%s", name, dir, flags);
	while (argc < 15 && (argv[argc] = strsep(&rest, " ")))
		argc++;
	argv[argc] = NULL;
	snprintf(path, sizeof(path), "%s/out", dir);
	f = fopen(path, "w+");
	assert_non_null(f);
	fflush(stdout);
	dup2(fileno(f), STDOUT_FILENO);
	rc = command(argc, argv);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	n = pread(fileno(f), printed, sizeof(printed) - 1, 0);
	assert_true(n >= 0);
	printed[n] = '\0';
	fclose(f);
	return rc;
}

static void fill_ledger(void)
{
	char err[LEDGER_ERROR_MAX];
	struct ledger *l;
	struct call call;

	assert_int_equal(ledger_open(&l, dir, NULL, err, sizeof(err)), 0);
	sample_call(&call, 0);
	assert_int_equal(ledger_append(l, &call), 0);
	sample_call(&call, 1);
	call.model[0] = '\0';
	call.basis = BASIS_UNPRICED;
	call.cost.cost_pusd = call.cost.list_pusd = -1;
	assert_int_equal(ledger_append(l, &call), 0);
	sample_call(&call, 2);
	call.billing_mode = BILLING_SUBSCRIPTION;
	call.cost.cost_pusd = 0;
	assert_int_equal(ledger_append(l, &call), 0);
	ledger_close(l);
}

static void test_events_command(void **state)
{
	(void)state;
	assert_int_equal(run(cmd_events, "events", ""), EXIT_STORAGE);
	fill_ledger();
	assert_int_equal(run(cmd_events, "events", " --output=json --limit=2"), EXIT_OK);
	assert_non_null(strstr(printed, "\"event_id\":\"746f6c6c7461702d7465737401000000\""));
	assert_null(strstr(printed, "\"event_id\":\"746f6c6c7461702d7465737400000000\""));
	assert_true(strstr(printed, "7401000000\"") < strstr(printed, "7402000000\""));
	assert_int_equal(run(cmd_events, "events",
			     " --output=json "
			     "--where=model=(none)"),
			 EXIT_OK);
	assert_int_equal(strncmp(printed, "{\"event_id\":\"746f6c6c7461702d7465737401", 38), 0);
	assert_null(strstr(printed, "7402000000\""));
	assert_int_equal(run(cmd_events, "events", " --where=colour=red"), EXIT_USAGE);
	assert_int_equal(run(cmd_events, "events", " --since=yesterday"), EXIT_USAGE);
	assert_int_equal(run(cmd_events, "events", " --limit=0"), EXIT_USAGE);
}

static const char spend_lines[] =
	"{\"model\":\"gpt-4o-2024-08-06\",\"comm\":\"python3\",\"calls\":2,"
	"\"tokens\":{\"input_uncached\":200,\"input_cache_read\":100,\"output_text\":40},"
	"\"tool_units\":{\"web_search\":4},\"cost_usd\":\"0.0005125\",\"at_least\":false,"
	"\"estimated\":false,"
	"\"cost_by_basis\":{\"reported_usage\":\"0.0005125\"},"
	"\"calls_by_basis\":{\"reported_usage\":2},\"calls_unpriced\":0,"
	"\"subscription_list_usd\":\"0.0005125\",\"total\":false}\n"
	"{\"model\":\"(none)\",\"comm\":\"python3\",\"calls\":1,"
	"\"tokens\":{\"input_uncached\":100,\"input_cache_read\":50,\"output_text\":20},"
	"\"tool_units\":{\"web_search\":2},\"cost_usd\":\"0\",\"at_least\":true,\"estimated\":"
	"false,"
	"\"cost_by_basis\":{\"unpriced\":\"0\"},\"calls_by_basis\":{\"unpriced\":1},"
	"\"calls_unpriced\":1,\"subscription_list_usd\":\"0\",\"total\":false}\n"
	"{\"model\":null,\"comm\":null,\"calls\":3,"
	"\"tokens\":{\"input_uncached\":300,\"input_cache_read\":150,\"output_text\":60},"
	"\"tool_units\":{\"web_search\":6},\"cost_usd\":\"0.0005125\",\"at_least\":true,"
	"\"estimated\":false,"
	"\"cost_by_basis\":{\"reported_usage\":\"0.0005125\",\"unpriced\":\"0\"},"
	"\"calls_by_basis\":{\"reported_usage\":2,\"unpriced\":1},\"calls_unpriced\":1,"
	"\"subscription_list_usd\":\"0.0005125\",\"total\":true}\n";

static void test_spend_command(void **state)
{
	(void)state;
	fill_ledger();
	assert_int_equal(run(cmd_spend, "spend", " --by=model,comm --output=json"), EXIT_OK);
	assert_string_equal(printed, spend_lines);
	assert_int_equal(run(cmd_spend, "spend", " --by=tag:feature"), EXIT_OK);
	assert_non_null(strstr(printed, "at least 0.0005125"));
	assert_non_null(strstr(printed, "\nTOTAL"));
	assert_int_equal(run(cmd_spend, "spend", " --since=2099-01-01 --output=json"), EXIT_OK);
	assert_int_equal(strncmp(printed, "{\"model\":null,\"calls\":0,", 24), 0);
	assert_int_equal(run(cmd_spend, "spend", " --by= --output=json"), EXIT_OK);
	assert_int_equal(strncmp(printed, "{\"calls\":3,", 11), 0);
	assert_int_equal(strchr(printed, '\n') - printed, strlen(printed) - 1);
	assert_int_equal(run(cmd_spend, "spend", " --by=colour"), EXIT_USAGE);
	assert_int_equal(run(cmd_spend, "spend", " --nonsense"), EXIT_USAGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A row for each tag with where it comes from; a call without any has one that says so. */
static void test_tags_view(void **state)
{
	struct call call;

	(void)state;
	sample_call(&call, 0);
	print_one(&call, OUTPUT_CSV, EVENTS_TAGS);
	assert_string_equal(printed,
			    "event_id,started_at,comm,model,tag,value,source\r\n"
			    "746f6c6c7461702d7465737400000000,2026-11-22T06:33:15.000001Z,python3,"
			    "gpt-4o-2024-08-06,team,\"pay\"\"ments\",env\r\n"
			    "746f6c6c7461702d7465737400000000,2026-11-22T06:33:15.000001Z,python3,"
			    "gpt-4o-2024-08-06,feature,search,header\r\n");
	call.tags.count = 0;
	print_one(&call, OUTPUT_JSON, EVENTS_TAGS);
	assert_non_null(strstr(printed, "\"tag\":null,\"value\":null,\"source\":null}\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_json_line),
		TEST(test_contract_keys),
		TEST(test_csv),
		cmocka_unit_test(test_csv_is_safe_for_spreadsheets),
		TEST(test_table_is_safe_for_terminals),
		TEST(test_json_bytes),
		TEST(test_events_command),
		TEST(test_spend_command),
		TEST(test_tags_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
