/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/parts.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <sys/sysmacros.h>

static void tell_file(cJSON *list, const struct tls_file *file)
{
	cJSON *row = cJSON_CreateObject();
	char device[32];

	snprintf(device, sizeof(device), "%u:%u", major(file->id.device), minor(file->id.device));
	cJSON_AddStringToObject(row, "path", file->path);
	cJSON_AddNumberToObject(row, "inode", (double)file->id.inode);
	cJSON_AddStringToObject(row, "device", device);
	cJSON_AddStringToObject(row, "build_id", file->build_id);
	cJSON_AddStringToObject(row, "kind", file->executable ? "executable" : "library");
	cJSON_AddStringToObject(row, "state", file_state_names[file->state]);
	cJSON_AddStringToObject(row, "reason", file->reason);
	cJSON_AddNumberToObject(row, "probes", file->probes);
	cJSON_AddStringToObject(row, "site_class",
				file->state == FILE_ATTACHED ? site_class_names[file->site_class]
							     : "");
	cJSON_AddNumberToObject(row, "processes", file->users);
	cJSON_AddBoolToObject(row, "deleted", file->deleted);
	cJSON_AddItemToArray(list, row);
}

/* One row per TLS stack in the process: what of it is read and what is not. */
static void tell_process(cJSON *list, const struct process *process)
{
	for (uint32_t i = 0; i < process->file_count; i++) {
		const struct tls_file *file = process->files[i];
		bool readable = file->state == FILE_ATTACHED;
		cJSON *row = cJSON_CreateObject();

		cJSON_AddNumberToObject(row, "pid", process->pid);
		cJSON_AddStringToObject(row, "comm", process->comm);
		cJSON_AddStringToObject(row, "exe", process->exe);
		cJSON_AddStringToObject(row, "tls", readable ? "readable" : "blind");
		cJSON_AddStringToObject(row, "reason", file->reason);
		cJSON_AddStringToObject(row, "library", path_base(slice_of(file->path)).ptr);
		cJSON_AddItemToArray(list, row);
	}
}

void discovery_status(const struct discovery *d, struct cJSON *status)
{
	cJSON *files = cJSON_AddArrayToObject(status, "files");
	cJSON *processes = cJSON_AddArrayToObject(status, "processes");
	size_t listed = 0;

	for (size_t i = 0; i < d->files.count; i++)
		tell_file(files, d->files.item[i]);
	for (size_t b = 0; b < PROCESS_BUCKETS; b++) {
		for (const struct process *p = d->processes.bucket[b]; p; p = p->next) {
			if (strcmp(p->exe, d->self_exe) != 0 && listed++ < DISCOVERY_STATUS_MAX)
				tell_process(processes, p);
		}
	}
}
