/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a ledger lets go of its detail, and how long the writer stands still for one batch.
 *
 * usage: ledger_retention DIR DAYS NOW_S BATCHES; prints "DELETED SECONDS SLOWEST_BATCH_MS
 * USED_BYTES_BEFORE USED_BYTES_AFTER"
 */
#include "agent/base/clock.h"
#include "exporter/database.h"
#include "exporter/ledger.h"
#include "exporter/retention.h"

#include <sqlite3.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char err[LEDGER_ERROR_MAX] = "give DIR, DAYS, NOW_S and BATCHES";
	struct retention opts = {.days = argc == 5 ? strtoll(argv[2], NULL, 10) : 0};
	int64_t now_us = argc == 5 ? strtoll(argv[3], NULL, 10) * 1000000 : 0, deleted = 0, before;
	uint64_t begun_ns = clock_mono_ns(), slowest_ns = 0;
	struct retention_step step = {.more = true};
	sqlite3 *db = NULL;

	if (!opts.days || database_open(&db, argv[1], false, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	before = retention_used_bytes(db);
	for (long left = strtol(argv[4], NULL, 10); left && step.more; left--) {
		uint64_t from_ns = clock_mono_ns();

		if (retention_step(db, &opts, now_us, &step) != SQLITE_OK) {
			fprintf(stderr, "%s\n", sqlite3_errmsg(db));
			return 1;
		}
		deleted += step.deleted;
		if (clock_mono_ns() - from_ns > slowest_ns)
			slowest_ns = clock_mono_ns() - from_ns;
	}
	printf("%lld %.3f %llu %lld %lld\n", (long long)deleted,
	       (double)(clock_mono_ns() - begun_ns) / 1e9,
	       (unsigned long long)(slowest_ns / NSEC_PER_MSEC), (long long)before,
	       (long long)retention_used_bytes(db));
	sqlite3_close(db);
	return 0;
}
