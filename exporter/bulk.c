/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bulk.h"

#include "exporter/database.h"
#include "exporter/ledger.h"
#include "exporter/recorder.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

struct bulk {
	int lock_fd;
	sqlite3 *db;
	struct recorder *recorder;
	uint32_t open_rows; /* of the transaction under way */
	bool failed;
	char path[PATH_MAX];
};

/* A file of random ids grows best in memory; a crash loses it whole, so nothing waits for the disk.
 */
static const char settings[] = "PRAGMA synchronous=OFF;PRAGMA cache_size=-524288;BEGIN IMMEDIATE";

static int fail(struct bulk *b, int rc, char *err, size_t err_size)
{
	int code = database_errno(b->db, rc);
	char why[256];

	b->failed = true;
	database_explain(why, sizeof(why), code);
	snprintf(err, err_size, "cannot write %s: %s", b->path, why);
	return -code;
}

static int prepare(struct bulk *b)
{
	int rc = recorder_new(&b->recorder, b->db);

	return rc == SQLITE_OK ? sqlite3_exec(b->db, settings, NULL, NULL, NULL) : rc;
}

static int open_new(struct bulk *b, const char *dir, char *err, size_t err_size)
{
	int rc, r;

	if (!storage_path(b->path, sizeof(b->path), dir, LEDGER_FILE)) {
		snprintf(err, err_size, "the path of %s is too long", dir);
		return -ENAMETOOLONG;
	}
	if (access(b->path, F_OK) == 0) {
		snprintf(err, err_size, "there is a ledger in %s; choose another directory", dir);
		return -EEXIST;
	}
	b->lock_fd = ledger_lock_dir(dir, getpid(), err, err_size);
	r = b->lock_fd < 0 ? b->lock_fd : database_open(&b->db, dir, false, err, err_size);
	if (r)
		return r;
	rc = prepare(b);
	return rc == SQLITE_OK ? 0 : fail(b, rc, err, err_size);
}

static void release(struct bulk *b)
{
	recorder_free(b->recorder);
	sqlite3_close(b->db);
	closep(&b->lock_fd);
	free(b);
}

int bulk_open(struct bulk **out, const char *dir, char *err, size_t err_size)
{
	struct bulk *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		snprintf(err, err_size, "no memory for the ledger");
		return -ENOMEM;
	}
	b->lock_fd = -1;
	r = open_new(b, dir, err, err_size);
	if (r) {
		release(b);
		return r;
	}
	*out = b;
	return 0;
}

int bulk_add(struct bulk *b, const struct call *call, char *err, size_t err_size)
{
	struct row *row = row_new(call, NULL);
	int rc = row ? recorder_call(b->recorder, row) : SQLITE_NOMEM;

	free(row);
	if (rc == SQLITE_OK && ++b->open_rows == BULK_COMMIT_ROWS) {
		b->open_rows = 0;
		rc = sqlite3_exec(b->db, "COMMIT;BEGIN IMMEDIATE", NULL, NULL, NULL);
	}
	return rc == SQLITE_OK ? 0 : fail(b, rc, err, err_size);
}

int bulk_run(struct bulk *b, const char *host, int64_t since_us, int64_t until_us, char *err,
	     size_t err_size)
{
	int rc = sql_run(b->db, "INSERT INTO runs(host,started_us,ended_us) VALUES(?,?,?)", "tii",
			 host, since_us, until_us);

	return rc == SQLITE_OK ? 0 : fail(b, rc, err, err_size);
}

int bulk_close(struct bulk *b, char *err, size_t err_size)
{
	int rc = SQLITE_OK, r = 0;

	if (!b->failed)
		rc = sqlite3_exec(b->db,
				  "COMMIT;PRAGMA synchronous=FULL;PRAGMA wal_checkpoint(TRUNCATE)",
				  NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		r = fail(b, rc, err, err_size);
	release(b);
	return r;
}
