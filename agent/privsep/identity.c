/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

#define FALLBACK_IDS (IDENTITY_FALLBACK_LAST - IDENTITY_FALLBACK_FIRST + 1)

/* What the look-ups of passwd and group leave in errno when there is no such entry (getpwnam(3)).
 */
static bool is_absence(int error)
{
	static const int absences[] = {0, ENOENT, ESRCH, EBADF, EPERM};

	for (size_t i = 0; i < ARRAY_LEN(absences); i++) {
		if (error == absences[i])
			return true;
	}
	return false;
}

static bool is_free(uint32_t id)
{
	return !getpwuid(id) && !getgrgid(id);
}

/* FNV-1a: only its spread matters. */
static uint32_t place_of(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash % FALLBACK_IDS;
}

/* A number nobody has; the group of the same name where there is one. */
static int fall_back(struct identity *id)
{
	uint32_t place = place_of(id->name);
	const struct group *group;

	for (uint32_t i = 0; i < FALLBACK_IDS; i++) {
		uint32_t candidate = IDENTITY_FALLBACK_FIRST + (place + i) % FALLBACK_IDS;

		if (!is_free(candidate))
			continue;
		group = getgrnam(id->name);
		id->uid = candidate;
		id->gid = group && group->gr_gid ? group->gr_gid : candidate;
		id->fallback = true;
		return 0;
	}
	return -ENOSPC;
}

int identity_resolve(struct identity *out, const char *user)
{
	struct identity id = {0};
	const struct passwd *entry;
	int rc = 0;

	if (!*user || strlen(user) >= sizeof(id.name))
		return -EINVAL;
	slice_copy(id.name, sizeof(id.name), slice_of(user));
	errno = 0;
	entry = getpwnam(user);
	if (entry && (entry->pw_uid == 0 || entry->pw_gid == 0))
		return -EINVAL;
	if (entry) {
		id.uid = entry->pw_uid;
		id.gid = entry->pw_gid;
	} else {
		rc = is_absence(errno) ? fall_back(&id) : -errno;
	}
	if (!rc)
		*out = id;
	return rc;
}
