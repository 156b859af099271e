/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/privsep/capabilities.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/utsname.h>

#include "agent/base/log.h"

#define KERNEL(major, minor) ((major)*100 + (minor))
#define BY(role)	     (1u << SANDBOX_##role)

static bool without_multi(const struct capability_facts *facts)
{
	return !facts->multi;
}

/* Until then maps were charged to the locked-memory limit. */
static bool before_5_11(const struct capability_facts *facts)
{
	return facts->kernel < KERNEL(5, 11);
}

static bool on_low_port(const struct capability_facts *facts)
{
	return facts->low_port;
}

#define CAPABILITY(cap) .bit = (cap), .name = #cap

const struct capability capability_table[] = {
	{CAPABILITY(CAP_BPF), .holders = BY(BROKER), .vital = true, .within = CAP_SYS_ADMIN,
	 .needed_for = "load the BPF programs, use their maps", .where = "every kernel",
	 .cost = "no probe program can be loaded: nothing is metered"},
	{CAPABILITY(CAP_PERFMON), .holders = BY(BROKER), .vital = true, .within = CAP_SYS_ADMIN,
	 .needed_for = "attach the programs, let them read memory, watch processes start and end",
	 .where = "every kernel", .cost = "no probe can be attached: nothing is metered"},
	{CAPABILITY(CAP_SYS_ADMIN), .holders = BY(BROKER), .vital = true, .within = -1,
	 .needed = without_multi, .needed_for = "attach by perf events",
	 .where = "kernels without uprobe_multi links (before Linux 6.6); some 5.10 do without "
		  "while kernel.perf_event_paranoid is 2 or less",
	 .cost = "no probe can be attached on this kernel: nothing is metered"},
	{CAPABILITY(CAP_SYS_PTRACE), .holders = BY(BROKER) | BY(MINDER) | BY(OPENER), .within = -1,
	 .needed_for = "see libraries, executables and environments of other users' processes",
	 .where = "every kernel",
	 .cost = "TLS libraries of other users' processes are not found, their calls not metered"},
	{CAPABILITY(CAP_DAC_READ_SEARCH), .holders = BY(BROKER) | BY(MINDER) | BY(OPENER),
	 .within = -1,
	 .needed_for = "open libraries and environments whatever the rights of their directories",
	 .where = "every kernel",
	 .cost = "libraries in closed directories (containers) are not probed, and calls carry no "
		 "values from the environment"},
	{CAPABILITY(CAP_CHECKPOINT_RESTORE), .holders = BY(MINDER) | BY(OPENER),
	 .within = CAP_SYS_ADMIN,
	 .needed_for = "open a library that was deleted while a process still runs on it",
	 .where = "every kernel",
	 .cost = "processes that run on a library replaced by an upgrade before the agent's start "
		 "are not metered until they restart"},
	{CAPABILITY(CAP_SETUID), .holders = BY(SUPERVISOR), .within = -1,
	 .needed_for = "give each process its own user, again at each restart",
	 .where = "every kernel",
	 .cost = "all processes of the agent share one user: less stands between them"},
	{CAPABILITY(CAP_SETGID), .holders = BY(SUPERVISOR), .within = -1,
	 .needed_for = "give each process its own groups, again at each restart",
	 .where = "every kernel",
	 .cost = "all processes of the agent share their groups: less stands between them"},
	{CAPABILITY(CAP_KILL), .holders = BY(SUPERVISOR), .within = -1,
	 .needed_for = "end a process of the agent that hangs, which has another user",
	 .where = "every kernel",
	 .cost = "a hanging process of the agent ends only when the supervisor does"},
	{CAPABILITY(CAP_SETPCAP), .within = -1,
	 .needed_for = "cut the bounding set of each process", .where = "every kernel",
	 .cost = "dropped capabilities stay in the bounding set, out of reach by no_new_privs"},
	{CAPABILITY(CAP_CHOWN), .within = -1,
	 .needed_for = "hand the storage directory to the worker's user", .where = "every kernel",
	 .cost = "the directory must belong to the worker's user already, or the ledger cannot be "
		 "written"},
	{CAPABILITY(CAP_SYS_RESOURCE), .within = -1, .needed = before_5_11,
	 .needed_for = "raise the locked-memory limit",
	 .where = "before Linux 5.11, unless the limit is raised already (LimitMEMLOCK=infinity)",
	 .cost = "the kernel may refuse the maps: nothing is metered"},
	{CAPABILITY(CAP_NET_BIND_SERVICE), .within = -1, .needed = on_low_port,
	 .needed_for = "listen on a port below 1024 for /metrics",
	 .where = "when --web.listen-address names such a port",
	 .cost = "the metrics endpoint cannot open"},
};
const size_t capability_count = ARRAY_LEN(capability_table);

static bool has(uint64_t mask, int bit)
{
	return bit >= 0 && mask >> bit & 1;
}

static bool needed_here(const struct capability *row, const struct capability_facts *facts)
{
	return !row->needed || row->needed(facts);
}

void capability_facts_read(struct capability_facts *out)
{
	struct capability_facts facts = {0};
	struct utsname name;
	int major, minor;

	if (uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2)
		facts.kernel = KERNEL(major, minor);
	facts.multi = facts.kernel >= KERNEL(6, 6);
	*out = facts;
}

uint64_t capabilities_held(enum sandbox_role role, const struct capability_facts *facts)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < capability_count; i++) {
		const struct capability *row = &capability_table[i];

		if (row->holders >> role & 1 && needed_here(row, facts))
			mask |= SANDBOX_CAP(row->bit);
	}
	return mask;
}

size_t capabilities_missing(uint64_t mask, const struct capability_facts *facts, bool at_start,
			    const struct capability **rows, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < capability_count && count < max; i++) {
		const struct capability *row = &capability_table[i];

		if (needed_here(row, facts) && (row->holders || at_start) && !has(mask, row->bit) &&
		    !has(mask, row->within))
			rows[count++] = row;
	}
	return count;
}

const char *capability_next(uint64_t *mask)
{
	static char name[32];
	char *known;
	int bit = __builtin_ffsll((long long)*mask) - 1;

	if (bit < 0)
		return NULL;
	*mask &= *mask - 1;
	known = cap_to_name(bit); /* "cap_bpf", or the number */
	snprintf(name, sizeof(name), "%s", known ? known : "?");
	cap_free(known);
	for (char *c = name; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return name;
}

void capabilities_log_missing(uint64_t mask, const struct capability_facts *facts)
{
	const struct capability *rows[ARRAY_LEN(capability_table)];
	size_t count = capabilities_missing(mask, facts, true, rows, ARRAY_LEN(rows));

	for (size_t i = 0; i < count; i++) {
		/* A site per row: none of these lines may be held back. */
		static struct log_site sites[ARRAY_LEN(capability_table)];

		log_write(&sites[i], LOG_LEVEL_WARN, "privilege", "%s is missing: %s",
			  rows[i]->name, rows[i]->cost);
	}
}

static void print_holders(unsigned holders)
{
	const char *separator = "";

	if (!holders)
		printf("the start only");
	for (int role = 0; role < SANDBOX_ROLES; role++) {
		if (!(holders >> role & 1))
			continue;
		printf("%s%s", separator, sandbox_role_names[role]);
		separator = ", ";
	}
}

void capabilities_print(uint64_t mask)
{
	struct capability_facts facts;

	capability_facts_read(&facts);
	for (size_t i = 0; i < capability_count; i++) {
		const struct capability *row = &capability_table[i];
		bool given = has(mask, row->bit) || has(mask, row->within);

		printf("%-22s %-10s %s\n", row->name,
		       !needed_here(row, &facts) ? "not needed"
		       : given			 ? "given"
						 : "missing",
		       row->needed_for);
	}
}

void capabilities_print_markdown(void)
{
	printf("| capability | needed to | kernels | held by | without it |\n"
	       "| --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < capability_count; i++) {
		const struct capability *row = &capability_table[i];

		printf("| `%s` | %s | %s | ", row->name, row->needed_for, row->where);
		print_holders(row->holders);
		printf(" | %s |\n", row->cost);
	}
}
