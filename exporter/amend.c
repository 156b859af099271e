/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/amend.h"

#include "exporter/ledger.h"
#include "exporter/schema.h"
#include "exporter/sql.h"
#include "exporter/storage.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static int check_version(sqlite3 *db, const char *path, char *err, size_t err_size)
{
	int64_t version = sql_integer(db, "PRAGMA user_version", -1);

	if (sql_integer(db, "PRAGMA application_id", -1) != SCHEMA_APPLICATION_ID) {
		snprintf(err, err_size, "cannot read %s: it is not a Tolltap ledger", path);
		return -EBADMSG;
	}
	if (version == SCHEMA_VERSION)
		return 0;
	snprintf(err, err_size, "%s is from %s", path,
		 version > SCHEMA_VERSION ? "a newer Tolltap; use that version"
					  : "an older Tolltap; start this version's agent once");
	return -ENOTSUP;
}

static int configure(sqlite3 *db)
{
	int keep = 1;
	int rc = sqlite3_busy_timeout(db, LEDGER_BUSY_MS);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA synchronous=FULL;PRAGMA temp_store=MEMORY", NULL,
				  NULL, NULL);
	/* A reader of the group could not make the log's files again. */
	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
	return rc == SQLITE_OK ? schema_functions(db) : -EIO;
}

int amend_open(sqlite3 **out, const char *dir, char *err, size_t err_size)
{
	char path[PATH_MAX];
	sqlite3 *db = NULL;
	int r;

	if (!storage_path(path, sizeof(path), dir, LEDGER_FILE)) {
		snprintf(err, err_size, "the path of %s is too long", dir);
		return -ENAMETOOLONG;
	}
	if (access(path, R_OK | W_OK) < 0) {
		r = -errno;
		snprintf(err, err_size,
			 r == -ENOENT ? "no ledger in %s; name its directory with --storage.path"
				      : "not allowed to change the ledger in %s; run with sudo",
			 dir);
		return r;
	}
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		    SQLITE_OK ||
	    configure(db)) {
		snprintf(err, err_size, "cannot open %s: %s", path, sqlite3_errmsg(db));
		sqlite3_close(db);
		return -EIO;
	}
	r = check_version(db, path, err, err_size);
	if (r)
		amend_close(db);
	else
		*out = db;
	return r;
}

void amend_close(sqlite3 *db)
{
	sqlite3_close(db);
}

const char *amend_by(char *dst, size_t size)
{
	const char *sudo = getuid() == 0 ? getenv("SUDO_USER") : NULL;
	struct passwd entry, *found = NULL;
	char buf[4096];

	if (sudo)
		snprintf(dst, size, "%s (sudo)", sudo);
	else if (getpwuid_r(getuid(), &entry, buf, sizeof(buf), &found) == 0 && found)
		snprintf(dst, size, "%s", entry.pw_name);
	else
		snprintf(dst, size, "uid %u", getuid());
	return dst;
}

int amend_fail(sqlite3 *db, char *err, size_t err_size)
{
	bool busy = (sqlite3_errcode(db) & 0xff) == SQLITE_BUSY;

	snprintf(err, err_size, "the ledger cannot be written: %s", sqlite3_errmsg(db));
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return busy ? -EBUSY : -EIO;
}
