/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/rollup.h"

#include "exporter/schema.h"
#include "exporter/sql.h"

#include <sqlite3.h>
#include <stdio.h>

int64_t rollup_detail_since_us(sqlite3 *db)
{
	return sql_integer(db, "SELECT value FROM meta WHERE key='" SCHEMA_DETAIL_SINCE "'", 0);
}

bool rollup_has_detail(sqlite3 *db, int64_t hour)
{
	return hour * SCHEMA_US_PER_HOUR >= rollup_detail_since_us(db);
}

int rollup_hour(sqlite3 *db, int64_t hour)
{
	struct text sql = TEXT_INIT(16u << 10);
	int rc;

	if (!rollup_has_detail(db, hour)) /* by now: retention goes on beside us */
		return SQLITE_OK;
	rc = sql_run(db, "DELETE FROM rollup WHERE hour=?", "i", hour);
	schema_rollup_sql(&sql, "started_at_us>=?1 AND started_at_us<?2");
	if (rc == SQLITE_OK)
		rc = text_cstr(&sql) ? sql_run(db, sql.ptr, "ii", hour * SCHEMA_US_PER_HOUR,
					       (hour + 1) * SCHEMA_US_PER_HOUR)
				     : SQLITE_NOMEM;
	text_free(&sql);
	return rc;
}

/* An hour that has calls or a roll-up, from `hour` on; INT64_MAX = none has. */
static int64_t next_hour(sqlite3 *db, int64_t hour)
{
	sqlite3_stmt *stmt = NULL;
	int64_t found = INT64_MAX;

	if (sql_prepare(db, &stmt,
			"SELECT min(hour) FROM (SELECT min(started_at_us)/3600000000 AS hour FROM "
			"calls WHERE started_at_us>=?1*3600000000 UNION ALL SELECT min(hour) FROM "
			"rollup WHERE hour>=?1)",
			"i", hour) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		found = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return found;
}

static int rebuild_hour(sqlite3 *db, int64_t hour)
{
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = rollup_hour(db, hour);
	if (rc == SQLITE_OK)
		return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int rollup_rebuild(sqlite3 *db, void (*progress)(int64_t done, int64_t all))
{
	int64_t first = next_hour(db, rollup_detail_since_us(db) / SCHEMA_US_PER_HOUR);
	int64_t last = sql_integer(db, "SELECT max(started_at_us)/3600000000 FROM calls", 0);
	int rc = SQLITE_OK;

	for (int64_t hour = first; rc == SQLITE_OK && hour != INT64_MAX;
	     hour = next_hour(db, hour + 1)) {
		rc = rebuild_hour(db, hour);
		if (progress && last >= hour)
			progress(hour - first + 1, last - first + 1);
	}
	return rc;
}

/* The roll-up that the calls make, as a table of one connection's own. */
static int make_expected(sqlite3 *db, int64_t since_us)
{
	struct text sql = TEXT_INIT(32u << 10);
	char condition[64];

	snprintf(condition, sizeof(condition), "started_at_us>=%lld", (long long)since_us);
	text_puts(&sql, "DROP TABLE IF EXISTS temp.expected;CREATE TEMP TABLE expected");
	schema_rollup_columns_sql(&sql);
	text_puts(&sql, ";");
	schema_rollup_into_sql(&sql, "temp.expected", condition);
	return sql_script(db, &sql);
}

int rollup_check(sqlite3 *db, int64_t *wrong, int64_t *first_hour)
{
	int64_t since_us = rollup_detail_since_us(db);
	sqlite3_stmt *stmt = NULL;
	int rc = make_expected(db, since_us);

	*wrong = *first_hour = 0;
	if (rc == SQLITE_OK)
		rc = sql_prepare(
			db, &stmt,
			"WITH have AS (SELECT * FROM rollup WHERE hour>=?),"
			"differs AS (SELECT * FROM (SELECT * FROM have EXCEPT SELECT * "
			"FROM temp.expected) UNION SELECT * FROM (SELECT * FROM "
			"temp.expected EXCEPT SELECT * FROM have)) SELECT "
			"count(DISTINCT hour||'/'||facet),ifnull(min(hour),0) FROM differs",
			"i", since_us / SCHEMA_US_PER_HOUR);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		*wrong = sqlite3_column_int64(stmt, 0);
		*first_hour = sqlite3_column_int64(stmt, 1);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(stmt);
	sqlite3_exec(db, "DROP TABLE IF EXISTS temp.expected", NULL, NULL, NULL);
	return rc;
}
