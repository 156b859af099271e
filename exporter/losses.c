/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/losses.h"

#include "agent/base/counters.h"

#include <sqlite3.h>

const char *const loss_reason_names[LOSS_REASONS] = {
	[LOSS_WORKER_CRASH] = "worker_crash", [LOSS_AGENT_CRASH] = "agent_crash",
	[LOSS_HOST_CRASH] = "host_crash",     [LOSS_NOT_WRITTEN] = "not_written",
	[LOSS_DAMAGED] = "ledger_damaged",    [LOSS_REPLACED] = "ledger_replaced",
};

static const enum counter calls_counter[LOSS_REASONS] = {
	[LOSS_WORKER_CRASH] = COUNTER_CALLS_LOST_WORKER,
	[LOSS_AGENT_CRASH] = COUNTER_CALLS_LOST_AGENT,
	[LOSS_HOST_CRASH] = COUNTER_CALLS_LOST_HOST,
	[LOSS_NOT_WRITTEN] = COUNTER_CALLS_LOST_NOT_WRITTEN,
	[LOSS_DAMAGED] = COUNTER_CALLS_LOST_DAMAGED,
	[LOSS_REPLACED] = COUNTER_CALLS_LOST_REPLACED,
};

static int run(sqlite3 *db, const struct loss *loss, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(stmt, 1, loss->since_us);
	sqlite3_bind_int64(stmt, 2, loss->at_us);
	sqlite3_bind_text(stmt, 3, loss_reason_names[loss->reason], -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 4, (int64_t)loss->calls);
	sqlite3_bind_int64(stmt, 5, (int64_t)loss->rows);
	sqlite3_bind_int64(stmt, 6, (int64_t)loss->unmetered_seconds);
	sqlite3_bind_int64(stmt, 7, loss->goes_on ? 0 : 1);
	sqlite3_step(stmt);
	return sqlite3_finalize(stmt);
}

int losses_add(sqlite3 *db, const struct loss *loss)
{
	static const char merge[] =
		"UPDATE losses SET since_us=min(since_us,?1),at_us=max(at_us,?2),calls=calls+?4,"
		"rows=rows+?5,unmetered_seconds=unmetered_seconds+?6,times=times+?7 "
		"WHERE reason=?3 AND at_us/3600000000=?2/3600000000";
	static const char insert[] =
		"INSERT INTO losses(since_us,at_us,reason,calls,rows,unmetered_seconds,times) "
		"VALUES(?1,?2,?3,?4,?5,?6,?7)";
	int rc = run(db, loss, merge);

	return rc == SQLITE_OK && sqlite3_changes(db) == 0 ? run(db, loss, insert) : rc;
}

void losses_publish(sqlite3 *db)
{
	uint64_t unmetered_seconds = 0;
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db,
				    "SELECT reason,sum(calls),sum(unmetered_seconds) FROM losses "
				    "GROUP BY reason",
				    -1, &stmt, NULL);

	while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 0);

		for (int i = 0; name && i < LOSS_REASONS; i++) {
			if (!strcmp(name, loss_reason_names[i]))
				counter_set(calls_counter[i],
					    (uint64_t)sqlite3_column_int64(stmt, 1));
		}
		unmetered_seconds += (uint64_t)sqlite3_column_int64(stmt, 2);
	}
	if (sqlite3_finalize(stmt) == SQLITE_OK && rc == SQLITE_OK)
		counter_set(COUNTER_UNMETERED_SECONDS, unmetered_seconds);
}
