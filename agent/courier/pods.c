/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/courier/pods.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>

#include "agent/base/timestamp.h"

#define US_PER_MINUTE 60000000LL

static const cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* "" when there is none. */
static struct slice text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(member(object, name));

	return slice_of(text ? text : "");
}

/* ---- who owns a pod ------------------------------------------------------------------------- */

/* A ReplicaSet that a Deployment made is called like it, with the hash that its pods bear. */
static struct slice deployment_of(struct slice name, const cJSON *metadata)
{
	struct slice hash = text_of(member(metadata, "labels"), "pod-template-hash");

	if (!hash.len || name.len < hash.len + 2 || !slice_ends(name, hash) ||
	    name.ptr[name.len - hash.len - 1] != '-')
		return (struct slice){"", 0};
	return (struct slice){name.ptr, name.len - hash.len - 1};
}

/* True for a time from a week before the pod was made to an hour after. */
static bool is_near(int64_t at_us, const cJSON *metadata)
{
	int64_t made_us;

	return timestamp_parse(text_of(metadata, "creationTimestamp"), &made_us) &&
	       at_us >= made_us - 7 * 24 * 60 * US_PER_MINUTE &&
	       at_us <= made_us + 60 * US_PER_MINUTE;
}

/*
 * A Job that a CronJob made is called like it, with the time it was due: in minutes from 1.21 on,
 * in seconds before. A date or a number that somebody else put there is no time near the pod's.
 */
static struct slice cron_job_of(struct slice name, const cJSON *metadata)
{
	const char *dash = memrchr(name.ptr, '-', name.len);
	size_t digits = dash ? (size_t)(name.ptr + name.len - dash - 1) : 0;
	int64_t number = 0;

	if (!dash || dash == name.ptr || (digits != 8 && digits != 10))
		return (struct slice){"", 0};
	for (const char *p = dash + 1; p < name.ptr + name.len; p++) {
		if (*p < '0' || *p > '9')
			return (struct slice){"", 0};
		number = number * 10 + (*p - '0');
	}
	if (!is_near(digits == 8 ? number * US_PER_MINUTE : number * (US_PER_MINUTE / 60),
		     metadata))
		return (struct slice){"", 0};
	return (struct slice){name.ptr, (size_t)(dash - name.ptr)};
}

/* What owns the owner, as far as the names tell: the kubelet does not know it. */
static const struct {
	const char *kind, *above;
	struct slice (*name_of)(struct slice name, const cJSON *metadata);
} upper_owners[] = {
	{"ReplicaSet", "Deployment", deployment_of},
	{"Job", "CronJob", cron_job_of},
};

static const cJSON *controller_of(const cJSON *metadata)
{
	const cJSON *owners = member(metadata, "ownerReferences");
	const cJSON *owner;

	cJSON_ArrayForEach(owner, owners)
	{
		if (cJSON_IsTrue(member(owner, "controller")))
			return owner;
	}
	return NULL;
}

static void take_owner(const cJSON *metadata, struct courier_answer *out)
{
	const cJSON *owner = controller_of(metadata);
	struct slice kind = text_of(owner, "kind"), name = text_of(owner, "name");
	char text[COURIER_TEXT_MAX * 2];

	/* A node owns the pods that its own files describe: that says nothing more. */
	if (!kind.len || !name.len || slice_eq(kind, SLICE("Node")))
		return;
	for (size_t i = 0; i < ARRAY_LEN(upper_owners); i++) {
		struct slice above = {"", 0};

		if (slice_eq(kind, slice_of(upper_owners[i].kind)))
			above = upper_owners[i].name_of(name, metadata);
		if (above.len) {
			kind = slice_of(upper_owners[i].above);
			name = above;
			break;
		}
	}
	snprintf(text, sizeof(text), "%.*s/%.*s", SLICE_FMT(kind), SLICE_FMT(name));
	courier_answer_tag(out, SLICE("workload"), slice_of(text));
}

/* ---- containers ----------------------------------------------------------------------------- */

static int add(struct pod_list *list, struct slice id, const struct courier_answer *facts)
{
	size_t room = list->count ? list->count * 2 : 16;
	struct pod_container *c;

	if (list->count == PODS_CONTAINERS_MAX) {
		list->left_out++;
		return 0;
	}
	if (list->count == 0 || (list->count >= 16 && (list->count & (list->count - 1)) == 0)) {
		void *grown = realloc(list->item, room * sizeof(*list->item));

		if (!grown)
			return -ENOMEM;
		list->item = grown;
	}
	c = &list->item[list->count++];
	slice_copy(c->id, sizeof(c->id), id);
	c->facts = *facts;
	return 0;
}

/* "containerd://ID", "cri-o://ID", "docker://ID"; while it is being made there is none. */
static int add_by_id(struct pod_list *list, const cJSON *from, const struct courier_answer *facts)
{
	struct slice id = text_of(from, "containerID");
	const char *slash = memrchr(id.ptr, '/', id.len);

	if (slash)
		id = (struct slice){slash + 1, (size_t)(id.ptr + id.len - slash - 1)};
	return slice_is_hex(id, COURIER_CONTAINER_ID) ? add(list, id, facts) : 0;
}

/* The container that runs, and the one before it if it was started again. */
static int take_container(struct pod_list *list, const cJSON *status,
			  const struct courier_answer *pod)
{
	struct slice name = text_of(status, "name");
	struct courier_answer facts = *pod;
	int rc;

	if (!name.len)
		return 0;
	courier_answer_text(&facts, COURIER_NAME, name);
	courier_answer_text(&facts, COURIER_IMAGE, text_of(status, "image"));
	rc = add_by_id(list, status, &facts);
	return rc ? rc : add_by_id(list, member(member(status, "lastState"), "terminated"), &facts);
}

static int take_pod(struct pod_list *list, const cJSON *pod, const struct label_rules *rules)
{
	static const char *const kinds[] = {"containerStatuses", "initContainerStatuses",
					    "ephemeralContainerStatuses"};
	const cJSON *metadata = member(pod, "metadata"), *status = member(pod, "status");
	struct courier_answer facts = {.result = COURIER_FOUND};
	struct slice namespace = text_of(metadata, "namespace"), name = text_of(metadata, "name");
	int rc = 0;

	if (!namespace.len || !name.len)
		return 0;
	courier_answer_text(&facts, COURIER_NAMESPACE, namespace);
	courier_answer_text(&facts, COURIER_POD, name);
	courier_answer_text(&facts, COURIER_NODE, text_of(member(pod, "spec"), "nodeName"));
	take_owner(metadata, &facts);
	labels_take(rules, member(metadata, "labels"), &facts);
	labels_take(rules, member(metadata, "annotations"), &facts);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !rc; i++) {
		const cJSON *container;

		cJSON_ArrayForEach(container, member(status, kinds[i]))
		{
			rc = take_container(list, container, &facts);
			if (rc)
				break;
		}
	}
	return rc;
}

/* ---- the list ------------------------------------------------------------------------------- */

/* Each value stands behind one of these; within strings they only count too much. */
static bool is_too_much(struct slice json)
{
	size_t values = 0;

	for (size_t i = 0; i < json.len; i++)
		values += json.ptr[i] == ',' || json.ptr[i] == '[' || json.ptr[i] == '{';
	return values > PODS_VALUES_MAX;
}

int pods_parse(struct pod_list *out, struct slice json, const struct label_rules *rules)
{
	struct pod_list list = {0};
	cJSON *root = is_too_much(json) ? NULL : cJSON_ParseWithLength(json.ptr, json.len);
	const cJSON *items = member(root, "items"), *pod;
	int rc = cJSON_IsArray(items) || cJSON_IsNull(items) ? 0 : -EBADMSG;

	if (!rc) {
		cJSON_ArrayForEach(pod, items)
		{
			rc = take_pod(&list, pod, rules);
			if (rc)
				break;
		}
	}
	cJSON_Delete(root);
	if (rc)
		pods_free(&list);
	else
		*out = list;
	return rc;
}

void pods_free(struct pod_list *list)
{
	free(list->item);
	*list = (struct pod_list){0};
}

const struct courier_answer *pods_find(const struct pod_list *list, const char *id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!strcmp(list->item[i].id, id))
			return &list->item[i].facts;
	}
	return NULL;
}
