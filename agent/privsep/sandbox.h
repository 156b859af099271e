/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process of the agent gives up what it does not need: user, groups and capabilities first
 * (sandbox_become), then every system call its role has no use for (sandbox_seal, lists in
 * syscalls.c). Both are for good, and both verify themselves. Linux only; x86-64 and arm64.
 */
#ifndef TT_SANDBOX_H
#define TT_SANDBOX_H

#include "agent/base/base.h"
#include "agent/privsep/identity.h"

#define SANDBOX_GROUPS_MAX 8
#define SANDBOX_ERROR_MAX  256

/* Every process of the agent. A role without its list of system calls does not compile. */
#define SANDBOX_ROLE_LIST(ROLE)      \
	ROLE(SUPERVISOR, supervisor) \
	ROLE(BROKER, broker)         \
	ROLE(MINDER, minder)         \
	ROLE(OPENER, opener)         \
	ROLE(DECODER, decoder)       \
	ROLE(WORKER, worker)         \
	ROLE(COURIER, courier)

#define SANDBOX_ROLE_ENUM(upper, lower) SANDBOX_##upper,
enum sandbox_role { SANDBOX_ROLE_LIST(SANDBOX_ROLE_ENUM) SANDBOX_ROLES };
extern const char *const sandbox_role_names[SANDBOX_ROLES];

/* Bit of CAP_x in a mask of capabilities. */
#define SANDBOX_CAP(cap) (1ULL << (cap))

struct sandbox_drop {
	const struct identity *identity;  /* NULL: keeps user and groups */
	uint64_t caps;			  /* SANDBOX_CAP() bits to keep */
	gid_t groups[SANDBOX_GROUPS_MAX]; /* supplementary; used with an identity only */
	size_t group_count;
	pid_t parent; /* dies with it by SIGKILL; 0: may outlive its parent */
};

/*
 * Gives up everything but drop->caps: groups, gid and uid of drop->identity, exactly caps in the
 * permitted and effective sets, inheritable and ambient empty, the bounding set cut to caps,
 * no_new_privs, no core, not dumpable, dead when the parent is. Then does what sandbox_verify does.
 * The bounding set is cut only while CAP_SETPCAP is held; without it no_new_privs already keeps
 * everything in that set out of reach. Call it while the process has one thread.
 * Returns 0, or -errno with one line in err (-EPERM: not allowed to, or privilege came back;
 * -ESRCH: the parent is gone). After a failure the process is half way: it must exit.
 */
int sandbox_become(const struct sandbox_drop *drop, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Tries to get back what drop gave up (root's ids, foreign groups, each dropped capability) and
 * reads back what cannot be tried. Returns 0 when nothing works, -EPERM with "privilege came back:
 * ..." in err when something does; the process must then exit.
 */
int sandbox_verify(const struct sandbox_drop *drop, char *err, size_t err_size) TT_MUST_CHECK;

/*
 * Sets the permitted and effective capabilities of the calling thread; neither can gain a bit that
 * is not permitted now. Returns 0 or -errno with one line in err.
 */
int sandbox_set_caps(uint64_t permitted, uint64_t effective, char *err,
		     size_t err_size) TT_MUST_CHECK;
/* What the calling thread may make effective. 0 when it cannot be read. */
uint64_t sandbox_permitted_caps(void);

/*
 * Names the process after its role (the supervisor keeps its name), sets the role's resource limits
 * and installs its list of system calls on all threads of the
 * process; a call that is not on it fails with EPERM, or kills the decoder. Children inherit it.
 * Returns 0 or -errno with one line in err.
 */
int sandbox_seal(enum sandbox_role role, char *err, size_t err_size) TT_MUST_CHECK;

#endif
