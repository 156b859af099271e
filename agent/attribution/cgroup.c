/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/attribution.h"

#include "agent/base/procfs.h"

#define CONTAINER_ID_LEN 64 /* hex digits, with docker, containerd, CRI-O and podman alike */

/*
 * How a path component holds a container id: prefix, hex digits, suffix. Systemd scopes carry the
 * runtime's name, cgroupfs drivers the bare id (docker, containerd under kubepods) or podman's
 * prefix. A form of another runtime is one more row.
 */
static const struct {
	struct slice prefix, suffix;
} container_forms[] = {
	{SLICE("docker-"), SLICE(".scope")},  {SLICE("cri-containerd-"), SLICE(".scope")},
	{SLICE("nerdctl-"), SLICE(".scope")}, {SLICE("crio-"), SLICE(".scope")},
	{SLICE("libpod-"), SLICE(".scope")},  {SLICE("libpod-"), SLICE("")},
	{SLICE("crio-"), SLICE("")},	      {SLICE(""), SLICE("")},
};

/* Takes the next component off the front of a path. */
static bool next_component(struct slice *path, struct slice *out)
{
	const char *slash;

	while (path->len && path->ptr[0] == '/') {
		path->ptr++;
		path->len--;
	}
	if (path->len == 0)
		return false;
	slash = memchr(path->ptr, '/', path->len);
	*out = (struct slice){path->ptr, slash ? (size_t)(slash - path->ptr) : path->len};
	path->ptr += out->len;
	path->len -= out->len;
	return true;
}

/* The id in one component, or an empty slice. */
static struct slice component_id(struct slice component)
{
	/* containerd's cgroupfs form with systemd slices: "kubepods-pod<uid>.slice:runtime:<id>" */
	const char *colon = memrchr(component.ptr, ':', component.len);

	if (colon) {
		component.len -= (size_t)(colon + 1 - component.ptr);
		component.ptr = colon + 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(container_forms); i++) {
		struct slice prefix = container_forms[i].prefix;
		struct slice suffix = container_forms[i].suffix;
		struct slice id;

		if (component.len < prefix.len + suffix.len || !slice_starts(component, prefix) ||
		    !slice_ends(component, suffix))
			continue;
		id = (struct slice){component.ptr + prefix.len,
				    component.len - prefix.len - suffix.len};
		if (slice_is_hex(id, CONTAINER_ID_LEN))
			return id;
	}
	return (struct slice){"", 0};
}

void cgroup_join(const char (*names)[CONN_CGROUP_NAME], char *dst, size_t size)
{
	size_t at = size - 1; /* the path grows from the end of dst to its front */

	dst[at] = '\0';
	for (size_t i = 0; i < CONN_CGROUP_LEVELS && names[i][0]; i++) {
		size_t len = strlen(names[i]);

		if (len + 1 > at)
			break;
		at -= len;
		memcpy(dst + at, names[i], len);
		dst[--at] = '/';
	}
	memmove(dst, dst + at, size - at);
}

void cgroup_container_id(struct slice cgroup, char *dst, size_t size)
{
	struct slice component, id = {"", 0};

	/* The innermost one: a container inside a container is what the process runs in. */
	while (next_component(&cgroup, &component)) {
		struct slice found = component_id(component);

		if (found.len)
			id = found;
	}
	slice_copy(dst, size, id);
}

void cgroup_unit(struct slice cgroup, char *dst, size_t size)
{
	struct slice component, unit = {"", 0};

	/* The innermost unit; one outside a container runs the container, not the process. */
	while (next_component(&cgroup, &component)) {
		if (component_id(component).len)
			unit = (struct slice){"", 0};
		else if (slice_ends(component, SLICE(".service")) ||
			 slice_ends(component, SLICE(".scope")))
			unit = component;
	}
	slice_copy(dst, size, unit);
}

/* The path of one line "id:controllers:path"; false when it is none. */
static bool line_path(struct slice line, struct slice *controllers, struct slice *path)
{
	const char *first = memchr(line.ptr, ':', line.len);
	const char *end = line.ptr + line.len;
	const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;

	if (!second)
		return false;
	*controllers = (struct slice){first + 1, (size_t)(second - first - 1)};
	*path = (struct slice){second + 1, (size_t)(end - second - 1)};
	return true;
}

struct slice cgroup_path(struct slice text)
{
	static const struct slice root = {"/", 1};
	struct slice unified = {NULL, 0}, systemd = {NULL, 0}, other = {NULL, 0};

	while (text.len) {
		const char *newline = memchr(text.ptr, '\n', text.len);
		struct slice line = {text.ptr, newline ? (size_t)(newline - text.ptr) : text.len};
		struct slice controllers, path;

		text.ptr += line.len + (newline != NULL);
		text.len -= line.len + (newline != NULL);
		if (!line_path(line, &controllers, &path) || path.len == 0 || slice_eq(path, root))
			continue;
		if (controllers.len == 0)
			unified = path;
		else if (slice_eq(controllers, SLICE("name=systemd")))
			systemd = path;
		else if (!other.ptr)
			other = path;
	}
	return unified.ptr ? unified : systemd.ptr ? systemd : other.ptr ? other : root;
}
