/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing the state directory to the user who will write it, by whoever may: makes it if it is not
 * there, and changes the owner of it and of the files the agent keeps in it. No symbolic link is
 * followed below the directory's own path, and a file with a second name elsewhere is left alone:
 * the directory may have been in an attacker's hands.
 */
#ifndef TT_HANDOVER_H
#define TT_HANDOVER_H

#include "agent/base/base.h"

#include <sys/types.h>

/*
 * Returns a descriptor of the directory, the caller's, or -errno with one line in err. A directory
 * of the system, of another user, or that others may write is refused (-ENOTEMPTY). Nothing is
 * changed when the owner is right already.
 */
int handover(const char *dir, uid_t uid, gid_t gid, char *err, size_t err_size) TT_MUST_CHECK;

#endif
