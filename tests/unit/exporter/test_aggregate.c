/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "exporter/aggregate.h"
#include "exporter/promtext.h"
#include "exporter/series.h"
#include "exposition.h"
#include "sample.h"

#include <sys/wait.h>
#include <unistd.h>

static struct aggregate *a;
static char *body;
static size_t body_len;

static int setup(void **state)
{
	(void)state;
	for (int i = 0; i < COUNTERS; i++)
		counter_set((enum counter)i, 0);
	return aggregate_new(&a);
}

static int teardown(void **state)
{
	(void)state;
	aggregate_free(a);
	free(body);
	body = NULL;
	return 0;
}

static void render(bool openmetrics)
{
	free(body);
	body = NULL;
	assert_int_equal(aggregate_render(a, openmetrics, &body, &body_len), 0);
	assert_int_equal(strlen(body), body_len);
}

static void has_line(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(body, whole))
		fail_msg("no line '%s' in:\n%s", line, body);
}

static void add_sample(void)
{
	struct call call;

	sample_call(&call, 0);
	call.workload.pod[0] = call.workload.container[0] = '\0';
	aggregate_add(a, &call, call.model);
}

#define ERRORS_0                                                       \
	"tolltap_request_errors_total{reason=\"invalid_request\"} 0\n" \
	"tolltap_request_errors_total{reason=\"authentication\"} 0\n"  \
	"tolltap_request_errors_total{reason=\"billing\"} 0\n"         \
	"tolltap_request_errors_total{reason=\"permission\"} 0\n"      \
	"tolltap_request_errors_total{reason=\"not_found\"} 0\n"       \
	"tolltap_request_errors_total{reason=\"timeout\"} 0\n"         \
	"tolltap_request_errors_total{reason=\"too_large\"} 0\n"       \
	"tolltap_request_errors_total{reason=\"rate_limit\"} 0\n"      \
	"tolltap_request_errors_total{reason=\"server_error\"} 0\n"    \
	"tolltap_request_errors_total{reason=\"bad_gateway\"} 0\n"     \
	"tolltap_request_errors_total{reason=\"overloaded\"} 0\n"      \
	"tolltap_request_errors_total{reason=\"gateway_timeout\"} 0\n" \
	"tolltap_request_errors_total{reason=\"aborted\"} 0\n"         \
	"tolltap_request_errors_total{reason=\"unknown\"} 0\n"         \
	"tolltap_request_errors_total{reason=\"in_stream\"} 0\n"       \
	"tolltap_request_errors_total{reason=\"other\"} 0\n"

#define WHAT "provider=\"openai\",model=\"gpt-4o-2024-08-06\""
#define OP   WHAT ",operation=\"chat\""

static const char one_call[] =
	"# HELP tolltap_cost_usd_total Cost of calls in US dollars; a lower bound for the bases "
	"estimated, partial and unpriced.\n"
	"# TYPE tolltap_cost_usd_total counter\n"
	"tolltap_cost_usd_total{" WHAT ",basis=\"reported_usage\",unit=\"app.service\"} "
	"0.0005125\n"
	"# HELP tolltap_cost_difference_usd_total What providers say calls cost beyond their list "
	"price (above), or short of it (below).\n"
	"# TYPE tolltap_cost_difference_usd_total counter\n"
	"tolltap_cost_difference_usd_total{" WHAT
	",basis=\"reported_usage\",direction=\"above\"} 0\n"
	"tolltap_cost_difference_usd_total{" WHAT ",basis=\"reported_usage\",direction=\"below\"} "
	"0.000512499923\n"
	"# HELP tolltap_subscription_list_usd_total List price of calls covered by a "
	"subscription; in no other sum.\n"
	"# TYPE tolltap_subscription_list_usd_total counter\n"
	"# HELP tolltap_tokens_total Tokens by disjoint kind.\n"
	"# TYPE tolltap_tokens_total counter\n"
	"tolltap_tokens_total{" WHAT ",kind=\"input_uncached\"} 100\n"
	"tolltap_tokens_total{" WHAT ",kind=\"input_cache_read\"} 50\n"
	"tolltap_tokens_total{" WHAT ",kind=\"output_text\"} 20\n"
	"# HELP tolltap_requests_total Metered calls.\n"
	"# TYPE tolltap_requests_total counter\n"
	"tolltap_requests_total{" OP ",status=\"2xx\",outcome=\"ok\"} 1\n"
	"# HELP tolltap_request_errors_total Calls that failed.\n"
	"# TYPE tolltap_request_errors_total counter\n" ERRORS_0
	"# HELP tolltap_request_duration_seconds From the request's first byte to the answer's "
	"last.\n"
	"# TYPE tolltap_request_duration_seconds histogram\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.01\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.02\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.04\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.08\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.16\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.32\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"0.64\"} 0\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"1.28\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"2.56\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"5.12\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"10.24\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"20.48\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"40.96\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"81.92\"} 1\n"
	"tolltap_request_duration_seconds_bucket{" OP ",le=\"+Inf\"} 1\n"
	"tolltap_request_duration_seconds_sum{" OP "} 1.234567\n"
	"tolltap_request_duration_seconds_count{" OP "} 1\n"
	"# HELP tolltap_time_to_first_token_seconds ";

static void test_one_call(void **state)
{
	(void)state;
	add_sample();
	render(false);
	body[sizeof(one_call) - 1] = '\0';
	assert_string_equal(body, one_call);
}

/* Once for each call that counts, not for what is read back again. */
static void test_mismatch(void **state)
{
	uint64_t before = counter_get(COUNTER_USAGE_MISMATCH);
	struct call call;

	(void)state;
	sample_call(&call, 0);
	call.usage.mismatch = false;
	aggregate_add(a, &call, "m");
	assert_int_equal(counter_get(COUNTER_USAGE_MISMATCH), before);
	call.usage.mismatch = true;
	aggregate_add(a, &call, "m");
	assert_int_equal(counter_get(COUNTER_USAGE_MISMATCH), before + 1);
}

static void test_labels_and_reasons(void **state)
{
	struct call call;

	(void)state;
	sample_call(&call, 0);
	call.basis = BASIS_UNPRICED;
	call.cost.cost_pusd = call.cost.list_pusd = -1;
	call.cost.unpriced = UNPRICED_UNKNOWN_MODEL;
	call.status = 429;
	call.outcome = OUTCOME_ERROR;
	snprintf(call.workload.pod, sizeof(call.workload.pod), "a\"b\\c\nd\xff");
	aggregate_add(a, &call, NULL);
	call.outcome = OUTCOME_ABORTED;
	call.basis = BASIS_PARTIAL;
	call.usage_missing = MISSING_CUT;
	call.status = 0;
	aggregate_add(a, &call, NULL);
	aggregate_ignored(a, "openai", IGNORED_PATH_UNKNOWN);
	aggregate_ignored(a, NULL, IGNORED_UPGRADE);
	aggregate_set_prices(a, "abc123");
	render(false);
	has_line("tolltap_cost_usd_total{provider=\"openai\",model=\"other\",basis=\"unpriced\","
		 "namespace=\"ns\",pod=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",container=\"main\"} 0");
	has_line("tolltap_request_errors_total{reason=\"rate_limit\"} 1");
	has_line("tolltap_request_errors_total{reason=\"aborted\"} 1");
	has_line("tolltap_unpriced_calls_total{reason=\"unknown_model\",provider=\"openai\","
		 "namespace=\"ns\",pod=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",container=\"main\"} 1");
	has_line("tolltap_usage_missing_total{reason=\"cut\",namespace=\"ns\","
		 "pod=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",container=\"main\"} 1");
	has_line("tolltap_usage_missing_total{reason=\"cut\"} 0");
	has_line("tolltap_requests_total{provider=\"openai\",model=\"other\",operation=\"chat\","
		 "status=\"none\",outcome=\"aborted\"} 1");
	has_line("tolltap_requests_ignored_total{provider=\"openai\",reason=\"path_unknown\"} 1");
	has_line("tolltap_requests_ignored_total{provider=\"openai\",reason=\"upgrade\"} 0");
	has_line("tolltap_requests_ignored_total{provider=\"unknown\",reason=\"upgrade\"} 1");
	has_line("tolltap_prices_info{sha256=\"abc123\"} 1");
}

/* Both directions are summed apart and exactly; what is not whole, or has no price, is not
 * compared. */
static void test_difference(void **state)
{
	static const struct {
		enum basis basis;
		int64_t told, listed;
	} calls[] = {
		{BASIS_PROVIDER_REPORTED, 100, 70}, /* above by 30 */
		{BASIS_PROVIDER_REPORTED, 5, 4},    /* above by 1 */
		{BASIS_PROVIDER_REPORTED, 0, 250},  /* below by 250 */
		{BASIS_PROVIDER_REPORTED, 80, 80},  /* the same */
		{BASIS_PROVIDER_REPORTED, INT64_MAX, 0},
		{BASIS_REPORTED_USAGE, 7, 9},	   /* a gateway's figure, below by 2 */
		{BASIS_PROVIDER_REPORTED, -1, 50}, /* not told */
		{BASIS_PROVIDER_REPORTED, 50, -1}, /* not listed */
		{BASIS_PARTIAL, 50, 1},		   /* the cost so far */
	};
	struct call call;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		sample_call(&call, (uint32_t)i);
		call.basis = calls[i].basis;
		call.usage.provider_cost_pusd = calls[i].told;
		call.cost.list_pusd = calls[i].listed;
		aggregate_add(a, &call, call.model);
	}
	render(false);
#define DIFFERENCE(basis, direction)                                                            \
	"tolltap_cost_difference_usd_total{" WHAT ",basis=\"" basis "\",direction=\"" direction \
	"\"} "
	has_line(DIFFERENCE("provider_reported", "above") "9223372.036854775838");
	has_line(DIFFERENCE("provider_reported", "below") "0.00000000025");
	has_line(DIFFERENCE("reported_usage", "above") "0");
	has_line(DIFFERENCE("reported_usage", "below") "0.000000000002");
	assert_null(strstr(body, "basis=\"partial\",direction"));
}

/* Money beyond int64 and a subscription that is in no sum. */
static void test_money(void **state)
{
	struct call call;

	(void)state;
	sample_call(&call, 0);
	call.workload.pod[0] = call.workload.container[0] = call.workload.unit[0] = '\0';
	call.cost.cost_pusd = INT64_MAX;
	aggregate_add(a, &call, call.model);
	aggregate_add(a, &call, call.model);
	call.billing_mode = BILLING_SUBSCRIPTION;
	call.cost.cost_pusd = 0;
	aggregate_add(a, &call, call.model);
	call.usage.tokens[TOKEN_OUTPUT_AUDIO] = INT64_MAX;
	for (int i = 0; i < 3; i++)
		aggregate_add(a, &call, call.model);
	render(false);
	has_line("tolltap_cost_usd_total{" WHAT ",basis=\"reported_usage\"} "
		 "18446744.073709551614");
	has_line("tolltap_subscription_list_usd_total{" WHAT "} 0.00205");
	has_line("tolltap_tokens_total{" WHAT ",kind=\"output_audio\"} 18446744073709551615");
}

static void test_cap_keeps_money(void **state)
{
	const int64_t calls = SERIES_MAX + 50;
	struct call call;

	(void)state;
	sample_call(&call, 0);
	call.workload.pod[0] = call.workload.container[0] = '\0';
	for (int64_t i = 0; i < calls; i++) {
		snprintf(call.workload.unit, sizeof(call.workload.unit), "unit-%d", (int)i);
		aggregate_add(a, &call, call.model);
	}
	render(false);
	has_line("tolltap_cost_usd_total{provider=\"overflow\",model=\"overflow\","
		 "basis=\"overflow\"} 0.025625");
	assert_true(samples_of(body, "tolltap_cost_usd_total", "").sum ==
		    call.cost.cost_pusd * (pusd_sum)calls);
}

static void test_counters_start_at_zero(void **state)
{
	(void)state;
	counter_add(COUNTER_LOST_USER_COPY, 3);
	render(false);
	has_line("tolltap_capture_lost_events_total{reason=\"ring_full\"} 0");
	has_line("tolltap_capture_lost_events_total{reason=\"user_copy\"} 3");
	has_line("tolltap_connections_total{state=\"blind\",reason=\"upgrade\"} 0");
	has_line("# TYPE tolltap_capture_bytes_total counter");
	has_line("tolltap_build_info{version=\"" TOLLTAP_VERSION "\"} 1");
	assert_non_null(strstr(body, "\nprocess_resident_memory_bytes "));
	assert_non_null(strstr(body, "\nprocess_cpu_seconds_total "));
	assert_non_null(strstr(body, "\nprocess_open_fds "));
}

static void test_openmetrics(void **state)
{
	(void)state;
	add_sample();
	render(true);
	has_line("# TYPE tolltap_cost_usd counter");
	has_line("# UNIT tolltap_cost_usd usd");
	has_line("# UNIT tolltap_request_duration_seconds seconds");
	has_line("# UNIT process_resident_memory_bytes bytes");
	has_line("tolltap_tokens_total{" WHAT ",kind=\"output_text\"} 20");
	assert_null(strstr(body, "# TYPE tolltap_requests_total "));
	assert_string_equal(body + body_len - 6, "# EOF\n");
	render(false);
	assert_null(strstr(body, "# UNIT"));
	assert_null(strstr(body, "# EOF"));
}

/* Each family's header appears once, before its samples, and no series appears twice. */
static void test_no_series_twice(void **state)
{
	struct call call;

	(void)state;
	add_sample();
	sample_call(&call, 1);
	aggregate_add(a, &call, NULL);
	render(false);
	for (char *line = body; *line; line = strchr(line, '\n') + 1) {
		char *end = strchr(line, '\n');
		char *stop = *line == '#' ? end : memrchr(line, ' ', (size_t)(end - line)) + 1;
		char *series = strndup(line, (size_t)(stop - line));
		char *again = strstr(end, series);

		if (again && again[-1] == '\n')
			fail_msg("twice: %s", series);
		free(series);
	}
}

/* Prometheus' own reader, where it is installed. */
static void test_promtool(void **state)
{
	struct call call;
	FILE *tool;

	(void)state;
	if (system("command -v promtool >/dev/null 2>&1")) {
		print_message("skipped: promtool is not installed\n");
		skip();
	}
	add_sample();
	sample_call(&call, 1);
	aggregate_add(a, &call, NULL);
	aggregate_ignored(a, "openai", IGNORED_METHOD);
	render(false);
	tool = popen("promtool check metrics 2>&1", "w");
	assert_non_null(tool);
	assert_int_equal(fwrite(body, 1, body_len, tool), body_len);
	assert_int_equal(pclose(tool), 0);
}

/* A family that is printed is documented. */
static void test_documented(void **state)
{
	static char page[64 << 10];
	FILE *doc = fopen("docs/metrics.md", "r");

	(void)state;
	if (!doc) {
		print_message("skipped: not run from the top of the tree\n");
		skip();
	}
	page[fread(page, 1, sizeof(page) - 1, doc)] = '\0';
	fclose(doc);
	aggregate_set_prices(a, "ab");
	render(false);
	for (char *line = body; (line = strstr(line, "# TYPE ")); line++) {
		char quoted[160];

		snprintf(quoted, sizeof(quoted), "`%.*s`", (int)strcspn(line + 7, " "), line + 7);
		if (!strstr(page, quoted))
			fail_msg("docs/metrics.md does not name %s", quoted);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_call),
		TEST(test_mismatch),
		TEST(test_labels_and_reasons),
		TEST(test_money),
		TEST(test_difference),
		TEST(test_cap_keeps_money),
		TEST(test_counters_start_at_zero),
		TEST(test_openmetrics),
		TEST(test_no_series_twice),
		TEST(test_promtool),
		TEST(test_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
