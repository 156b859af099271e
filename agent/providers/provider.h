/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider is data first: hosts, API paths, the dialect its bodies speak. To add one, add a file
 * here with a `const struct provider` (or a row in compat.c if it speaks OpenAI's), its row in
 * registry.c, its prices, and a case under tests/replay. Code is needed only for what data cannot
 * say (dialect->finish).
 */
#ifndef TT_PROVIDER_H
#define TT_PROVIDER_H

#include "agent/base/base.h"
#include "agent/usage/call.h"

struct dialect; /* usage/dialect.h: JSON paths -> raw fields -> disjoint kinds */
struct json_paths;

#define PROVIDER_HOSTS_MAX 256 /* configured ones */

/*
 * One API path. Matched segment by segment from the path's end, after dropping query, fragment and
 * doubled slashes; the first matching row of a provider counts.
 */
struct api_path {
	const char *method; /* "POST" */
	/*
	 * "/chat/completions"; '*' = one segment, "{model}" = the model, "{deployment}" = a name
	 * that stands for one, "{id}" = the object that is read. "{model}:verb" = a segment of
	 * both, ":verb" = one that ends in it.
	 */
	const char *suffix;
	const char *api;	       /* "chat.completions" */
	const char *operation;	       /* gen_ai.operation.name */
	const struct dialect *dialect; /* NULL: known and no row */
};

struct provider {
	const char *name; /* gen_ai.provider.name or vendor short name */
	/*
	 * Suffixes of whole labels, NULL-ended: "api.openai.com", "openai.azure.com". Behind a '-'
	 * one may begin inside a label: "-aiplatform.googleapis.com". '*' = one label.
	 */
	const char *const *hosts;
	const char *const *regions; /* what '*' is known to stand for, NULL-ended; or NULL */
	/*
	 * "name:port" of servers on this host, or NULL: self-hosted. Only the path brings them to
	 * the kernel's notice, since its table of hosts knows no ports.
	 */
	const char *const *own_hosts;
	const struct api_path *paths;
	size_t path_count;
	const char *request_id_header; /* "x-request-id" */
	const char *model_header;      /* field of the request that names the model, or NULL */
	bool request_id_is_answers;    /* answers that carry no id go by the request's */
	/* The model that a name in the path or the answer means; NULL: the name itself. */
	struct slice (*model_of)(struct slice name);
	const char *prices; /* provider key in the price catalogue */
};

struct provider_table;

/* What a host means: built in or from --provider.host. */
struct provider_host {
	const struct provider *provider; /* NULL: the host is not listed */
	enum host_role role;
};

int provider_table_new(struct provider_table **out) TT_MUST_CHECK; /* the built-in registry */
void provider_table_free(struct provider_table *t);

/*
 * Adds "HOST=PROVIDER[,role=direct|gateway|self_hosted]". HOST is a name, an address or a suffix of
 * whole labels, with a port if only that port is meant. Returns 0, -EINVAL (err says why, one
 * line), -ENOSPC, -ENOMEM. Configured hosts win over built-in ones, of two equal ones the later.
 */
int provider_table_add_host(struct provider_table *t, const char *spec, char *err,
			    size_t err_size) TT_MUST_CHECK;

/*
 * t's configured hosts become those of `from`. What exchanges hold of t (dialects, their compiled
 * paths) stays valid: a reload changes hosts only.
 */
void provider_table_take_hosts(struct provider_table *t, const struct provider_table *from);

/* host may carry a port. Configured before built in, with a port before without, then longest. */
struct provider_host provider_table_host(const struct provider_table *t, struct slice host);

/* The path of a listed provider, or NULL. */
const struct api_path *provider_path(const struct provider *p, struct slice method,
				     struct slice target);

/*
 * True when the target is, or lies right below, a billable path of p under another method: a poll
 * of work that was metered at its POST.
 */
bool provider_is_poll(const struct provider *p, struct slice method, struct slice target);

/* What stands for "{model}" or "{deployment}" in path, or {NULL, 0}. */
struct slice provider_path_model(const struct api_path *path, struct slice target);

/* What stands for "{id}" in path, or {NULL, 0}. */
struct slice provider_path_object(const struct api_path *path, struct slice target);

/* What was made earlier is read back, and gives a row only for usage that was not counted yet. */
bool provider_path_reads(const struct api_path *path);

/* The path names a deployment, which is no model. */
bool provider_path_is_deployment(const struct api_path *path);

/* Every path suffix of the shape rule, for the kernel's table. */
void provider_each_shape(void (*each)(void *user, const char *suffix), void *user);

/*
 * The shape rule: the provider whose dialect an unlisted host seems to speak, by path alone
 * (OpenAI- or Anthropic-compatible), or NULL.
 */
const struct provider *provider_by_shape(struct slice method, struct slice target,
					 const struct api_path **path);

/* Every host suffix, without port, for the kernel's table; order is free. */
void provider_table_each_host(const struct provider_table *t,
			      void (*each)(void *user, const char *suffix), void *user);

const struct provider *provider_by_name(const char *name);

/* The compiled rows of a dialect that some provider's path names, else NULL. */
struct json_paths *provider_table_paths(const struct provider_table *t,
					const struct dialect *dialect);

#endif
