/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closed months (UTC). Closing freezes what a month came to; from then on whatever changes in it is
 * a dated row of `corrections` as well: a call that comes late, a reprice that was told to touch
 * closed months. So for every closed month and to the picodollar
 *
 *	frozen + corrections = what its rows come to now
 *
 * and exporter/verify.h requires it. Legs that another row bills are in no sum.
 */
#ifndef TT_PERIODS_H
#define TT_PERIODS_H

#include "agent/base/money.h"

#define PERIOD_MONTH_MAX 8 /* "2026-11" */
#define PERIOD_BY_MAX	 64
#define PERIOD_ERROR_MAX 256
#define PERIOD_TRIES	 3 /* at a month that changes while it is read */

struct sqlite3;

struct period_sums {
	int64_t calls;
	pusd_sum cost, list;
};

struct period {
	int64_t id; /* 0 = never closed */
	char month[PERIOD_MONTH_MAX];
	int64_t since_us, until_us;
	bool closed;
	int64_t closed_at_us, reopened_at_us; /* reopened: 0 = it was not */
	char closed_by[PERIOD_BY_MAX], reopened_by[PERIOD_BY_MAX];
	struct period_sums frozen, corrections, now;
	int64_t correction_count, late_count;
	char rows_sha256[65], prices_sha256[65];
};

/* "2026-11" to its first and behind its last microsecond. False: it is no month. */
bool period_month(const char *text, int64_t *since_us, int64_t *until_us);

/*
 * Freezes a month that is over: its totals by provider, model, basis and billing mode, a hash of
 * what its rows counted, and one of the prices they stand on. Returns 0, or -errno with one line in
 * err: -EINVAL no month, or not over; -EEXIST closed already; -EBUSY it kept changing.
 */
int period_close(struct sqlite3 *db, const char *month, const char *by, int64_t now_us, char *err,
		 size_t err_size) TT_MUST_CHECK;

/* The frozen totals and their corrections stay as they are, told as reopened. As period_close. */
int period_reopen(struct sqlite3 *db, const char *month, const char *by, int64_t now_us, char *err,
		  size_t err_size) TT_MUST_CHECK;

/*
 * Calls each for every closing there was and every other month that has calls, by month. each
 * returns 0, or a negative value that stops it and is returned. Returns 0, or -EIO.
 */
int periods_each(struct sqlite3 *db, int (*each)(void *user, const struct period *period),
		 void *user) TT_MUST_CHECK;

/* The hash that closing keeps, of the rows that it had; again from the rows that are there. */
int period_rows_sha256(struct sqlite3 *db, const struct period *period,
		       char sha256[65]) TT_MUST_CHECK;

/* Behind the last microsecond of the last month that is closed; 0 = none is. */
int64_t periods_closed_until(struct sqlite3 *db);

/* Both within a transaction; each returns an SQLite code. */

/* The closed month a time is in; 0 = it is in none. */
int period_closed_at(struct sqlite3 *db, int64_t at_us, int64_t *id) TT_MUST_CHECK;
/* The call was just recorded; if its month is closed it is a correction. */
int periods_late(struct sqlite3 *db, int64_t seq, int64_t now_us) TT_MUST_CHECK;

#endif
