/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json/paths.h"

#include <errno.h>

int json_paths_child(const struct json_paths *paths, int node, struct slice key)
{
	int at = node == JSON_NODE_NONE ? JSON_NODE_NONE : paths->node[node].child;

	for (; at != JSON_NODE_NONE; at = paths->node[at].next) {
		const struct json_node *n = &paths->node[at];

		if (!key.ptr ? !n->key.ptr : n->key.ptr && slice_eq(n->key, key))
			return at;
	}
	return JSON_NODE_NONE;
}

static int add_node(struct json_paths *paths, struct slice key)
{
	paths->node[paths->count] = (struct json_node){
		.key = key,
		.child = JSON_NODE_NONE,
		.next = JSON_NODE_NONE,
		.leaf = JSON_NODE_NONE,
		.deep = JSON_NODE_NONE,
		.object = JSON_NODE_NONE,
	};
	return paths->count++;
}

static int descend(struct json_paths *paths, int node, struct slice key)
{
	int child = json_paths_child(paths, node, key);

	if (child == JSON_NODE_NONE) {
		child = add_node(paths, key);
		paths->node[child].next = paths->node[node].child;
		paths->node[node].child = child;
	}
	return child;
}

static bool claim(int *slot, size_t index)
{
	if (*slot != JSON_NODE_NONE)
		return false;
	*slot = (int)index;
	return true;
}

/* Adds one path; false when it is malformed or repeats another. */
static bool add_path(struct json_paths *paths, const char *p, size_t index)
{
	int node = 0;

	while (*p) {
		size_t len;

		if (strcmp(p, "{}") == 0)
			return claim(&paths->node[node].object, index);
		if (strcmp(p, "#") == 0 || strcmp(p, "~") == 0) {
			paths->node[node].length_only = true;
			paths->node[node].in_pieces = *p == '~';
			break;
		}
		if (strncmp(p, "[]", 2) == 0) {
			node = descend(paths, node, (struct slice){NULL, 0});
			p += 2;
			continue;
		}
		p += *p == '.';
		if (strcmp(p, "**") == 0)
			return claim(&paths->node[node].deep, index);
		len = strcspn(p, ".[{#~");
		if (len == 0 || len >= JSON_KEY_MAX || memchr(p, '*', len))
			return false;
		node = descend(paths, node, (struct slice){p, len});
		p += len;
	}
	return node != 0 && claim(&paths->node[node].leaf, index);
}

/* At least as many nodes as the path can add. */
static size_t segments_max(const char *path)
{
	size_t n = 1;

	for (; *path; path++)
		n += *path == '.' || *path == '[';
	return n;
}

int json_paths_new(struct json_paths **out, const char *const *paths, size_t count)
{
	struct json_paths *made;
	size_t nodes = 1;

	for (size_t i = 0; i < count; i++)
		nodes += segments_max(paths[i]);
	made = malloc(sizeof(*made) + nodes * sizeof(made->node[0]));
	if (!made)
		return -ENOMEM;
	made->refs = 1;
	made->count = 0;
	add_node(made, (struct slice){NULL, 0});
	for (size_t i = 0; i < count; i++) {
		if (!add_path(made, paths[i], i)) {
			free(made);
			return -EINVAL;
		}
	}
	*out = made;
	return 0;
}

void json_paths_free(struct json_paths *paths)
{
	if (paths && --paths->refs == 0)
		free(paths);
}
