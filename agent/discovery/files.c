/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discovery/files.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

const char *const file_state_names[FILE_STATES] = {
	[FILE_ATTACHED] = "attached",
	[FILE_REFUSED] = "refused",
	[FILE_FAILED] = "failed",
};

int file_identify(int fd, struct file_identity *out)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*out = (struct file_identity){
		.device = st.st_dev,
		.inode = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_mtim.tv_nsec,
		.overlay = fs.f_type == OVERLAYFS_SUPER_MAGIC,
	};
	return 0;
}

static bool same_bytes(const struct file_identity *a, const struct file_identity *b)
{
	return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

bool file_same(const struct file_identity *a, const struct file_identity *b)
{
	return a->device == b->device && same_bytes(a, b);
}

bool file_same_lower(const struct file_identity *a, const char *build_id_a,
		     const struct file_identity *b, const char *build_id_b)
{
	return a->device != b->device && (a->overlay || b->overlay) && same_bytes(a, b) &&
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

static bool key_fits(const struct seen_key *have, const struct seen_key *want)
{
	return have->inode == want->inode && have->major == want->major &&
	       have->minor == want->minor &&
	       (have->generation == 0 || want->generation == 0 ||
		have->generation == want->generation);
}

bool seen_get(const struct seen *seen, const struct seen_key *key, uint32_t now_s,
	      struct tls_file **file)
{
	const struct seen_entry *set = seen->set[set_of(key)];

	for (size_t i = 0; i < SEEN_WAYS; i++) {
		if (set[i].key.inode == 0 || !key_fits(&set[i].key, key))
			continue;
		if (!set[i].file && now_s - set[i].at_s >= SEEN_FOR_S)
			return false;
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
		if (set[i].key.inode == key->inode && set[i].key.major == key->major &&
		    set[i].key.minor == key->minor)
			return &set[i];
		if (set[i].key.inode == 0)
			empty = &set[i];
	}
	return empty ? empty : &set[seen->next[at]++ % SEEN_WAYS];
}

void seen_put(struct seen *seen, const struct seen_key *key, uint32_t now_s, struct tls_file *file)
{
	if (key->inode)
		*way_for(seen, key) = (struct seen_entry){.key = *key, .file = file, .at_s = now_s};
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
