/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has begun and not yet made durable: counts in DIR/inflight that outlive kill -9, since
 * each change is one small write into the page cache, without fsync. The next run compares them
 * with the ledger:
 *
 *	begun = ended without a row + rows in the ledger + lost
 *
 * After a power cut the file may be half a minute old: then the counts are what it last said.
 */
#ifndef TT_INFLIGHT_H
#define TT_INFLIGHT_H

#include "exporter/losses.h"

#include <sys/types.h>

#define INFLIGHT_FILE  "inflight"
#define INFLIGHT_MAGIC "TOLLFLY1"

/*
 * Who records: the process an operator would stop, and when it began (CLOCK_MONOTONIC). A worker
 * that is restarted under the same probes has the owner of the one before it.
 */
struct inflight_owner {
	int64_t pid;
	uint64_t started_ns;
};

enum inflight_count {
	INFLIGHT_BEGUN,	   /* calls that may yield a row */
	INFLIGHT_IGNORED,  /* that ended without one */
	INFLIGHT_ACCEPTED, /* rows taken by the ledger's queue */
	INFLIGHT_DROPPED,  /* rows it had no place for */
	INFLIGHT_SETTLED,  /* rows whose commit returned */
	INFLIGHT_COUNTS
};

/* The file's whole content. */
struct inflight_record {
	char magic[8];
	char boot_id[40];
	int64_t run; /* random; the ledger remembers the same */
	struct inflight_owner owner;
	uint64_t count[INFLIGHT_COUNTS];
	int64_t beat_wall_us;  /* the last sign of life */
	uint64_t beat_boot_ns; /* CLOCK_BOOTTIME: the wall clock may be set meanwhile */
	uint64_t clean;	       /* 1: the run ended by itself */
};

/* What the ledger knows of its last run. */
struct inflight_ledger {
	int64_t run, previous_run; /* 0 = none */
	uint64_t settled;	   /* rows of that run, committed with them */
	uint64_t dropped;	   /* of its dropped rows those already in `losses` */
	int64_t newest_us;	   /* its newest call; 0 = it has none */
};

struct inflight;

/*
 * Opens or makes DIR/inflight and reads what the last run left in *last (all zero: nothing usable);
 * the file is not changed before inflight_start. Returns 0, or -errno with one line in err.
 */
int inflight_open(struct inflight **out, const char *dir, struct inflight_record *last, char *err,
		  size_t err_size) TT_MUST_CHECK;

/* A record for a run that begins now, all counts zero. Returns 0 or -errno. */
int inflight_new_run(struct inflight_record *now, const struct inflight_owner *owner) TT_MUST_CHECK;

/*
 * True and *loss when the last run lost something. Pure: `last` is what the file held, `ledger`
 * what the ledger says, `now` the record of the run that begins.
 */
bool inflight_loss(const struct inflight_record *last, const struct inflight_ledger *ledger,
		   const struct inflight_record *now, struct loss *loss);

/*
 * A worker that is restarted under the same probes has read nothing yet of what the ring kept:
 * until it has, the last sign of life is that of the run before. Pure.
 */
void inflight_take_over(struct inflight_record *now, const struct inflight_record *last);

/* The run of `now` begins: durable when it returns. Returns 0 or -errno. */
int inflight_start(struct inflight *f, const struct inflight_record *now) TT_MUST_CHECK;

/* Thread-safe; a write that fails is said once, and the counts go on in memory. */
void inflight_add(struct inflight *f, enum inflight_count which, uint64_t n);
int64_t inflight_run(const struct inflight *f);
uint64_t inflight_get(struct inflight *f, enum inflight_count which);
/* The errno of the last write, 0 when it went well: what its disk says, in its own words. */
int inflight_error(struct inflight *f);
/*
 * A sign of life: whatever was over age_ns ago is among the counts, so that a loss is never older
 * than the last one. Call it at least twice a second. Thread-safe.
 */
void inflight_beat(struct inflight *f, uint64_t age_ns);

/* clean: the run ended by itself, and what is still in flight was given up knowingly. */
void inflight_close(struct inflight *f, bool clean); /* NULL is fine */

#endif
