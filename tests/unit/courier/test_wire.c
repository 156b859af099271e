/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define BYTES(s) ((struct slice){(const char *)&(s), sizeof(s)})

static struct courier_request request(void)
{
	struct courier_request made;

	assert_true(courier_request_make(&made, 7, COURIER_CONTAINER, SLICE(ID)));
	return made;
}

static struct courier_answer answer(enum courier_result result, const char *name)
{
	struct courier_request to = request();
	struct courier_answer made;

	courier_answer_make(&made, &to, result);
	courier_answer_text(&made, COURIER_NAME, slice_of(name));
	return made;
}

static void what_is_made_is_read(void **state)
{
	struct courier_request made = request(), read;
	struct courier_answer said = answer(COURIER_FOUND, "web"), heard;

	(void)state;
	courier_answer_text(&said, COURIER_IMAGE, SLICE("nginx:1"));
	assert_true(courier_request_read(&read, BYTES(made)));
	assert_memory_equal(&read, &made, sizeof(made));
	assert_string_equal(read.key, ID);
	assert_true(courier_answer_read(&heard, BYTES(said)));
	assert_memory_equal(&heard, &said, sizeof(said));
	assert_int_equal(heard.id, 7);
	assert_string_equal(heard.text[COURIER_NAME], "web");
	assert_string_equal(heard.text[COURIER_IMAGE], "nginx:1");
}

static void keys_that_are_none_are_not_sent(void **state)
{
	static const char *const keys[] = {
		"",
		"web",
		ID "0",
		"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd/f",
		ID ID ID};
	struct courier_request made = {.id = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_false(courier_request_make(&made, 2, COURIER_CONTAINER, slice_of(keys[i])));
	assert_false(courier_request_make(&made, 2, COURIER_KINDS, SLICE(ID)));
	assert_int_equal(made.id, 1);
}

static void bad_requests_are_refused(void **state)
{
	struct courier_request bad, out = {.id = 1};

	(void)state;
	bad = request();
	for (size_t len = 0; len < sizeof(bad); len++)
		assert_false(courier_request_read(&out, (struct slice){(char *)&bad, len}));
	bad.kind = COURIER_KINDS;
	assert_false(courier_request_read(&out, BYTES(bad)));
	bad = request();
	bad.zero = 1;
	assert_false(courier_request_read(&out, BYTES(bad)));
	bad = request();
	bad.key[5] = '/';
	assert_false(courier_request_read(&out, BYTES(bad)));
	bad = request();
	bad.key[COURIER_KEY_MAX - 1] = 'x'; /* behind the end of the text */
	assert_false(courier_request_read(&out, BYTES(bad)));
	memset(bad.key, 'a', sizeof(bad.key)); /* no end */
	assert_false(courier_request_read(&out, BYTES(bad)));
	assert_int_equal(out.id, 1);
}

static void bad_answers_are_refused(void **state)
{
	static const struct {
		enum courier_result result;
		const char *name;
		size_t at;
		char byte; /* written there */
	} rows[] = {
		{COURIER_FOUND, "", 0, '\0'},	  /* found, but no name */
		{COURIER_UNKNOWN, "web", 0, 'w'}, /* a name of what is not known */
		{COURIER_FAILED, "web", 0, 'w'},
		{COURIER_FOUND, "web", 1, '\n'},
		{COURIER_FOUND, "web", 1, '\x1b'},
		{COURIER_FOUND, "web", 1, '\xff'},
		{COURIER_FOUND, "web", 2, '\xc3'},		   /* half a character at the end */
		{COURIER_FOUND, "web", COURIER_TEXT_MAX - 1, 'x'}, /* bytes behind the end */
		{COURIER_LATE, "", 0, '\0'},			   /* the worker's own word */
		{COURIER_RESULTS, "", 0, '\0'},
	};
	struct courier_answer out = {.id = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct courier_answer bad = answer(rows[i].result, rows[i].name);

		bad.text[COURIER_NAME][rows[i].at] = rows[i].byte;
		if (courier_answer_read(&out, BYTES(bad)))
			fail_msg("row %zu is accepted", i);
	}
	struct courier_answer bad = answer(COURIER_FOUND, "web");

	memset(bad.text[COURIER_IMAGE], 'a', COURIER_TEXT_MAX);
	assert_false(courier_answer_read(&out, BYTES(bad)));
	bad = answer(COURIER_FOUND, "web");
	bad.kind = COURIER_KINDS;
	assert_false(courier_answer_read(&out, BYTES(bad)));
	for (size_t len = 0; len < sizeof(bad); len++)
		assert_false(courier_answer_read(&out, (struct slice){(char *)&bad, len}));
	assert_int_equal(out.id, 1);
}

/* Whatever a source says, the answer made of it is valid. */
static void texts_of_others_are_cleaned(void **state)
{
	static const struct slice texts[] = {
		SLICE("\x1b[2J"),     SLICE("a\0b"),	 SLICE("\xc3"),
		SLICE("caf\xc3\xa9"), SLICE("\xff\xfe"), SLICE("\xc2\x9b"),
	};
	char longest[400];
	struct courier_answer out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct courier_answer said = answer(COURIER_FOUND, "");

		courier_answer_text(&said, COURIER_NAME, texts[i]);
		assert_true(courier_answer_read(&out, BYTES(said)));
	}
	/* Two-byte characters: the cut at 127 bytes may not leave half of one. */
	for (size_t i = 0; i < sizeof(longest); i += 2)
		memcpy(longest + i, "\xc3\xa9", 2);
	struct courier_answer said = answer(COURIER_FOUND, "");

	courier_answer_text(&said, COURIER_NAME, (struct slice){longest, sizeof(longest)});
	assert_true(courier_answer_read(&out, BYTES(said)));
	assert_int_equal(strlen(out.text[COURIER_NAME]), COURIER_TEXT_MAX - 2);
}

static void bad_tags_are_refused(void **state)
{
	struct courier_answer good = answer(COURIER_FOUND, "web"), out, bad;

	(void)state;
	courier_answer_tag(&good, SLICE("team"), SLICE("checkout"));
	assert_true(courier_answer_read(&out, BYTES(good)));
	assert_int_equal(out.tag_count, 1);
#define REFUSE(change) \
	bad = good;    \
	change;        \
	assert_false(courier_answer_read(&out, BYTES(bad)))
	REFUSE(bad.tag_count = 0); /* one behind the last */
	REFUSE(bad.tag_count = 2); /* one without key and value */
	REFUSE(bad.tag_count = COURIER_TAGS_MAX + 1);
	REFUSE(bad.tag[0].key[0] = '\x1b');
	REFUSE(memset(bad.tag[0].key, 'a', COURIER_TAG_KEY_MAX));
	REFUSE(bad.tag[0].value[20] = 'x');
	REFUSE(memset(bad.tag[0].value, 0, COURIER_TEXT_MAX));
	REFUSE(bad.tag[COURIER_TAGS_MAX - 1].value[7] = 'x');
	REFUSE(bad.ignored = 2);
	bad = answer(COURIER_UNKNOWN, "");
	assert_true(courier_answer_read(&out, BYTES(bad)));
	REFUSE(bad = answer(COURIER_UNKNOWN, ""); bad.ignored = 1);
	REFUSE(bad = answer(COURIER_FAILED, ""); courier_answer_tag(&bad, SLICE("a"), SLICE("b")));
#undef REFUSE
}

/* Whatever the tags, the answer made of them is valid. */
static void tags_are_cleaned_and_bounded(void **state)
{
	struct courier_answer said = answer(COURIER_FOUND, "web"), out;
	char longest[400], key[16];

	(void)state;
	memset(longest, 'k', sizeof(longest));
	courier_answer_tag(&said, SLICE("a\x1b"), SLICE("\xff"));
	courier_answer_tag(&said, (struct slice){longest, sizeof(longest)},
			   (struct slice){longest, sizeof(longest)});
	courier_answer_tag(&said, SLICE(""), SLICE("v"));
	courier_answer_tag(&said, SLICE("k"), SLICE(""));
	assert_int_equal(said.tag_count, 2);
	courier_answer_tag(&said, SLICE("a\x1b"), SLICE("again"));
	assert_int_equal(said.tag_count, 2);
	assert_string_equal(said.tag[0].value, "again");
	for (int i = 0; i < 2 * COURIER_TAGS_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		courier_answer_tag(&said, slice_of(key), SLICE("v"));
	}
	assert_int_equal(said.tag_count, COURIER_TAGS_MAX);
	courier_answer_tag(&said, SLICE("k0"), SLICE("w")); /* full, but there is this one */
	assert_string_equal(said.tag[2].value, "w");
	assert_true(courier_answer_read(&out, BYTES(said)));
}

/* A text that replaces a longer one leaves nothing of it behind its end. */
static void texts_are_replaced_whole(void **state)
{
	struct courier_answer said = answer(COURIER_FOUND, "a-long-name"), out;

	(void)state;
	courier_answer_text(&said, COURIER_NAME, SLICE("web"));
	assert_true(courier_answer_read(&out, BYTES(said)));
	assert_string_equal(out.text[COURIER_NAME], "web");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_is_read),
		cmocka_unit_test(keys_that_are_none_are_not_sent),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(bad_answers_are_refused),
		cmocka_unit_test(texts_of_others_are_cleaned),
		cmocka_unit_test(texts_are_replaced_whole),
		cmocka_unit_test(bad_tags_are_refused),
		cmocka_unit_test(tags_are_cleaned_and_bounded),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
