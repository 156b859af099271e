/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/sql.h"

#include <sqlite3.h>
#include <stdarg.h>

static int prepare(sqlite3 *db, sqlite3_stmt **out, const char *sql, const char *types,
		   va_list args)
{
	int rc = sqlite3_prepare_v2(db, sql, -1, out, NULL);

	for (int i = 1; rc == SQLITE_OK && *types; i++, types++) {
		if (*types == 'i')
			rc = sqlite3_bind_int64(*out, i, va_arg(args, int64_t));
		else
			rc = sqlite3_bind_text(*out, i, va_arg(args, const char *), -1,
					       SQLITE_STATIC);
	}
	if (rc != SQLITE_OK) {
		sqlite3_finalize(*out);
		*out = NULL;
	}
	return rc;
}

int sql_prepare(sqlite3 *db, sqlite3_stmt **out, const char *sql, const char *types, ...)
{
	va_list args;
	int rc;

	va_start(args, types);
	rc = prepare(db, out, sql, types, args);
	va_end(args);
	return rc;
}

int sql_run(sqlite3 *db, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	va_list args;
	int rc;

	va_start(args, types);
	rc = prepare(db, &stmt, sql, types, args);
	va_end(args);
	while (rc == SQLITE_OK || rc == SQLITE_ROW)
		rc = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int64_t sql_integer(sqlite3 *db, const char *sql, int64_t otherwise)
{
	sqlite3_stmt *stmt = NULL;
	int64_t value = otherwise;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		value = sqlite3_column_int64(stmt, 0);
	return sqlite3_finalize(stmt) == SQLITE_OK ? value : otherwise;
}

int sql_script(sqlite3 *db, struct text *script)
{
	int rc = text_cstr(script) ? sqlite3_exec(db, script->ptr, NULL, NULL, NULL) : SQLITE_NOMEM;

	text_free(script);
	return rc;
}

pusd_sum sql_money(sqlite3_stmt *stmt, int column)
{
	/* Times, not shifted: what caching saved may be below 0. */
	return (pusd_sum)sqlite3_column_int64(stmt, column) * ((pusd_sum)1 << 32) +
	       sqlite3_column_int64(stmt, column + 1);
}
