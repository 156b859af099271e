/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a live ledger: one moment of it, without free pages, whole or not there. */
#ifndef TT_BACKUP_H
#define TT_BACKUP_H

#include "exporter/query.h"

/*
 * Writes the ledger of q into path (0600), which must not be there: under a new name beside it
 * first (path.XXXXXX, left behind only by a process that was killed), read back, on disk, then in
 * its place. *bytes: its size. `progress` (or NULL) is told the bytes written so far. Returns 0, or
 * -errno with one line in err: -EEXIST it is there, -ENOSPC, -EACCES, -EBADMSG the copy is not in
 * order.
 */
int backup_ledger(struct query *q, const char *path, int64_t *bytes,
		  void (*progress)(int64_t bytes), char *err, size_t err_size) TT_MUST_CHECK;

#endif
