/* SPDX-License-Identifier: Apache-2.0 */
/* Installs the lists of syscalls.c. */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/privsep/syscalls.h"

static int add_rule(scmp_filter_ctx ctx, const struct syscall_rule *rule)
{
	const struct scmp_arg_cmp argument = {
		.arg = rule->arg,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = rule->mask,
		.datum_b = rule->verdict == SYSCALL_OWN_PID ? (uint64_t)getpid() : rule->value,
	};
	uint32_t action = rule->verdict == SYSCALL_ABSENT ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW;
	int rc;

	if (rule->nr < 0)
		return 0;
	rc = seccomp_rule_add_array(ctx, action, rule->nr, rule->mask ? 1 : 0, &argument);
	/* A wider rule for this call stands already. */
	return rc == -EEXIST ? 0 : rc;
}

static int add_rules(scmp_filter_ctx ctx, const struct syscall_role *role)
{
	for (size_t i = 0; i < SYSCALL_SETS_MAX && role->sets[i]; i++) {
		for (size_t j = 0; j < role->sets[i]->count; j++) {
			int rc = add_rule(ctx, &role->sets[i]->rules[j]);

			if (rc)
				return rc;
		}
	}
	return 0;
}

/*
 * On every thread (TSYNC); calls of another architecture's table end the process. The sorted tree
 * keeps the cost per call at a few comparisons.
 */
static int set_attributes(scmp_filter_ctx ctx)
{
	static const struct attribute {
		enum scmp_filter_attr name;
		uint32_t value;
	} attributes[] = {
		{SCMP_FLTATR_CTL_TSYNC, 1},
		{SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS},
		{SCMP_FLTATR_CTL_OPTIMIZE, 2},
		{SCMP_FLTATR_API_SYSRAWRC, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		int rc = seccomp_attr_set(ctx, attributes[i].name, attributes[i].value);

		if (rc)
			return rc;
	}
	return 0;
}

/* Never above what the operator has set already. */
static int set_limit(const struct syscall_limit *limit)
{
	struct rlimit now;

	if (getrlimit(limit->resource, &now))
		return -errno;
	now.rlim_max = now.rlim_max < limit->most ? now.rlim_max : limit->most;
	now.rlim_cur = now.rlim_max;
	return setrlimit(limit->resource, &now) ? -errno : 0;
}

static int set_limits(const struct syscall_role *role)
{
	for (size_t i = 0; i < SYSCALL_LIMITS_MAX; i++) {
		int rc = role->limits[i].most ? set_limit(&role->limits[i]) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

/* What ps shows. The supervisor is the one that was started as tolltap. */
static void take_name(enum sandbox_role role)
{
	char name[16]; /* TASK_COMM_LEN */

	snprintf(name, sizeof(name), "tolltap-%s", sandbox_role_names[role]);
	if (role != SANDBOX_SUPERVISOR)
		prctl(PR_SET_NAME, name, 0, 0, 0);
}

int sandbox_seal(enum sandbox_role which, char *err, size_t err_size)
{
	const struct syscall_role *role;
	scmp_filter_ctx ctx = NULL;
	int rc = -EINVAL;

	if ((unsigned)which < SANDBOX_ROLES) {
		take_name(which);
		role = syscall_roles[which];
		ctx = seccomp_init(role->refusal);
		rc = ctx ? set_limits(role) : -ENOMEM;
	}
	if (!rc)
		rc = set_attributes(ctx);
	if (!rc)
		rc = add_rules(ctx, role);
	if (!rc)
		rc = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	if (rc)
		snprintf(err, err_size, "cannot install the system call filter of the %s: %s",
			 (unsigned)which < SANDBOX_ROLES ? sandbox_role_names[which] : "?",
			 strerror(-rc));
	return rc;
}
