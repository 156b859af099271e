/* SPDX-License-Identifier: Apache-2.0 */
/* The bills' database from within. Private to store.c, which writes, and store_read.c. */
#ifndef TT_BILL_STORE_PARTS_H
#define TT_BILL_STORE_PARTS_H

#include "exporter/bills/store.h"

#include <limits.h>

struct sqlite3;

struct bill_store {
	struct sqlite3 *db;
	char path[PATH_MAX];
	char error[BILL_ERROR_MAX];
};

/* Says what the last call of SQLite failed with. Returns -errno. */
int bill_store_fail(struct bill_store *s);
/* 0, or the failure that an SQLite code other than SQLITE_OK stands for. */
int bill_store_checked(struct bill_store *s, int rc) TT_MUST_CHECK;

#endif
