/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL functions key_name(fingerprint) and key_owner(fingerprint): what the names in use
 * (agent/base/key_names.h) say, else the fingerprint itself; NULL of NULL.
 */
#ifndef TT_KEY_FUNCTIONS_H
#define TT_KEY_FUNCTIONS_H

#include "agent/base/base.h"

struct sqlite3;

/* Returns 0 or -ENOMEM. */
int key_functions(struct sqlite3 *db) TT_MUST_CHECK;

#endif
