/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels of workloads and tags: levels, opt-in, bounds, and that no sum ever loses or gains by
 * workloads that come and go, whatever they are called and whenever somebody scrapes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/base/metric_tag.h"
#include "exporter/aggregate.h"
#include "exporter/series.h"
#include "exporter/tag_labels.h"
#include "exposition.h"
#include "sample.h"

#include <errno.h>
#include <unistd.h>

#define COST	  "tolltap_cost_usd_total"
#define SCRAPE_NS (15 * NSEC_PER_SEC)
#define CALL	  512500000 /* of the sample */

static struct aggregate *a;
static char *body;
static uint64_t now_ns;

static int setup(void **state)
{
	(void)state;
	now_ns = 3600 * NSEC_PER_SEC;
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

static void set_labels(const char *level, const char *const *tags, size_t count)
{
	char err[256];

	if (aggregate_set_labels(a, level, tags, count, err, sizeof(err)))
		fail_msg("%s", err);
}

static void render(void)
{
	size_t len;

	free(body);
	body = NULL;
	assert_int_equal(aggregate_render(a, false, &body, &len), 0);
}

/* Who lives at a scrape. */
struct living {
	const struct workload *w;
	size_t count;
};

static void each_living(void *user, workload_fn *told, void *told_user)
{
	const struct living *living = user;

	for (size_t i = 0; i < living->count; i++)
		told(told_user, &living->w[i]);
}

static void scrape(const struct workload *w, size_t count)
{
	struct living living = {w, count};

	now_ns += SCRAPE_NS;
	aggregate_settle(a, now_ns, each_living, &living);
	render();
}

/* Scrapes until what ended is quiet for long enough. */
static void wait_quiet(const struct workload *w, size_t count)
{
	for (uint64_t ns = 0; ns <= BEARER_QUIET_NS; ns += SCRAPE_NS)
		scrape(w, count);
}

static void pod_call(struct call *call, const char *namespace_, const char *owner, const char *pod)
{
	sample_call(call, 0);
	call->tags.count = 0;
	snprintf(call->workload.namespace_, CALL_NAME_MAX, "%s", namespace_);
	snprintf(call->workload.owner, CALL_NAME_MAX, "%s", owner);
	snprintf(call->workload.pod, CALL_NAME_MAX, "%s", pod);
}

static void unit_call(struct call *call, const char *unit)
{
	pod_call(call, "", "", "");
	call->workload.container[0] = '\0';
	slice_copy(call->workload.unit, CALL_NAME_MAX, slice_of(unit));
}

static void has_cost(const char *labels, const char *usd)
{
	char line[1024];

	snprintf(line, sizeof(line),
		 "\n" COST "{provider=\"openai\",model=\"m\",basis=\"reported_usage\"%s%s} %s\n",
		 *labels ? "," : "", labels, usd);
	if (!strstr(body, line))
		fail_msg("no line '%s' in:\n%.3000s", line + 1, body);
}

static pusd_sum cost_with(const char *label)
{
	return samples_of(body, COST, label).sum;
}

/* ---- levels --------------------------------------------------------------------------------- */

static void levels_are_labels(void **state)
{
	static const struct {
		const char *level;
		const char *namespace_, *owner, *pod, *container, *unit;
		const char *labels;
	} rows[] = {
		{"node", "ns", "deployment/api", "api-1", "main", "", ""},
		{"node", "", "", "", "", "app.service", ""},
		{"workload", "ns", "deployment/api", "api-1", "main", "",
		 "namespace=\"ns\",workload=\"deployment/api\""},
		{"workload", "ns", "", "bare", "main", "", "namespace=\"ns\""},
		{"workload", "", "", "", "web", "", "container=\"web\""},
		{"workload", "", "", "", "", "app.service", "unit=\"app.service\""},
		{"container", "ns", "deployment/api", "api-1", "main", "",
		 "namespace=\"ns\",workload=\"deployment/api\",pod=\"api-1\",container=\"main\""},
		{"container", "ns", "", "bare", "main", "",
		 "namespace=\"ns\",pod=\"bare\",container=\"main\""},
		{"container", "", "", "", "web", "", "container=\"web\""},
		{"container", "", "", "", "", "run-u1.service", "unit=\"run-u1.service\""},
		{"container", "", "", "", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call call;

		aggregate_free(a);
		assert_int_equal(aggregate_new(&a), 0);
		set_labels(rows[i].level, NULL, 0);
		pod_call(&call, rows[i].namespace_, rows[i].owner, rows[i].pod);
		slice_copy(call.workload.container, CALL_NAME_MAX, slice_of(rows[i].container));
		slice_copy(call.workload.unit, CALL_NAME_MAX, slice_of(rows[i].unit));
		aggregate_add(a, &call, "m");
		render();
		has_cost(rows[i].labels, "0.0005125");
	}
}

static void a_level_that_is_none_is_refused(void **state)
{
	char err[256];

	(void)state;
	assert_int_equal(aggregate_set_labels(a, "pod", NULL, 0, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "--metrics.level"));
}

/* Every label of every series is one of these, though the call knows much more. */
static void no_label_of_single_users_or_sessions(void **state)
{
	static const char *const allowed[] = {
		"provider",  "model",	 "basis",    "direction",   "kind",
		"operation", "status",	 "outcome",  "reason",	    "le",
		"namespace", "workload", "pod",	     "container",   "unit",
		"state",     "layer",	 "table",    "by",	    "end",
		"result",    "version",	 "tag_team", "tag_feature", "limit",
	};
	static const char *const tags[] = {"team", "feature"};
	struct call call;

	(void)state;
	set_labels("container", tags, ARRAY_LEN(tags));
	sample_call(&call, 1);
	aggregate_add(a, &call, "m");
	unit_call(&call, "app.service");
	aggregate_add(a, &call, "m");
	render();
	for (char *p = body; (p = strstr(p, "=\"")); p++) {
		char *name = p, *end = p;
		bool known = false;

		while (name > body && !strchr("{,", name[-1]))
			name--;
		for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
			known |= slice_eq((struct slice){name, (size_t)(end - name)},
					  slice_of(allowed[i]));
		if (!known)
			fail_msg("label %.*s", (int)(end - name), name);
	}
	assert_null(strstr(body, "alice"));
	assert_null(strstr(body, "\"4242\""));
	assert_null(strstr(body, "0badcafe"));
	assert_null(strstr(body, "s-1"));
}

/* ---- zero before the first ------------------------------------------------------------------ */

static void a_series_is_zero_before_its_first_call(void **state)
{
	struct call call;
	struct samples before, after;

	(void)state;
	pod_call(&call, "ns", "deployment/api", "api-1");
	call.usage_missing = MISSING_NOT;
	aggregate_expect(a, &call, "m");
	scrape(&call.workload, 1);
	has_cost("namespace=\"ns\",workload=\"deployment/api\",pod=\"api-1\",container=\"main\"",
		 "0");
	assert_non_null(strstr(body, "\ntolltap_requests_total{provider=\"openai\",model=\"m\","
				     "operation=\"chat\",status=\"2xx\",outcome=\"ok\"} 0\n"));
	assert_non_null(strstr(body, "kind=\"input_uncached\"} 0\n"));
	before = samples_of(body, COST, "");
	aggregate_add(a, &call, "m");
	scrape(&call.workload, 1);
	after = samples_of(body, COST, "");
	assert_int_equal(after.count, before.count);
	assert_true(after.sum == CALL && before.sum == 0);
	/* None appears but with the first of its siblings, at 0. */
	assert_int_equal(samples_of(body, "tolltap_unpriced_calls_total", "pod=\"api-1\"").count,
			 UNPRICED_REASONS - 1);
	assert_int_equal(samples_of(body, "tolltap_usage_missing_total", "pod=\"api-1\"").count,
			 USAGE_MISSING_REASONS - 1);
}

/* ---- tags ----------------------------------------------------------------------------------- */

static void tags_are_opt_in(void **state)
{
	static const char *const tags[] = {"team", "git.ref-name=5"};
	struct call call;

	(void)state;
	unit_call(&call, "u.service");
	tags_set(&call.tags, SLICE("team"), SLICE("pay\"ments"), TAG_ENV);
	tags_set(&call.tags, SLICE("feature"), SLICE("search"), TAG_HEADER);
	tags_set(&call.tags, SLICE("git.ref-name"), SLICE("main"), TAG_ENV);
	aggregate_add(a, &call, "m");
	render();
	has_cost("unit=\"u.service\"", "0.0005125");
	aggregate_free(a);
	assert_int_equal(aggregate_new(&a), 0);
	set_labels("container", tags, ARRAY_LEN(tags));
	aggregate_add(a, &call, "m");
	render();
	has_cost("tag_team=\"pay\\\"ments\",tag_git_ref_name=\"main\",unit=\"u.service\"",
		 "0.0005125");
	assert_non_null(strstr(body, "kind=\"output_text\",tag_team=\"pay\\\"ments\","
				     "tag_git_ref_name=\"main\"} 20\n"));
	assert_non_null(strstr(body, "outcome=\"ok\",tag_team=\"pay\\\"ments\","
				     "tag_git_ref_name=\"main\"} 1\n"));
	assert_null(strstr(body, "search"));
}

static void each_tag_has_its_own_cap(void **state)
{
	static const char *const tags[] = {"team=3", "feature=5"};
	struct call call;

	(void)state;
	set_labels("node", tags, ARRAY_LEN(tags));
	for (int i = 0; i < 1000; i++) {
		char team[300], feature[64];

		unit_call(&call, "");
		/* Invalid UTF-8, controls, quotes and length: what differs behind the cut is one.
		 */
		memset(team, 'x', sizeof(team) - 1);
		team[sizeof(team) - 1] = '\0';
		snprintf(team, 40, "%d\xff\n\"\\}", i % 10);
		team[strlen(team)] = 'x';
		snprintf(feature, sizeof(feature), "f%d", i % 7);
		tags_set(&call.tags, SLICE("team"), slice_of(team), TAG_ENV);
		tags_set(&call.tags, SLICE("feature"), slice_of(feature), TAG_ENV);
		aggregate_add(a, &call, "m");
	}
	render();
	assert_true(cost_with("") == (pusd_sum)1000 * CALL);
	assert_true(cost_with("tag_team=\"overflow\"") == (pusd_sum)700 * CALL);
	assert_true(cost_with("tag_feature=\"f4\"") > 0);
	assert_null(strstr(body, "\"f5\""));
	assert_true(samples_of(body, COST, "").count <= (3 + 1) * (5 + 1));
}

static void tag_rows(void **state)
{
	static const struct {
		const char *row, *label; /* NULL: refused */
		uint32_t values;
	} rows[] = {
		{"team", "tag_team", 100},
		{"team=1", "tag_team", 1},
		{"Team.x-y_z=1000", "tag_Team_x_y_z", 1000},
		{"9", "tag_9", 100},
		{"customer_id=20", "tag_customer_id", 20},
		{"", NULL, 0},
		{"=5", NULL, 0},
		{"team=", NULL, 0},
		{"team=0", NULL, 0},
		{"team=1001", NULL, 0},
		{"team=-1", NULL, 0},
		{"team=5x", NULL, 0},
		{"te am", NULL, 0},
		{"te\"am", NULL, 0},
		{"t\xc3\xa4g", NULL, 0},
		{"user", NULL, 0},
		{"User-ID", NULL, 0},
		{"session.id=5", NULL, 0},
		{"api_key", NULL, 0},
		{"pid", NULL, 0},
		{"a123456789012345678901234567890123456789012345678901234567890123", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metric_tag tag = {0};
		const char *allowed = metric_tag_parse(rows[i].row, &tag);

		if ((allowed == NULL) != (rows[i].label != NULL))
			fail_msg("'%s': %s", rows[i].row, allowed ? allowed : "accepted");
		if (!allowed) {
			assert_string_equal(tag.label, rows[i].label);
			assert_int_equal(tag.values_max, rows[i].values);
		}
	}
}

static void bad_tags_are_refused_as_a_whole(void **state)
{
	static const char *const same[] = {"git-ref", "git.ref=5"};
	static const char *const many[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
	static const char *const bad[] = {"a", "user_id"};
	static const struct {
		const char *const *tags;
		size_t count;
		const char *says;
	} rows[] = {
		{same, ARRAY_LEN(same), "tag_git_ref"},
		{many, ARRAY_LEN(many), "more than 8"},
		{bad, ARRAY_LEN(bad), "'user_id'"},
	};
	struct call call;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char err[256] = "";

		assert_int_equal(aggregate_set_labels(a, "node", rows[i].tags, rows[i].count, err,
						      sizeof(err)),
				 -EINVAL);
		if (!strstr(err, rows[i].says))
			fail_msg("%s", err);
	}
	unit_call(&call, "u.service"); /* the level is as it was */
	aggregate_add(a, &call, "m");
	render();
	has_cost("unit=\"u.service\"", "0.0005125");
}

/* ---- workloads that end --------------------------------------------------------------------- */

#define API "namespace=\"ns\",workload=\"deployment/api\""

static void a_pod_that_ended_is_told_then_folded(void **state)
{
	struct call one, two;

	(void)state;
	pod_call(&one, "ns", "deployment/api", "api-1");
	pod_call(&two, "ns", "deployment/api", "api-2");
	aggregate_add(a, &one, "m");
	aggregate_add(a, &two, "m");
	scrape(&two.workload, 1); /* the first is gone, but this scrape is the first to see it */
	has_cost(API ",pod=\"api-1\",container=\"main\"", "0.0005125");
	scrape(&two.workload, 1); /* a second scraper still sees it */
	has_cost(API ",pod=\"api-1\",container=\"main\"", "0.0005125");
	wait_quiet(&two.workload, 1);
	has_cost(API, "0.0005125");
	has_cost(API ",pod=\"api-2\",container=\"main\"", "0.0005125");
	assert_null(strstr(body, "api-1"));
	assert_true(cost_with("") == 2 * CALL);
	/* A pod of that name again begins at its own, and its owner's sum goes on. */
	aggregate_add(a, &one, "m");
	scrape(&two.workload, 1);
	has_cost(API ",pod=\"api-1\",container=\"main\"", "0.0005125");
	has_cost(API, "0.0005125");
	assert_true(cost_with("workload=\"deployment/api\"") == 3 * CALL);
	wait_quiet(&two.workload, 1);
	has_cost(API, "0.001025");
	assert_true(cost_with("") == 3 * CALL);
}

/* A call that ends after its pod must be seen by a scrape before the pod's series goes. */
static void what_was_not_told_is_not_folded(void **state)
{
	struct call call;
	struct living none = {0};

	(void)state;
	pod_call(&call, "ns", "deployment/api", "api-1");
	aggregate_add(a, &call, "m");
	scrape(NULL, 0);
	now_ns += 2 * BEARER_QUIET_NS;
	aggregate_add(a, &call, "m");
	for (int i = 0; i < 3; i++) { /* nobody reads */
		now_ns += 2 * BEARER_QUIET_NS;
		aggregate_settle(a, now_ns, each_living, &none);
	}
	render();
	has_cost(API ",pod=\"api-1\",container=\"main\"", "0.001025");
	scrape(NULL, 0);
	has_cost(API, "0.001025");
}

static void who_folds_into_what(void **state)
{
	static const struct {
		const char *level;
		const char *namespace_, *owner, *pod, *container, *unit;
		const char *ended; /* its labels some time after its end */
	} rows[] = {
		{"container", "ns", "", "bare", "main", "", "namespace=\"ns\""},
		{"container", "", "", "", "web", "", ""},
		{"workload", "", "", "", "web", "", ""},
		{"container", "", "", "", "", "session-3.scope", ""},
		{"container", "", "", "", "", "run-u12.service", ""},
		/* These come back under the same name. */
		{"container", "", "", "", "", "nightly.service", "unit=\"nightly.service\""},
		{"workload", "ns", "cronjob/x", "x-1", "main", "",
		 "namespace=\"ns\",workload=\"cronjob/x\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call call;

		aggregate_free(a);
		assert_int_equal(aggregate_new(&a), 0);
		set_labels(rows[i].level, NULL, 0);
		pod_call(&call, rows[i].namespace_, rows[i].owner, rows[i].pod);
		slice_copy(call.workload.container, CALL_NAME_MAX, slice_of(rows[i].container));
		slice_copy(call.workload.unit, CALL_NAME_MAX, slice_of(rows[i].unit));
		aggregate_add(a, &call, "m");
		scrape(&call.workload, 1);
		wait_quiet(&call.workload, 1); /* it lives, without a call */
		assert_int_equal(samples_of(body, COST, "").count, 1);
		assert_true(*rows[i].pod == '\0' || strcmp(rows[i].level, "container") ||
			    strstr(body, rows[i].pod));
		wait_quiet(NULL, 0);
		has_cost(rows[i].ended, "0.0005125");
		assert_int_equal(samples_of(body, COST, "").count, 1);
	}
}

/* ---- many ----------------------------------------------------------------------------------- */

#define PODS 10000

static const char *const counters[] = {
	COST,
	"tolltap_tokens_total",
	"tolltap_requests_total",
	"tolltap_unpriced_calls_total",
	"tolltap_usage_missing_total",
};

static void hold_the_cap(void)
{
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		assert_true(samples_of(body, counters[i], "").count <= SERIES_MAX + 1);
}

/* The nth short pod: hostile in whatever others choose. */
static void hostile_call(struct call *call, int n)
{
	char owner[64], pod[64], text[64];

	snprintf(owner, sizeof(owner), "job/%c\"\n\xff", 'a' + n % 3);
	snprintf(pod, sizeof(pod), "}\xc0%d,\\pod=\"x", n);
	pod_call(call, n % 2 ? "ns\"1" : "\xfe", owner, pod);
	snprintf(call->model, sizeof(call->model), "model-%d\"} 1\n" COST "{} 999", n);
	snprintf(text, sizeof(text), "t%d\n# EOF\x01\xf0\x9f", n);
	tags_set(&call->tags, SLICE("team"), slice_of(text), TAG_HEADER);
	call->cost.cost_pusd = call->cost.list_pusd = n + 1;
}

static void short_pods_hold_cap_and_sum(void **state)
{
	static const char *const tags[] = {"team=20"};
	pusd_sum all = 0, of_a = 0, of_a_before = 0;

	(void)state;
	set_labels("container", tags, ARRAY_LEN(tags));
	for (int n = 0; n < PODS; n++) {
		struct call call;

		hostile_call(&call, n);
		aggregate_expect(a, &call, NULL);
		aggregate_add(a, &call, NULL);
		all += n + 1;
		of_a += n % 3 == 0 ? n + 1 : 0;
		if (n % 500 != 499)
			continue;
		scrape(NULL, 0);
		hold_the_cap();
		assert_true(cost_with("") == all);
		/* The owner's sum never falls, and nobody else got its money. */
		assert_true(cost_with("workload=\"job/a") == of_a);
		assert_true(of_a > of_a_before);
		of_a_before = of_a;
		assert_true(samples_of(body, "tolltap_requests_total", "").sum ==
			    (pusd_sum)(n + 1) * PUSD_PER_USD);
		assert_null(strstr(body, "\n" COST "{} 999"));
	}
	/* There was room for all of them: none had to go to the overflow. */
	assert_null(strstr(body, "basis=\"overflow\""));
	wait_quiet(NULL, 0);
	assert_true(cost_with("") == all);
	/* 3 owners, 2 namespaces, 20 teams and the overflow's: what is left of 10,000 pods. */
	assert_true(samples_of(body, COST, "").count <= 3 * 2 * 21);
	assert_null(strstr(body, "pod="));
}

/* Nobody scrapes: nothing may be folded, and the overflow keeps what has no room. */
static void without_scrapes_the_overflow_keeps_the_money(void **state)
{
	static const char *const tags[] = {"team=1000"};
	pusd_sum all = 0;

	(void)state;
	set_labels("container", tags, ARRAY_LEN(tags));
	for (int n = 0; n < PODS + 500; n++) {
		struct call call;

		hostile_call(&call, n);
		aggregate_add(a, &call, NULL);
		all += n + 1;
	}
	scrape(NULL, 0);
	hold_the_cap();
	assert_true(cost_with("") == all);
	assert_true(cost_with("basis=\"overflow\"") > 0);
	/* Now they were told: new ones have room again, and the sum is the same. */
	for (int n = PODS + 500; n < PODS + 600; n++) {
		struct call call;

		hostile_call(&call, n);
		aggregate_add(a, &call, NULL);
		all += n + 1;
	}
	scrape(NULL, 0);
	hold_the_cap();
	assert_true(cost_with("") == all);
	assert_true(cost_with("pod=\"}\xef\xbf\xbd"
			      "10599") == PODS + 600);
}

/* As many owners as pods: they give way to their namespace when there is no room. */
static void owners_give_way_when_there_is_no_room(void **state)
{
	pusd_sum all = 0;

	(void)state;
	for (int n = 0; n < 3 * PODS; n++) {
		struct call call;
		char owner[32], pod[32];

		snprintf(owner, sizeof(owner), "job/%d", n);
		snprintf(pod, sizeof(pod), "pod-%d", n);
		pod_call(&call, "ci", owner, pod);
		call.cost.cost_pusd = n + 1;
		aggregate_add(a, &call, "m");
		all += n + 1;
		if (n % 500 == 499)
			scrape(NULL, 0);
		if (n % 5000 == 4999) {
			hold_the_cap();
			assert_true(cost_with("") == all);
			assert_true(cost_with("namespace=\"ci\"") == all);
		}
	}
	assert_null(strstr(body, "basis=\"overflow\""));
}

/* Labels of the greatest length there is, all of it escaped: an exposition stays whole. */
static void long_labels_are_bounded_in_bytes(void **state)
{
	static const char *const tags[] = {"a=1000", "b=1000", "c=1000", "d=1000",
					   "e=1000", "f=1000", "g=1000", "h=1000"};
	pusd_sum all = 0;

	(void)state;
	set_labels("container", tags, ARRAY_LEN(tags));
	for (int n = 0; n < PODS; n++) {
		struct call call;
		char text[CALL_NAME_MAX];

		memset(text, '"', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		text[snprintf(text, sizeof(text), "%d", n)] = '"';
		pod_call(&call, text, text, text);
		slice_copy(call.workload.container, CALL_NAME_MAX, slice_of(text));
		for (char key = 'a'; key <= 'h'; key++)
			tags_set(&call.tags, (struct slice){&key, 1}, slice_of(text), TAG_ENV);
		aggregate_add(a, &call, NULL);
		all += CALL;
	}
	render();
	assert_true(strlen(body) < 5 * (size_t)SERIES_TEXT_MAX);
	assert_true(cost_with("") == all);
}

/* Prometheus' own reader, where it is installed. */
static void promtool_accepts_hostile_labels(void **state)
{
	static const char *const tags[] = {"team=5"};
	FILE *tool;

	(void)state;
	if (system("command -v promtool >/dev/null 2>&1")) {
		print_message("skipped: promtool is not installed\n");
		skip();
	}
	set_labels("container", tags, ARRAY_LEN(tags));
	for (int n = 0; n < 20; n++) {
		struct call call;

		hostile_call(&call, n);
		aggregate_expect(a, &call, NULL);
		aggregate_add(a, &call, NULL);
		if (n == 9)
			wait_quiet(NULL, 0);
	}
	render();
	tool = popen("promtool check metrics 2>&1", "w");
	assert_non_null(tool);
	assert_int_equal(fwrite(body, 1, strlen(body), tool), strlen(body));
	assert_int_equal(pclose(tool), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(levels_are_labels),
		TEST(a_level_that_is_none_is_refused),
		TEST(no_label_of_single_users_or_sessions),
		TEST(a_series_is_zero_before_its_first_call),
		TEST(tags_are_opt_in),
		TEST(each_tag_has_its_own_cap),
		TEST(tag_rows),
		TEST(bad_tags_are_refused_as_a_whole),
		TEST(a_pod_that_ended_is_told_then_folded),
		TEST(what_was_not_told_is_not_folded),
		TEST(who_folds_into_what),
		TEST(short_pods_hold_cap_and_sum),
		TEST(without_scrapes_the_overflow_keeps_the_money),
		TEST(owners_give_way_when_there_is_no_room),
		TEST(long_labels_are_bounded_in_bytes),
		TEST(promtool_accepts_hostile_labels),
	};

	return cmocka_run_group_tests_name("metric_labels", tests, NULL, NULL);
}
