/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sides share a queue under one mutex: ledger_append packs a call and links it; the writer
 * takes the whole queue, writes it as one transaction and only then forgets it. A group the disk
 * refuses goes back to the front of the queue, so the order of recording is the order of calls.
 */
#include "exporter/ledger.h"

#include "agent/base/clock.h"
#include "agent/base/counters.h"
#include "agent/base/log.h"
#include "exporter/checker.h"
#include "exporter/database.h"
#include "exporter/recorder.h"
#include "exporter/runs.h"
#include "exporter/schema.h"
#include "exporter/sql.h"
#include "exporter/standing.h"
#include "exporter/storage.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a turn of the writer is for. */
enum turn { TURN_WRITE, TURN_TICK, TURN_END };

struct ledger {
	int lock_fd;
	struct inflight *inflight;
	sqlite3 *db; /* the writer's after ledger_open returns */
	struct recorder *recorder;
	struct recorder_tally tally;
	uint64_t settled;  /* rows of this run whose commit returned */
	uint64_t dropped;  /* dropped rows of this run that are in `losses` */
	int refused_errno; /* why the last group was refused */
	bool broken;	   /* the file is damaged; it is closed while that lasts */
	char broken_why[LEDGER_ERROR_MAX];
	uint64_t repair_at_ns;
	int64_t waits_for_us; /* the month that retention was last said to wait for */
	char dir[PATH_MAX];
	char path[PATH_MAX];
	char log_path[PATH_MAX];

	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct rows queue;	    /* under lock */
	uint64_t queued_since_ns;   /* under lock: when the oldest waiting call came */
	int64_t dropped_since_us;   /* under lock: wall clock, of the first drop not in `losses` */
	bool closing;		    /* under lock */
	uint64_t tick_at_ns;	    /* under lock */
	uint64_t whole_tick_at_ns;  /* under lock */
	struct retention retention; /* under lock */
	bool crashed;		    /* the caller's thread */
	struct standing *standing;
	struct loss before; /* what the last run lost and was not metered until the open */
	uint64_t opened_ns;
	void (*counted)(void *user, const struct call *call, const char *model_id);
	void *counted_user;
	_Atomic bool healthy;
	_Atomic bool damaged; /* the checker found it so */
	struct checker *checker;
};

/* ---- the queue --------------------------------------------------------------------------- */

/* Counted now, and written into `losses` with the next group. */
static void drop(struct ledger *l, enum counter why)
{
	counter_add(why, 1);
	pthread_mutex_lock(&l->lock);
	if (!l->dropped_since_us)
		l->dropped_since_us = clock_wall_ns() / 1000;
	pthread_mutex_unlock(&l->lock);
	inflight_add(l->inflight, INFLIGHT_DROPPED, 1);
}

void ledger_calls(struct ledger *l, int change)
{
	inflight_add(l->inflight, change > 0 ? INFLIGHT_BEGUN : INFLIGHT_IGNORED, 1);
}

void ledger_beat(struct ledger *l, uint64_t age_ns)
{
	inflight_beat(l->inflight, age_ns);
}

void ledger_crashed(struct ledger *l)
{
	l->crashed = true;
}

bool ledger_decides(const struct call *call)
{
	return call->key.set && !call->key.made && call->usage.known;
}

void ledger_on_counted(struct ledger *l,
		       void (*counted)(void *user, const struct call *call, const char *model_id),
		       void *user)
{
	l->counted = counted;
	l->counted_user = user;
}

int ledger_append(struct ledger *l, const struct call *call)
{
	return ledger_append_as(l, call, NULL);
}

int ledger_append_as(struct ledger *l, const struct call *call, const char *model_id)
{
	struct row *row = row_new(call, model_id);
	bool full;

	if (!row) {
		drop(l, COUNTER_LEDGER_DROPPED);
		return -ENOMEM;
	}
	pthread_mutex_lock(&l->lock);
	full = l->queue.bytes >= LEDGER_QUEUE_BYTES;
	if (!full) {
		/* Before the writer can take it: more may not be settled than was accepted. */
		inflight_add(l->inflight, INFLIGHT_ACCEPTED, 1);
		if (l->queue.count == 0)
			l->queued_since_ns = clock_mono_ns();
		rows_push(&l->queue, row);
		/* The writer sleeps without a deadline only on an empty queue. */
		if (l->queue.count == 1 || l->queue.count == LEDGER_COMMIT_ROWS)
			pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	if (!full)
		return 0;
	free(row);
	drop(l, ledger_healthy(l) ? COUNTER_LEDGER_DROPPED : COUNTER_LEDGER_DROPPED_DISK);
	return -EAGAIN;
}

/* ---- the connection ----------------------------------------------------------------------- */

static void close_database(struct ledger *l)
{
	recorder_free(l->recorder);
	l->recorder = NULL;
	if (l->db && l->broken) /* left as it is, for the salvage */
		sqlite3_db_config(l->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(l->db);
	l->db = NULL;
}

/* ---- writing one group ------------------------------------------------------------------- */

/* Rows written to a file that nobody can open any more would be lost in silence. */
static bool file_is_gone(const struct ledger *l)
{
	int moved = 0;

	if (sqlite3_file_control(l->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	    moved)
		return true;
	return access(l->log_path, F_OK) < 0 && errno == ENOENT;
}

static int set_meta(struct ledger *l, const char *key, uint64_t value)
{
	return sql_run(l->db, "REPLACE INTO meta VALUES(?,?)", "ti", key, (int64_t)value);
}

static int64_t dropped_since(struct ledger *l, bool written)
{
	int64_t since_us;

	pthread_mutex_lock(&l->lock);
	since_us = l->dropped_since_us;
	if (written)
		l->dropped_since_us = 0;
	pthread_mutex_unlock(&l->lock);
	return since_us;
}

static int write_losses(struct ledger *l, uint64_t rows, int64_t since_us)
{
	struct loss loss = {.reason = LOSS_NOT_WRITTEN, .calls = rows, .rows = rows};

	loss.at_us = clock_wall_ns() / 1000;
	loss.since_us = since_us && since_us < loss.at_us ? since_us : loss.at_us;
	return losses_add(l->db, &loss);
}

static void count_tally(const struct recorder_tally *tally)
{
	counter_add(COUNTER_LEDGER_DROPPED_DISK, tally->refused);
	counter_add(COUNTER_USAGE_REPEATS, tally->repeats);
	counter_add(COUNTER_USAGE_CONFLICTS, tally->conflicts);
	counter_add(COUNTER_USAGE_KEYS_EVICTED, tally->evicted);
}

/* The group, what was dropped before it, and how far this run has come: all or nothing. */
static int write_transaction(struct ledger *l, const struct rows *group)
{
	uint64_t dropped = inflight_get(l->inflight, INFLIGHT_DROPPED);
	int rc = sqlite3_exec(l->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = recorder_group(l->recorder, group, &l->tally);
	if (rc == SQLITE_OK && l->tally.refused)
		rc = write_losses(l, l->tally.refused, 0);
	if (rc == SQLITE_OK && dropped > l->dropped)
		rc = write_losses(l, dropped - l->dropped, dropped_since(l, false));
	if (rc == SQLITE_OK && dropped > l->dropped)
		rc = set_meta(l, "run_dropped", dropped);
	if (rc == SQLITE_OK)
		rc = set_meta(l, "run_settled", l->settled + group->count);
	if (rc == SQLITE_OK)
		rc = runs_seen(l->db, clock_wall_ns() / 1000);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(l->db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return rc;
	count_tally(&l->tally);
	if (dropped > l->dropped)
		dropped_since(l, true);
	if (l->tally.refused || dropped > l->dropped)
		losses_publish(l->db);
	l->settled += group->count;
	l->dropped = dropped;
	inflight_add(l->inflight, INFLIGHT_SETTLED, group->count);
	return rc;
}

/* Puts a salvaged file in the place of the damaged one; the run goes on in it. */
static bool repair(struct ledger *l)
{
	int64_t run = inflight_run(l->inflight);

	if (clock_mono_ns() < l->repair_at_ns)
		return false;
	l->repair_at_ns = clock_mono_ns() + LEDGER_REPAIR_MS * NSEC_PER_MSEC;
	l->broken = true;
	*l->broken_why = '\0';
	close_database(l);
	if (database_open(&l->db, l->dir, true, l->broken_why, sizeof(l->broken_why)) == 0 &&
	    recorder_new(&l->recorder, l->db) == SQLITE_OK &&
	    set_meta(l, "run", (uint64_t)run) == SQLITE_OK) {
		losses_publish(l->db);
		atomic_store(&l->damaged, false);
		return true;
	}
	if (!*l->broken_why)
		snprintf(l->broken_why, sizeof(l->broken_why), "%s", sqlite3_errmsg(l->db));
	close_database(l);
	return false;
}

static int write_if_sound(struct ledger *l, const struct rows *group)
{
	if (l->broken || atomic_load(&l->damaged))
		l->broken = !repair(l);
	if (l->broken)
		return SQLITE_CORRUPT;
	return file_is_gone(l) ? SQLITE_READONLY_DBMOVED : write_transaction(l, group);
}

static int disk_errno(struct ledger *l)
{
	int err = access(l->path, W_OK) < 0 ? errno : inflight_error(l->inflight);

	return err ? err : EIO;
}

/* Takes back what was begun, and finds out why. */
static void give_up(struct ledger *l, int rc)
{
	l->refused_errno = database_errno(l->db, rc);
	if (l->refused_errno == EIO) /* SQLite tells an error of the disk from no other */
		l->refused_errno = disk_errno(l);
	l->broken = l->refused_errno == EBADMSG;
	if (!sqlite3_get_autocommit(l->db))
		sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	recorder_forget(l->recorder);
}

static int write_group(struct ledger *l, const struct rows *group)
{
	int rc = write_if_sound(l, group);

	if (rc != SQLITE_OK && !l->broken) {
		give_up(l, rc);
		if (l->broken) { /* found by this very group */
			rc = write_if_sound(l, group);
			if (rc != SQLITE_OK && !l->broken)
				give_up(l, rc);
		}
	}
	return rc;
}

/* ---- the writer -------------------------------------------------------------------------- */

static void tell_counted(const struct ledger *l, const struct row *row)
{
	struct call call = {0};

	schema_unpack(row_facets(row), SCHEMA_FACETS, &call);
	schema_unpack(row_columns(row), SCHEMA_CALLS, &call);
	l->counted(l->counted_user, &call, row_model(row));
}

static void group_recorded(struct ledger *l, struct rows *group)
{
	for (const struct row *row = group->first; row && l->counted; row = row->next) {
		if (row->told.key.set && !row->told.key.made && row->fate != USAGE_REPEAT)
			tell_counted(l, row);
	}
	if (!atomic_exchange(&l->healthy, true))
		log_info("ledger", "%s accepts rows again", l->path);
	counter_add(COUNTER_LEDGER_ROWS, group->count - l->tally.repeats);
	counter_add(COUNTER_LEDGER_COMMITS, 1);
	rows_free(group);
}

/* Puts the group back in front, or drops it when nothing can come after. */
static void group_refused(struct ledger *l, struct rows *group, bool closing, int rc)
{
	char why[LEDGER_ERROR_MAX] = "it was removed, moved or replaced; put it back, or restart";

	if (l->broken)
		snprintf(why, sizeof(why), "%s", l->broken_why);
	else if (rc != SQLITE_READONLY_DBMOVED)
		database_explain(why, sizeof(why), l->refused_errno);
	if (atomic_exchange(&l->healthy, false) || closing)
		log_error("ledger", "cannot write %s: %s; %s", l->path, why,
			  closing ? "the last calls are lost"
				  : "calls wait in memory, metrics go on");
	pthread_mutex_lock(&l->lock);
	if (closing) {
		counter_add(COUNTER_LEDGER_DROPPED_DISK, group->count);
		rows_free(group);
	} else {
		rows_move(group, &l->queue, l->queue.count);
		rows_move(&l->queue, group, group->count);
	}
	pthread_mutex_unlock(&l->lock);
}

static struct timespec deadline(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC)};
}

/* When the writer has something to do, by what waits; the lock is held. */
static uint64_t due_ns(const struct ledger *l, uint64_t not_before_ns)
{
	uint64_t due = l->queued_since_ns + LEDGER_COMMIT_MS * NSEC_PER_MSEC;

	if (l->queue.count >= LEDGER_COMMIT_ROWS)
		due = 0;
	return due > not_before_ns ? due : not_before_ns;
}

/* Waits for a due group and takes it, or for the next tick; the end comes when nothing is left. */
static enum turn take_group(struct ledger *l, uint64_t not_before_ns, struct rows *group,
			    bool *closing)
{
	enum turn turn = TURN_WRITE;

	pthread_mutex_lock(&l->lock);
	while (!l->closing) {
		uint64_t due = l->queue.count ? due_ns(l, not_before_ns) : UINT64_MAX;
		uint64_t now = clock_mono_ns();
		struct timespec until;

		if (now >= due)
			break;
		if (now >= l->tick_at_ns) {
			turn = TURN_TICK;
			break;
		}
		until = deadline(due < l->tick_at_ns ? due : l->tick_at_ns);
		pthread_cond_timedwait(&l->changed, &l->lock, &until);
	}
	if (turn == TURN_WRITE)
		rows_move(group, &l->queue, LEDGER_COMMIT_ROWS);
	if (turn == TURN_WRITE && group->count == 0)
		turn = TURN_END;
	*closing = l->closing;
	pthread_mutex_unlock(&l->lock);
	return turn;
}

static void say_waits(struct ledger *l, int64_t month_us)
{
	char day[CLOCK_TEXT_MAX];

	if (month_us && month_us != l->waits_for_us)
		log_warn("ledger",
			 "calls of %.7s would go by retention, but that month is not closed; when "
			 "its sums are final: tolltap period close %.7s",
			 clock_format_us(day, month_us), day);
	l->waits_for_us = month_us;
}

/* One batch of what is to go. True when there is more. */
static bool sweep(struct ledger *l)
{
	struct retention_step step;
	struct retention retention;

	pthread_mutex_lock(&l->lock);
	retention = l->retention;
	pthread_mutex_unlock(&l->lock);
	if (retention_step(l->db, &retention, clock_wall_ns() / 1000, &step) != SQLITE_OK)
		log_warn("ledger", "%s: nothing goes by retention: %s", l->path,
			 sqlite3_errmsg(l->db));
	say_waits(l, step.waits_for_us);
	counter_add(COUNTER_LEDGER_RETIRED, (uint64_t)step.deleted);
	return step.more;
}

/* Is the tick a whole one, or only the next batch of a sweep? */
static bool is_whole_tick(struct ledger *l)
{
	bool whole;

	pthread_mutex_lock(&l->lock);
	whole = clock_mono_ns() >= l->whole_tick_at_ns;
	if (whole)
		l->whole_tick_at_ns = clock_mono_ns() + LEDGER_TICK_MS * NSEC_PER_MSEC;
	pthread_mutex_unlock(&l->lock);
	return whole;
}

static void tell_state(struct ledger *l)
{
	if (runs_seen(l->db, clock_wall_ns() / 1000) != SQLITE_OK)
		log_warn("ledger", "%s: its sign of life is not written: %s", l->path,
			 sqlite3_errmsg(l->db));
	if (standing_refresh(l->standing, l->db, clock_wall_ns() / 1000))
		log_warn("ledger", "%s: its sums for metrics stay as they were: %s", l->path,
			 sqlite3_errmsg(l->db));
}

/* What is to be done without calls too. What fails here is tried again at the next tick. */
static void tick(struct ledger *l)
{
	bool more = false, whole = is_whole_tick(l);

	if (!l->broken && !atomic_load(&l->damaged) && !file_is_gone(l)) {
		if (whole)
			tell_state(l);
		more = sweep(l);
	}
	pthread_mutex_lock(&l->lock);
	l->tick_at_ns = clock_mono_ns() + (more ? LEDGER_SWEEP_MS : LEDGER_TICK_MS) * NSEC_PER_MSEC;
	pthread_mutex_unlock(&l->lock);
}

static void write_turn(struct ledger *l, struct rows *group, bool closing, uint64_t *not_before_ns)
{
	int rc = write_group(l, group);

	if (rc == SQLITE_OK) {
		*not_before_ns = 0;
		group_recorded(l, group);
	} else {
		*not_before_ns = clock_mono_ns() + LEDGER_RETRY_MS * NSEC_PER_MSEC;
		group_refused(l, group, closing, rc);
	}
}

static void *writer_main(void *arg)
{
	struct ledger *l = arg;
	uint64_t not_before_ns = 0;
	struct rows group;
	enum turn turn;
	bool closing;

	rows_init(&group);
	while ((turn = take_group(l, not_before_ns, &group, &closing)) != TURN_END) {
		if (turn == TURN_TICK)
			tick(l);
		else
			write_turn(l, &group, closing, &not_before_ns);
	}
	return NULL;
}

void ledger_retain(struct ledger *l, const struct retention *retention)
{
	pthread_mutex_lock(&l->lock);
	l->retention = *retention;
	l->tick_at_ns = l->whole_tick_at_ns = 0; /* now */
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

struct standing *ledger_standing(struct ledger *l)
{
	return l->standing;
}

bool ledger_healthy(const struct ledger *l)
{
	return atomic_load(&l->healthy);
}

/* ---- opening ----------------------------------------------------------------------------- */

static void say_loss(const struct ledger *l, const struct loss *loss)
{
	log_warn("ledger",
		 "%s: the last run ended as %s: %llu calls lost (%llu of them waited to be "
		 "written), %llu s not metered; sums of that time say \"at least\"",
		 l->path, loss_reason_names[loss->reason], (unsigned long long)loss->calls,
		 (unsigned long long)loss->rows, (unsigned long long)loss->unmetered_seconds);
}

/* What the last run lost is in the ledger before this one begins. */
static int begin_run(struct ledger *l, const struct inflight_record *last,
		     const struct inflight_owner *owner)
{
	struct inflight_ledger known;
	struct inflight_record now;
	struct loss loss;
	bool lost;
	int r = inflight_new_run(&now, owner);
	int rc = r ? SQLITE_IOERR : database_last_run(l->db, &known);

	if (rc != SQLITE_OK)
		return rc;
	lost = inflight_loss(last, &known, &now, &loss);
	inflight_take_over(&now, last);
	rc = database_begin_run(l->db, now.run, last->beat_wall_us, lost ? &loss : NULL);
	if (rc == SQLITE_OK && lost)
		say_loss(l, &loss);
	if (rc == SQLITE_OK && inflight_start(l->inflight, &now) < 0)
		rc = SQLITE_FULL;
	if (rc == SQLITE_OK)
		losses_publish(l->db);
	if (lost)
		l->before = loss;
	l->opened_ns = clock_mono_ns();
	l->tick_at_ns = l->opened_ns + LEDGER_TICK_MS * NSEC_PER_MSEC;
	return rc;
}

void ledger_metering(struct ledger *l)
{
	struct loss rest = {
		.reason = l->before.reason,
		.since_us = l->before.at_us,
		.at_us = clock_wall_ns() / 1000,
		.unmetered_seconds =
			(clock_mono_ns() - l->opened_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC,
		.goes_on = true,
	};
	int rc;

	if (!l->before.unmetered_seconds)
		return;
	if (rest.since_us > rest.at_us) /* the clock was set back meanwhile */
		rest.since_us = rest.at_us;
	rc = database_add_loss(l->path, &rest);
	if (rc != SQLITE_OK)
		log_warn("ledger", "%s: %llu s of the start are not told as not metered: %s",
			 l->path, (unsigned long long)rest.unmetered_seconds, sqlite3_errstr(rc));
}

static int open_database(struct ledger *l, const char *dir, const struct inflight_owner *owner,
			 char *err, size_t err_size)
{
	struct inflight_record last;
	char why[256];
	int rc, r = database_open(&l->db, dir, false, err, err_size);

	if (r)
		return r;
	if (!storage_path(l->path, sizeof(l->path), dir, LEDGER_FILE) ||
	    !storage_path(l->log_path, sizeof(l->log_path), dir, LEDGER_FILE "-wal"))
		return -ENAMETOOLONG; /* database_open would have said so */
	strncpy(l->dir, dir, sizeof(l->dir) - 1);
	r = inflight_open(&l->inflight, dir, &last, err, err_size);
	if (r)
		return r;
	rc = recorder_new(&l->recorder, l->db);
	if (rc == SQLITE_OK)
		rc = begin_run(l, &last, owner);
	if (rc == SQLITE_OK && !standing_new(&l->standing))
		rc = standing_refresh(l->standing, l->db, clock_wall_ns() / 1000);
	if (rc == SQLITE_OK)
		return l->standing ? 0 : -ENOMEM;
	r = database_errno(l->db, rc);
	database_explain(why, sizeof(why), r);
	snprintf(err, err_size, "cannot use %s: %s", l->path, why);
	return -r;
}

static int start_checker(struct ledger *l, char *err, size_t err_size)
{
	struct stat st;
	bool large = stat(l->path, &st) == 0 && st.st_size > LEDGER_CHECK_MAX_BYTES;
	int r = checker_start(&l->checker, l->path, large, &l->damaged);

	if (r)
		snprintf(err, err_size, "cannot start the ledger's checker: %s", strerror(-r));
	return r;
}

static int start_writer(struct ledger *l, char *err, size_t err_size)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are the main loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&l->writer, NULL, writer_main, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		snprintf(err, err_size, "cannot start the ledger's writer: %s", strerror(r));
	return -r;
}

static void release(struct ledger *l, bool clean)
{
	checker_stop(l->checker);
	close_database(l);
	standing_free(l->standing);
	inflight_close(l->inflight, clean);
	closep(&l->lock_fd);
	free(l);
}

int ledger_open(struct ledger **out, const char *dir, const struct inflight_owner *owner, char *err,
		size_t err_size)
{
	const struct inflight_owner self = {.pid = getpid(), .started_ns = clock_mono_ns()};
	struct ledger *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		snprintf(err, err_size, "no memory for the ledger");
		return -ENOMEM;
	}
	rows_init(&l->queue);
	atomic_init(&l->healthy, true);
	if (!owner)
		owner = &self;
	l->lock_fd = ledger_lock_dir(dir, owner->pid, err, err_size);
	r = l->lock_fd < 0 ? l->lock_fd : open_database(l, dir, owner, err, err_size);
	if (r == 0)
		r = start_checker(l, err, err_size);
	if (r == 0)
		r = start_writer(l, err, err_size);
	if (r) {
		release(l, false);
		return r;
	}
	*out = l;
	return 0;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->writer, NULL);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	release(l, !l->crashed);
}
