/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's tables as data: one row per column says where in struct call it lives, so that
 * creating, writing and reading back are loops over the same table. To add a column, add a row here
 * and a migration step in schema_migrate_sql.
 *
 * `facets` holds what calls repeat (who, where, which model, which price), once per distinct
 * combination; `calls` holds what is one call's own and points to its facet. Every column is an
 * integer or a bounded identifier: none can hold content.
 */
#ifndef TT_SCHEMA_H
#define TT_SCHEMA_H

#include "agent/usage/call.h"
#include "exporter/text.h"

#define SCHEMA_VERSION	      5		 /* PRAGMA user_version */
#define SCHEMA_APPLICATION_ID 0x544f4c4c /* "TOLL" */
#define SCHEMA_US_PER_HOUR    3600000000LL
/* Key of `meta`: calls before this midnight (UTC, in microseconds) are gone, their roll-ups stay.
 */
#define SCHEMA_DETAIL_SINCE "detail_since_us"

enum schema_table { SCHEMA_FACETS, SCHEMA_CALLS, SCHEMA_TABLES };

struct schema_column;
struct sqlite3;
struct sqlite3_stmt;

extern const struct schema_column *const schema_columns[SCHEMA_TABLES];
extern const size_t schema_column_count[SCHEMA_TABLES];

/* The whole schema as SQL, version and application id included. */
void schema_create_sql(struct text *sql);
/* What brings a ledger of an older version to this one. */
void schema_migrate_sql(struct text *sql, int64_t version);
/* INSERT of one facet (parameter 1 = key) or call (1 = event_id, 2 = facet), columns behind. */
void schema_insert_sql(struct text *sql, enum schema_table table);
/*
 * "p.a,p.b,..." of a table's columns in order, for SELECT from a ledger of that version: NULL in
 * place of what it has not, under its name.
 */
void schema_list_sql(struct text *sql, enum schema_table table, const char *prefix,
		     int64_t version);
/* Adds the calls that match the condition to the roll-up rows of their hours. */
void schema_rollup_sql(struct text *sql, const char *condition);
/* The same into another table that has these columns, behind its name in CREATE TABLE. */
void schema_rollup_into_sql(struct text *sql, const char *table, const char *condition);
void schema_rollup_columns_sql(struct text *sql);
/* Adds the rows of a table that has the columns of `rollup` to it. */
void schema_rollup_add_sql(struct text *sql, const char *table);
/*
 * The columns of `rollup` in order, from it or from `calls` seen as such rows, in a ledger of that
 * version: 0 in place of what it has not.
 */
void schema_rollup_list_sql(struct text *sql, const char *prefix, bool of_calls, int64_t version);

/*
 * ",json_extract(?1,'$.a'),..." of a table's columns in order: what an exported line holds of them,
 * as integers, texts and NULL. What a line need not hold, an older version's did not.
 */
void schema_json_sql(struct text *sql, enum schema_table table);
/*
 * The first of a table's columns, from result column `first` on, that no call can hold (a text
 * where a number belongs, a name that is not known, a count below 0), or NULL.
 */
const char *schema_refuses(struct sqlite3_stmt *stmt, int first, enum schema_table table);
/* A table's columns by name, as the ledger keeps them, for exports. */
enum schema_kind { SCHEMA_NUMBER, SCHEMA_TEXT, SCHEMA_JSON };
const char *schema_column_name(enum schema_table table, size_t index, enum schema_kind *kind);

/* One table's columns of a call, encoded for the queue; equal bytes = equal columns. */
void schema_pack(struct text *out, enum schema_table table, const struct call *call);
/* The packed columns of a table back into a call. */
void schema_unpack(struct slice packed, enum schema_table table, struct call *call);
/* Binds packed columns from parameter `first` on. Returns the bytes used. */
size_t schema_bind(struct sqlite3_stmt *stmt, int first, enum schema_table table,
		   struct slice packed);
/* Reads one table's columns, from result column `first` on, back into a call. */
void schema_load(struct sqlite3_stmt *stmt, int first, enum schema_table table, struct call *call);

/* A sum that stops at the end of the range. */
static inline int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* Registers sat_add (writers) and sat_sum (readers): integer sums that stop at INT64_MAX. */
int schema_functions(struct sqlite3 *db) TT_MUST_CHECK;

#endif
