/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A damaged ledger: what can be read goes into a new file with its seq, event and outbox ids
 * unchanged, the damaged one is kept beside it under a dated name, and what could not be read is
 * counted in `losses`. Roll-ups are summed anew from the calls.
 *
 * SQLite finds damage of its structure, not of a value: a number changed in place stays changed.
 */
#ifndef TT_SALVAGE_H
#define TT_SALVAGE_H

#include "agent/base/base.h"

#define SALVAGE_SUFFIX	  ".salvaged" /* of the new file until it is complete */
#define SALVAGE_ASIDE	  ".damaged-" /* then a UTC time: of the file that was set aside */
#define SALVAGE_ASIDE_MAX 8	      /* so many: the disk fails, and the next is refused */
#define SALVAGE_TRIES_MAX 2000000     /* ranges tried in one table; what is left counts as lost */

struct salvage {
	char aside[64]; /* the damaged file's name in DIR */
	uint64_t kept;	/* calls */
	uint64_t lost;	/* calls that could not be read, at most */
	uint64_t bare;	/* kept calls whose provider, model, workload, ... could not be read */
};

/*
 * Replaces DIR/ledger.db, which must be closed. The damaged file is not changed, and stays in place
 * when this fails. Returns 0, or -errno with one line in err.
 */
int salvage_ledger(const char *dir, struct salvage *out, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Ends a replacement that a crash interrupted: call it before DIR/ledger.db is made or opened. 0 or
 * -errno with one line in err.
 */
int salvage_finish(const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/* Damaged files kept in DIR; the newest one's name in newest, which may be NULL. */
size_t salvage_kept_aside(const char *dir, char *newest, size_t size);

#endif
