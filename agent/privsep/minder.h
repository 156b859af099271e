/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's way to what tenants govern. It asks a child, the minder, which passes each question
 * on to a child of its own, the opener, and replaces that one when it does not answer in time: a
 * file system that hangs costs the questions about it, never the broker.
 *
 * Each call blocks until the answer, at most MINDER_MS. All return -errno: -ETIMEDOUT when it did
 * not come in time, -EBUSY while too many openers hang.
 */
#ifndef TT_MINDER_H
#define TT_MINDER_H

#include "agent/base/fileid.h"
#include "agent/privsep/opener.h"
#include "agent/privsep/procfiles.h"

#define MINDER_MS 1000

struct minder;

/*
 * Forks the minder, which keeps what opener_caps says; without CAP_CHECKPOINT_RESTORE deleted
 * libraries stay unread. Returns 0 or -errno.
 */
int minder_start(struct minder **out) TT_MUST_CHECK;
void minder_stop(struct minder *m); /* NULL is fine */

/*
 * The regular file behind the mapping [start, end) of a process; where the kernel does not give
 * that, the one its path names for the process. A descriptor or -errno.
 */
int minder_open_mapping(struct minder *m, uint32_t pid, uint64_t start, uint64_t end,
			const char *path) TT_MUST_CHECK;

/* A copy of /proc/PID/<file>, up to PROC_TEXT_MAX. A descriptor or -errno. */
int minder_open_text(struct minder *m, uint32_t pid, enum proc_file file) TT_MUST_CHECK;

/* True when the path, seen from here, is that file. */
bool minder_names(struct minder *m, const char *path, const struct file_identity *id);

/* Looks for the files of well-known places; how many there are, or -errno. */
int minder_count_known(struct minder *m) TT_MUST_CHECK;
/* Opens one of them, path having REQUEST_TEXT_MAX bytes. A descriptor or -errno. */
int minder_open_known(struct minder *m, uint32_t index, char *path) TT_MUST_CHECK;

#endif
