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
_Static_assert(CONTAINERS_LOOKUPS_MAX <= KUBELET_LOOKUPS_MAX, "each may ask the kubelet");

struct lookup {
	struct containers *containers;
	bool used;
	bool starting;	      /* not all are asked yet */
	bool kubelet_pending; /* counted in pending, too */
	size_t pending;
	struct courier_answer answer; /* the best result so far */
	struct courier_request request;
	struct fetch *fetch[CONTAINERS_SOCKETS_MAX]; /* by socket; NULL: it has ended */
};

struct containers {
	struct fetcher *fetcher;
	struct kubelet *kubelet; /* the caller's; NULL: none */
	struct label_rules rules;
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

int containers_new(struct containers **out, struct fetcher *fetcher,
		   const struct containers_opts *opts,
		   void (*answer)(void *user, const struct courier_answer *answer), void *user)
{
	struct containers *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fetcher = fetcher;
	c->answer = answer;
	c->user = user;
	c->kubelet = opts->kubelet;
	c->rules = opts->rules;
	take_sockets(c, opts->sockets, opts->socket_count);
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
	if (l->kubelet_pending)
		kubelet_forget(l->containers->kubelet, l);
	l->kubelet_pending = false;
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

/* What Kubernetes writes on a container that it has an engine run. */
static const struct {
	const char *label;
	enum courier_text text;
} pod_labels[] = {
	{"io.kubernetes.pod.namespace", COURIER_NAMESPACE},
	{"io.kubernetes.pod.name", COURIER_POD},
	{"io.kubernetes.container.name", COURIER_NAME},
};

static void take_pod(const cJSON *labels, struct courier_answer *out)
{
	const char *text[ARRAY_LEN(pod_labels)];

	for (size_t i = 0; i < ARRAY_LEN(pod_labels); i++) {
		text[i] = cJSON_GetStringValue(
			cJSON_GetObjectItemCaseSensitive(labels, pod_labels[i].label));
		if (!text[i] || !text[i][0])
			return;
	}
	for (size_t i = 0; i < ARRAY_LEN(pod_labels); i++)
		courier_answer_text(out, pod_labels[i].text, slice_of(text[i]));
}

bool containers_parse(struct slice json, const char *id, const struct label_rules *rules,
		      struct courier_answer *out, bool *broken)
{
	cJSON *list = cJSON_ParseWithLength(json.ptr, json.len);
	const cJSON *container = find_container(list, id);
	struct slice name = own_name(container);

	*broken = !cJSON_IsArray(list) || (container && name.len == 0);
	if (!*broken && container) {
		const char *image =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(container, "Image"));
		const cJSON *labels = cJSON_GetObjectItemCaseSensitive(container, "Labels");

		out->result = COURIER_FOUND;
		courier_answer_text(out, COURIER_NAME, name);
		courier_answer_text(out, COURIER_IMAGE, slice_of(image));
		take_pod(labels, out);
		labels_take(rules, labels, out);
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

/* Of a pod's container an engine knows less than the kubelet. */
static bool is_settled(const struct lookup *l)
{
	bool found = l->answer.result == COURIER_FOUND;

	return !l->starting && (l->pending == 0 ||
				(found && !(l->kubelet_pending && l->answer.text[COURIER_POD][0])));
}

/* The result that says most of why there is no name: FORBIDDEN can be mended. */
static void note(struct lookup *l, enum courier_result result)
{
	static const int weight[COURIER_WIRE_RESULTS] = {
		[COURIER_UNKNOWN] = 0, [COURIER_FAILED] = 1, [COURIER_FORBIDDEN] = 2};

	if (l->answer.result != COURIER_FOUND && weight[result] > weight[l->answer.result])
		l->answer.result = result;
}

static void name_forbidden(struct lookup *l, const char *path)
{
	note(l, COURIER_FORBIDDEN);
	if (l->answer.result == COURIER_FORBIDDEN)
		courier_answer_text(&l->answer, COURIER_NAME, slice_of(path));
}

static void note_forbidden(struct lookup *l, size_t socket)
{
	struct containers *c = l->containers;

	name_forbidden(l, c->socket[socket]);
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

	if (containers_parse(body, l->request.key, &l->containers->rules, &l->answer, &broken))
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
	else if (how != FETCH_ABSENT)
		note(l, COURIER_FAILED);
	if (is_settled(l))
		end(l);
}

static void on_kubelet(void *user, enum courier_result result, const struct courier_answer *facts)
{
	struct lookup *l = user;

	l->kubelet_pending = false;
	l->pending--;
	if (facts)
		courier_answer_take(&l->answer, facts);
	else if (result == COURIER_FORBIDDEN)
		name_forbidden(l, kubelet_token_file(l->containers->kubelet));
	else
		note(l, result);
	if (is_settled(l))
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

static void ask_kubelet(struct lookup *l, uint64_t now_ns)
{
	if (!l->containers->kubelet)
		return;
	l->pending++;
	l->kubelet_pending = true;
	kubelet_look_up(l->containers->kubelet, l->request.key, now_ns, on_kubelet, l);
}

static void ask_engines(struct lookup *l)
{
	struct containers *c = l->containers;
	char url[sizeof(LIST_URL) + COURIER_CONTAINER_ID];

	snprintf(url, sizeof(url), LIST_URL, l->request.key);
	for (size_t i = 0; i < c->socket_count; i++) {
		const struct fetch_request request = {
			.socket = c->socket[i], .url = url, .bytes_max = CONTAINERS_BYTES_MAX};

		if (fetch_start(&l->fetch[i], c->fetcher, &request, on_fetched, l) == 0)
			l->pending++;
		else
			note(l, COURIER_FAILED);
	}
}

void containers_look_up(struct containers *c, const struct courier_request *request,
			uint64_t now_ns)
{
	struct lookup *l = free_lookup(c);

	*l = (struct lookup){.containers = c, .used = true, .starting = true, .request = *request};
	courier_answer_make(&l->answer, request, COURIER_UNKNOWN);
	ask_kubelet(l, now_ns);
	if (l->answer.result != COURIER_FOUND)
		ask_engines(l);
	l->starting = false;
	if (is_settled(l))
		end(l);
}
