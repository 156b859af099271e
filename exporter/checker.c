/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/checker.h"

#include "agent/base/clock.h"
#include "exporter/relative.h"
#include "exporter/storage.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <time.h>

#define STEPS_BETWEEN_LOOKS 100000 /* of SQLite's machine: some milliseconds */

struct checker {
	char path[PATH_MAX];
	_Atomic bool *damaged;
	_Atomic bool stop;
	bool at_once;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static int look(void *stop)
{
	return atomic_load((_Atomic bool *)stop);
}

bool checker_finds_damage(sqlite3 *db, _Atomic bool *stop)
{
	sqlite3_stmt *stmt = NULL;
	bool damaged = false;
	int rc;

	sqlite3_progress_handler(db, stop ? STEPS_BETWEEN_LOOKS : 0, look, stop);
	rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		damaged = strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0;
	sqlite3_finalize(stmt);
	sqlite3_progress_handler(db, 0, NULL, NULL);
	return damaged || (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static bool check(struct checker *c)
{
	struct text uri = TEXT_INIT(4 * PATH_MAX);
	bool damaged = false;
	sqlite3 *db = NULL;

	storage_uri(&uri, c->path, "?mode=ro");
	if (text_cstr(&uri) &&
	    sqlite3_open_v2(uri.ptr, &db,
			    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			    relative_vfs(c->path)) == SQLITE_OK)
		damaged = checker_finds_damage(db, &c->stop);
	sqlite3_close(db);
	text_free(&uri);
	return damaged;
}

/* False when the thread is to end. */
static bool wait_a_day(struct checker *c)
{
	uint64_t until_ns = clock_mono_ns() + CHECKER_EVERY_S * NSEC_PER_SEC;
	struct timespec until = {(time_t)(until_ns / NSEC_PER_SEC), 0};

	pthread_mutex_lock(&c->lock);
	while (!c->stop && clock_mono_ns() < until_ns)
		pthread_cond_timedwait(&c->changed, &c->lock, &until);
	pthread_mutex_unlock(&c->lock);
	return !c->stop;
}

static void *checker_main(void *arg)
{
	struct checker *c = arg;

	if (!c->at_once && !wait_a_day(c))
		return NULL;
	do {
		if (check(c))
			atomic_store(c->damaged, true);
	} while (wait_a_day(c));
	return NULL;
}

int checker_start(struct checker **out, const char *path, bool at_once, _Atomic bool *damaged)
{
	struct checker *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	if (!c)
		return -ENOMEM;
	c->damaged = damaged;
	c->at_once = at_once;
	strncpy(c->path, path, sizeof(c->path) - 1);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all); /* signals are the main loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&c->thread, NULL, checker_main, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r) {
		free(c);
		return -r;
	}
	*out = c;
	return 0;
}

void checker_stop(struct checker *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->stop, true);
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
