/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/cgroup.h"

#include "agent/base/procfs.h"

#include <ctype.h>

#define CONTAINER_ID_LEN 64 /* hex digits, with docker, containerd, CRI-O and podman alike */
#define POD_UID_LEN	 36
#define POD_HASH_LEN	 32 /* static pods have a hash in place of a uid */

enum fact {
	CONTAINER,
	CONTAINER_UNIT, /* a container that has a unit of its own, above it */
	MACHINE,	/* a container by its name */
	POD,
	SESSION, /* also a unit */
	LOGIN,	 /* also a slice */
	UNIT,
	SLICE_NAME,
};

/*
 * What a name in the path is: '%' stands for the value, '*' in front for anything, and what has a
 * slash begins with the name above. The first row that fits, with a value of its kind, counts. A
 * form of another runtime is one more row here and one more line in the test.
 */
static const struct {
	const char *pattern;
	enum fact fact;
} forms[] = {
	/* Engines under systemd. */
	{"docker-%.scope", CONTAINER},
	{"cri-containerd-%.scope", CONTAINER},
	{"nerdctl-%.scope", CONTAINER},
	{"crio-%.scope", CONTAINER},
	{"libpod-%.scope", CONTAINER},
	{"libpod-payload-%", CONTAINER_UNIT}, /* podman --cgroups=split, as Quadlet does */
	/* Engines that make their groups themselves: /docker/ID, /kubepods/.../podUID/ID, ... */
	{"libpod-%", CONTAINER},
	{"crio-%", CONTAINER},
	{"%", CONTAINER},
	/* The kubelet. */
	{"pod%", POD},
	{"*-pod%.slice", POD},
	/* LXC to 3.0 and Proxmox; 3.1; since 4.0 also LXD and Incus. */
	{"lxc/%", MACHINE},
	{"lxc.payload/%", MACHINE},
	{"lxc.payload.%", MACHINE},
	/* systemd-nspawn and what else registers containers as machines; qemu's are none. */
	{"systemd-nspawn@%.service", MACHINE},
	{"machine-qemu%.scope", UNIT},
	{"machine-%.scope", MACHINE},
	/* systemd. */
	{"session-%.scope", SESSION},
	{"user-%.slice", LOGIN},
	{"%.service", UNIT},
	{"%.scope", UNIT},
	{"%.slice", SLICE_NAME},
};

/* ---- values --------------------------------------------------------------------------------- */

static bool is_container_id(struct slice value)
{
	return slice_is_hex(value, CONTAINER_ID_LEN);
}

/* Slices of systemd write a uid with '_', since '-' would nest them. */
static bool is_pod_uid(struct slice value)
{
	static const size_t dashes[] = {8, 13, 18, 23};
	size_t begin = 0;

	if (slice_is_hex(value, POD_HASH_LEN))
		return true;
	if (value.len != POD_UID_LEN)
		return false;
	for (size_t i = 0; i <= ARRAY_LEN(dashes); i++) {
		size_t end = i < ARRAY_LEN(dashes) ? dashes[i] : POD_UID_LEN;
		struct slice digits = {value.ptr + begin, end - begin};

		if (!slice_is_hex(digits, digits.len) ||
		    (end < POD_UID_LEN && !strchr("-_", value.ptr[end])))
			return false;
		begin = end + 1;
	}
	return true;
}

static bool is_session(struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		if (!isalnum((unsigned char)value.ptr[i]))
			return false;
	}
	return value.len > 0 && value.len < sizeof(((struct cgroup_facts *)0)->login_session);
}

static bool is_value(enum fact fact, struct slice value)
{
	uint32_t uid;

	switch (fact) {
	case CONTAINER:
	case CONTAINER_UNIT:
		return is_container_id(value);
	case POD:
		return is_pod_uid(value);
	case SESSION:
		return is_session(value);
	case LOGIN:
		return proc_uid_parse(value, &uid);
	default:
		return value.len > 0;
	}
}

/* What stands for the '%'. False: the name is not of that form, or the value not of its kind. */
static bool fits(const char *pattern, enum fact fact, struct slice name, struct slice *value)
{
	bool anywhere = *pattern == '*';
	struct slice head = {pattern + anywhere, strcspn(pattern, "%") - anywhere};
	struct slice tail = slice_of(head.ptr + head.len + 1);

	for (; name.len >= head.len + tail.len; name.ptr++, name.len--) {
		*value = (struct slice){name.ptr + head.len, name.len - head.len - tail.len};
		if (slice_starts(name, head) && slice_ends(name, tail) && is_value(fact, *value))
			return true;
		if (!anywhere)
			break;
	}
	return false;
}

/* ---- facts ---------------------------------------------------------------------------------- */

bool cgroup_is_container(const struct cgroup_facts *facts)
{
	return facts->container_id[0] || facts->container[0] || facts->pod_uid[0];
}

static void enter_container(struct cgroup_facts *f)
{
	f->container_id[0] = f->container[0] = f->unit[0] = '\0';
}

static void set_pod(struct cgroup_facts *f, struct slice value)
{
	enter_container(f);
	slice_copy(f->pod_uid, sizeof(f->pod_uid), value);
	for (char *c = f->pod_uid; *c; c++)
		*c = *c == '_' ? '-' : *c;
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes systemd's escapes ("\x2d"; systemd.unit(5)), which only shortens the text. */
static void set_machine(struct cgroup_facts *f, struct slice value)
{
	char *to = f->container;

	enter_container(f);
	slice_copy(f->container, sizeof(f->container), value);
	for (const char *from = f->container; *from; to++) {
		bool escaped = from[0] == '\\' && from[1] == 'x' && hex_digit(from[2]) >= 0 &&
			       hex_digit(from[3]) >= 0;

		*to = escaped ? (char)(hex_digit(from[2]) * 16 + hex_digit(from[3])) : *from;
		from += escaped ? 4 : 1;
	}
	*to = '\0';
	slice_copy(f->container, sizeof(f->container), slice_of(f->container));
}

/* Slices and logins are this host's only above the first unit and the first container. */
static void set_slice(struct cgroup_facts *f, enum fact fact, struct slice name, struct slice value)
{
	if (f->unit[0] || cgroup_is_container(f))
		return;
	slice_copy(f->slice, sizeof(f->slice), name);
	if (fact == LOGIN)
		f->login_known = proc_uid_parse(value, &f->login_uid);
}

static void set_unit(struct cgroup_facts *f, enum fact fact, struct slice name, struct slice value)
{
	if (fact == SESSION && !f->unit[0] && !cgroup_is_container(f))
		slice_copy(f->login_session, sizeof(f->login_session), value);
	slice_copy(f->unit, sizeof(f->unit), name);
}

static void set_container(struct cgroup_facts *f, enum fact fact, struct slice value)
{
	if (fact == CONTAINER)
		enter_container(f);
	f->container[0] = '\0';
	slice_copy(f->container_id, sizeof(f->container_id), value);
}

static void set_fact(struct cgroup_facts *f, enum fact fact, struct slice name, struct slice value)
{
	switch (fact) {
	case CONTAINER:
	case CONTAINER_UNIT:
		set_container(f, fact, value);
		break;
	case MACHINE:
		set_machine(f, value);
		break;
	case POD:
		set_pod(f, value);
		break;
	case SESSION:
	case UNIT:
		set_unit(f, fact, name, value);
		break;
	case LOGIN:
	case SLICE_NAME:
		set_slice(f, fact, name, value);
		break;
	}
}

/* with_parent: the same name, with the one above it in front. */
static void read_name(struct cgroup_facts *f, struct slice name, struct slice with_parent)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const char *pattern = forms[i].pattern;
		struct slice value;

		if (fits(pattern, forms[i].fact, strchr(pattern, '/') ? with_parent : name,
			 &value)) {
			set_fact(f, forms[i].fact, name, value);
			return;
		}
	}
}

/*
 * "slice:runtime:id" is one name where a runtime was told to ask systemd for a scope and made the
 * group itself.
 */
static void read_component(struct cgroup_facts *f, struct slice name, struct slice with_parent)
{
	const char *last = memrchr(name.ptr, ':', name.len);
	const char *first = memchr(name.ptr, ':', name.len);
	struct slice id =
		last ? (struct slice){last + 1, name.len - (size_t)(last + 1 - name.ptr)} : name;

	if (!last || !is_container_id(id)) {
		read_name(f, name, with_parent);
		return;
	}
	name.len = (size_t)(first - name.ptr);
	read_name(f, name, name);
	read_name(f, id, id);
}

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

void cgroup_read(struct slice path, struct cgroup_facts *out)
{
	struct slice name, parent = {NULL, 0};

	*out = (struct cgroup_facts){0};
	while (next_component(&path, &name)) {
		const char *begin = parent.ptr ? parent.ptr : name.ptr;

		read_component(out, name,
			       (struct slice){begin, (size_t)(name.ptr + name.len - begin)});
		parent = name;
	}
}

/* ---- paths ---------------------------------------------------------------------------------- */

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
	/* A group that was removed under a process that ends. */
	*path = path_without_deleted(*path);
	return true;
}

/* How much a line says; 0: nothing. */
static int line_rank(struct slice controllers, struct slice path)
{
	struct cgroup_facts facts;
	int rank = controllers.len == 0 ? 3 : slice_eq(controllers, SLICE("name=systemd")) ? 2 : 1;

	if (path.len == 0 || slice_eq(path, SLICE("/")))
		return 0;
	cgroup_read(path, &facts);
	return cgroup_is_container(&facts) ? rank + 3 : rank;
}

struct slice cgroup_path(struct slice text, bool *unified)
{
	struct slice best = SLICE("/");
	int best_rank = 0;

	*unified = true;
	while (text.len) {
		const char *newline = memchr(text.ptr, '\n', text.len);
		struct slice line = {text.ptr, newline ? (size_t)(newline - text.ptr) : text.len};
		struct slice controllers, path;
		int rank = line_path(line, &controllers, &path) ? line_rank(controllers, path) : 0;

		text.ptr += line.len + (newline != NULL);
		text.len -= line.len + (newline != NULL);
		if (rank > best_rank) {
			best = path;
			best_rank = rank;
			*unified = controllers.len == 0;
		}
	}
	return best;
}
