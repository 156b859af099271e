/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator calls the credentials whose fingerprints stand on calls: the configuration's
 * `keys`. Ledgers hold fingerprints only, so a name can be given or changed at any time. One list
 * per process is in use, set by whoever loads the configuration, before threads ask.
 */
#ifndef TT_KEY_NAMES_H
#define TT_KEY_NAMES_H

#include "agent/base/base.h"

#define KEY_NAMES_MAX	   1000
#define KEY_NAME_MAX	   128
#define FINGERPRINT_DIGITS 8 /* lower-case hex */

struct key_name {
	char fingerprint[FINGERPRINT_DIGITS + 1];
	char name[KEY_NAME_MAX];   /* several fingerprints may have one: a key that was renewed */
	char owner[KEY_NAME_MAX];  /* "" = not said, as in all below */
	char provider[32];	   /* as in the ledger: openai */
	char key_id[KEY_NAME_MAX]; /* what the provider calls the key in its bill */
	int line;		   /* of the configuration file */
};

struct key_names {
	struct key_name *row; /* by fingerprint */
	size_t count;
};

/* Copies the row in. Returns 0, -ENOMEM, -E2BIG (KEY_NAMES_MAX) or -EEXIST (its fingerprint). */
int key_names_add(struct key_names *names, const struct key_name *row) TT_MUST_CHECK;
void key_names_free(struct key_names *names); /* itself too; NULL is fine */

/* The row of a fingerprint, or NULL; names may be NULL. */
const struct key_name *key_names_find(const struct key_names *names, const char *fingerprint);

/* Borrowed until the next call; NULL: none have names. */
void key_names_use(const struct key_names *names);
const struct key_names *key_names_in_use(void);

#endif
