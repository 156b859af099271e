/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger opened to be amended beside the agent that records in it: for commands that change
 * history. Each change is a short transaction of its own, so that the agent's rows wait little.
 */
#ifndef TT_AMEND_H
#define TT_AMEND_H

#include "agent/base/base.h"

struct sqlite3;

/*
 * Opens DIR/ledger.db for writing. Returns 0, or -errno with one line in err that says what to do:
 * -ENOENT no ledger, -EACCES not allowed, -ENOTSUP of another version, -EBADMSG no ledger of ours.
 * Close with amend_close.
 */
int amend_open(struct sqlite3 **out, const char *dir, char *err, size_t err_size) TT_MUST_CHECK;
void amend_close(struct sqlite3 *db); /* NULL is fine */

/* Who amends, for the journal: the name of the user, also behind sudo. dst holds 64 bytes. */
const char *amend_by(char *dst, size_t size);

/* Takes back what was begun. Returns -EBUSY or -EIO, with one line in err. */
int amend_fail(struct sqlite3 *db, char *err, size_t err_size);

#endif
