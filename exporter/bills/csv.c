/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/csv.h"

#include <errno.h>

void csv_begin(struct csv *csv, char *bytes, size_t len)
{
	*csv = (struct csv){.at = bytes, .end = bytes + len, .line = 1};
	if (len >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3))
		csv->at += 3;
}

static int bad(struct csv *csv, const char *why)
{
	csv->error = why;
	return -EBADMSG;
}

/* Cells become texts that a NUL byte ends; UTF-16 has one in every second place. */
static const char nul_byte[] = "a NUL byte, which no UTF-8 text has";

/* The quoted field that begins at csv->at, unquoted in place. */
static int take_quoted(struct csv *csv, struct slice *field)
{
	char *out = ++csv->at;

	field->ptr = out;
	for (; csv->at < csv->end; csv->at++) {
		if (!*csv->at)
			return bad(csv, nul_byte);
		if (*csv->at == '\n')
			csv->line++;
		if (*csv->at == '"') {
			if (csv->at + 1 == csv->end || csv->at[1] != '"') {
				csv->at++;
				field->len = (size_t)(out - field->ptr);
				return 0;
			}
			csv->at++;
		}
		*out++ = *csv->at;
	}
	return bad(csv, "a quote is not closed");
}

static int take_plain(struct csv *csv, struct slice *field)
{
	field->ptr = csv->at;
	while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n' && *csv->at != '\r') {
		if (*csv->at == '"')
			return bad(csv, "a quote stands within a field");
		if (!*csv->at)
			return bad(csv, nul_byte);
		csv->at++;
	}
	field->len = (size_t)(csv->at - field->ptr);
	return 0;
}

/* Passes the end of a record; false when something else stands there. */
static bool take_line_end(struct csv *csv)
{
	if (csv->at < csv->end && *csv->at == '\r')
		csv->at++;
	if (csv->at == csv->end)
		return true;
	if (*csv->at != '\n')
		return false;
	csv->at++;
	csv->line++;
	return true;
}

static void skip_empty_lines(struct csv *csv)
{
	while (csv->at < csv->end && (*csv->at == '\n' || *csv->at == '\r')) {
		csv->line += *csv->at == '\n';
		csv->at++;
	}
}

int csv_next(struct csv *csv, struct csv_record *record)
{
	int r;

	skip_empty_lines(csv);
	if (csv->at == csv->end)
		return 0;
	record->line = csv->line;
	record->count = 0;
	for (;;) {
		struct slice *field = &record->field[record->count];

		if (record->count == CSV_COLUMNS_MAX)
			return bad(csv, "more than 512 columns");
		if (csv->at < csv->end && *csv->at == '"')
			r = take_quoted(csv, field);
		else
			r = take_plain(csv, field);
		if (r)
			return r;
		record->count++;
		if (csv->at == csv->end || *csv->at != ',')
			break;
		csv->at++;
	}
	return take_line_end(csv) ? 1 : bad(csv, "something stands behind a closing quote");
}
