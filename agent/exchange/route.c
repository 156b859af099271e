/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/parts.h"

#include "agent/exchange/credential.h"
#include "agent/exchange/guess.h"
#include "agent/exchange/request.h"

bool route_asks_websocket(const struct http_head *head)
{
	return slice_ieq(http_head_get(head, "upgrade"), SLICE("websocket"));
}

const struct api_path *route_find(struct exchange *x, const struct http_head *head,
				  const char *hint, struct call *call, bool *by_shape)
{
	struct provider_host host = provider_table_host(x->env->providers, slice_of(call->host));
	const struct api_path *path = NULL;

	if (!host.provider && hint[0])
		host = provider_table_host(x->env->providers, slice_of(hint));
	*by_shape = !host.provider;
	x->ignored = IGNORED_PATH_UNKNOWN;
	if (host.provider && !head->target.len) {
		x->provider = host.provider;
		path = &path_unseen;
	} else if (host.provider) {
		x->provider = host.provider;
		path = provider_path(host.provider, head->method, head->target);
		if (!path && provider_is_poll(host.provider, head->method, head->target))
			x->ignored = IGNORED_METHOD;
	} else {
		x->provider = provider_by_shape(head->method, head->target, &path);
	}
	call->role = host.role;
	if (path && !path->dialect) {
		x->ignored = IGNORED_PATH_NOT_BILLABLE;
		return NULL;
	}
	if (path && path->dialect->session && !route_asks_websocket(head)) {
		x->ignored = IGNORED_METHOD;
		return NULL;
	}
	if (!path && http_head_get(head, "upgrade").len)
		x->ignored = IGNORED_UPGRADE;
	return path;
}

/* The value of a parameter of the target's query as it stands, or {NULL, 0}. */
static struct slice query_value(struct slice target, struct slice name)
{
	const char *at = target.len ? memchr(target.ptr, '?', target.len) : NULL;
	const char *end = at ? target.ptr + target.len : NULL;

	while (at) {
		const char *start = at + 1;
		struct slice item;

		at = memchr(start, '&', (size_t)(end - start));
		item = (struct slice){start, (size_t)((at ? at : end) - start)};
		if (item.len > name.len && slice_starts(item, name) && item.ptr[name.len] == '=')
			return (struct slice){start + name.len + 1, item.len - name.len - 1};
	}
	return (struct slice){NULL, 0};
}

/* What a session is opened for: "?model=", or a deployment. */
static void read_session_target(struct work *w, struct slice target)
{
	struct slice model = query_value(target, SLICE("model"));

	if (!model.len)
		model = query_value(target, SLICE("deployment"));
	slice_copy(w->call.model_requested, sizeof(w->call.model_requested), model);
	slice_copy(w->path_model, sizeof(w->path_model), model);
	w->is_deployment = w->dialect->session->deployment;
}

/* What a path names, percent-decoded, as the model it means. */
static void copy_model(const struct provider *p, char dst[CALL_NAME_MAX], struct slice name)
{
	char text[CALL_NAME_MAX];
	struct slice plain = percent_decode(text, sizeof(text), name);

	slice_copy(dst, CALL_NAME_MAX, p->model_of ? p->model_of(plain) : plain);
}

void route_describe(struct exchange *x, struct work *w, const struct api_path *path,
		    const struct http_head *head)
{
	struct call *c = &w->call;
	struct slice model = provider_path_model(path, head->target);

	set_text(c->provider, sizeof(c->provider), x->provider->name);
	set_text(c->billed_by, sizeof(c->billed_by), x->provider->name);
	set_text(c->api, sizeof(c->api), path->api);
	set_text(c->operation, sizeof(c->operation), path->operation);
	if (!model.len && x->provider->model_header)
		model = http_head_get(head, x->provider->model_header);
	copy_model(x->provider, w->path_model, model);
	set_text(c->model_requested, sizeof(c->model_requested), w->path_model);
	w->reads = provider_path_reads(path);
	slice_copy(w->object_id, sizeof(w->object_id), provider_path_object(path, head->target));
	w->is_deployment = provider_path_is_deployment(path);
	c->billable = !w->dialect->free;
	if (w->dialect->session)
		read_session_target(w, head->target);
	if (path == &path_unseen)
		tags_set(&c->tags, SLICE("inferred"), SLICE("path"), TAG_RULE);
	c->time_to_first_token_us = -1;
	c->usage.provider_cost_pusd = -1;
	c->cost.list_pusd = -1;
	c->cost.cost_pusd = -1;
	request_head_facts(x->env, c, head);
	credential_read(c, head, x->env->fingerprint_key);
}
