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
#include "exporter/inflight.h"
#include "exporter/retention.h"

#define LEDGER_FILE	       "ledger.db"
#define LEDGER_LOCK_FILE       "lock"
#define LEDGER_KEY_FILE	       "fingerprint.key"
#define LEDGER_KEY_BYTES       32
#define LEDGER_GROUP	       "tolltap" /* may read the directory, where the group exists */
#define LEDGER_COMMIT_MS       250
#define LEDGER_COMMIT_ROWS     500
#define LEDGER_TICK_MS	       15000	   /* between looks at what has to be done without calls */
#define LEDGER_SWEEP_MS	       200	   /* between batches that retention takes away */
#define LEDGER_RETRY_MS	       1000	   /* between attempts while the disk refuses */
#define LEDGER_REPAIR_MS       60000	   /* between attempts to salvage a damaged file */
#define LEDGER_QUEUE_BYTES     (32u << 20) /* of calls waiting; then one is dropped */
#define LEDGER_WAL_MAX_BYTES   (16u << 20) /* kept after a checkpoint */
#define LEDGER_CHECK_MAX_BYTES (32u << 20) /* larger files are checked after the start */
#define LEDGER_BUSY_MS	       5000	   /* how long another program may hold the file */
#define LEDGER_ERROR_MAX       512

struct ledger;
struct standing;

/*
 * Makes DIR (0750, group LEDGER_GROUP if it exists) and DIR/ledger.db (0640), or opens them, takes
 * DIR/lock and starts the writer. owner NULL: this process, from now on. What the last run lost is
 * recorded first (exporter/inflight.h); a damaged file is salvaged, here or while running
 * (exporter/salvage.h). Returns 0, or -errno with one line in err: -EBUSY another agent records
 * there, -EACCES, -EROFS, -ENOSPC, -EBADMSG the file is not a ledger or nothing of it can be read,
 * -ENOTSUP it is from a newer version; these files are refused, never overwritten.
 */
int ledger_open(struct ledger **out, const char *dir, const struct inflight_owner *owner, char *err,
		size_t err_size) TT_MUST_CHECK;

/*
 * A call that may yield a row began (+1), or ended without one (-1); ledger_append ends one by
 * itself. With ledger_beat (inflight_beat) it is what the next run knows of a crash. Thread-safe.
 */
void ledger_calls(struct ledger *l, int change);
void ledger_beat(struct ledger *l, uint64_t age_ns);

/*
 * From now on calls are metered. When the last run crashed, the time since ledger_open is added to
 * what was not. Once, at the start; it may wait for the writer.
 */
void ledger_metering(struct ledger *l);

/*
 * Nobody asked this run to end, and it ends in order all the same: until the next one nothing is
 * metered, and that one says so as after a kill. Before ledger_close.
 */
void ledger_crashed(struct ledger *l);

/*
 * Queues a copy; never blocks on the disk. Thread-safe. Returns 0, -EAGAIN when the queue is full
 * (counted, with reason disk while the disk refuses) or -ENOMEM (counted). A call recorded twice
 * (same event_id) is kept once, usage told twice is counted once (exporter/usage_keys.h). While the
 * disk refuses, the queue keeps what fits and is written when the disk accepts again.
 */
int ledger_append(struct ledger *l, const struct call *call) TT_MUST_CHECK;

/*
 * True of a call that reads back what may have been counted before (struct usage_key). Whether it
 * counts is known when it is durable: `counted` is told of each that does, in the writer's thread,
 * with the model_id that ledger_append_as was given. Set before the first call.
 */
bool ledger_decides(const struct call *call);
void ledger_on_counted(struct ledger *l,
		       void (*counted)(void *user, const struct call *call, const char *model_id),
		       void *user);
int ledger_append_as(struct ledger *l, const struct call *call, const char *model_id) TT_MUST_CHECK;

/* What the ledger lets go of from now on (exporter/retention.h). Once, before the first call. */
void ledger_retain(struct ledger *l, const struct retention *retention);

/* What the ledger's day and month come to, for metrics; it lives as long as the ledger. */
struct standing *ledger_standing(struct ledger *l);

/* True while the writer commits; false while the disk refuses (readyz). */
bool ledger_healthy(const struct ledger *l);

/* Waits until everything queued is durable (or refused once), stops the writer, closes. NULL is
 * fine. */
void ledger_close(struct ledger *l);

/*
 * The lock ledger_open takes, for a caller that must own DIR before it opens the ledger; close the
 * descriptor before ledger_open. Makes DIR when it is not there. owner_pid is named to a second
 * agent. Returns a descriptor, or -errno with one line in err; -EBUSY: another agent holds it.
 */
int ledger_lock_dir(const char *dir, int64_t owner_pid, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * The per-install key of credential fingerprints: DIR/fingerprint.key (0600), made at the first
 * call, the same ever after. Returns 0, or -errno with one line in err.
 */
int ledger_install_key(const char *dir, uint8_t key[LEDGER_KEY_BYTES], char *err,
		       size_t err_size) TT_MUST_CHECK;

#endif
