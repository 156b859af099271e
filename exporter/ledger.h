/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: one SQLite file (WAL, synchronous=FULL) with one writer thread behind a bounded queue
 * and group commit (LEDGER_COMMIT_MS or LEDGER_COMMIT_ROWS). It is an outbox: monotonic row ids,
 * revisions, and a cursor per consumer. kill -9 loses at most the group in flight. The schema has
 * no column that can hold content.
 */
#ifndef TT_LEDGER_H
#define TT_LEDGER_H

#include "agent/usage/call.h"

#define LEDGER_FILE	       "ledger.db"
#define LEDGER_LOCK_FILE       "lock"
#define LEDGER_KEY_FILE	       "fingerprint.key"
#define LEDGER_KEY_BYTES       32
#define LEDGER_GROUP	       "tolltap" /* may read the directory, where the group exists */
#define LEDGER_COMMIT_MS       250
#define LEDGER_COMMIT_ROWS     500
#define LEDGER_RETRY_MS	       1000 /* between attempts while the disk refuses */
#define LEDGER_QUEUE_MAX       4096 /* calls waiting; beyond it a call is dropped and counted */
#define LEDGER_ROW_MAX	       (96u << 10) /* bytes of one queued call; typical is below 1 KiB */
#define LEDGER_FACETS_CACHED   1024	   /* facet ids the writer remembers */
#define LEDGER_WAL_MAX_BYTES   (16u << 20) /* kept after a checkpoint */
#define LEDGER_CHECK_MAX_BYTES (32u << 20) /* a file up to this size is checked whole at open */
#define LEDGER_BUSY_MS	       5000	   /* how long another program may hold the file */
#define LEDGER_ERROR_MAX       512

struct ledger;

/*
 * Makes DIR (0750, group LEDGER_GROUP if it exists) and DIR/ledger.db (0640), or opens them, takes
 * DIR/lock and starts the writer. Returns 0, or -errno with one line in err: -EBUSY another agent
 * records there, -EACCES no permission, -EBADMSG the file is damaged or is not a ledger, -ENOTSUP
 * it is from a newer version; these files are refused, never overwritten.
 */
int ledger_open(struct ledger **out, const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Queues a copy; never blocks on the disk. Thread-safe. Returns 0, -EAGAIN when the queue is full
 * (counted, with reason disk while the disk refuses) or -ENOMEM (counted). A call recorded twice
 * (same event_id) is kept once. While the disk refuses, the queue keeps what fits and is written
 * when the disk accepts again.
 */
int ledger_append(struct ledger *l, const struct call *call) TT_MUST_CHECK;

/* True while the writer commits; false while the disk refuses (readyz). */
bool ledger_healthy(const struct ledger *l);

/* Waits until everything queued is durable (or refused once), stops the writer, closes. NULL is
 * fine. */
void ledger_close(struct ledger *l);

/*
 * The lock ledger_open takes, for a caller that must own DIR before it opens the ledger; close the
 * descriptor before ledger_open. Makes DIR when it is not there. Returns a descriptor, or -errno
 * with one line in err; -EBUSY: another agent holds it.
 */
int ledger_lock_dir(const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * The per-install key of credential fingerprints: DIR/fingerprint.key (0600), made at the first
 * call, the same ever after. Returns 0, or -errno with one line in err.
 */
int ledger_install_key(const char *dir, uint8_t key[LEDGER_KEY_BYTES], char *err,
		       size_t err_size) TT_MUST_CHECK;

#endif
