/* SPDX-License-Identifier: Apache-2.0 */
/* What a row of the ledger's column tables says. Private to schema.c, which makes SQL of it, and
 * schema_values.c, which moves values between a call, the queue and SQLite. */
#ifndef TT_SCHEMA_COLUMNS_H
#define TT_SCHEMA_COLUMNS_H

#include "exporter/schema.h"

enum column_type {
	COL_TEXT,  /* char[size]; "" is NULL */
	COL_INT,   /* int */
	COL_U32,   /* uint32_t */
	COL_I64,   /* int64_t, uint64_t below 2^63 */
	COL_BOOL,  /* bool */
	COL_ENUM,  /* enum stored by its name; "" is NULL */
	COL_TOKEN, /* int64_t of usage.tokens: all NULL when usage is not known */
	COL_UID,   /* uid of a struct workload: NULL unless uid_known */
	COL_RAW,   /* usage.raw_json: an object of numbers, else NULL */
	COL_TAGS,  /* {"key":["value","source"]} */
};

/* When a stored number means "unknown" and becomes NULL. */
enum null_rule { NULL_NEVER, NULL_ZERO, NULL_NEGATIVE };

struct schema_column {
	const char *name;
	enum column_type type;
	enum null_rule null;
	uint32_t offset;
	uint32_t size; /* of a text; count of names for an enum */
	const char *const *names;
};

static inline bool column_is_text(const struct schema_column *c)
{
	return c->type == COL_TEXT || c->type == COL_ENUM || c->type == COL_RAW ||
	       c->type == COL_TAGS;
}

#endif
