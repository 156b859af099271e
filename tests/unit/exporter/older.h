/* SPDX-License-Identifier: Apache-2.0 */
/* Ledgers as versions before made them. */
#ifndef TT_TEST_OLDER_H
#define TT_TEST_OLDER_H

#include "ledger_dir.h"

#include "exporter/schema.h"

static inline sqlite3 *open_sqlite(void)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/" LEDGER_FILE, dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(schema_functions(db), 0);
	return db;
}

static inline void execute(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

#define SINCE_3                                                                  \
	"name GLOB 'on_behalf_of*' OR name IN('usage_conflict','usage_missing'," \
	"'estimated_by','collapsed_by')"
#define SINCE_5                                                                           \
	"name GLOB '*slice' OR name GLOB '*login*' OR name GLOB '*pod_uid' OR name GLOB " \
	"'*started_by' OR name GLOB '*argv' OR name IN('run_id','joined_by')"
#define SINCE_4 "name GLOB 'cache_savings*' OR name='summed' OR name='reprice'"

static inline void drop_columns(sqlite3 *db, const char *table, const char *which)
{
	struct text sql = TEXT_INIT(16384);
	sqlite3_stmt *stmt;

	text_printf(&sql,
		    "SELECT 'ALTER TABLE %s DROP COLUMN '||name FROM pragma_table_info('%s') WHERE "
		    "%s",
		    table, table, which);
	assert_int_equal(sqlite3_prepare_v2(db, text_cstr(&sql), -1, &stmt, NULL), SQLITE_OK);
	text_free(&sql);
	sql = (struct text)TEXT_INIT(16384);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		text_printf(&sql, "%s;", sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	execute(db, text_cstr(&sql));
	text_free(&sql);
}

/* The ledger of this test as the version, 1 to 4, made it. */
static inline void downgrade(int version)
{
	struct text sql = TEXT_INIT(16384);
	sqlite3 *db = open_sqlite();

	execute(db, "DROP VIEW events");
	drop_columns(db, "facets", SINCE_5);
	drop_columns(db, "calls", SINCE_5);
	if (version < 4) {
		execute(db, "DROP TABLE corrections;DROP TABLE period_totals;"
			    "DROP TABLE periods;DROP TABLE reprices;DROP TABLE runs");
		drop_columns(db, "calls", SINCE_4);
		drop_columns(db, "rollup", SINCE_4);
		drop_columns(db, "journal", SINCE_4);
	}
	if (version < 3) {
		execute(db, "DROP TABLE usage_keys");
		drop_columns(db, "calls", SINCE_3);
		drop_columns(db, "facets", SINCE_3);
	}
	if (version < 2)
		execute(db, "DROP TABLE losses");
	text_puts(&sql, "CREATE VIEW events AS SELECT c.seq,hex(c.event_id) AS event_id,"
			"c.revision");
	for (enum schema_table t = SCHEMA_FACETS; t < SCHEMA_TABLES; t++)
		schema_list_sql(&sql, t, t == SCHEMA_FACETS ? ",f." : ",c.", version);
	text_printf(&sql, " FROM calls c JOIN facets f ON f.id=c.facet;PRAGMA user_version=%d",
		    version);
	execute(db, text_cstr(&sql));
	text_free(&sql);
	sqlite3_close(db);
}

#endif
