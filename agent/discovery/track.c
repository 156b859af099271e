/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/parts.h"

#include "agent/base/counters.h"
#include "agent/base/log.h"
#include "agent/base/procfs.h"

#include <errno.h>

static int read_stat(struct discovery *d, uint32_t pid, struct proc_stat *out)
{
	_cleanup_(closep) int fd = broker_open_proc(d->broker, pid, PROC_STAT);
	char text[1024];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read(fd, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return proc_stat_parse((struct slice){text, (size_t)n}, out) ? 0 : -EINVAL;
}

static void read_facts(struct discovery *d, struct process *process)
{
	char exe[FILE_PATH_MAX];
	struct proc_stat stat;

	if (read_stat(d, process->pid, &stat) == 0)
		slice_copy(process->comm, sizeof(process->comm), slice_of(stat.comm));
	if (broker_read_exe(d->broker, process->pid, exe, sizeof(exe)) == 0)
		slice_copy(process->exe, sizeof(process->exe), path_without_deleted(slice_of(exe)));
}

struct process *track_process(struct discovery *d, uint32_t pid)
{
	struct process *process = processes_find(&d->processes, pid);

	if (process)
		return process;
	process = processes_add(&d->processes, pid);
	if (!process) {
		counter_add(COUNTER_DISCOVERY_PROCESSES_FULL, 1);
		log_warn(LOG, "process %u is metered but not listed: %d processes are", pid,
			 DISCOVERY_PROCESSES_MAX);
		return NULL;
	}
	process->cycle = d->cycle;
	return process;
}

void track_link(struct discovery *d, uint32_t pid, struct tls_file *file)
{
	struct process *process = pid == d->self ? NULL : track_process(d, pid);
	bool known, readable;

	if (!process)
		return;
	known = process->file_count > 0;
	readable = process_readable(process);
	if (!process_link(process, file))
		return;
	if (!known)
		read_facts(d, process);
	if (!readable && file->state == FILE_ATTACHED && d->ops->process_started)
		d->ops->process_started(d->user, pid);
}

int track_mappings(struct discovery *d, uint32_t pid, size_t *at)
{
	_cleanup_(closep) int fd = broker_open_proc(d->broker, pid, PROC_MAPS);
	struct proc_mapping mapping;
	struct proc_lines lines;
	struct process *process;
	uint64_t last_inode = 0;
	struct slice line;
	size_t n = 0;

	if (fd < 0)
		return fd;
	proc_lines_init(&lines, fd);
	while (proc_lines_next(&lines, &line)) {
		struct mapped m = {.pid = pid};
		struct tls_file *file;

		if (!proc_mapping_parse(line, &mapping) || !mapping.exec || mapping.inode == 0 ||
		    mapping.inode == last_inode)
			continue;
		last_inode = mapping.inode;
		if (n++ < *at)
			continue;
		if (turn_over(d))
			return 1;
		*at = n;
		m.start = mapping.start;
		m.end = mapping.end;
		m.path = mapping.path;
		m.key = (struct seen_key){
			.inode = mapping.inode, .major = mapping.major, .minor = mapping.minor};
		file = attach_file_of(d, &m);
		if (!file)
			continue;
		file->deleted |= slice_ends(mapping.path, SLICE(" (deleted)"));
		track_link(d, pid, file);
	}
	process = processes_find(&d->processes, pid);
	if (process)
		process->cycle = d->cycle;
	return 0;
}

bool track_ended(struct discovery *d, uint32_t pid)
{
	struct proc_stat stat;
	int err = read_stat(d, pid, &stat);

	if (err)
		return process_is_gone(err);
	return stat.threads <= 1 && stat.memory_bytes == 0;
}

void track_gone(struct discovery *d, struct process *process)
{
	uint32_t pid = process->pid;

	processes_remove(&d->processes, process);
	if (d->ops->process_exited)
		d->ops->process_exited(d->user, pid);
}
