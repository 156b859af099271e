/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/runs.h"

#include "exporter/sql.h"

#include <sqlite3.h>

int runs_begin(sqlite3 *db, const char *host, int64_t seen_us, int64_t now_us)
{
	/* A sign of life from a clock that was ahead since is not believed. */
	int rc = runs_seen(db, seen_us < now_us ? seen_us : now_us);

	if (rc == SQLITE_OK)
		rc = sql_run(db,
			     "UPDATE runs SET ended_us=max(ended_us,?) WHERE "
			     "id=(SELECT max(id) FROM runs) AND ended_us>=? AND host=?",
			     "iit", now_us, now_us - RUNS_JOIN_S * (int64_t)1000000, host);
	if (rc != SQLITE_OK || sqlite3_changes(db))
		return rc;
	return sql_run(db, "INSERT INTO runs(started_us,ended_us,host) VALUES(?1,?1,?2)", "it",
		       now_us, host);
}

int runs_seen(sqlite3 *db, int64_t now_us)
{
	return sql_run(db,
		       "UPDATE runs SET ended_us=max(ended_us,?) "
		       "WHERE id=(SELECT max(id) FROM runs)",
		       "i", now_us);
}
