/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/base/array.h"
#include "agent/base/base.h"
#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/base/hex.h"
#include "agent/base/loop.h"
#include "agent/base/log.h"
#include "agent/usage/call.h"

static void slices_compare_and_trim(void **state)
{
	(void)state;
	assert_true(slice_eq(SLICE("abc"), slice_of("abc")));
	assert_false(slice_eq(SLICE("abc"), SLICE("abd")));
	assert_true(slice_ieq(SLICE("Content-Length"), SLICE("content-length")));
	assert_true(slice_starts(SLICE("POST /v1"), SLICE("POST ")));
	assert_false(slice_starts(SLICE("PO"), SLICE("POST ")));
	assert_true(slice_ends(SLICE("/v1/messages"), SLICE("/messages")));
	assert_true(slice_eq(slice_trim(SLICE(" \t x y \t")), SLICE("x y")));
	assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
	assert_true(slice_eq(slice_of(NULL), SLICE("")));
}

static void hex_is_lower_case_and_of_one_length(void **state)
{
	(void)state;
	assert_true(slice_is_hex(SLICE("09af"), 4));
	assert_true(slice_is_hex(SLICE(""), 0));
	assert_false(slice_is_hex(SLICE("09af"), 3));
	assert_false(slice_is_hex(SLICE("09af"), 5));
	assert_false(slice_is_hex(SLICE("09AF"), 4));
	assert_false(slice_is_hex(SLICE("09ag"), 4));
	assert_false(slice_is_hex(SLICE("09a`"), 4));
	assert_false(slice_is_hex(SLICE("09a:"), 4));
}

static void bytes_become_hex(void **state)
{
	const uint8_t bytes[] = {0x00, 0x9a, 0xff};
	char hex[7];

	(void)state;
	hex_of(hex, bytes, sizeof(bytes));
	assert_string_equal(hex, "009aff");
	hex_of(hex, bytes, 0);
	assert_string_equal(hex, "");
}

static void arrays_grow_and_keep(void **state)
{
	size_t cap = 0;
	int *items = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(array_room((void **)&items, &cap, (size_t)i, sizeof(*items)));
		assert_true(cap > (size_t)i);
		items[i] = i;
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(items[i], i);
	assert_false(array_room((void **)&items, &cap, cap, SIZE_MAX / 2));
	assert_int_equal(items[999], 999); /* without memory, what is there stays */
	free(items);
}

static void slice_copy_bounds_and_cleans(void **state)
{
	char text[4];

	(void)state;
	assert_true(slice_copy(text, sizeof(text), SLICE("abc")));
	assert_string_equal(text, "abc");
	assert_false(slice_copy(text, sizeof(text), SLICE("abcd")));
	assert_string_equal(text, "abc");
	assert_true(slice_copy(text, sizeof(text), SLICE("a\nb")));
	assert_string_equal(text, "a?b");
	assert_true(slice_copy(text, sizeof(text), SLICE("")));
	assert_string_equal(text, "");
}

static void slice_copy_leaves_nothing_that_steers(void **state)
{
	static const struct {
		struct slice from;
		const char *to;
	} rows[] = {
		{SLICE("\033[31m\x7f"), "?[31m?"},
		{SLICE("a\0b"), "a?b"},
		{SLICE("\x9b"
		       "2J"),
		 "?2J"}, /* CSI of an 8-bit terminal */
		{SLICE("\xc2\x9b"
		       "2J"),
		 "??2J"}, /* U+009B */
		{SLICE("\xc2\xa0\xc3\xa9"), "\xc2\xa0\xc3\xa9"},
		{SLICE("\xe2\x82\xac"), "\xe2\x82\xac"},
		{SLICE("\xe2\x82"), "??"},		  /* cut short */
		{SLICE("\xc0\xaf\xed\xa0\x80"), "?????"}, /* overlong; a surrogate */
		{SLICE("12345\xe2\x82\xac"), "12345"},	  /* never half a character */
	};
	char text[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		slice_copy(text, sizeof(text), rows[i].from);
		assert_string_equal(text, rows[i].to);
		slice_copy(text, sizeof(text), slice_of(text));
		assert_string_equal(text, rows[i].to);
	}
}

static void clock_formats_rfc3339(void **state)
{
	char text[CLOCK_TEXT_MAX];

	(void)state;
	assert_string_equal(clock_format_us(text, 0), "1970-01-01T00:00:00.000000Z");
	assert_string_equal(clock_format_us(text, 1795327200000042), "2026-11-22T06:00:00.000042Z");
	assert_string_equal(clock_format_us(text, -1), "1969-12-31T23:59:59.999999Z");
}

static void clocks_agree(void **state)
{
	int64_t wall = clock_wall_ns();
	int64_t derived = (int64_t)clock_mono_ns() + clock_wall_minus_mono_ns();

	(void)state;
	assert_true(llabs(derived - wall) < 2000000); /* the contract's 2 ms */
}

static void loop_calls_what_is_readable(void **state)
{
	struct loop loop;
	int pair[2], other[2];
	char seen = 0;

	(void)state;
	assert_int_equal(loop_open(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
	void mark(void *user)
	{
		*(char *)user = 1;
	}
	void never(void *user)
	{
		(void)user;
		fail();
	}
	assert_int_equal(loop_add(&loop, pair[0], mark, &seen), 0);
	assert_int_equal(loop_add(&loop, other[0], never, NULL), 0);
	assert_int_equal(loop_once(&loop, 0), 0);
	assert_int_equal(seen, 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(loop_once(&loop, 1000), 0);
	assert_int_equal(seen, 1);
	for (size_t i = loop.count; i < LOOP_SOURCES_MAX; i++)
		loop.count++;
	assert_int_equal(loop_add(&loop, other[1], never, NULL), -ENOSPC);
	loop_close(&loop);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(other[i]);
	}
}

static void counters_have_a_row_each(void **state)
{
	(void)state;
	for (int i = 0; i < COUNTERS; i++) {
		assert_non_null(counter_rows[i].family);
		for (int j = 0; j < i; j++)
			assert_false(!strcmp(counter_rows[i].family, counter_rows[j].family) &&
				     !strcmp(counter_rows[i].labels, counter_rows[j].labels));
	}
	counter_set(COUNTER_STREAM_GAPS, 5);
	counter_add(COUNTER_STREAM_GAPS, 2);
	assert_int_equal(counter_get(COUNTER_STREAM_GAPS), 7);
}

static void stronger_tags_win(void **state)
{
	struct tags tags = {0};
	char key[8];

	(void)state;
	assert_true(tags_set(&tags, SLICE("team"), SLICE("a"), TAG_ENV));
	assert_true(tags_set(&tags, SLICE("team"), SLICE("b"), TAG_DEFAULT));
	assert_string_equal(tags.item[0].value, "a");
	assert_true(tags_set(&tags, SLICE("team"), SLICE("c"), TAG_RULE));
	assert_string_equal(tags.item[0].value, "c");
	assert_int_equal(tags.count, 1);
	assert_false(tags_set(&tags, SLICE(""), SLICE("x"), TAG_ENV));
	for (int i = 1; i < CALL_TAGS_MAX; i++) {
		key[0] = (char)('a' + i);
		assert_true(tags_set(&tags, (struct slice){key, 1}, SLICE("x"), TAG_ENV));
	}
	assert_false(tags_set(&tags, SLICE("one-more"), SLICE("x"), TAG_ENV));
}

/* Bytes that become '?' do not make two tags of one name: a row holds each key once. */
static void keys_that_look_alike_are_one_tag(void **state)
{
	struct tags tags = {0};

	(void)state;
	assert_true(tags_set(&tags, SLICE("k\x80"), SLICE("a"), TAG_ENV));
	assert_true(tags_set(&tags, SLICE("k\xff"), SLICE("b"), TAG_ENV));
	assert_true(tags_set(&tags, SLICE("k?"), SLICE("c"), TAG_ENV));
	assert_int_equal(tags.count, 1);
	assert_string_equal(tags.item[0].key, "k?");
	assert_string_equal(tags.item[0].value, "c");
}

static void usage_totals_saturate(void **state)
{
	struct usage usage = {0};

	(void)state;
	usage.tokens[TOKEN_INPUT_UNCACHED] = 3;
	usage.tokens[TOKEN_INPUT_IMAGE] = 4;
	usage.tokens[TOKEN_OUTPUT_TEXT] = 5;
	usage.tokens[TOKEN_OUTPUT_IMAGE] = 6;
	assert_int_equal(usage_input_total(&usage), 7);
	assert_int_equal(usage_output_total(&usage), 11);
	usage.tokens[TOKEN_OUTPUT_AUDIO] = INT64_MAX;
	assert_true(usage_output_total(&usage) == INT64_MAX);
}

static void log_levels_parse(void **state)
{
	enum log_level level;

	(void)state;
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_false(log_level_parse("loud", &level));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_compare_and_trim),
		cmocka_unit_test(hex_is_lower_case_and_of_one_length),
		cmocka_unit_test(bytes_become_hex),
		cmocka_unit_test(arrays_grow_and_keep),
		cmocka_unit_test(slice_copy_bounds_and_cleans),
		cmocka_unit_test(slice_copy_leaves_nothing_that_steers),
		cmocka_unit_test(clock_formats_rfc3339),
		cmocka_unit_test(clocks_agree),
		cmocka_unit_test(loop_calls_what_is_readable),
		cmocka_unit_test(counters_have_a_row_each),
		cmocka_unit_test(stronger_tags_win),
		cmocka_unit_test(keys_that_look_alike_are_one_tag),
		cmocka_unit_test(usage_totals_saturate),
		cmocka_unit_test(log_levels_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
