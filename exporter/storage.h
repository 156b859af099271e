/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: who may read it, who owns it now, and the secret it keeps. It holds the
 * functions of ledger.h that need no database.
 */
#ifndef TT_STORAGE_H
#define TT_STORAGE_H

#include "agent/base/base.h"

#define STORAGE_DIR_MODE  0750
#define STORAGE_FILE_MODE 0640

/* Makes dir and its parents. Returns 0, or -errno with one line in err. */
int storage_make_dir(const char *dir, char *err, size_t err_size) TT_MUST_CHECK;

/* Opens DIR/name for reading and writing, made if absent, with mode and group. fd or -errno. */
int storage_open_file(const char *dir, const char *name, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Lets group LEDGER_GROUP have the file or directory, if that group exists and the caller may. Best
 * effort: a group made after the first start is honoured at the next.
 */
void storage_share(int fd);

/* Fills path with DIR/name. False when it does not fit. */
bool storage_path(char *path, size_t size, const char *dir, const char *name) TT_MUST_CHECK;

#endif
