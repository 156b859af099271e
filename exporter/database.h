/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's database: found, checked, made or brought up to date, and configured. What must not
 * be touched (foreign, newer, not allowed) is refused with one line that says what to do.
 */
#ifndef TT_DATABASE_H
#define TT_DATABASE_H

#include "agent/base/base.h"

struct inflight_ledger;
struct loss;
struct sqlite3;

/*
 * Opens DIR/ledger.db for writing; the caller holds the lock of DIR. A damaged ledger is salvaged
 * first (exporter/salvage.h): damaged says that it is known to be, else a file up to
 * LEDGER_CHECK_MAX_BYTES is read whole to see. Returns 0, or -errno with one line in err: -EBADMSG
 * not a ledger, or damaged beyond that; -ENOTSUP newer, -EACCES, -EROFS, -ENOSPC, -EBUSY.
 */
int database_open(struct sqlite3 **out, const char *dir, bool damaged, char *err,
		  size_t err_size) TT_MUST_CHECK;

/* Makes the tables of an empty database, with an id of its own. Returns an SQLite code. */
int database_create(struct sqlite3 *db) TT_MUST_CHECK;

/* The errno that says best why an SQLite call on db returned rc. */
int database_errno(struct sqlite3 *db, int rc);

/* "no space left; free space on its disk": the cause and what to do, for a line of the log. */
void database_explain(char *dst, size_t size, int err);

/* What the ledger knows of its last run. Returns an SQLite code. */
int database_last_run(struct sqlite3 *db, struct inflight_ledger *out) TT_MUST_CHECK;

/*
 * Adds to the losses of DIR/ledger.db beside its writer: over a connection of its own, which waits
 * for the writer's transaction. Returns an SQLite code.
 */
int database_add_loss(const char *path, const struct loss *loss) TT_MUST_CHECK;

/*
 * A run begins: its number, the last sign of life of the run before (0 = not known) and what that
 * one lost (NULL = nothing). One transaction.
 */
int database_begin_run(struct sqlite3 *db, int64_t run, int64_t seen_us,
		       const struct loss *lost) TT_MUST_CHECK;

#endif
