/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf scanner: values of wanted fields and nothing else, in any split; lengths and varints
 * that cannot be are refused; messages nested deeper than is looked into are passed.
 */
#include "agent/grpc/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const wanted[] = {"1", "2{}", "2.1", "2.3#", "3[]", "4.4{}", "4.4.1", "5.16"};

static char events[1024];
static size_t events_len;

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	events_len +=
		(size_t)vsnprintf(events + events_len, sizeof(events) - events_len, format, args);
	va_end(args);
	assert_true(events_len < sizeof(events));
}

/* A path without what it asks of its end. */
static struct slice name_of(size_t path)
{
	return (struct slice){wanted[path], strcspn(wanted[path], "{[#")};
}

static void on_value(void *user, const struct json_value *v)
{
	(void)user;
	put(" %.*s=%s%.*s", SLICE_FMT(name_of(v->path)), v->type == JSON_STRING ? "'" : "",
	    SLICE_FMT(v->text));
	if (v->type == JSON_STRING)
		put("%s%llu", v->cut ? "~" : "'", (unsigned long long)v->text_len);
}

static void on_object(void *user, size_t path, bool begin)
{
	(void)user;
	put(" %.*s%c", SLICE_FMT(name_of(path)), begin ? '(' : ')');
}

static const struct json_ops ops = {.value = on_value, .object = on_object};

static bool scan(struct protobuf_scan *s, struct slice bytes, size_t piece)
{
	events_len = 0;
	events[0] = '\0';
	protobuf_scan_begin(s);
	while (bytes.len) {
		size_t n = bytes.len < piece ? bytes.len : piece;

		protobuf_scan_feed(s, (struct slice){bytes.ptr, n});
		bytes.ptr += n;
		bytes.len -= n;
	}
	return protobuf_scan_end(s);
}

static struct protobuf_scan *open_scan(void)
{
	struct json_paths *paths = NULL;
	struct protobuf_scan *s = NULL;

	assert_int_equal(json_paths_new(&paths, wanted, ARRAY_LEN(wanted)), 0);
	assert_int_equal(protobuf_scan_new(&s, paths, &ops, NULL), 0);
	json_paths_free(paths);
	return s;
}

struct row {
	struct slice bytes;
	const char *told;
};

static void check(const struct row *rows, size_t count, bool sound)
{
	struct protobuf_scan *s = open_scan();

	for (size_t i = 0; i < count; i++) {
		for (size_t piece = 1; piece < 9; piece++) {
			if (scan(s, rows[i].bytes, piece) != sound ||
			    strcmp(events, rows[i].told) != 0)
				fail_msg("row %zu, pieces of %zu: \"%s\", expected \"%s\"", i,
					 piece, events, rows[i].told);
		}
	}
	protobuf_scan_free(s);
}

static void values_of_wanted_fields(void **state)
{
	static const struct row rows[] = {
		{SLICE(""), ""},
		{SLICE("\x08\x05"), " 1=5"},
		{SLICE("\x08\x80\x01\x08\x00"), " 1=128 1=0"},
		{SLICE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), " 1=-1"},
		{SLICE("\x0a\x03"
		       "abc"),
		 " 1='abc'3"},
		{SLICE("\x0a\x00"), " 1=''0"},
		/* nested: 2 { 1: 7, 9: unknown, 3: measured } */
		{SLICE("\x12\x0a\x08\x07\x4a\x01z\x1a\x03xyz"), " 2( 2.1=7 2.3=''3 2)"},
		{SLICE("\x12\x00\x12\x00"), " 2( 2) 2( 2)"},
		/* repeated numbers, one by one and packed */
		{SLICE("\x18\x01\x18\x02\x1a\x03\x01\xac\x02\x1a\x00"), " 3=1 3=2 3=1 3=300"},
		/* 4 { 4 { 1: 9 } } ends both at once */
		{SLICE("\x22\x04\x22\x02\x08\x09\x08\x01"), " 4.4( 4.4.1=9 4.4) 1=1"},
		{SLICE("\x2a\x03\x80\x01\x05"), " 5.16=5"},
		/* unknown fields of every wire type, and wanted ones of a width that is not told */
		{SLICE("\x38\x96\x01\x39"
		       "12345678"
		       "\x3a\x02zz\x3d"
		       "1234"
		       "\x0d"
		       "1234\x08\x05"),
		 " 1=5"},
		/* a number where a message is wanted, a message where a number is */
		{SLICE("\x10\x05"), ""},
	};
	(void)state;
	check(rows, ARRAY_LEN(rows), true);
}

static void what_is_none(void **state)
{
	static const struct row rows[] = {
		{SLICE("\x00\x01"), ""},		 /* field 0 */
		{SLICE("\x0b\x0c"), ""},		 /* a group */
		{SLICE("\x0e"), ""},			 /* wire type 6 */
		{SLICE("\x80\x80\x80\x80\x10\x00"), ""}, /* field 2^29 */
		{SLICE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), ""},
		{SLICE("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), ""},
		{SLICE("\x12\x02\x08\x85\x01"), " 2("},		  /* a varint beyond its message */
		{SLICE("\x12\x03\x08\x07\x08\x05"), " 2( 2.1=7"}, /* a tag at its end */
		{SLICE("\x12\x03\x08\x07\x1a\x00"), " 2( 2.1=7"},
		{SLICE("\x12\x02\x1a\x01x"), " 2("}, /* a string beyond it */
		{SLICE("\x12\x02\x0d"
		       "1234"),
		 " 2("},				 /* four bytes beyond it */
		{SLICE("\x1a\x02\x01\x80\x01"), " 3=1"}, /* packed ones beyond */
		{SLICE("\x0a\x80\x80\x80\x80\x08"), ""}, /* 2 GiB */
		{SLICE("\x08"), ""},			 /* ends too soon */
		{SLICE("\x08\x80"), ""},
		{SLICE("\x0a\x02"
		       "a"),
		 ""},
		{SLICE("\x12\x03\x08\x01"), " 2( 2.1=1"},
		{SLICE("\x3a\x05zz"), ""},
		{SLICE("{\"usage\":1}"), ""},
	};

	(void)state;
	check(rows, ARRAY_LEN(rows), false);
}

static void long_text_is_cut(void **state)
{
	struct protobuf_scan *s = open_scan();
	char bytes[3 + PROTOBUF_TEXT_MAX + 1] = {0x0a, (char)0x81, 0x04};

	(void)state;
	memset(bytes + 3, 'x', sizeof(bytes) - 3);
	assert_true(scan(s, (struct slice){bytes, sizeof(bytes)}, 100));
	assert_int_equal(events_len, strlen(" 1='~513") + PROTOBUF_TEXT_MAX);
	assert_non_null(strstr(events, "x~513"));
	bytes[1] = (char)0x80;
	assert_true(scan(s, (struct slice){bytes, sizeof(bytes) - 1}, 100));
	assert_non_null(strstr(events, "x'512"));
	protobuf_scan_free(s);
}

static void depth_is_bounded(void **state)
{
	static const char deep[] = "1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1{}";
	const char *path = deep;
	struct json_paths *paths = NULL;
	struct protobuf_scan *s = NULL;
	char bytes[64];

	(void)state;
	assert_int_equal(json_paths_new(&paths, &path, 1), 0);
	assert_int_equal(protobuf_scan_new(&s, paths, &ops, NULL), 0);
	for (size_t i = 0; i < sizeof(bytes); i += 2) {
		bytes[i] = 0x0a;
		bytes[i + 1] = (char)(sizeof(bytes) - i - 2);
	}
	assert_true(scan(s, (struct slice){bytes, sizeof(bytes)}, 3));
	assert_string_equal(events, "");
	protobuf_scan_free(s);
	json_paths_free(paths);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_wanted_fields),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(depth_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
