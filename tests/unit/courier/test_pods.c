/* SPDX-License-Identifier: Apache-2.0 */
/* A kubelet's list of pods: of the form that 1.20 and later answer, and of none. */
#include "agent/courier/pods.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static char *const wanted[] = {(char[]){"team=team"}, (char[]){"example.com/cost-center=center"}};
static const struct label_rules rules = {wanted, ARRAY_LEN(wanted)};
static char fixture[64 << 10];
static size_t fixture_len;

static int load(void **state)
{
	FILE *file = fopen("tests/unit/courier/pods.json", "re");

	(void)state;
	if (!file)
		return -1;
	fixture_len = fread(fixture, 1, sizeof(fixture), file);
	fclose(file);
	return fixture_len > 0 && fixture_len < sizeof(fixture) ? 0 : -1;
}

/* The container whose id is one digit again and again. */
static const struct courier_answer *find(const struct pod_list *list, char digit)
{
	char id[COURIER_CONTAINER_ID + 1] = "";

	memset(id, digit, COURIER_CONTAINER_ID);
	return pods_find(list, id);
}

static const char *tag(const struct courier_answer *facts, const char *key)
{
	for (uint32_t i = 0; i < facts->tag_count; i++) {
		if (!strcmp(facts->tag[i].key, key))
			return facts->tag[i].value;
	}
	return "";
}

static void containers_have_their_pods(void **state)
{
	static const struct {
		char id;
		const char *namespace, *pod, *container, *image, *workload;
		uint32_t ignored;
	} rows[] = {
		{'1', "shop", "web-6d4cf56db6-x2x7p", "wait", "busybox:1", "Deployment/web", 0},
		{'2', "shop", "web-6d4cf56db6-x2x7p", "web", "app:1", "Deployment/web", 0},
		{'3', "shop", "web-6d4cf56db6-x2x7p", "web", "app:1", "Deployment/web", 0},
		{'4', "shop", "web-6d4cf56db6-x2x7p", "proxy", "envoy:1", "Deployment/web", 0},
		{'5', "shop", "web-6d4cf56db6-x2x7p", "debug", "busybox:1", "Deployment/web", 0},
		{'6', "batch", "nightly-29785840-qk2lm", "job", "app:2", "CronJob/nightly", 0},
		{'7', "kube-system", "agent-8zq4t", "agent", "agent:1", "DaemonSet/agent", 1},
		{'8', "kube-system", "etcd-node-7", "etcd", "etcd:3", "", 0},
	};
	struct pod_list list;

	(void)state;
	assert_int_equal(pods_parse(&list, (struct slice){fixture, fixture_len}, &rules), 0);
	assert_int_equal(list.count, ARRAY_LEN(rows));
	assert_int_equal(list.left_out, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct courier_answer *f = find(&list, rows[i].id);
		struct courier_answer valid;

		assert_non_null(f);
		assert_string_equal(f->text[COURIER_NAMESPACE], rows[i].namespace);
		assert_string_equal(f->text[COURIER_POD], rows[i].pod);
		assert_string_equal(f->text[COURIER_NAME], rows[i].container);
		assert_string_equal(f->text[COURIER_IMAGE], rows[i].image);
		assert_string_equal(f->text[COURIER_NODE], "node-7");
		assert_string_equal(tag(f, "workload"), rows[i].workload);
		assert_int_equal(f->ignored, rows[i].ignored);
		assert_true(
			courier_answer_read(&valid, (struct slice){(const char *)f, sizeof(*f)}));
	}
	assert_null(find(&list, '9'));
	pods_free(&list);
	assert_int_equal(list.count, 0);
}

static void only_wanted_labels_become_tags(void **state)
{
	const struct label_rules none = {0};
	struct pod_list list;

	(void)state;
	assert_int_equal(pods_parse(&list, (struct slice){fixture, fixture_len}, &rules), 0);
	assert_string_equal(tag(find(&list, '2'), "team"), "checkout");
	assert_string_equal(tag(find(&list, '2'), "center"), "4711");
	assert_string_equal(tag(find(&list, '2'), "project"), "basket");
	assert_string_equal(tag(find(&list, '2'), "feature"), "search");
	assert_int_equal(find(&list, '2')->tag_count, 5); /* and workload */
	/* What the specs say of environments is nowhere. */
	assert_null(memmem(list.item, list.count * sizeof(*list.item), "CANARY", 6));
	pods_free(&list);
	assert_int_equal(pods_parse(&list, (struct slice){fixture, fixture_len}, &none), 0);
	assert_int_equal(find(&list, '2')->tag_count, 3); /* workload, and tolltap.io/tags */
	pods_free(&list);
}

/* ---- owners --------------------------------------------------------------------------------- */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void owners_are_the_uppermost_that_is_sure(void **state)
{
	static const struct {
		const char *kind, *name, *hash, *made, *workload;
	} rows[] = {
		{"ReplicaSet", "web-5d9c", "5d9c", "2026-08-19T14:43:27Z", "Deployment/web"},
		{"ReplicaSet", "web-5d9c", "", "2026-08-19T14:43:27Z", "ReplicaSet/web-5d9c"},
		{"ReplicaSet", "web-5d9c", "d9c", "2026-08-19T14:43:27Z", "ReplicaSet/web-5d9c"},
		{"ReplicaSet", "-5d9c", "5d9c", "2026-08-19T14:43:27Z", "ReplicaSet/-5d9c"},
		{"ReplicaSet", "5d9c", "5d9c", "2026-08-19T14:43:27Z", "ReplicaSet/5d9c"},
		{"Job", "tick-29785840", "", "2026-08-19T14:43:27Z", "CronJob/tick"},
		{"Job", "tick-1787150400", "", "2026-08-19T14:43:27Z", "CronJob/tick"},
		{"Job", "load-20260819", "", "2026-08-19T14:43:27Z", "Job/load-20260819"},
		{"Job", "load-29785840", "", "2025-08-19T14:43:27Z", "Job/load-29785840"},
		{"Job", "load-29785840", "", "soon", "Job/load-29785840"},
		{"Job", "load-2978584", "", "2026-08-19T14:43:27Z", "Job/load-2978584"},
		{"Job", "load-2978584x", "", "2026-08-19T14:43:27Z", "Job/load-2978584x"},
		{"Job", "-29785840", "", "2026-08-19T14:43:27Z", "Job/-29785840"},
		{"StatefulSet", "db", "", "2026-08-19T14:43:27Z", "StatefulSet/db"},
		{"Workflow", "train", "", "2026-08-19T14:43:27Z", "Workflow/train"},
		{"Node", "node-7", "", "2026-08-19T14:43:27Z", ""},
		{"", "db", "", "2026-08-19T14:43:27Z", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pod_list list;
		char text[1024];

		snprintf(text, sizeof(text),
			 "{\"items\":[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\","
			 "\"creationTimestamp\":\"%s\",\"labels\":{\"pod-template-hash\":\"%s\"},"
			 "\"ownerReferences\":[{\"kind\":\"Other\",\"name\":\"x\"},"
			 "{\"kind\":\"%s\",\"name\":\"%s\",\"controller\":true}]},"
			 "\"status\":{\"containerStatuses\":[{\"name\":\"c\","
			 "\"containerID\":\"containerd://" A64 "\"}]}}]}",
			 rows[i].made, rows[i].hash, rows[i].kind, rows[i].name);
		assert_int_equal(pods_parse(&list, slice_of(text), &rules), 0);
		assert_non_null(pods_find(&list, A64));
		if (strcmp(tag(pods_find(&list, A64), "workload"), rows[i].workload) != 0)
			fail_msg("row %zu: '%s'", i, tag(pods_find(&list, A64), "workload"));
		pods_free(&list);
	}
}

/* ---- what is no list ------------------------------------------------------------------------ */

static void other_texts_are_refused(void **state)
{
	static const struct {
		const char *json;
		int rc;
	} rows[] = {
		{"{\"kind\":\"PodList\",\"items\":[]}", 0},
		{"{\"kind\":\"PodList\",\"items\":null}", 0}, /* a node without pods */
		{"{\"items\":[1,null,\"x\",[],{}]}", 0},
		{"{\"items\":[{\"metadata\":{\"name\":7,\"namespace\":\"n\"}}]}", 0},
		{"{\"items\":[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"labels\":[1],"
		 "\"ownerReferences\":{\"a\":1},\"annotations\":\"x\"},\"spec\":[],"
		 "\"status\":{\"containerStatuses\":[{\"name\":\"c\",\"containerID\":7},3],"
		 "\"initContainerStatuses\":\"x\"}}]}",
		 0},
		{"{\"items\":{}}", -EBADMSG},
		{"{\"items\":\"x\"}", -EBADMSG},
		{"{\"kind\":\"Status\",\"status\":\"Failure\"}", -EBADMSG},
		{"[]", -EBADMSG},
		{"Unauthorized", -EBADMSG},
		{"", -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pod_list list = {0};
		int rc = pods_parse(&list, slice_of(rows[i].json), &rules);

		if (rc != rows[i].rc)
			fail_msg("row %zu: %d", i, rc);
		assert_int_equal(list.count, 0);
		pods_free(&list);
	}
}

static void a_cut_list_is_refused(void **state)
{
	(void)state;
	/* The last byte is a newline. */
	for (size_t len = 0; len < fixture_len - 2; len += len < 2000 ? 1 : 7) {
		char *copy =
			malloc(len + 1); /* a read beyond its end shows in the sanitizer build */
		struct pod_list list = {0};

		memcpy(copy, fixture, len);
		assert_int_equal(pods_parse(&list, (struct slice){copy, len}, &rules), -EBADMSG);
		assert_null(list.item);
		free(copy);
	}
}

/* One byte of it is another: it is read or refused, and what is read may be sent. */
static void a_broken_list_does_no_harm(void **state)
{
	static const char bytes[] = {'\0', '"', '{', ']', '\xff', '\x1b', '\\'};

	(void)state;
	for (size_t at = 0; at < fixture_len; at += 13) {
		char kept = fixture[at];
		struct pod_list list = {0};

		fixture[at] = bytes[at % sizeof(bytes)];
		if (pods_parse(&list, (struct slice){fixture, fixture_len}, &rules) == 0) {
			for (size_t i = 0; i < list.count; i++) {
				struct courier_answer valid;

				assert_true(courier_answer_read(
					&valid, (struct slice){(const char *)&list.item[i].facts,
							       sizeof(valid)}));
			}
		}
		pods_free(&list);
		fixture[at] = kept;
	}
}

static void containers_are_bounded(void **state)
{
	size_t size = 512 * PODS_CONTAINERS_MAX, at = 0;
	struct pod_list list;
	char *text = malloc(size);

	(void)state;
	at += (size_t)snprintf(text + at, size - at,
			       "{\"items\":[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},"
			       "\"status\":{\"containerStatuses\":[");
	for (unsigned i = 0; i < PODS_CONTAINERS_MAX + 3; i++)
		at += (size_t)snprintf(
			text + at, size - at,
			"%s{\"name\":\"c%u\",\"containerID\":\"containerd://%064x\"}", i ? "," : "",
			i, i);
	at += (size_t)snprintf(text + at, size - at, "]}}]}");
	assert_int_equal(pods_parse(&list, (struct slice){text, at}, &rules), 0);
	assert_int_equal(list.count, PODS_CONTAINERS_MAX);
	assert_int_equal(list.left_out, 3);
	for (unsigned i = 0; i < PODS_CONTAINERS_MAX; i += 97) {
		char id[COURIER_CONTAINER_ID + 1], name[16];

		snprintf(id, sizeof(id), "%064x", i);
		snprintf(name, sizeof(name), "c%u", i);
		assert_string_equal(pods_find(&list, id)->text[COURIER_NAME], name);
	}
	pods_free(&list);
	free(text);
}

static void values_are_bounded(void **state)
{
	size_t len = PODS_VALUES_MAX + 64;
	char *text = malloc(len);
	struct pod_list list;

	(void)state;
	memset(text, ',', len);
	memcpy(text, "{\"items\":[],\"x\":\"", 17);
	memcpy(text + len - 2, "\"}", 2);
	assert_int_equal(pods_parse(&list, (struct slice){text, len}, &rules), -EBADMSG);
	free(text);
}

static void tags_are_bounded(void **state)
{
	char text[2048], list_text[1024] = "";
	struct pod_list list;
	size_t at = 0;

	(void)state;
	for (unsigned i = 0; i < COURIER_TAGS_MAX + 5; i++)
		at += (size_t)snprintf(list_text + at, sizeof(list_text) - at, "k%u=v,", i);
	snprintf(text, sizeof(text),
		 "{\"items\":[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\","
		 "\"annotations\":{\"tolltap.io/tags\":\"%s\"}},\"status\":{"
		 "\"containerStatuses\":[{\"name\":\"c\",\"containerID\":\"" A64 "\"}]}}]}",
		 list_text);
	assert_int_equal(pods_parse(&list, slice_of(text), &rules), 0);
	assert_int_equal(pods_find(&list, A64)->tag_count, COURIER_TAGS_MAX);
	assert_string_equal(tag(pods_find(&list, A64), "k0"), "v");
	pods_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers_have_their_pods),
		cmocka_unit_test(only_wanted_labels_become_tags),
		cmocka_unit_test(owners_are_the_uppermost_that_is_sure),
		cmocka_unit_test(other_texts_are_refused),
		cmocka_unit_test(a_cut_list_is_refused),
		cmocka_unit_test(a_broken_list_does_no_harm),
		cmocka_unit_test(containers_are_bounded),
		cmocka_unit_test(values_are_bounded),
		cmocka_unit_test(tags_are_bounded),
	};

	return cmocka_run_group_tests_name("pods", tests, load, NULL);
}
