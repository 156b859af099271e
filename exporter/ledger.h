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

#define LEDGER_FILE	   "ledger.db"
#define LEDGER_COMMIT_MS   250
#define LEDGER_COMMIT_ROWS 500
#define LEDGER_QUEUE_MAX   4096 /* calls waiting; beyond it a call is dropped and counted */
#define LEDGER_ERROR_MAX   512

struct ledger;

/*
 * Opens or creates DIR/ledger.db and starts the writer. Returns 0, or -errno with one line in err.
 * A damaged or newer-schema file is refused, never overwritten.
 */
int ledger_open(struct ledger **out, const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/* Queues a copy; never blocks. Returns 0, or -EAGAIN when the queue is full (counted). */
int ledger_append(struct ledger *l, const struct call *call) TT_MUST_CHECK;

/* True while the writer commits; false while the disk refuses (readyz). */
bool ledger_healthy(const struct ledger *l);

/* Waits until everything queued is durable, stops the writer, closes. NULL is fine. */
void ledger_close(struct ledger *l);

#endif
