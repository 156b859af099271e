/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one printer of all query commands: rows of cells as an aligned table for people, one JSON
 * object per line, or CSV (RFC 4180). Cells are given in column order; output_row ends a row.
 * Colour only on a terminal (and never with NO_COLOR set); bytes that could steer a terminal are
 * replaced in tables, and a text that a spreadsheet would take for a formula gets a ' before it in
 * CSV (docs/commands.md). A table's widths are settled by its first OUTPUT_TABLE_ROWS rows, so that
 * memory is bounded and a followed table appears at output_flush.
 */
#ifndef TT_CLI_OUTPUT_H
#define TT_CLI_OUTPUT_H

#include "agent/cli/cli.h"

#include <stdio.h>

#define OUTPUT_COLUMNS_MAX 128
#define OUTPUT_CELL_MAX	   (128u << 10) /* bytes of one cell */
#define OUTPUT_TABLE_ROWS  500

enum output_align { OUTPUT_LEFT, OUTPUT_RIGHT };

struct output_column {
	const char *name;
	enum output_align align; /* in tables */
};

struct output;

/* columns stay the caller's and must outlive o. Returns 0, -ENOMEM, -E2BIG (too many columns). */
int output_new(struct output **out, FILE *stream, enum output_form form,
	       const struct output_column *columns, size_t count) TT_MUST_CHECK;

void output_text(struct output *o, const char *text); /* NULL or "" = unknown */
void output_int(struct output *o, int64_t value);
void output_bool(struct output *o, bool value);
void output_ms(struct output *o, int64_t us); /* as exact milliseconds; below 0 = unknown */
void output_null(struct output *o);
/* A value that is JSON already: a number, an object. Printed as it is, quoted by CSV if needed. */
void output_json(struct output *o, const char *json);

void output_row(struct output *o);	    /* cells not given are unknown */
void output_row_emphasis(struct output *o); /* bold on a terminal: a total */
void output_flush(struct output *o);

/* Flushes and frees. Returns 0, or -errno when something was not written or memory failed. */
int output_end(struct output *o) TT_MUST_CHECK;

#endif
