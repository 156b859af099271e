/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/containers.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>

#include "agent/base/log.h"

static const char *const known_sockets[] = {"/run/docker.sock", "/run/podman/podman.sock"};

/* The host is for the header only. The filter says {"id":["ID"]}; all=1 finds ended ones too. */
#define LIST_URL                                          \
	"http://localhost/containers/json?all=1&filters=" \
	"%%7B%%22id%%22%%3A%%5B%%22%.64s%%22%%5D%%7D"
_Static_assert(COURIER_CONTAINER_ID == 64, "the URL's id");

struct lookup {
	struct containers *containers;
	bool used;
	size_t pending;
	struct courier_answer answer; /* the best result so far */
	struct courier_request request;
	struct fetch *fetch[CONTAINERS_SOCKETS_MAX]; /* by socket; NULL: it has ended */
};

struct containers {
	struct fetcher *fetcher;
	const char *socket[CONTAINERS_SOCKETS_MAX];
	size_t socket_count;
	bool forbidden_said[CONTAINERS_SOCKETS_MAX];
	void (*answer)(void *user, const struct courier_answer *answer);
	void *user;
	struct lookup lookup[CONTAINERS_LOOKUPS_MAX];
};

static void take_sockets(struct containers *c, char *const *sockets, size_t count)
{
	const char *const *from = count ? (const char *const *)sockets : known_sockets;

	count = count ? count : ARRAY_LEN(known_sockets);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(from[i], "none")) {
			c->socket_count = 0;
			return;
		}
		if (c->socket_count < CONTAINERS_SOCKETS_MAX)
			c->socket[c->socket_count++] = from[i];
		else
			log_warn("courier", "%s is not asked: at most %d --container.socket are",
				 from[i], CONTAINERS_SOCKETS_MAX);
	}
}

int containers_new(struct containers **out, struct fetcher *fetcher, char *const *sockets,
		   size_t socket_count,
		   void (*answer)(void *user, const struct courier_answer *answer), void *user)
{
	struct containers *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fetcher = fetcher;
	c->answer = answer;
	c->user = user;
	take_sockets(c, sockets, socket_count);
	*out = c;
	return 0;
}

static void cancel_rest(struct lookup *l)
{
	for (size_t i = 0; i < CONTAINERS_SOCKETS_MAX; i++) {
		if (l->fetch[i])
			fetch_cancel(l->fetch[i]);
		l->fetch[i] = NULL;
	}
	l->pending = 0;
}

void containers_free(struct containers *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CONTAINERS_LOOKUPS_MAX; i++)
		cancel_rest(&c->lookup[i]);
	free(c);
}

/* ---- an engine's answer --------------------------------------------------------------------- */

/* "/web"; other names of it are links of the old kind, "/other/alias". */
static struct slice own_name(const cJSON *container)
{
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(container, "Names");
	const cJSON *item;

	cJSON_ArrayForEach(item, names)
	{
		const char *name = cJSON_GetStringValue(item);

		if (!name)
			continue;
		name += name[0] == '/';
		if (name[0] && !strchr(name, '/'))
			return slice_of(name);
	}
	return (struct slice){"", 0};
}

static const cJSON *find_container(const cJSON *list, const char *id)
{
	const cJSON *container;

	cJSON_ArrayForEach(container, list)
	{
		const char *found =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(container, "Id"));

		if (found && !strcmp(found, id))
			return container;
	}
	return NULL;
}

bool containers_parse(struct slice json, const char *id, struct courier_answer *out, bool *broken)
{
	cJSON *list = cJSON_ParseWithLength(json.ptr, json.len);
	const cJSON *container = find_container(list, id);
	struct slice name = own_name(container);

	*broken = !cJSON_IsArray(list) || (container && name.len == 0);
	if (!*broken && container) {
		const char *image =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(container, "Image"));

		out->result = COURIER_FOUND;
		courier_answer_text(out, COURIER_NAME, name);
		courier_answer_text(out, COURIER_IMAGE, slice_of(image));
	}
	cJSON_Delete(list);
	return !*broken && container;
}

/* ---- look-ups ------------------------------------------------------------------------------- */

static void end(struct lookup *l)
{
	cancel_rest(l);
	l->used = false;
	l->containers->answer(l->containers->user, &l->answer);
}

/* The result that says most of why there is no name: FORBIDDEN can be mended. */
static void note(struct lookup *l, enum courier_result result)
{
	static const int weight[COURIER_WIRE_RESULTS] = {
		[COURIER_UNKNOWN] = 0, [COURIER_FAILED] = 1, [COURIER_FORBIDDEN] = 2};

	if (weight[result] > weight[l->answer.result])
		l->answer.result = result;
}

static void note_forbidden(struct lookup *l, size_t socket)
{
	struct containers *c = l->containers;

	note(l, COURIER_FORBIDDEN);
	courier_answer_text(&l->answer, COURIER_NAME, slice_of(c->socket[socket]));
	if (c->forbidden_said[socket])
		return;
	c->forbidden_said[socket] = true;
	log_warn("courier",
		 "may not open %s: containers keep their ids instead of names; give its group by "
		 "--courier.group (Docker's is as good as root), or say --container.socket=none",
		 c->socket[socket]);
}

static void note_list(struct lookup *l, size_t socket, struct slice body)
{
	bool broken;

	if (containers_parse(body, l->request.key, &l->answer, &broken))
		return;
	if (broken) {
		note(l, COURIER_FAILED);
		log_warn("courier", "%s answers with something else than a list of containers",
			 l->containers->socket[socket]);
	}
}

static void on_fetched(void *user, struct fetch *fetch, enum fetch_end how, struct slice body)
{
	struct lookup *l = user;
	size_t socket = 0;

	while (l->fetch[socket] != fetch)
		socket++;
	l->fetch[socket] = NULL; /* it ends by itself */
	l->pending--;
	if (how == FETCH_OK)
		note_list(l, socket, body);
	else if (how == FETCH_FORBIDDEN)
		note_forbidden(l, socket);
	else if (how == FETCH_FAILED)
		note(l, COURIER_FAILED);
	if (l->answer.result == COURIER_FOUND || l->pending == 0)
		end(l);
}

static struct lookup *free_lookup(const struct containers *c)
{
	for (size_t i = 0; i < CONTAINERS_LOOKUPS_MAX; i++) {
		if (!c->lookup[i].used)
			return (struct lookup *)(uintptr_t)&c->lookup[i];
	}
	return NULL;
}

bool containers_ready(const struct containers *c)
{
	return free_lookup(c) != NULL;
}

void containers_look_up(struct containers *c, const struct courier_request *request)
{
	struct lookup *l = free_lookup(c);
	char url[sizeof(LIST_URL) + COURIER_CONTAINER_ID];

	*l = (struct lookup){.containers = c, .used = true, .request = *request};
	courier_answer_make(&l->answer, request, COURIER_UNKNOWN);
	snprintf(url, sizeof(url), LIST_URL, request->key);
	for (size_t i = 0; i < c->socket_count; i++) {
		if (fetch_start(&l->fetch[i], c->fetcher, c->socket[i], url, on_fetched, l) == 0)
			l->pending++;
		else
			note(l, COURIER_FAILED);
	}
	if (l->pending == 0)
		end(l);
}
