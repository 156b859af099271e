/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a process of the agent runs as: a system user of a given name, or, where nobody has made
 * that user, a number that no one else has. Looks up, never creates.
 */
#ifndef TT_IDENTITY_H
#define TT_IDENTITY_H

#include "agent/base/base.h"

#include <sys/types.h>

/* systemd's range for users that live as long as a service: no package and no person has one. */
#define IDENTITY_FALLBACK_FIRST 61184
#define IDENTITY_FALLBACK_LAST	65519

#define IDENTITY_WORKER	 "tolltap"
#define IDENTITY_BROKER	 "tolltap-broker"
#define IDENTITY_COURIER "tolltap-courier"

struct identity {
	uid_t uid;
	gid_t gid; /* the primary group */
	char name[32];
	bool fallback; /* no such user: the ids are numbers derived from the name */
};

/*
 * The user of this name and its primary group. Without one: the first id from the name's place in
 * the fallback range on that is neither a user's nor a group's, with the group of that name where
 * there is one and of that number else. The same name gets the same number at every start, as long
 * as nobody takes it meanwhile. Never uid or gid 0. Call it while the process has one thread.
 * Returns 0, -EINVAL (empty or too long a name, or one that is root's), -ENOSPC (all of the range
 * is taken) or -errno of the look-up.
 */
int identity_resolve(struct identity *out, const char *user) TT_MUST_CHECK;

#endif
