/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An admin key of a provider's billing API: read from a file that only its owner (and group) can
 * read, never from a command line or variable, never shown, wiped when it is done with.
 */
#ifndef TT_BILL_KEY_H
#define TT_BILL_KEY_H

#include "agent/base/base.h"

#define BILL_KEY_MAX 512

struct bill_key {
	char text[BILL_KEY_MAX]; /* one line of printable ASCII */
};

/*
 * Reads the key in the file, without the line end behind it. Returns 0, or -errno with one line in
 * err that never holds what was read: -EACCES (others can read or change the file, or we cannot),
 * -EBADMSG (no key, or no single line), -ENOENT, ...
 */
int bill_key_read(struct bill_key *out, const char *path, char *err, size_t err_size) TT_MUST_CHECK;

/* Overwrites it. */
void bill_key_wipe(struct bill_key *key);

#endif
