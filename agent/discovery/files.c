/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/files.h"

const char *const file_state_names[FILE_STATES] = {
	[FILE_ATTACHED] = "attached",
	[FILE_REFUSED] = "refused",
	[FILE_FAILED] = "failed",
};

uint64_t file_stamp(const struct file_identity *id)
{
	uint64_t hash =
		(id->size ^ (uint64_t)id->mtime_ns * 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;

	return hash == STAMP_UNDECIDED ? hash + 1 : hash;
}

bool file_same_lower(const struct file_identity *a, const char *build_id_a,
		     const struct file_identity *b, const char *build_id_b)
{
	return a->device != b->device && (a->overlay || b->overlay) && file_same_bytes(a, b) &&
	       build_id_a[0] != '\0' && strcmp(build_id_a, build_id_b) == 0;
}

void files_free(struct files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->item[i]);
	files->count = 0;
}

struct tls_file *files_find(const struct files *files, const struct file_identity *id)
{
	for (size_t i = 0; i < files->count; i++) {
		const struct file_identity *have = &files->item[i]->id;

		if (have->device == id->device && have->inode == id->inode)
			return files->item[i];
	}
	return NULL;
}

struct tls_file *files_find_lower(const struct files *files, const struct file_identity *id,
				  const char *build_id)
{
	for (size_t i = 0; i < files->count; i++) {
		if (file_same_lower(&files->item[i]->id, files->item[i]->build_id, id, build_id))
			return files->item[i];
	}
	return NULL;
}

struct tls_file *files_find_refused_lower(const struct files *files, const struct file_identity *id)
{
	for (size_t i = 0; i < files->count; i++) {
		struct tls_file *file = files->item[i];

		if (file->state == FILE_REFUSED && file->id.device != id->device &&
		    (file->id.overlay || id->overlay) && file_same_bytes(&file->id, id))
			return file;
	}
	return NULL;
}

struct tls_file *files_add(struct files *files)
{
	struct tls_file *file;

	if (files->count == DISCOVERY_FILES_MAX)
		return NULL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->handle = -1;
	files->item[files->count++] = file;
	return file;
}

struct tls_file *files_unused(const struct files *files)
{
	for (size_t i = files->count; i-- > 0;) {
		if (!files->item[i]->users)
			return files->item[i];
	}
	return NULL;
}

void files_remove(struct files *files, struct tls_file *file)
{
	for (size_t i = 0; i < files->count; i++) {
		if (files->item[i] != file)
			continue;
		files->item[i] = files->item[--files->count];
		free(file);
		return;
	}
}

static size_t set_of(const struct seen_key *key)
{
	uint64_t hash = (key->inode ^ ((uint64_t)key->major << 40) ^ ((uint64_t)key->minor << 20)) *
			0x9e3779b97f4a7c15ULL;

	return (hash >> 40) % SEEN_SETS;
}

static bool same_inode(const struct seen_key *a, const struct seen_key *b)
{
	return a->inode == b->inode && a->major == b->major && a->minor == b->minor;
}

bool seen_get(const struct seen *seen, const struct seen_key *key, uint32_t now_s,
	      struct tls_file **file)
{
	const struct seen_entry *set = seen->set[set_of(key)];

	for (size_t i = 0; i < SEEN_WAYS; i++) {
		if (set[i].key.inode == 0 || !same_inode(&set[i].key, key))
			continue;
		if (key->generation && set[i].key.generation != key->generation)
			return false;
		if (!(set[i].file && set[i].file->state == FILE_ATTACHED) &&
		    now_s - set[i].at_s >= SEEN_FOR_S)
			return false;
		*file = set[i].file;
		return true;
	}
	return false;
}

bool seen_same(const struct seen *seen, const struct seen_key *key, uint64_t stamp,
	       struct tls_file **file)
{
	const struct seen_entry *set = seen->set[set_of(key)];

	for (size_t i = 0; i < SEEN_WAYS; i++) {
		if (set[i].key.inode == 0 || !same_inode(&set[i].key, key) || set[i].stamp != stamp)
			continue;
		*file = set[i].file;
		return true;
	}
	return false;
}

/* The way that holds this inode, else a free one, else the oldest. */
static struct seen_entry *way_for(struct seen *seen, const struct seen_key *key)
{
	size_t at = set_of(key);
	struct seen_entry *set = seen->set[at], *empty = NULL;

	for (size_t i = 0; i < SEEN_WAYS; i++) {
		if (same_inode(&set[i].key, key))
			return &set[i];
		if (set[i].key.inode == 0)
			empty = &set[i];
	}
	return empty ? empty : &set[seen->next[at]++ % SEEN_WAYS];
}

void seen_put(struct seen *seen, const struct seen_key *key, uint64_t stamp, uint32_t now_s,
	      struct tls_file *file)
{
	struct seen_entry entry = {.key = *key, .stamp = stamp, .file = file, .at_s = now_s};
	struct seen_entry *way;

	if (!key->inode)
		return;
	way = way_for(seen, key);
	if (!key->generation && same_inode(&way->key, key) && way->stamp == stamp)
		entry.key.generation = way->key.generation;
	*way = entry;
}

void seen_forget(struct seen *seen, const struct tls_file *file)
{
	for (size_t s = 0; s < SEEN_SETS; s++) {
		for (size_t i = 0; i < SEEN_WAYS; i++) {
			if (seen->set[s][i].file == file)
				seen->set[s][i] = (struct seen_entry){0};
		}
	}
}
