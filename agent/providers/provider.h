/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider is data first: hosts, API paths, the dialect its bodies speak. To add one, add a file
 * here with a `const struct provider`, its row in registry.c, its prices, and a case under
 * tests/replay. Code is needed only for what data cannot say (dialect->finish).
 */
#ifndef TT_PROVIDER_H
#define TT_PROVIDER_H

#include "agent/base/base.h"
#include "agent/usage/call.h"

struct dialect; /* usage/dialect.h: JSON paths -> raw fields -> disjoint kinds */

/* One API path. Matched on the path's end, after dropping the query and doubled slashes. */
struct api_path {
	const char *method;    /* "POST" */
	const char *suffix;    /* "/chat/completions"; '*' = one segment, "{model}" = the model */
	const char *api;       /* "chat.completions" */
	const char *operation; /* gen_ai.operation.name */
	const struct dialect *dialect; /* NULL: known and not billable */
};

struct provider {
	const char *name;	  /* gen_ai.provider.name or vendor short name */
	const char *const *hosts; /* suffixes, NULL-ended: "api.openai.com", "openai.azure.com" */
	const struct api_path *paths;
	size_t path_count;
	const char *request_id_header; /* "x-request-id" */
	const char *prices;	       /* provider key in the price catalogue */
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
 * Adds "HOST=PROVIDER[,role=direct|gateway|self_hosted]". Returns 0, -EINVAL (err says why, one
 * line), -ENOMEM. Configured hosts win over built-in ones.
 */
int provider_table_add_host(struct provider_table *t, const char *spec, char *err,
			    size_t err_size) TT_MUST_CHECK;

/* host may carry a port. Longest suffix wins. */
struct provider_host provider_table_host(const struct provider_table *t, struct slice host);

/* The path of a listed provider, or NULL. */
const struct api_path *provider_path(const struct provider *p, struct slice method,
				     struct slice target);

/*
 * The shape rule: the provider whose dialect an unlisted host seems to speak, by path alone
 * (OpenAI- or Anthropic-compatible), or NULL.
 */
const struct provider *provider_by_shape(struct slice method, struct slice target,
					 const struct api_path **path);

/* Every host suffix with its class, for the kernel's table; order is free. */
void provider_table_each_host(const struct provider_table *t,
			      void (*each)(void *user, const char *suffix), void *user);

const struct provider *provider_by_name(const char *name);

#endif
