/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/rule_facts.h"

#include <ctype.h>
#include <stdio.h>

enum place {
	OF_CALL,   /* text at the offset in struct call */
	OF_PAYER,  /* text at the offset in its struct workload */
	UID,	   /* of the payer */
	KEY_NAME,  /* text at the offset in the key's struct key_name */
	HOST_ROLE, /* by their names */
	BILLING,
	TAG, /* of one of the sources; its name ends with ':' */
};

#define FROM(source) (1u << (source))
#define ANY_SOURCE   (FROM(TAG_SOURCES) - 1)

struct rule_fact_row {
	const char *name;
	enum place place;
	size_t at; /* the offset, or the sources as bits */
};

#define CALL(name, field)                                   \
	{                                                   \
		name, OF_CALL, offsetof(struct call, field) \
	}
#define PAYER(name, field)                                       \
	{                                                        \
		name, OF_PAYER, offsetof(struct workload, field) \
	}

static const struct rule_fact_row rows[] = {
	PAYER("exe", exe),
	PAYER("comm", comm),
	PAYER("argv", argv),
	PAYER("user", user),
	{"uid", UID, 0},
	PAYER("cgroup", cgroup),
	PAYER("unit", unit),
	PAYER("slice", slice),
	PAYER("login", login),
	PAYER("started_by", started_by),
	PAYER("container", container),
	PAYER("container_id", container_id),
	PAYER("namespace", namespace_),
	PAYER("pod", pod),
	PAYER("owner", owner),
	PAYER("node", node),
	CALL("host", host),
	{"host_role", HOST_ROLE, 0},
	CALL("api", api),
	CALL("operation", operation),
	CALL("provider", provider),
	CALL("model", model),
	CALL("model_requested", model_requested),
	CALL("service_tier", service_tier),
	CALL("session_id", session_id),
	CALL("key_fingerprint", key_fingerprint),
	CALL("credential_kind", credential_kind),
	{"key", KEY_NAME, offsetof(struct key_name, name)},
	{"key_owner", KEY_NAME, offsetof(struct key_name, owner)},
	{"billing_mode", BILLING, 0},
	{"tag:", TAG, ANY_SOURCE},
	{"env:", TAG, FROM(TAG_ENV)},
	{"header:", TAG, FROM(TAG_HEADER)},
	{"body:", TAG, FROM(TAG_BODY)},
	{"label:", TAG, FROM(TAG_NODE) | FROM(TAG_NAMESPACE) | FROM(TAG_POD)},
};

bool rule_tag_name_ok(struct slice name)
{
	if (name.len == 0 || name.len >= TAG_KEY_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];

		if (c >= 0x80 || (!isalnum(c) && !strchr("_.:/-", c)))
			return false;
	}
	return true;
}

bool rule_fact_parse(struct slice name, struct rule_fact *out)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice own = slice_of(rows[i].name);
		struct slice tag;

		if (rows[i].place != TAG) {
			if (!slice_eq(name, own))
				continue;
			*out = (struct rule_fact){.row = &rows[i]};
			return true;
		}
		if (!slice_starts(name, own))
			continue;
		tag = (struct slice){name.ptr + own.len, name.len - own.len};
		if (!rule_tag_name_ok(tag))
			return false;
		*out = (struct rule_fact){.row = &rows[i]};
		slice_copy(out->tag, sizeof(out->tag), tag);
		return true;
	}
	return false;
}

const char *rule_fact_name(const struct rule_fact *fact, char *dst)
{
	snprintf(dst, RULE_FACT_NAME_MAX, "%s%s", fact->row->name, fact->tag);
	return dst;
}

void rule_fact_list(char *dst, size_t size)
{
	size_t at = 0;

	*dst = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows) && at < size; i++)
		at += (size_t)snprintf(dst + at, size - at, "%s%s%s", i ? " " : "", rows[i].name,
				       rows[i].place == TAG ? "NAME" : "");
}

static const char *tag_value(const struct rule_fact *fact, const struct call *call)
{
	for (uint32_t i = 0; i < call->tags.count; i++) {
		const struct tag *tag = &call->tags.item[i];

		if (!strcmp(tag->key, fact->tag))
			return fact->row->at & FROM(tag->source) ? tag->value : "";
	}
	return "";
}

static const char *uid_text(const struct workload *w, char *scratch)
{
	snprintf(scratch, RULE_FACT_SCRATCH, "%u", w->uid);
	return w->uid_known ? scratch : "";
}

struct slice rule_fact_value(const struct rule_fact *fact, const struct call *call,
			     const struct key_names *keys, char *scratch)
{
	const struct key_name *key;

	switch (fact->row->place) {
	case OF_CALL:
		return slice_of((const char *)call + fact->row->at);
	case OF_PAYER:
		return slice_of((const char *)call_payer(call) + fact->row->at);
	case UID:
		return slice_of(uid_text(call_payer(call), scratch));
	case KEY_NAME:
		key = key_names_find(keys, call->key_fingerprint);
		return slice_of(key ? (const char *)key + fact->row->at : "");
	case HOST_ROLE:
		return slice_of(host_role_names[call->role]);
	case BILLING:
		return slice_of(billing_mode_names[call->billing_mode]);
	case TAG:
		return slice_of(tag_value(fact, call));
	}
	return slice_of("");
}
