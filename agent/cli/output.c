/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/output.h"

#include "exporter/text.h"

#include <ctype.h>
#include <errno.h>
#include <unistd.h>

enum cell_kind { CELL_NULL, CELL_TEXT, CELL_RAW };

struct cell {
	enum cell_kind kind;
	struct text text;
};

/* A row of a table that waits for its column widths. */
struct table_row {
	bool emphasis;
	char **cells;
};

struct output {
	FILE *stream;
	enum output_form form;
	const struct output_column *columns;
	size_t count;
	struct cell cells[OUTPUT_COLUMNS_MAX];
	size_t filled;
	bool header_done;
	bool failed; /* memory */
	bool colour;
	size_t widths[OUTPUT_COLUMNS_MAX];
	struct table_row *rows;
	size_t row_count;
};

int output_new(struct output **out, FILE *stream, enum output_form form,
	       const struct output_column *columns, size_t count)
{
	struct output *o;

	if (count > OUTPUT_COLUMNS_MAX)
		return -E2BIG;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->stream = stream;
	o->form = form;
	o->columns = columns;
	o->count = count;
	o->colour = form == OUTPUT_TABLE && isatty(fileno(stream)) && !getenv("NO_COLOR");
	for (size_t i = 0; i < count; i++)
		o->cells[i].text = TEXT_INIT(OUTPUT_CELL_MAX);
	*out = o;
	return 0;
}

/* ---- cells ------------------------------------------------------------------------------- */

static void put_cell(struct output *o, enum cell_kind kind, const char *s)
{
	struct cell *cell;

	if (o->filled == o->count)
		return;
	cell = &o->cells[o->filled++];
	cell->kind = kind;
	cell->text.len = 0;
	text_puts(&cell->text, s);
	o->failed |= !text_cstr(&cell->text);
}

void output_text(struct output *o, const char *text)
{
	put_cell(o, text && *text ? CELL_TEXT : CELL_NULL, text ? text : "");
}

void output_int(struct output *o, int64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%lld", (long long)value);
	put_cell(o, CELL_RAW, digits);
}

void output_bool(struct output *o, bool value)
{
	put_cell(o, CELL_RAW, value ? "true" : "false");
}

void output_ms(struct output *o, int64_t us)
{
	char text[40];

	snprintf(text, sizeof(text), "%lld.%03d", (long long)(us / 1000), (int)(us % 1000));
	put_cell(o, us < 0 ? CELL_NULL : CELL_RAW, us < 0 ? "" : text);
}

void output_null(struct output *o)
{
	put_cell(o, CELL_NULL, "");
}

void output_json(struct output *o, const char *json)
{
	put_cell(o, CELL_RAW, json);
}

/* ---- JSON lines and CSV ------------------------------------------------------------------ */

static void print_json_row(struct output *o)
{
	struct text line = TEXT_INIT(OUTPUT_CELL_MAX * 4);

	for (size_t i = 0; i < o->count; i++) {
		const struct cell *cell = &o->cells[i];

		text_puts(&line, i ? "," : "{");
		text_json_string(&line, slice_of(o->columns[i].name));
		text_puts(&line, ":");
		if (cell->kind == CELL_TEXT)
			text_json_string(&line, slice_of(cell->text.ptr));
		else
			text_puts(&line, cell->kind == CELL_RAW ? cell->text.ptr : "null");
	}
	text_puts(&line, "}\n");
	if (line.failed)
		o->failed = true;
	else
		fwrite(line.ptr, 1, line.len, o->stream);
	text_free(&line);
}

static bool is_decimal(const char *s)
{
	s += *s == '-';
	if (!isdigit((unsigned char)*s))
		return false;
	s += strspn(s, "0123456789");
	if (*s == '.' && isdigit((unsigned char)s[1]))
		s += 1 + strspn(s + 1, "0123456789");
	return !*s;
}

/*
 * A spreadsheet takes a text that begins so for a formula, and models and tags are what clients
 * wrote: OWASP, "CSV Injection". Its full-width signs too. A number below 0 is none.
 */
static bool is_formula(const char *s)
{
	static const char *const begins[] = {"=",  "+",	     "-",      "@",	 "\t",	  "\r",
					     "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"};

	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		if (!strncmp(s, begins[i], strlen(begins[i])))
			return !is_decimal(s);
	}
	return false;
}

/* RFC 4180 section 2: rules 5 to 7. */
static void print_csv_cell(FILE *stream, const char *s, bool is_text)
{
	const char *guard = is_text && is_formula(s) ? "'" : "";

	if (!strpbrk(s, ",\"\r\n")) {
		fprintf(stream, "%s%s", guard, s);
		return;
	}
	fprintf(stream, "\"%s", guard);
	for (; *s; s++) {
		if (*s == '"')
			fputc('"', stream);
		fputc(*s, stream);
	}
	fputc('"', stream);
}

static void print_csv_row(struct output *o, bool header)
{
	for (size_t i = 0; i < o->count; i++) {
		const struct cell *cell = &o->cells[i];

		if (i)
			fputc(',', o->stream);
		print_csv_cell(o->stream, header ? o->columns[i].name : cell->text.ptr,
			       header || cell->kind == CELL_TEXT);
	}
	fputs("\r\n", o->stream);
}

/* ---- tables ------------------------------------------------------------------------------ */

static char *terminal_safe(const char *s)
{
	char *copy = strdup(s);

	if (copy)
		slice_copy(copy, strlen(s) + 1, slice_of(s));
	return copy;
}

/* Code points: wide enough for names and numbers. */
static size_t display_width(const char *s)
{
	size_t width = 0;

	for (; *s; s++)
		width += ((unsigned char)*s & 0xc0) != 0x80;
	return width;
}

static void print_padded(struct output *o, size_t column, const char *s)
{
	size_t width = display_width(s);
	size_t pad = o->widths[column] > width ? o->widths[column] - width : 0;
	bool right = o->columns[column].align == OUTPUT_RIGHT;
	bool last = column + 1 == o->count;

	if (right)
		fprintf(o->stream, "%*s", (int)pad, "");
	fputs(s, o->stream);
	if (!last)
		fprintf(o->stream, "%*s", (int)(right ? 0 : pad) + 2, "");
}

static void print_table_header(struct output *o)
{
	fputs(o->colour ? "\033[1m" : "", o->stream);
	for (size_t i = 0; i < o->count; i++) {
		char name[64];
		size_t n = 0;

		for (const char *p = o->columns[i].name; *p && n + 1 < sizeof(name); p++)
			name[n++] = (char)(*p == '_' ? ' ' : toupper((unsigned char)*p));
		name[n] = '\0';
		print_padded(o, i, name);
	}
	fputs(o->colour ? "\033[0m\n" : "\n", o->stream);
}

static void row_free(const struct output *o, struct table_row *row)
{
	for (size_t i = 0; row->cells && i < o->count; i++)
		free(row->cells[i]);
	free(row->cells);
}

static void print_table(struct output *o)
{
	if (!o->header_done) {
		o->header_done = true;
		for (size_t i = 0; i < o->count; i++) {
			if (display_width(o->columns[i].name) > o->widths[i])
				o->widths[i] = display_width(o->columns[i].name);
		}
		print_table_header(o);
	}
	for (size_t r = 0; r < o->row_count; r++) {
		struct table_row *row = &o->rows[r];
		bool bold = row->emphasis && o->colour;

		fputs(bold ? "\033[1m" : "", o->stream);
		for (size_t i = 0; i < o->count; i++)
			print_padded(o, i, row->cells[i]);
		fputs(bold ? "\033[0m\n" : "\n", o->stream);
		row_free(o, row);
	}
	o->row_count = 0;
}

static void keep_table_row(struct output *o, bool emphasis)
{
	struct table_row row = {emphasis, calloc(o->count, sizeof(char *))};

	if (!o->rows)
		o->rows = calloc(OUTPUT_TABLE_ROWS, sizeof(*o->rows));
	for (size_t i = 0; row.cells && i < o->count; i++) {
		const struct cell *cell = &o->cells[i];

		row.cells[i] = terminal_safe(cell->kind == CELL_NULL ? "-" : cell->text.ptr);
		o->failed |= !row.cells[i];
	}
	if (!o->rows || !row.cells || o->failed) {
		o->failed = true;
		row_free(o, &row);
		return;
	}
	for (size_t i = 0; i < o->count && !o->header_done; i++) {
		if (display_width(row.cells[i]) > o->widths[i])
			o->widths[i] = display_width(row.cells[i]);
	}
	o->rows[o->row_count++] = row;
	if (o->row_count == OUTPUT_TABLE_ROWS)
		print_table(o);
}

/* ---- rows -------------------------------------------------------------------------------- */

static void end_row(struct output *o, bool emphasis)
{
	while (o->filled < o->count)
		output_null(o);
	o->filled = 0;
	if (o->failed)
		return;
	if (o->form == OUTPUT_JSON) {
		print_json_row(o);
	} else if (o->form == OUTPUT_TABLE) {
		keep_table_row(o, emphasis);
	} else {
		if (!o->header_done)
			print_csv_row(o, true);
		o->header_done = true;
		print_csv_row(o, false);
	}
}

void output_row(struct output *o)
{
	end_row(o, false);
}

void output_row_emphasis(struct output *o)
{
	end_row(o, true);
}

void output_flush(struct output *o)
{
	if (o->form == OUTPUT_TABLE && o->row_count)
		print_table(o);
	fflush(o->stream);
}

int output_end(struct output *o)
{
	int r;

	if (o->form == OUTPUT_TABLE && (o->row_count || !o->header_done))
		print_table(o);
	if (o->form == OUTPUT_CSV && !o->header_done)
		print_csv_row(o, true);
	errno = 0;
	r = fflush(o->stream) || ferror(o->stream) ? -(errno ? errno : EIO) : 0;
	r = o->failed ? -ENOMEM : r;
	for (size_t i = 0; i < o->count; i++)
		text_free(&o->cells[i].text);
	free(o->rows);
	free(o);
	return r;
}
