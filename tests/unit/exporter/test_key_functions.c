/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/key_names.h"
#include "ledger_dir.h"

/* Two keys have one name, one has an owner only by itself, one has no name, one call has no key. */
static const char *const fingerprints[] = {"0badcafe", "0badcaff", "11111111", "22222222", ""};

static void fill(void)
{
	struct ledger *l = open_ledger();
	struct call call;

	for (uint32_t i = 0; i < 2 * ARRAY_LEN(fingerprints); i++) {
		sample_call(&call, i);
		snprintf(call.key_fingerprint, sizeof(call.key_fingerprint), "%s",
			 fingerprints[i % ARRAY_LEN(fingerprints)]);
		assert_int_equal(ledger_append(l, &call), 0);
	}
	ledger_close(l);
}

static int64_t calls_of(struct query *q, const char *by, const char *name)
{
	struct query_key key;
	struct spend *rows;
	size_t count;
	int64_t calls = 0;

	assert_true(query_key_parse(slice_of(by), &key));
	assert_int_equal(query_spend(q, &(struct query_filter){0}, &key, 1, &rows, &count), 0);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(rows[i].group[0] ? rows[i].group[0] : QUERY_NONE, name))
			calls = rows[i].calls;
	}
	query_spend_free(rows, count);
	return calls;
}

static void test_names(void **state)
{
	struct query_filter filter = {0};
	struct key_names names = {0};
	struct query *q;
	struct seen seen = {0};

	(void)state;
	fill();
	q = open_query();
	assert_int_equal(calls_of(q, "key", "0badcafe"), 2); /* nothing has a name yet */
	assert_int_equal(key_names_add(&names, &(struct key_name){"0badcafe", .name = "batch",
								  .owner = "data"}),
			 0);
	assert_int_equal(key_names_add(&names, &(struct key_name){"0badcaff", .name = "batch"}), 0);
	assert_int_equal(key_names_add(&names, &(struct key_name){"11111111", .name = "web",
								  .owner = "data"}),
			 0);
	key_names_use(&names);
	assert_int_equal(calls_of(q, "key", "batch"), 4);
	assert_int_equal(calls_of(q, "key", "web"), 2);
	assert_int_equal(calls_of(q, "key", "22222222"), 2);
	assert_int_equal(calls_of(q, "key", QUERY_NONE), 2);
	assert_int_equal(calls_of(q, "key", "0badcafe"), 0);
	assert_int_equal(calls_of(q, "key_owner", "data"), 4);
	assert_int_equal(calls_of(q, "key_owner", "0badcaff"), 2);
	assert_int_equal(calls_of(q, "key_fingerprint", "0badcafe"), 2);
	assert_int_equal(query_filter_where(&filter, "key=batch"), 0);
	assert_int_equal(query_events(q, &filter, 0, 0, see, &seen), 0);
	assert_int_equal(seen.count, 4);
	key_names_use(NULL);
	query_close(q);
	free(names.row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_names)};

	return cmocka_run_group_tests_name("key_functions", tests, NULL, NULL);
}
