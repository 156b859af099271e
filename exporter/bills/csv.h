/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV (RFC 4180) in place: quotes, doubled quotes, line ends within quotes, CRLF or LF, a byte
 * order mark. The bytes are unquoted where they stand. Pure.
 */
#ifndef TT_BILL_CSV_H
#define TT_BILL_CSV_H

#include "agent/base/base.h"

#define CSV_COLUMNS_MAX 512

struct csv {
	char *at, *end;
	int64_t line;	   /* of the next record, from 1 */
	const char *error; /* why the last csv_next failed */
};

struct csv_record {
	int64_t line; /* it begins on */
	size_t count;
	struct slice field[CSV_COLUMNS_MAX]; /* borrowed from the bytes */
};

/* bytes stay the caller's and are changed. */
void csv_begin(struct csv *csv, char *bytes, size_t len);

/* Returns 1 and the next record, 0 at the end, -EBADMSG with csv->error. Empty lines are left out.
 */
int csv_next(struct csv *csv, struct csv_record *record) TT_MUST_CHECK;

#endif
