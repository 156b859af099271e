/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/parts.h"

#include "agent/base/counters.h"
#include "agent/base/log.h"

#include <errno.h>
#include <sys/sysmacros.h>

static uint32_t now_s(const struct discovery *d)
{
	return (uint32_t)(d->now_ns / NSEC_PER_SEC);
}

void attach_drop(struct discovery *d, struct tls_file *file)
{
	if (file->handle >= 0) {
		broker_detach(d->broker, file->handle);
		log_info(LOG, "%s: unused, probes detached", file->path);
	}
	processes_unlink(&d->processes, file);
	seen_forget(&d->seen, file);
	files_remove(&d->files, file);
}

static void attach(struct discovery *d, struct tls_file *file)
{
	char err[BROKER_ERROR_MAX] = "";

	file->handle = broker_attach(d->broker, &file->probes, err, sizeof(err));
	if (file->handle < 0) {
		file->handle = -1;
		file->state = FILE_FAILED;
		slice_copy(file->reason, sizeof(file->reason), slice_of(err));
		log_warn(LOG, "%s: not attached: %s", file->path, err);
		return;
	}
	file->state = FILE_ATTACHED;
	log_info(LOG, "%s: %u probes attached, on %s instructions", file->path, file->probes,
		 site_class_names[file->site_class]);
}

static struct tls_file *add_file(struct discovery *d)
{
	struct tls_file *unused = NULL;

	if (d->files.count == DISCOVERY_FILES_MAX)
		unused = files_unused(&d->files);
	if (unused)
		attach_drop(d, unused);
	return files_add(&d->files);
}

/* A TLS file seen for the first time: attached, or refused with its reason. NULL: no room. */
static struct tls_file *new_file(struct discovery *d, const struct file_identity *id,
				 struct slice path, const struct decided *decided)
{
	struct tls_file *file = add_file(d);

	if (!file) {
		counter_add(COUNTER_DISCOVERY_FILES_FULL, 1);
		log_warn(LOG, "%.*s: not attached: %d TLS files are already known", SLICE_FMT(path),
			 DISCOVERY_FILES_MAX);
		return NULL;
	}
	file->id = *id;
	slice_copy(file->path, sizeof(file->path), path_without_deleted(path));
	if (decided->decision == DECISION_BLIND) {
		file->state = FILE_REFUSED;
		slice_copy(file->reason, sizeof(file->reason), slice_of(decided->reason));
		log_info(LOG, "%s: TLS that cannot be read: %s", file->path, file->reason);
	} else {
		file->executable = decided->executable;
		file->site_class = decided->site_class;
		slice_copy(file->build_id, sizeof(file->build_id), slice_of(decided->build_id));
		attach(d, file);
	}
	return file;
}

static void not_looked_into(struct slice path, int err)
{
	counter_add(COUNTER_DISCOVERY_UNDECIDED, 1);
	log_warn(LOG, "%.*s: not looked into: %s", SLICE_FMT(path), strerror(-err));
}

/*
 * Decides about the broker's current file, not decided before. NULL: nothing to do with TLS, or,
 * when *stamp becomes STAMP_UNDECIDED, that could not be found out.
 */
static struct tls_file *decide_new(struct discovery *d, const struct file_identity *id,
				   struct slice path, uint64_t *stamp)
{
	struct decided decided;
	struct tls_file *lower = NULL;
	int err = broker_decide(d->broker, path, &decided);

	if (err) {
		not_looked_into(path, err);
		*stamp = STAMP_UNDECIDED;
		return NULL;
	}
	if (decided.decision == DECISION_NOT_TLS)
		return NULL;
	if (decided.decision == DECISION_PROBE)
		lower = files_find_lower(&d->files, id, decided.build_id);
	else
		lower = files_find_refused_lower(&d->files, id);
	return lower ? lower : new_file(d, id, path, &decided);
}

/*
 * The TLS file that the broker has at hand, or NULL. An inode with other bytes than before is
 * decided again. *stamp is what that is to be remembered under.
 */
static struct tls_file *current_file(struct discovery *d, struct slice path,
				     const struct file_identity *id, uint64_t *stamp)
{
	struct seen_key key = {
		.inode = id->inode,
		.major = major(id->device),
		.minor = minor(id->device),
	};
	struct tls_file *file = files_find(&d->files, id);

	*stamp = file_stamp(id);
	if (file && file_same(&file->id, id))
		return file;
	if (file)
		attach_drop(d, file);
	if (!seen_same(&d->seen, &key, *stamp, &file))
		file = decide_new(d, id, path, stamp);
	seen_put(&d->seen, &key, *stamp, now_s(d), file);
	return file;
}

/* One process can't fill the table with files of its making: those of others have their place. */
static bool has_its_share(const struct discovery *d, uint32_t pid)
{
	const struct process *process = processes_find(&d->processes, pid);

	return process && process_full(process);
}

struct tls_file *attach_file_of(struct discovery *d, const struct mapped *m)
{
	const struct broker_mapping mapping = {m->pid, m->start, m->end, m->path};
	struct file_identity id;
	struct tls_file *file;
	uint64_t stamp;
	int err;

	if (seen_get(&d->seen, &m->key, now_s(d), &file))
		return file;
	if (has_its_share(d, m->pid)) {
		counter_add(COUNTER_DISCOVERY_SHARE_FULL, 1);
		return NULL;
	}
	err = broker_open_mapping(d->broker, &mapping, &id);
	/* Not those that are gone or no regular files. */
	if (err && err != -ENOENT && err != -ESRCH && err != -EINVAL) {
		not_looked_into(m->path, err);
		seen_put(&d->seen, &m->key, STAMP_UNDECIDED, now_s(d), NULL);
	}
	if (err)
		return NULL;
	file = current_file(d, m->path, &id, &stamp);
	/* Another number means an overlay's own, or that the mapping was replaced: not cached. */
	if (id.inode == m->key.inode)
		seen_put(&d->seen, &m->key, stamp, now_s(d), file);
	return file;
}

void discovery_prime(struct discovery *d)
{
	int count = broker_count_known(d->broker);

	for (int i = 0; i < count; i++) {
		char path[REQUEST_TEXT_MAX];
		struct file_identity id;
		uint64_t stamp;

		if (broker_open_known(d->broker, (uint32_t)i, &id, path) == 0)
			(void)current_file(d, slice_of(path), &id, &stamp);
	}
}
