/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints that cost nothing: token counters, moderation. Their answers may hold counts, of which
 * none is usage; only names and errors are read.
 */
#include "agent/usage/dialect.h"

static const struct dialect_row rows[] = {
	{"id", ROW_TEXT, TEXT_RESPONSE_ID, NULL},
	{"model", ROW_TEXT, TEXT_MODEL, NULL},
	ROWS_ERROR("", "type"),
	{"error.status", ROW_TEXT, TEXT_ERROR_TYPE, NULL},
};

const struct dialect dialect_free = {
	.name = "free",
	.rows = rows,
	.row_count = ARRAY_LEN(rows),
	.free = true,
};
