/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secret of credential fingerprints. Each install makes its own (ledger_install_key); hosts of
 * a fleet may share one instead, so that a key has the same fingerprint on all of them. It is read
 * once, at the start, and never written anywhere.
 */
#ifndef TT_SECRET_H
#define TT_SECRET_H

#include "exporter/ledger.h"

#define SECRET_CREDENTIAL "credential:" /* NAME below $CREDENTIALS_DIRECTORY (systemd.exec(5)) */

/*
 * The file that --fingerprint.key-file names: itself, or a credential's. path holds PATH_MAX bytes.
 * Returns 0, or -errno with one line in err.
 */
int secret_path(char *path, const char *source, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * The secret in force: source's where one is given, else DIR's own, made where it is not there yet.
 * A shared file holds 32 bytes, or 64 hex digits and at most a line's end, and is refused when
 * others than its owner and group can read it or others than its owner can write it. It is opened
 * by input_open, since only root may be able to. Returns 0, or -errno with one line in err.
 */
int secret_load(uint8_t key[LEDGER_KEY_BYTES], const char *source, const char *dir, char *err,
		size_t err_size) TT_MUST_CHECK;

/* The same for one who looks: nothing is made. -ENOENT: no agent has recorded in DIR yet. */
int secret_find(uint8_t key[LEDGER_KEY_BYTES], const char *source, const char *dir, char *err,
		size_t err_size) TT_MUST_CHECK;

#endif
