/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One statement in one line. `types` has a letter per parameter, in order: i an int64_t, t a text
 * (const char *, NULL is NULL; it must outlive the statement).
 */
#ifndef TT_SQL_H
#define TT_SQL_H

#include "agent/base/money.h"
#include "exporter/text.h"

struct sqlite3;
struct sqlite3_stmt;

/* Returns an SQLite code; on failure *out is NULL. */
int sql_prepare(struct sqlite3 *db, struct sqlite3_stmt **out, const char *sql, const char *types,
		...) TT_MUST_CHECK;
/* Runs it to its end; rows are passed over. Returns an SQLite code. */
int sql_run(struct sqlite3 *db, const char *sql, const char *types, ...) TT_MUST_CHECK;
/* The first column of its first row, or `otherwise` when there is none or it is NULL. */
int64_t sql_integer(struct sqlite3 *db, const char *sql, int64_t otherwise);
/* Runs a script, whose text is freed. Returns an SQLite code. */
int sql_script(struct sqlite3 *db, struct text *script) TT_MUST_CHECK;

/*
 * Sums of money are kept in two columns, of the upper and the lower 32 bits of each amount
 * (exporter/schema.c): that which begins at the result column.
 */
pusd_sum sql_money(struct sqlite3_stmt *stmt, int column);

#endif
