/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/cgroup_ids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Where cgroup2 is mounted: beside the v1 trees in the hybrid layout, else alone. */
static const char *const mounts[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};

struct cgroup_id {
	uint64_t id;
	char *path;
};

struct cgroup_ids {
	struct cgroup_id *item; /* sorted by id up to `sorted` */
	size_t count, sorted;
	bool walked;
	uint64_t walked_ns;
};

int cgroup_ids_new(struct cgroup_ids **out)
{
	struct cgroup_ids *ids = calloc(1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	ids->item = calloc(CGROUP_IDS_MAX, sizeof(*ids->item));
	if (!ids->item) {
		free(ids);
		return -ENOMEM;
	}
	*out = ids;
	return 0;
}

static void forget_all(struct cgroup_ids *ids)
{
	for (size_t i = 0; i < ids->count; i++)
		free(ids->item[i].path);
	ids->count = 0;
	ids->sorted = 0;
}

void cgroup_ids_free(struct cgroup_ids *ids)
{
	if (!ids)
		return;
	forget_all(ids);
	free(ids->item);
	free(ids);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct cgroup_id *)a)->id, y = ((const struct cgroup_id *)b)->id;

	return (x > y) - (x < y);
}

static const struct cgroup_id *find(const struct cgroup_ids *ids, uint64_t id)
{
	struct cgroup_id key = {.id = id};

	return bsearch(&key, ids->item, ids->sorted, sizeof(key), compare);
}

/* False when the table is full. */
static bool learn(struct cgroup_ids *ids, uint64_t id, const char *path)
{
	if (find(ids, id))
		return true;
	if (ids->count == CGROUP_IDS_MAX)
		return false;
	ids->item[ids->count].path = strdup(path);
	if (!ids->item[ids->count].path)
		return false;
	ids->item[ids->count++].id = id;
	return true;
}

/* Learns the directories below path, which is the mount's root and then the cgroup's path. */
static bool walk(struct cgroup_ids *ids, char *path, size_t root_len, int depth)
{
	size_t len = strlen(path);
	DIR *dir = depth ? opendir(path) : NULL;
	struct dirent *entry;
	bool room = true;

	if (!dir)
		return true;
	while (room && (entry = readdir(dir)) != NULL) {
		size_t name_len = strlen(entry->d_name);

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    name_len >= PATH_MAX - 1 - len)
			continue;
		snprintf(path + len, PATH_MAX - len, "/%s", entry->d_name);
		room = learn(ids, entry->d_ino, path + root_len) &&
		       walk(ids, path, root_len, depth - 1);
		path[len] = '\0';
	}
	closedir(dir);
	return room;
}

static bool walk_mount(struct cgroup_ids *ids, const char *mount)
{
	char path[PATH_MAX];
	struct statfs fs;
	struct stat st;

	if (statfs(mount, &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC || stat(mount, &st) != 0)
		return true;
	snprintf(path, sizeof(path), "%s", mount);
	return learn(ids, st.st_ino, "/") && walk(ids, path, strlen(mount), CGROUP_DEPTH_MAX);
}

/* Returns false when not all cgroups fit. */
static bool walk_all(struct cgroup_ids *ids)
{
	bool room = true;

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++)
		room &= walk_mount(ids, mounts[i]);
	qsort(ids->item, ids->count, sizeof(*ids->item), compare);
	ids->sorted = ids->count;
	return room;
}

const char *cgroup_ids_path(struct cgroup_ids *ids, uint64_t id, uint64_t now_ns)
{
	const struct cgroup_id *found = find(ids, id);

	if (!found && (!ids->walked || now_ns - ids->walked_ns >= CGROUP_WALK_GAP_NS)) {
		ids->walked = true;
		ids->walked_ns = now_ns;
		if (!walk_all(ids)) {
			forget_all(ids);
			walk_all(ids);
		}
		found = find(ids, id);
	}
	return found ? found->path : NULL;
}
