/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: who may read it, who owns it now, and the secret it keeps. It holds the
 * functions of ledger.h that need no database.
 */
#ifndef TT_STORAGE_H
#define TT_STORAGE_H

#include "exporter/text.h"

#define STORAGE_DIR_MODE  0750
#define STORAGE_FILE_MODE 0640

/* What the operator can do about errno err on a file of the directory. */
const char *storage_advice(int err);

/* Makes dir and its parents. Returns 0, or -errno with one line in err. */
int storage_make_dir(const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/* Opens DIR/name for reading and writing, made if absent, with mode and group. fd or -errno. */
int storage_open_file(const char *dir, const char *name, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Lets group LEDGER_GROUP have the file or directory, if that group exists and the caller may. Best
 * effort: a group made after the first start is honoured at the next.
 */
void storage_share(int fd);

/* SQLite's "file:" URI of a path: every byte that means something in a URI is escaped. */
void storage_uri(struct text *uri, const char *path, const char *parameters);

/*
 * dir, kept, is the working directory and can be reached no other way: from now on its files are
 * named from within. NULL ends that. Process-wide, set before anything is opened.
 */
void storage_entered(const char *dir);
/* dir as this process reaches it: "." or itself. */
const char *storage_dir(const char *dir);

/* Fills path with DIR/name. False when it does not fit. */
bool storage_path(char *path, size_t size, const char *dir, const char *name) TT_MUST_CHECK;

#endif
