/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define ROLE_NAME(upper, lower) [SANDBOX_##upper] = #lower,
const char *const sandbox_role_names[SANDBOX_ROLES] = {SANDBOX_ROLE_LIST(ROLE_NAME)};

static bool has(uint64_t caps, int bit)
{
	return caps & SANDBOX_CAP(bit);
}

static int fail(int rc, char *err, size_t err_size, const char *what)
{
	snprintf(err, err_size, "cannot %s: %s", what, strerror(-rc));
	return rc;
}

/* ---- capabilities ---------------------------------------------------------------------------- */

/* Sets the permitted, effective and inheritable capabilities of this thread. 0 or -errno. */
static int set_caps(uint64_t permitted, uint64_t effective)
{
	cap_t caps = cap_init();
	int rc = caps ? 0 : -ENOMEM;

	for (cap_value_t bit = 0; !rc && bit < cap_max_bits(); bit++) {
		if ((has(permitted, bit) && cap_set_flag(caps, CAP_PERMITTED, 1, &bit, CAP_SET)) ||
		    (has(effective, bit) && cap_set_flag(caps, CAP_EFFECTIVE, 1, &bit, CAP_SET)))
			rc = -errno;
	}
	if (!rc && cap_set_proc(caps))
		rc = -errno;
	cap_free(caps);
	return rc;
}

/* One of the three sets of this thread; all bits when it cannot be read, so that no check passes.
 */
static uint64_t get_caps(cap_flag_t set)
{
	cap_t caps = cap_get_proc();
	uint64_t mask = caps ? 0 : UINT64_MAX;

	for (cap_value_t bit = 0; caps && bit < cap_max_bits(); bit++) {
		cap_flag_value_t value = CAP_CLEAR;

		if (!cap_get_flag(caps, bit, set, &value) && value == CAP_SET)
			mask |= SANDBOX_CAP(bit);
	}
	cap_free(caps);
	return mask;
}

int sandbox_set_caps(uint64_t permitted, uint64_t effective, char *err, size_t err_size)
{
	int rc = set_caps(permitted, effective);

	return rc ? fail(rc, err, err_size, "set capabilities") : 0;
}

uint64_t sandbox_permitted_caps(void)
{
	uint64_t mask = get_caps(CAP_PERMITTED);

	return mask == UINT64_MAX ? 0 : mask;
}

/* ---- giving up ------------------------------------------------------------------------------- */

static int drop_bounding(const struct sandbox_drop *drop)
{
	if (!has(get_caps(CAP_EFFECTIVE), CAP_SETPCAP))
		return 0;
	for (cap_value_t bit = 0; bit < cap_max_bits(); bit++) {
		if (!has(drop->caps, bit) && cap_drop_bound(bit))
			return -errno;
	}
	return 0;
}

/* Without KEEPCAPS the change of user would take the capabilities that are to stay. */
static int take_identity(const struct sandbox_drop *drop)
{
	const struct identity *id = drop->identity;

	if (!id)
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(drop->group_count, drop->groups) ||
	    setresgid(id->gid, id->gid, id->gid) || setresuid(id->uid, id->uid, id->uid) ||
	    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0))
		return -errno;
	return 0;
}

static int drop_caps(const struct sandbox_drop *drop)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	return set_caps(drop->caps, drop->caps);
}

static int forbid_new_privileges(const struct sandbox_drop *drop)
{
	(void)drop;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static int forbid_cores(const struct sandbox_drop *drop)
{
	const struct rlimit none = {0, 0};

	(void)drop;
	return setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? -errno : 0;
}

/* The kernel forgets the signal at a change of user, so this comes after it. */
static int die_with_parent(const struct sandbox_drop *drop)
{
	if (!drop->parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return -errno;
	return getppid() == drop->parent ? 0 : -ESRCH;
}

int sandbox_become(const struct sandbox_drop *drop, char *err, size_t err_size)
{
	static const struct step {
		int (*take)(const struct sandbox_drop *drop);
		const char *what;
	} steps[] = {
		{drop_bounding, "cut the capability bounding set"},
		{take_identity, "become an unprivileged user (CAP_SETUID, CAP_SETGID)"},
		{drop_caps, "drop capabilities"},
		{forbid_new_privileges, "set no_new_privs"},
		{forbid_cores, "forbid core dumps"},
		{die_with_parent, "tie the process to its parent"},
	};

	if (drop->group_count > SANDBOX_GROUPS_MAX)
		return fail(-EINVAL, err, err_size, "take that many groups");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int rc = steps[i].take(drop);

		if (rc)
			return fail(rc, err, err_size, steps[i].what);
	}
	return sandbox_verify(drop, err, err_size);
}

/* ---- trying to get it back ------------------------------------------------------------------- */

static bool ids_back(const struct sandbox_drop *drop)
{
	const struct identity *id = drop->identity;
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) || getresgid(&rg, &eg, &sg))
		return true;
	return id && (r != id->uid || e != id->uid || s != id->uid || rg != id->gid ||
		      eg != id->gid || sg != id->gid);
}

/* Who was root and keeps no identity has not given these up; neither has who may change users. */
static bool root_back(const struct sandbox_drop *drop)
{
	uid_t r, e, s;

	if (has(drop->caps, CAP_SETUID) || getresuid(&r, &e, &s) || (!drop->identity && r == 0))
		return false;
	return setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0;
}

static bool root_group_back(const struct sandbox_drop *drop)
{
	if (has(drop->caps, CAP_SETGID) || !drop->identity)
		return false;
	return setgid(0) == 0 || setegid(0) == 0 || setresgid(0, 0, 0) == 0;
}

static bool groups_back(const struct sandbox_drop *drop)
{
	const gid_t root = 0;
	gid_t now[SANDBOX_GROUPS_MAX];
	int count;

	if (drop->identity) {
		count = getgroups(SANDBOX_GROUPS_MAX, now);
		if (count < 0 || (size_t)count != drop->group_count)
			return true;
	}
	return !has(drop->caps, CAP_SETGID) && setgroups(1, &root) == 0;
}

static bool caps_back(const struct sandbox_drop *drop)
{
	if (get_caps(CAP_PERMITTED) != drop->caps || get_caps(CAP_EFFECTIVE) != drop->caps ||
	    get_caps(CAP_INHERITABLE) != 0)
		return true;
	for (cap_value_t bit = 0; bit < cap_max_bits(); bit++) {
		if (!has(drop->caps, bit) && !set_caps(drop->caps | SANDBOX_CAP(bit), drop->caps))
			return true;
	}
	return false;
}

static bool ambient_back(const struct sandbox_drop *drop)
{
	(void)drop;
	for (cap_value_t bit = 0; bit < cap_max_bits(); bit++) {
		if (cap_get_ambient(bit) == CAP_SET)
			return true;
	}
	return false;
}

static bool new_privileges_back(const struct sandbox_drop *drop)
{
	(void)drop;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0);
}

static bool core_back(const struct sandbox_drop *drop)
{
	const struct rlimit some = {1, 1};
	struct rlimit now;

	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || getrlimit(RLIMIT_CORE, &now) || now.rlim_max)
		return true;
	return !has(drop->caps, CAP_SYS_RESOURCE) && setrlimit(RLIMIT_CORE, &some) == 0;
}

int sandbox_verify(const struct sandbox_drop *drop, char *err, size_t err_size)
{
	static const struct attempt {
		bool (*is_back)(const struct sandbox_drop *drop);
		const char *what;
	} attempts[] = {
		{ids_back, "another user or group"},
		{root_back, "the user root"},
		{root_group_back, "the group root"},
		{groups_back, "other supplementary groups"},
		{caps_back, "a dropped capability"},
		{ambient_back, "ambient capabilities"},
		{new_privileges_back, "privileges at exec"},
		{core_back, "core dumps"},
	};

	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		if (attempts[i].is_back(drop)) {
			snprintf(err, err_size, "privilege came back: %s", attempts[i].what);
			return -EPERM;
		}
	}
	return 0;
}
