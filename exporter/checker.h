/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks for damage in the ledger beside its writer: once a day, and at once for a file that is too
 * large to be read whole before the agent starts. A thread of its own with a read-only connection.
 */
#ifndef TT_CHECKER_H
#define TT_CHECKER_H

#include "agent/base/base.h"

struct checker;
struct sqlite3;

#define CHECKER_EVERY_S (24 * 3600)

/* True when the structure of the database on `db` is not sound; *stop ends the search early. */
bool checker_finds_damage(struct sqlite3 *db, _Atomic bool *stop);

/*
 * Starts the thread; it sets *damaged when it finds damage in the database at path. *damaged must
 * outlive it. at_once: the file was not checked before. Returns 0 or -errno.
 */
int checker_start(struct checker **out, const char *path, bool at_once,
		  _Atomic bool *damaged) TT_MUST_CHECK;
void checker_stop(struct checker *c); /* NULL is fine */

#endif
