/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/retention.h"

#include "exporter/periods.h"
#include "exporter/rollup.h"
#include "exporter/schema.h"
#include "exporter/sql.h"
#include "exporter/usage_keys.h"

#include <sqlite3.h>

#define US_PER_DAY (24 * SCHEMA_US_PER_HOUR)

static int64_t midnight(int64_t us)
{
	return us / US_PER_DAY * US_PER_DAY;
}

int64_t retention_used_bytes(sqlite3 *db)
{
	return (sql_integer(db, "PRAGMA page_count", 0) -
		sql_integer(db, "PRAGMA freelist_count", 0)) *
	       sql_integer(db, "PRAGMA page_size", 0);
}

static int64_t oldest_us(sqlite3 *db)
{
	return sql_integer(db, "SELECT min(started_at_us) FROM calls", INT64_MAX);
}

/* What age and size ask for: a midnight before which calls are to go; 0 = none are. */
static int64_t wanted_us(sqlite3 *db, const struct retention *opts, int64_t now_us)
{
	int64_t by_age = opts->days ? midnight(now_us) - opts->days * US_PER_DAY : 0;
	int64_t oldest = oldest_us(db), by_size = 0;

	if (opts->max_bytes && oldest != INT64_MAX && retention_used_bytes(db) > opts->max_bytes)
		by_size = midnight(oldest) + US_PER_DAY;
	return by_age > by_size ? by_age : by_size;
}

/* The first month from the oldest call on that is not closed. */
static int open_month_us(sqlite3 *db, int64_t *since_us)
{
	int64_t at_us = oldest_us(db), id = 0;
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_OK;

	*since_us = at_us;
	while (rc == SQLITE_OK && at_us != INT64_MAX) {
		rc = period_closed_at(db, at_us, &id);
		if (rc != SQLITE_OK || !id)
			break;
		rc = sql_prepare(db, &stmt, "SELECT until_us FROM periods WHERE id=?", "i", id);
		if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
			*since_us = at_us = sqlite3_column_int64(stmt, 0);
		else
			rc = SQLITE_ERROR; /* it was there a moment ago: the disk or memory fails */
		sqlite3_finalize(stmt);
		stmt = NULL;
	}
	return rc;
}

/* The oldest call that some consumer has not acknowledged; INT64_MAX = none. */
static int64_t unacknowledged_us(sqlite3 *db)
{
	return sql_integer(db,
			   "SELECT min(c.started_at_us) FROM outbox o JOIN calls c ON c.seq=o.seq "
			   "WHERE o.id>(SELECT min(outbox_id) FROM cursors)",
			   INT64_MAX);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A midnight before which calls go, with what keeps them. */
static int find_cutoff(sqlite3 *db, const struct retention *opts, int64_t now_us,
		       int64_t *cutoff_us, struct retention_step *out)
{
	int64_t wanted = wanted_us(db, opts, now_us), open_us = 0;
	int rc = wanted ? open_month_us(db, &open_us) : SQLITE_OK;

	*cutoff_us = 0;
	wanted = least(wanted, midnight(now_us) - USAGE_KEYS_DAYS * US_PER_DAY);
	if (rc != SQLITE_OK || wanted <= oldest_us(db))
		return rc;
	if (open_us < wanted)
		out->waits_for_us = open_us;
	*cutoff_us = midnight(least(least(wanted, open_us), unacknowledged_us(db)));
	return rc;
}

/* How far the outbox has been looked through; behind its end it begins anew. */
#define SWEPT "outbox_swept_id"

/* Outbox rows that all have seen and whose call is gone, as far as one batch looks. */
static int clear_outbox(sqlite3 *db)
{
	int64_t from = sql_integer(db, "SELECT value FROM meta WHERE key='" SWEPT "'", 0);
	int64_t to = from + (int64_t)RETENTION_BATCH * 4;
	int64_t last = sql_integer(db, "SELECT max(id) FROM outbox", 0);
	int rc = sql_run(db,
			 "DELETE FROM outbox WHERE id>? AND id<=? AND "
			 "id<=ifnull((SELECT min(outbox_id) FROM cursors),9223372036854775807) "
			 "AND seq NOT IN (SELECT seq FROM calls)",
			 "ii", from, to);

	if (rc == SQLITE_OK)
		rc = sql_run(db, "REPLACE INTO meta VALUES('" SWEPT "',?)", "i",
			     to < last ? to : (int64_t)0);
	return rc;
}

static int delete_batch(sqlite3 *db, int64_t cutoff_us, struct retention_step *out)
{
	int rc = sql_run(db,
			 "REPLACE INTO meta SELECT '" SCHEMA_DETAIL_SINCE "',max(?1,"
			 "ifnull((SELECT value FROM meta WHERE key='" SCHEMA_DETAIL_SINCE "'),0))",
			 "i", cutoff_us);

	if (rc == SQLITE_OK)
		rc = sql_run(db,
			     "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls WHERE "
			     "started_at_us<? ORDER BY started_at_us LIMIT ?)",
			     "ii", cutoff_us, (int64_t)RETENTION_BATCH);
	if (rc != SQLITE_OK)
		return rc;
	out->deleted = sqlite3_changes(db);
	out->more = out->deleted == RETENTION_BATCH;
	return clear_outbox(db);
}

int retention_step(sqlite3 *db, const struct retention *opts, int64_t now_us,
		   struct retention_step *out)
{
	int64_t cutoff_us;
	int rc;

	*out = (struct retention_step){0};
	if (!opts->days && !opts->max_bytes)
		return SQLITE_OK;
	/* What keeps calls here may change until the transaction has begun. */
	rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = find_cutoff(db, opts, now_us, &cutoff_us, out);
	if (rc == SQLITE_OK && oldest_us(db) < cutoff_us)
		rc = delete_batch(db, cutoff_us, out);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		*out = (struct retention_step){0};
	return rc;
}
