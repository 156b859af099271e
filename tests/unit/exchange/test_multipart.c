/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Fields as "name=value;" in order. */
static char fields[2048];

static void on_field(void *user, struct slice name, struct slice value)
{
	size_t used = strlen(fields);

	(void)user;
	snprintf(fields + used, sizeof(fields) - used, "%.*s=%.*s;", SLICE_FMT(name),
		 SLICE_FMT(value));
}

static const struct multipart_ops ops = {.field = on_field};

/* The fields of body in pieces of `piece` bytes; the state it ended in. */
static enum multipart_state read_form(const char *type, struct slice body, size_t piece)
{
	struct multipart m;

	fields[0] = '\0';
	assert_true(multipart_init(&m, slice_of(type), &ops, NULL));
	for (size_t at = 0; at < body.len; at += piece) {
		size_t n = body.len - at < piece ? body.len - at : piece;

		if (!multipart_feed(&m, (struct slice){body.ptr + at, n}))
			break;
	}
	return m.state;
}

#define FORM		 "multipart/form-data; boundary=xYz"
#define PART(head, body) "--xYz\r\nContent-Disposition: form-data; " head "\r\n\r\n" body "\r\n"
#define CLOSE		 "--xYz--\r\n"

static void reads_fields(void **state)
{
	static const struct {
		const char *body, *fields;
		enum multipart_state end;
	} rows[] = {
		{PART("name=\"model\"", "whisper-1") CLOSE, "model=whisper-1;", MULTIPART_END},
		{PART("name=model", "m") PART("name=\"stream\"", "true") CLOSE,
		 "model=m;stream=true;", MULTIPART_END},
		{"preamble\r\n" PART("name=\"a\"", "") CLOSE "epilogue\r\n--xYz\r\n", "a=;",
		 MULTIPART_END},
		/* A file passes; what looks like a delimiter in it does not end it. */
		{PART("name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav",
		      "\r\n--xY\r\n\r\r\n--xYy\r\n-xYz") PART("name=\"b\"", "\r\r\n--x\r\n") CLOSE,
		 "b=\r\r\n--x\r\n;", MULTIPART_END},
		{PART("filename*=utf-8''x; name=\"file\"", "1") CLOSE, "", MULTIPART_END},
		/* Names in any case, padding behind the delimiter. */
		{"--xYz \t\r\ncontent-disposition:form-data;NAME=\"n;m\"\r\n\r\nv\r\n" CLOSE,
		 "n;m=v;", MULTIPART_END},
		{PART("x=\"\\\";name=\\\"y\\\"\"; name=\"n\"", "v") CLOSE, "n=v;", MULTIPART_END},
		/* No name, a part that is cut, a body that is none. */
		{PART("noname=\"n\"", "v") CLOSE, "", MULTIPART_END},
		{PART("name=\"n\"", "v") "--xYz\r\nContent-Disposition: form-data; name=\"o\"\r\n"
					 "\r\nwhat follows is lost",
		 "n=v;", MULTIPART_BODY},
		{"{\"model\":\"m\"}", "", MULTIPART_BODY},
		{"--xYzz\r\n\r\n", "", MULTIPART_BROKEN},
		{"--xYz-z", "", MULTIPART_BROKEN},
		{"--xYz\rz", "", MULTIPART_BROKEN},
		{"", "", MULTIPART_BODY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t piece = 1; piece < 40; piece++) {
			enum multipart_state end = read_form(FORM, slice_of(rows[i].body), piece);

			if (strcmp(fields, rows[i].fields) != 0 || end != rows[i].end)
				fail_msg("row %zu in pieces of %zu: \"%s\", state %d", i, piece,
					 fields, end);
		}
	}
}

static void labels(void **state)
{
	static const struct {
		const char *type;
		bool form;
	} rows[] = {
		{FORM, true},
		{"Multipart/Form-Data;charset=utf-8; Boundary=\"x y;z\"", true},
		{"multipart/form-data", false},
		{"multipart/form-data; boundary=", false},
		{"multipart/form-data; boundary=\"\"", false},
		{"multipart/mixed; boundary=x", false},
		{"application/json", false},
		{"", false},
		{"multipart/form-data; boundary="
		 "0123456789012345678901234567890123456789012345678901234567890123456789",
		 true},
		{"multipart/form-data; boundary="
		 "01234567890123456789012345678901234567890123456789012345678901234567890",
		 false},
	};
	struct multipart m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (multipart_init(&m, slice_of(rows[i].type), &ops, NULL) != rows[i].form)
			fail_msg("%s", rows[i].type);
	}
	assert_false(multipart_init(&m, (struct slice){NULL, 0}, &ops, NULL));
}

/* What is longer than its bound is left out; what follows is read. */
static void bounds(void **state)
{
	static const struct {
		const char *head, *tail;
		size_t max;
	} rows[] = {
		{"--xYz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n", "\r\n",
		 MULTIPART_VALUE_MAX},
		{"--xYz\r\nContent-Disposition: form-data; name=\"", "\"\r\n\r\nv\r\n",
		 MULTIPART_NAME_MAX},
		{"--xYz\r\nContent-Disposition: form-data; name=\"n\"; y=", "\r\n\r\nv\r\n",
		 MULTIPART_LINE_MAX - sizeof("Content-Disposition: form-data; name=\"n\"; y=\r") +
			 1},
	};
	char body[2048];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t over = 0; over < 2; over++) {
			int n = snprintf(body, sizeof(body), "%s%0*d%s%s", rows[i].head,
					 (int)(rows[i].max + over), 0, rows[i].tail,
					 PART("name=\"z\"", "last") CLOSE);

			read_form(FORM, (struct slice){body, (size_t)n}, 7);
			assert_int_equal(strcmp(fields, "z=last;") == 0, over);
			assert_non_null(strstr(fields, "z=last;"));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_fields),
		cmocka_unit_test(labels),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
