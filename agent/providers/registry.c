/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/providers/builtin.h"
#include "agent/usage/meter.h"

#include <errno.h>
#include <stdio.h>

#define DIALECTS_MAX 48
#define SEGMENTS_MAX 32

static const struct provider *const own_file[] = {
	&provider_openai,  &provider_anthropic, &provider_azure,  &provider_gemini,
	&provider_mistral, &provider_cohere,	&provider_ollama, &provider_vertex,
	&provider_bedrock, &provider_xai,	&provider_vercel,
};

#define PROVIDERS (ARRAY_LEN(own_file) + compat_provider_count)

static const struct provider *provider_at(size_t i)
{
	return i < ARRAY_LEN(own_file) ? own_file[i] : &compat_providers[i - ARRAY_LEN(own_file)];
}

struct host_entry {
	char name[CALL_HOST_MAX]; /* lower case, without port */
	char port[8];		  /* "" = any */
	struct provider_host means;
};

struct provider_table {
	size_t dialect_count;
	struct {
		const struct dialect *dialect;
		struct json_paths *paths;
	} dialect[DIALECTS_MAX];
	size_t host_count;
	struct host_entry host[PROVIDER_HOSTS_MAX]; /* configured */
};

/* ---- hosts ----------------------------------------------------------------------------------- */

/* Splits "name:port"; a bare IPv6 address has more colons and no port. */
static struct slice host_name(struct slice host, struct slice *port)
{
	size_t i = host.len;

	*port = (struct slice){NULL, 0};
	while (i && host.ptr[i - 1] >= '0' && host.ptr[i - 1] <= '9')
		i--;
	if (!i || host.ptr[i - 1] != ':')
		return host;
	if (host.ptr[0] != '[' && memchr(host.ptr, ':', i - 1))
		return host;
	*port = (struct slice){host.ptr + i, host.len - i};
	return (struct slice){host.ptr, i - 1};
}

/* name ends in suffix, at a label boundary unless that begins with '-', whatever the case. */
static bool under_suffix(struct slice name, struct slice suffix)
{
	struct slice end;

	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--; /* a fully qualified name may close with a dot */
	if (!suffix.len || name.len < suffix.len)
		return false;
	end = (struct slice){name.ptr + name.len - suffix.len, suffix.len};
	return slice_ieq(end, suffix) && (name.len == suffix.len || suffix.ptr[0] == '-' ||
					  name.ptr[name.len - suffix.len - 1] == '.');
}

/* The same for a built-in suffix, in which one label may be any. */
static bool under_pattern(struct slice name, const char *pattern)
{
	const char *star = strchr(pattern, '*');
	struct slice head, tail;

	if (!star)
		return under_suffix(name, slice_of(pattern));
	head = (struct slice){pattern, (size_t)(star - pattern - 1)};
	tail = slice_of(star + 2);
	if (!under_suffix(name, tail))
		return false;
	name.len -= tail.len + (name.ptr[name.len - 1] == '.');
	if (name.len)
		name.len--; /* the dot before the tail */
	tail.len = name.len;
	while (name.len && name.ptr[name.len - 1] != '.')
		name.len--;
	return name.len && name.len < tail.len &&
	       under_suffix((struct slice){name.ptr, name.len - 1}, head);
}

/* 0 = no match; a named port outranks any length of name. */
static size_t entry_rank(const struct host_entry *e, struct slice name, struct slice port)
{
	struct slice suffix = slice_of(e->name);

	if (!under_suffix(name, suffix))
		return 0;
	if (!e->port[0])
		return suffix.len;
	return slice_eq(slice_of(e->port), port) ? suffix.len + CALL_HOST_MAX : 0;
}

static bool is_own_host(const struct provider *p, struct slice host)
{
	for (const char *const *h = p->own_hosts; h && *h; h++) {
		if (slice_ieq(slice_of(*h), host))
			return true;
	}
	return false;
}

static struct provider_host builtin_host(struct slice host, struct slice name)
{
	struct provider_host found = {NULL, ROLE_UNKNOWN};
	size_t best = 0;

	for (size_t i = 0; i < PROVIDERS; i++) {
		if (is_own_host(provider_at(i), host))
			return (struct provider_host){provider_at(i), ROLE_SELF_HOSTED};
		for (const char *const *h = provider_at(i)->hosts; *h; h++) {
			if (strlen(*h) > best && under_pattern(name, *h)) {
				best = strlen(*h);
				found = (struct provider_host){provider_at(i), ROLE_DIRECT};
			}
		}
	}
	return found;
}

struct provider_host provider_table_host(const struct provider_table *t, struct slice host)
{
	const struct host_entry *found = NULL;
	struct slice port, name = host_name(host, &port);
	size_t best = 0;

	for (size_t i = 0; i < t->host_count; i++) {
		size_t rank = entry_rank(&t->host[i], name, port);

		if (rank && rank >= best) {
			best = rank;
			found = &t->host[i];
		}
	}
	return found ? found->means : builtin_host(host, name);
}

/* A suffix, or all that it is known to stand for. */
static void each_region(const struct provider *p, const char *pattern,
			void (*each)(void *user, const char *suffix), void *user)
{
	const char *star = strchr(pattern, '*');
	char name[CALL_HOST_MAX];

	if (!star) {
		each(user, pattern);
		return;
	}
	for (const char *const *r = p->regions; r && *r; r++) {
		snprintf(name, sizeof(name), "%.*s%s%s", (int)(star - pattern), pattern, *r,
			 star + 1);
		each(user, name);
	}
}

void provider_table_each_host(const struct provider_table *t,
			      void (*each)(void *user, const char *suffix), void *user)
{
	for (size_t i = 0; i < t->host_count; i++)
		each(user, t->host[i].name);
	for (size_t i = 0; i < PROVIDERS; i++) {
		for (const char *const *h = provider_at(i)->hosts; *h; h++)
			each_region(provider_at(i), *h, each, user);
	}
}

/* ---- configured hosts ------------------------------------------------------------------------ */

static int refuse(char *err, size_t err_size, const char *spec, const char *why)
{
	snprintf(err, err_size, "provider host \"%.*s\": %s; write HOST=PROVIDER[,role=ROLE]", 128,
		 spec, why);
	slice_copy(err, err_size, slice_of(err)); /* spec may hold what steers a terminal */
	return -EINVAL;
}

static bool parse_role(struct slice text, enum host_role *out)
{
	for (int r = ROLE_DIRECT; r < HOST_ROLES; r++) {
		if (slice_eq(text, slice_of(host_role_names[r]))) {
			*out = (enum host_role)r;
			return true;
		}
	}
	return false;
}

static bool host_is_plain(struct slice host)
{
	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i] | 0x20;

		if (!(c >= 'a' && c <= 'z') && !(host.ptr[i] >= '0' && host.ptr[i] <= '9') &&
		    !strchr("-._:[]", host.ptr[i]))
			return false;
	}
	return host.len != 0 && host.len < CALL_HOST_MAX;
}

static void entry_name(struct host_entry *e, struct slice host)
{
	struct slice port, name = host_name(host, &port);

	while (name.len && name.ptr[0] == '.') {
		name.ptr++;
		name.len--;
	}
	slice_copy(e->name, sizeof(e->name), name);
	slice_copy(e->port, sizeof(e->port), port);
	for (char *c = e->name; *c; c++)
		*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
}

int provider_table_add_host(struct provider_table *t, const char *spec, char *err, size_t err_size)
{
	const char *equals = strchr(spec, '='), *comma = equals ? strchr(equals, ',') : NULL;
	struct slice host = {spec, equals ? (size_t)(equals - spec) : 0};
	struct host_entry e = {.means.role = ROLE_DIRECT};
	char name[32];

	if (!equals)
		return refuse(err, err_size, spec, "no '='");
	if (!host_is_plain(host))
		return refuse(err, err_size, spec, "not a host name");
	slice_copy(name, sizeof(name),
		   (struct slice){equals + 1,
				  comma ? (size_t)(comma - equals - 1) : strlen(equals + 1)});
	e.means.provider = provider_by_name(name);
	if (!e.means.provider)
		return refuse(err, err_size, spec, "unknown provider");
	if (comma &&
	    (strncmp(comma, ",role=", 6) != 0 || !parse_role(slice_of(comma + 6), &e.means.role)))
		return refuse(err, err_size, spec, "ROLE is direct, gateway or self_hosted");
	if (t->host_count == PROVIDER_HOSTS_MAX) {
		snprintf(err, err_size, "more than %d provider hosts", PROVIDER_HOSTS_MAX);
		return -ENOSPC;
	}
	entry_name(&e, host);
	t->host[t->host_count++] = e;
	return 0;
}

/* ---- paths ----------------------------------------------------------------------------------- */

struct segments {
	size_t count;
	struct slice at[SEGMENTS_MAX];
};

/* The path of a request target: origin form, or absolute form as sent to a proxy. */
static struct slice target_path(struct slice target)
{
	const char *scheme = target.len ? memmem(target.ptr, target.len, "://", 3) : NULL;
	const char *start = target.ptr, *end;

	if (!target.len)
		return target;
	end = target.ptr + target.len;
	if (scheme && target.ptr[0] != '/') {
		start = memchr(scheme + 3, '/', (size_t)(end - scheme - 3));
		if (!start)
			return (struct slice){"/", 1};
	}
	for (const char *p = start; p < end; p++) {
		if (*p == '?' || *p == '#')
			end = p;
	}
	return (struct slice){start, (size_t)(end - start)};
}

/* The last SEGMENTS_MAX segments; empty ones (doubled slashes) are dropped. */
static void split(struct slice path, struct segments *out)
{
	size_t end = path.len;

	out->count = 0;
	while (end && out->count < SEGMENTS_MAX) {
		size_t start = end;

		while (start && path.ptr[start - 1] != '/')
			start--;
		if (end > start)
			out->at[out->count++] = (struct slice){path.ptr + start, end - start};
		end = start ? start - 1 : 0;
	}
}

/* One segment; model is set by what stands in braces. */
static bool segment_matches(struct slice want, struct slice have, struct slice *model)
{
	const char *close = want.len ? memchr(want.ptr, '}', want.len) : NULL;
	struct slice verb = want;

	if (slice_eq(want, SLICE("*")))
		return true;
	if (close)
		verb = (struct slice){close + 1, (size_t)(want.ptr + want.len - close - 1)};
	else if (want.ptr[0] != ':')
		return slice_eq(want, have);
	if (!slice_ends(have, verb) || have.len == verb.len)
		return false;
	if (close)
		*model = (struct slice){have.ptr, have.len - verb.len};
	return true;
}

/* Both are in reverse order; model is set by what stands in braces. */
static bool ends_in(const struct segments *path, const struct segments *suffix, size_t skip,
		    struct slice *model)
{
	if (path->count < suffix->count + skip)
		return false;
	for (size_t i = 0; i < suffix->count; i++) {
		if (!segment_matches(suffix->at[i], path->at[i + skip], model))
			return false;
	}
	return true;
}

static bool path_matches(const struct api_path *row, const struct segments *path, size_t skip,
			 struct slice *model)
{
	struct segments suffix;

	split(slice_of(row->suffix), &suffix);
	return ends_in(path, &suffix, skip, model);
}

const struct api_path *provider_path(const struct provider *p, struct slice method,
				     struct slice target)
{
	struct segments path;
	struct slice model;

	split(target_path(target), &path);
	for (size_t i = 0; i < p->path_count; i++) {
		if (slice_eq(method, slice_of(p->paths[i].method)) &&
		    path_matches(&p->paths[i], &path, 0, &model))
			return &p->paths[i];
	}
	return NULL;
}

bool provider_is_poll(const struct provider *p, struct slice method, struct slice target)
{
	struct segments path;
	struct slice model;

	split(target_path(target), &path);
	for (size_t i = 0; i < p->path_count; i++) {
		const struct api_path *row = &p->paths[i];

		if (row->dialect && !row->dialect->session && !provider_path_reads(row) &&
		    !slice_eq(method, slice_of(row->method)) &&
		    (path_matches(row, &path, 0, &model) || path_matches(row, &path, 1, &model)))
			return true;
	}
	return false;
}

/* What stands in braces. */
static struct slice path_name(const struct api_path *row, struct slice target)
{
	struct slice name = {NULL, 0};
	struct segments path;

	split(target_path(target), &path);
	if (!path_matches(row, &path, 0, &name))
		return (struct slice){NULL, 0};
	return name;
}

static bool names_object(const struct api_path *row)
{
	return strstr(row->suffix, "{id}") != NULL;
}

struct slice provider_path_model(const struct api_path *row, struct slice target)
{
	return names_object(row) ? (struct slice){NULL, 0} : path_name(row, target);
}

struct slice provider_path_object(const struct api_path *row, struct slice target)
{
	return names_object(row) ? path_name(row, target) : (struct slice){NULL, 0};
}

bool provider_path_reads(const struct api_path *path)
{
	const struct dialect *dialect = path->dialect;

	return dialect && dialect->object && !dialect->session && strcmp(path->method, "GET") == 0;
}

bool provider_path_is_deployment(const struct api_path *path)
{
	return strstr(path->suffix, "{deployment}") != NULL;
}

/* ---- the shape rule -------------------------------------------------------------------------- */

/* The path ends that self-hosted servers and gateways share, and whose they are. */
static const struct shape {
	const char *suffix;
	const struct provider *provider;
} shapes[] = {
	{"/chat/completions", &provider_openai},
	{"/v1/completions", &provider_openai},
	{"/embeddings", &provider_openai},
	{"/v1/responses", &provider_openai},
	{"/v1/messages", &provider_anthropic},
	{"/api/chat", &provider_ollama},
	{"/api/generate", &provider_ollama},
	{"/api/embed", &provider_ollama},
	{":generateContent", &provider_gemini},
	{":streamGenerateContent", &provider_gemini},
	{"/converse", &provider_bedrock},
	{"/converse-stream", &provider_bedrock},
	{"/invoke", &provider_bedrock},
	{"/invoke-with-response-stream", &provider_bedrock},
};

void provider_each_shape(void (*each)(void *user, const char *suffix), void *user)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		each(user, shapes[i].suffix);
}

const struct provider *provider_by_shape(struct slice method, struct slice target,
					 const struct api_path **path)
{
	struct segments at, suffix;
	struct slice model;

	split(target_path(target), &at);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct api_path *row;

		split(slice_of(shapes[i].suffix), &suffix);
		if (!ends_in(&at, &suffix, 0, &model))
			continue;
		row = provider_path(shapes[i].provider, method, target);
		if (!row || !row->dialect)
			continue;
		*path = row;
		return shapes[i].provider;
	}
	return NULL;
}

/* ---- the table ------------------------------------------------------------------------------- */

const struct provider *provider_by_name(const char *name)
{
	for (size_t i = 0; i < PROVIDERS; i++) {
		if (strcmp(provider_at(i)->name, name) == 0)
			return provider_at(i);
	}
	return NULL;
}

struct json_paths *provider_table_paths(const struct provider_table *t,
					const struct dialect *dialect)
{
	for (size_t i = 0; i < t->dialect_count; i++) {
		if (t->dialect[i].dialect == dialect)
			return t->dialect[i].paths;
	}
	return NULL;
}

static int add_dialect(struct provider_table *t, const struct dialect *dialect)
{
	int err;

	if (!dialect || provider_table_paths(t, dialect))
		return 0;
	if (t->dialect_count == DIALECTS_MAX)
		return -ENOSPC;
	err = dialect_paths_new(&t->dialect[t->dialect_count].paths, dialect);
	if (err)
		return err;
	t->dialect[t->dialect_count++].dialect = dialect;
	return 0;
}

void provider_table_take_hosts(struct provider_table *t, const struct provider_table *from)
{
	memcpy(t->host, from->host, sizeof(t->host));
	t->host_count = from->host_count;
}

int provider_table_new(struct provider_table **out)
{
	struct provider_table *t = calloc(1, sizeof(*t));
	int err = 0;

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; !err && i < PROVIDERS; i++) {
		const struct provider *p = provider_at(i);

		for (size_t j = 0; !err && j < p->path_count; j++)
			err = add_dialect(t, p->paths[j].dialect);
	}
	if (err) {
		provider_table_free(t);
		return err;
	}
	*out = t;
	return 0;
}

void provider_table_free(struct provider_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->dialect_count; i++)
		json_paths_free(t->dialect[i].paths);
	free(t);
}
