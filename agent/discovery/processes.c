/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/processes.h"

static struct process **bucket_of(const struct processes *processes, uint32_t pid)
{
	return (struct process **)&processes->bucket[pid % PROCESS_BUCKETS];
}

void processes_free(struct processes *processes)
{
	for (size_t i = 0; i < PROCESS_BUCKETS; i++) {
		while (processes->bucket[i])
			processes_remove(processes, processes->bucket[i]);
	}
}

struct process *processes_find(const struct processes *processes, uint32_t pid)
{
	struct process *process = *bucket_of(processes, pid);

	while (process && process->pid != pid)
		process = process->next;
	return process;
}

struct process *processes_add(struct processes *processes, uint32_t pid)
{
	struct process **bucket = bucket_of(processes, pid);
	struct process *process;

	if (processes->count == DISCOVERY_PROCESSES_MAX)
		return NULL;
	process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	process->pid = pid;
	process->next = *bucket;
	*bucket = process;
	processes->count++;
	return process;
}

void processes_remove(struct processes *processes, struct process *process)
{
	struct process **at = bucket_of(processes, process->pid);

	while (*at != process)
		at = &(*at)->next;
	*at = process->next;
	processes->count--;
	process_unlink_all(process);
	free(process);
}

bool process_full(const struct process *process)
{
	return process->file_count == PROCESS_FILES_MAX;
}

bool process_link(struct process *process, struct tls_file *file)
{
	for (uint32_t i = 0; i < process->file_count; i++) {
		if (process->files[i] == file)
			return false;
	}
	if (process_full(process))
		return false;
	process->files[process->file_count++] = file;
	file->users++;
	file->idle_for = 0;
	return true;
}

void process_unlink_all(struct process *process)
{
	while (process->file_count)
		process->files[--process->file_count]->users--;
}

void processes_unlink(struct processes *processes, const struct tls_file *file)
{
	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (struct process *p = processes->bucket[b]; p; p = p->next) {
			for (uint32_t i = 0; i < p->file_count; i++) {
				if (p->files[i] != file)
					continue;
				p->files[i]->users--;
				p->files[i] = p->files[--p->file_count];
				break;
			}
		}
	}
}

bool process_readable(const struct process *process)
{
	for (uint32_t i = 0; i < process->file_count; i++) {
		if (process->files[i]->state == FILE_ATTACHED)
			return true;
	}
	return false;
}
