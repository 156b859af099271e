/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/backup.h"

#include "exporter/database.h"
#include "exporter/query_parts.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_STEPS 200000 /* of SQLite's machine between two looks */

struct backup {
	struct query *q;
	const char *path;
	char part[PATH_MAX];
	int fd; /* of the part */
	void (*progress)(int64_t bytes);
};

static int64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : 0;
}

static int on_steps(void *user)
{
	const struct backup *b = user;

	b->progress(size_of(b->fd));
	return 0;
}

/* SQLite fills a file that is there and empty: so it has its mode, 0600, before a byte is in it. */
static int make_part(struct backup *b)
{
	int n = snprintf(b->part, sizeof(b->part), "%s.XXXXXX", b->path);

	if (n < 0 || (size_t)n >= sizeof(b->part))
		return -ENAMETOOLONG;
	if (access(b->path, F_OK) == 0)
		return -EEXIST;
	b->fd = mkostemp(b->part, O_CLOEXEC);
	return b->fd < 0 ? -errno : 0;
}

static int copy(struct backup *b)
{
	int rc;

	if (b->progress)
		sqlite3_progress_handler(b->q->db, PROGRESS_STEPS, on_steps, b);
	rc = sql_run(b->q->db, "VACUUM INTO ?", "t", b->part);
	sqlite3_progress_handler(b->q->db, 0, NULL, NULL);
	return rc == SQLITE_OK ? 0 : -database_errno(b->q->db, rc);
}

static bool is_whole(const char *path)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
		  sql_prepare(db, &stmt, "PRAGMA quick_check(1)", "") == SQLITE_OK &&
		  sqlite3_step(stmt) == SQLITE_ROW &&
		  !strcmp((const char *)sqlite3_column_text(stmt, 0), "ok");

	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return ok;
}

/* link() and not rename(): what came to be there meanwhile is not written over. */
static int put_in_place(struct backup *b)
{
	if (!is_whole(b->part))
		return -EBADMSG;
	if (fsync(b->fd) < 0 || link(b->part, b->path) < 0)
		return -errno;
	return 0;
}

int backup_ledger(struct query *q, const char *path, int64_t *bytes,
		  void (*progress)(int64_t bytes), char *err, size_t err_size)
{
	struct backup b = {.q = q, .path = path, .fd = -1, .progress = progress};
	int r = make_part(&b);

	if (r == 0)
		r = copy(&b);
	if (r == 0)
		r = put_in_place(&b);
	*bytes = b.fd >= 0 ? size_of(b.fd) : 0;
	if (b.fd >= 0) {
		unlink(b.part);
		close(b.fd);
	}
	if (r == -EEXIST)
		snprintf(err, err_size, "%s is there already; name a new file", path);
	else if (r)
		snprintf(err, err_size, "cannot write %s: %s; %s", path, strerror(-r),
			 storage_advice(-r));
	return r;
}
