/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor says of calls without usage. */
#include "../exporter/ledger_dir.h"
#include "agent/cli/missing.h"

static char told[64][1024];
static size_t told_count;

static void tell(void *user, const char *line)
{
	(void)user;
	assert_in_range(told_count, 0, 63);
	snprintf(told[told_count++], sizeof(told[0]), "%s", line);
}

static void record_missing(struct ledger *l, uint32_t n, enum usage_missing reason,
			   const char *comm, const char *pod)
{
	struct call call;

	sample_call(&call, n);
	call.usage_missing = reason;
	call.basis = reason ? BASIS_ESTIMATED : BASIS_REPORTED_USAGE;
	snprintf(call.workload.comm, sizeof(call.workload.comm), "%s", comm);
	snprintf(call.workload.pod, sizeof(call.workload.pod), "%s", pod);
	assert_int_equal(ledger_append(l, &call), 0);
}

/* n calls of as many workloads, each with one call more than the one before. */
static void look_at(uint32_t workloads)
{
	struct ledger *l = open_ledger();
	struct query *q;
	uint32_t n = 0;
	char name[16];

	record_missing(l, n++, MISSING_NOT, "curl", "");
	for (uint32_t w = 0; w < workloads; w++) {
		snprintf(name, sizeof(name), "app-%u", w);
		for (uint32_t i = 0; i <= w; i++)
			record_missing(l, n++, MISSING_NOT_ASKED, name, w == 1 ? "web-1" : "");
	}
	ledger_close(l);
	q = open_query();
	told_count = 0;
	assert_int_equal(missing_tell(q, 0, tell, NULL), 0);
	query_close(q);
}

static void each_workload_with_its_remedy(void **state)
{
	(void)state;
	look_at(2);
	assert_int_equal(told_count, 2);
	assert_string_equal(told[0],
			    "app-1 in pod ns/web-1, gpt-4o-2024-08-06: 2 calls, streams that did "
			    "not ask for usage (not_asked); let the client send "
			    "\"stream_options\":{\"include_usage\":true}");
	assert_non_null(strstr(told[1], "app-0 in app.service, gpt-4o-2024-08-06: 1 calls, "));
}

static void nothing_is_missing(void **state)
{
	(void)state;
	look_at(0);
	assert_int_equal(told_count, 0);
}

static void many_workloads_are_a_number(void **state)
{
	(void)state;
	look_at(MISSING_WORKLOADS_MAX + 3);
	assert_int_equal(told_count, MISSING_WORKLOADS_MAX + 1);
	assert_non_null(strstr(told[0], "15 calls"));
	assert_string_equal(
		told[MISSING_WORKLOADS_MAX],
		"3 more workloads, 6 calls: tolltap spend --by=usage_missing,comm,unit,pod");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_workload_with_its_remedy),
		TEST(nothing_is_missing),
		TEST(many_workloads_are_a_number),
	};

	return cmocka_run_group_tests_name("missing usage", tests, NULL, NULL);
}
