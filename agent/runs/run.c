/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/runs/run.h"

#include <errno.h>
#include <stdio.h>

#include "agent/base/counters.h"
#include "agent/runs/link.h"

#include "agent/base/hash.h"

struct known {
	uint8_t hash[16];
	char run_id[CALL_NAME_MAX];
	bool ambiguous; /* two runs gave it */
	bool in_table;
	UT_hash_handle hh;
};

struct runs {
	struct known *known; /* the one given longest ago first */
	uint8_t key[32];
};

int runs_new(struct runs **out, const uint8_t *key)
{
	struct runs *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	memcpy(r->key, key, sizeof(r->key));
	*out = r;
	return 0;
}

static void forget(struct runs *r, struct known *k)
{
	HASH_DEL(r->known, k);
	free(k);
}

void runs_free(struct runs *r)
{
	struct known *k, *next;

	if (!r)
		return;
	HASH_ITER (hh, r->known, k, next)
		forget(r, k);
	explicit_bzero(r->key, sizeof(r->key));
	free(r);
}

/* ---- what is known ----------------------------------------------------------------------- */

/* At the end of the order. Frees it without memory. */
static void put_last(struct runs *r, struct known *k)
{
	k->in_table = true;
	HASH_ADD(hh, r->known, hash, sizeof(k->hash), k);
	if (!k->in_table)
		free(k);
}

static struct known *find(struct runs *r, const uint8_t hash[16])
{
	struct known *k;

	HASH_FIND(hh, r->known, hash, sizeof(k->hash), k);
	return k;
}

static void note(struct runs *r, const uint8_t hash[16], const char *run_id)
{
	struct known *k = find(r, hash);

	if (k) {
		k->ambiguous |= strcmp(k->run_id, run_id) != 0;
		HASH_DEL(r->known, k);
		put_last(r, k);
		return;
	}
	if (HASH_COUNT(r->known) >= RUN_LINKS_MAX) {
		counter_add(COUNTER_RUN_LINKS_EVICTED, 1);
		forget(r, r->known);
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return;
	memcpy(k->hash, hash, sizeof(k->hash));
	slice_copy(k->run_id, sizeof(k->run_id), slice_of(run_id));
	put_last(r, k);
}

/* ---- joining ----------------------------------------------------------------------------- */

static void set_run(struct call *call, const char *run_id, enum run_source by)
{
	slice_copy(call->run_id, sizeof(call->run_id), slice_of(run_id));
	call->joined_by = by;
}

/* The one run that all links of a kind point to, or NULL. */
static const char *run_of(struct runs *r, const struct call_links *asks, enum run_source kind)
{
	const char *found = NULL;

	for (uint32_t i = 0; i < link_count(asks); i++) {
		const struct known *k =
			asks->item[i].kind == kind ? find(r, asks->item[i].hash) : NULL;

		if (!k || k->ambiguous)
			continue;
		if (found && strcmp(found, k->run_id) != 0)
			return NULL;
		found = k->run_id;
	}
	return found;
}

static void join_linked(struct runs *r, struct call *call)
{
	for (enum run_source kind = RUN_BY_RESPONSE; kind < RUN_SOURCES; kind++) {
		const char *run = run_of(r, &call->asks, kind);

		if (run) {
			set_run(call, run, kind);
			return;
		}
	}
}

static bool is_conversation(const struct call_link *link)
{
	return link->kind == RUN_BY_CONVERSATION;
}

/* A run of its own, where another call could go on from this one. */
static void begin_run(struct call *call)
{
	static const char start[] = "run-";
	char *at = call->run_id;

	at += snprintf(at, sizeof(start), "%s", start);
	for (size_t i = 0; i < sizeof(call->event_id); i++)
		at += snprintf(at, 3, "%02x", call->event_id[i]);
}

/* A conversation is one thing for all that name it; the rest is what the answer gave. */
static void note_all(struct runs *r, const struct call *call)
{
	for (uint32_t i = 0; i < link_count(&call->gives); i++)
		note(r, call->gives.item[i].hash, call->run_id);
	for (uint32_t i = 0; i < link_count(&call->asks); i++) {
		if (is_conversation(&call->asks.item[i]))
			note(r, call->asks.item[i].hash, call->run_id);
	}
}

static bool can_be_joined(const struct call *call)
{
	for (uint32_t i = 0; i < link_count(&call->asks); i++) {
		if (is_conversation(&call->asks.item[i]))
			return true;
	}
	return call->gives.count != 0;
}

void runs_join(struct runs *r, struct call *call)
{
	if (call->status < 300) /* an error's id is nothing to go on from */
		link_add(&call->gives, r->key, RUN_BY_RESPONSE, slice_of(call->response_id));
	if (call->trace_id[0])
		set_run(call, call->trace_id, RUN_BY_TRACE);
	else if (call->session_id[0])
		set_run(call, call->session_id, RUN_BY_SESSION);
	else
		join_linked(r, call);
	if (call->collapsed_by != COLLAPSED_NOT)
		return;
	if (!call->run_id[0] && can_be_joined(call))
		begin_run(call);
	if (call->run_id[0])
		note_all(r, call);
}
