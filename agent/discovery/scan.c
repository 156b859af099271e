/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/parts.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#define IDLE_CYCLES 2 /* scan cycles an unused file whose path is gone stays attached */

/* The pids of /proc into d->pids. */
static int list_pids(struct discovery *d)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return -errno;
	d->pid_count = 0;
	d->pids_complete = true;
	while ((entry = readdir(dir)) != NULL) {
		char *end;
		unsigned long pid = strtoul(entry->d_name, &end, 10);

		if (*end != '\0' || pid == 0 || pid > INT_MAX)
			continue;
		if (d->pid_count == SCAN_PIDS_MAX) {
			d->pids_complete = false;
			break;
		}
		d->pids[d->pid_count++] = (uint32_t)pid;
	}
	closedir(dir);
	return 0;
}

/* Files whose attach failed are forgotten, so that this cycle tries again. */
static void retry_failed_files(struct discovery *d)
{
	for (size_t i = d->files.count; i-- > 0;) {
		if (d->files.item[i]->state == FILE_FAILED)
			attach_drop(d, d->files.item[i]);
	}
}

int scan_begin(struct discovery *d)
{
	int err = list_pids(d);

	if (err)
		return err;
	d->rescan = false;
	d->pid_at = 0;
	d->mapping_at = 0;
	d->cycle++;
	d->next_scan_ns = d->now_ns + (d->ring_count ? DISCOVERY_SCAN_S : 1) * NSEC_PER_SEC;
	retry_failed_files(d);
	return 0;
}

/* Processes whose exit was missed. One whose mappings could not be read may live. */
static void reap_processes(struct discovery *d)
{
	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (struct process *p = d->processes.bucket[b], *next; p; p = next) {
			next = p->next;
			if (p->cycle != d->cycle && track_ended(d, p->pid))
				track_gone(d, p);
		}
	}
}

/* A place that is closed to us may name it still. */
static bool path_names(struct discovery *d, const struct tls_file *file)
{
	struct stat st;

	if (file->handle >= 0)
		return broker_still_named(d->broker, file->handle);
	if (stat(file->path, &st) != 0)
		return errno == EACCES;
	return st.st_dev == file->id.device && st.st_ino == file->id.inode;
}

/* An upgraded library stays probed until its last user is gone; then the old inode is let go. */
static void release_unused_files(struct discovery *d)
{
	for (size_t i = d->files.count; i-- > 0;) {
		struct tls_file *file = d->files.item[i];

		if (file->users || path_names(d, file))
			file->idle_for = 0;
		else if (++file->idle_for >= IDLE_CYCLES)
			attach_drop(d, file);
	}
}

static void scan_end(struct discovery *d)
{
	if (d->pids_complete)
		reap_processes(d);
	release_unused_files(d);
	discovery_prime(d);
}

void scan_some(struct discovery *d, size_t most)
{
	if (d->pid_at == d->pid_count)
		return;
	for (; most && d->pid_at < d->pid_count; most--) {
		if (track_mappings(d, d->pids[d->pid_at], &d->mapping_at) > 0)
			return;
		d->mapping_at = 0;
		d->pid_at++;
	}
	if (d->pid_at == d->pid_count)
		scan_end(d);
}
