/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/family.h"

#include <cjson/cJSON.h>
#include <pwd.h>
#include <stdio.h>

#include "agent/privsep/capabilities.h"

/* Takes what a line of /proc/PID/status says (proc_pid_status(5)). */
static void take_line(struct family_member *m, const char *line)
{
	unsigned number;

	sscanf(line, "Name: %63[^\n]", m->comm);
	sscanf(line, "Uid: %u", &m->uid);
	sscanf(line, "CapPrm: %lx", &m->caps);
	if (sscanf(line, "NoNewPrivs: %u", &number) == 1)
		m->no_new_privs = number == 1;
	if (sscanf(line, "Seccomp: %u", &number) == 1)
		m->filtered = number == 2;
}

static bool read_member(struct family_member *out, pid_t pid)
{
	struct family_member m = {.pid = pid};
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		take_line(&m, line);
	fclose(f);
	/* A process names itself as it likes. */
	slice_copy(m.comm, sizeof(m.comm), slice_of(m.comm));
	*out = m;
	return true;
}

/* Appends the children of a process; those of its other threads do not exist here. */
static size_t add_children(pid_t pid, struct family_member *members, size_t count)
{
	char path[64];
	pid_t child;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "re");
	while (f && count < FAMILY_MAX && fscanf(f, "%d", &child) == 1)
		count += read_member(&members[count], child);
	if (f)
		fclose(f);
	return count;
}

size_t family_of(pid_t pid, struct family_member *members)
{
	size_t count = read_member(&members[0], pid);

	for (size_t i = 0; i < count; i++)
		count = add_children(members[i].pid, members, count);
	return count;
}

/* The name of a user, or its number. */
static const char *user_name(uid_t uid, char *number, size_t size)
{
	const struct passwd *entry = getpwuid(uid);

	snprintf(number, size, "%u", uid);
	return entry ? entry->pw_name : number;
}

void family_print(const struct family_member *members, size_t count)
{
	if (count)
		printf("\nProcesses:\n  %-8s %-16s %-16s %-8s %s\n", "PID", "NAME", "USER",
		       "FILTERED", "CAPABILITIES");
	for (size_t i = 0; i < count; i++) {
		const struct family_member *m = &members[i];
		const char *name;
		char number[16];

		printf("  %-8d %-16s %-16s %-8s", m->pid, m->comm,
		       user_name(m->uid, number, sizeof(number)), m->filtered ? "yes" : "no");
		for (uint64_t left = m->caps; (name = capability_next(&left));)
			printf(" %s", name);
		printf("%s\n", m->caps ? "" : " none");
	}
}

void family_add(struct cJSON *rows, const struct family_member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct family_member *m = &members[i];
		cJSON *item = cJSON_CreateObject(), *caps;
		const char *name;
		char number[16];

		cJSON_AddNumberToObject(item, "pid", m->pid);
		cJSON_AddStringToObject(item, "name", m->comm);
		cJSON_AddStringToObject(item, "user", user_name(m->uid, number, sizeof(number)));
		cJSON_AddBoolToObject(item, "no_new_privs", m->no_new_privs);
		cJSON_AddBoolToObject(item, "filtered", m->filtered);
		caps = cJSON_AddArrayToObject(item, "capabilities");
		for (uint64_t left = m->caps; (name = capability_next(&left));)
			cJSON_AddItemToArray(caps, cJSON_CreateString(name));
		cJSON_AddItemToArray(rows, item);
	}
}
