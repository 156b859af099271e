/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an export consists of, one JSON object a line: calls with every column the ledger keeps, and
 * what else a reader of several ledgers needs: sums of hours whose calls are gone by retention,
 * losses, the agent's runs, corrections of months that are closed. Columns have the ledger's own
 * names and values, so that a line read back (exporter/merge.h) is the row it was.
 */
#ifndef TT_RECORDS_H
#define TT_RECORDS_H

#include "exporter/query.h"

enum record_kind {
	RECORD_CALL,
	RECORD_SUM,
	RECORD_LOSS,
	RECORD_RUN,
	RECORD_CORRECTION,
	RECORD_KINDS
};
extern const char *const record_names[RECORD_KINDS]; /* "call", ... */

#define RECORD_COLUMNS_MAX 128

/* Rows that are copied as they are; `id` is unique in their ledger. */
struct record_table {
	const char *table;
	/*
	 * Behind id, separated by commas: numbers, but for `text`. With event_id, the first, the
	 * row is of a call, and is copied with it.
	 */
	const char *columns;
	const char *text;     /* or NULL */
	const char *newest;   /* of two rows with one id the one where this is greater counts */
	const char *overlaps; /* when row x has to do with two times; NULL: when its call has */
	int64_t since;	      /* the version of the schema that brought it */
};
/* NULL for calls and sums, which are columns of the schema's tables. */
const struct record_table *record_table(enum record_kind kind);

/* Calls each() with every name of a list separated by commas. */
void record_each_name(const char *list, void (*each)(void *user, struct slice name), void *user);

struct record_cell {
	bool is_number;
	bool is_json; /* text is a JSON object */
	int64_t number;
	const char *text; /* NULL, and no number: not known */
};

struct records;

/*
 * The records of a kind that the filter's times touch; its conditions narrow calls and sums, and
 * what is of calls. Sums do not know what only a call has (a tag, a pid): filtered by that, there
 * are none. Calls come by time. The filter may go after this. Returns 0 or -errno (query_error).
 */
int records_open(struct records **out, struct query *q, const struct query_filter *filter,
		 enum record_kind kind) TT_MUST_CHECK;
/* Names of the columns, valid until records_close; "record" is the first. Returns how many. */
size_t records_columns(const struct records *r, const char *const **names);
/* The next record; texts are valid until the one after. Returns 1, 0 at the end, or -errno. */
int records_next(struct records *r, const struct record_cell **cells) TT_MUST_CHECK;
void records_close(struct records *r); /* NULL is fine */

#endif
