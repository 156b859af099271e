/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/query_parts.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

int query_runs(struct query *q, int64_t since_us, int64_t until_us,
	       int (*each)(void *user, const struct query_run *run), void *user)
{
	struct sql sql = {.text = TEXT_INIT(QUERY_SQL_MAX), .version = q->version};
	struct query_run run;
	sqlite3_stmt *stmt;
	int r, rc = SQLITE_ROW;

	if (q->version < QUERY_RUNS_SINCE) {
		snprintf(q->error, sizeof(q->error),
			 "this ledger is from an older Tolltap, which did not write down when it "
			 "ran");
		return -ENOTSUP;
	}
	text_puts(&sql.text, "SELECT host,started_us,ended_us FROM runs WHERE started_us<? AND "
			     "ended_us>? ORDER BY host,started_us");
	sql_number(&sql, until_us ? until_us : INT64_MAX);
	sql_number(&sql, since_us);
	r = query_prepare(q, &sql, &stmt);
	text_free(&sql.text);
	if (r)
		return r;
	while (r == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		run = (struct query_run){(const char *)sqlite3_column_text(stmt, 0),
					 sqlite3_column_int64(stmt, 1),
					 sqlite3_column_int64(stmt, 2)};
		r = each(user, &run);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = query_fail(q, rc);
	sqlite3_finalize(stmt);
	return r;
}
