/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribution/container_names.h"

#include <errno.h>

#include "agent/base/counters.h"
#include "agent/base/hash.h"

struct entry {
	char id[COURIER_CONTAINER_ID + 1];
	bool asked;	   /* an answer is due */
	bool known;	   /* what it is called, as of the last answer that told it */
	uint64_t again_ns; /* when it may be asked for again */
	struct courier_answer facts;
	bool in_table;
	UT_hash_handle hh; /* in order of last use, the oldest first */
};

struct container_names {
	struct courier_client *client;
	struct entry *by_id;
	char forbidden[COURIER_TEXT_MAX];
};

static struct entry *find(const struct container_names *n, const char *id)
{
	struct entry *e;

	HASH_FIND_STR(n->by_id, id, e);
	return e;
}

static void forget(struct container_names *n, struct entry *e)
{
	HASH_DEL(n->by_id, e);
	free(e);
}

/* Last in order of use. False: there was no memory for it, and it is gone. */
static bool remember(struct container_names *n, struct entry *e)
{
	e->in_table = true;
	HASH_ADD_STR(n->by_id, id, e);
	if (e->in_table)
		return true;
	free(e);
	return false;
}

/* ---- answers -------------------------------------------------------------------------------- */

static void on_answer(void *user, const char *key, const struct courier_answer *answer)
{
	static const enum counter counters[COURIER_RESULTS] = {
		[COURIER_FOUND] = COUNTER_CONTAINER_FOUND,
		[COURIER_UNKNOWN] = COUNTER_CONTAINER_UNKNOWN,
		[COURIER_FORBIDDEN] = COUNTER_CONTAINER_FORBIDDEN,
		[COURIER_FAILED] = COUNTER_CONTAINER_FAILED,
		[COURIER_LATE] = COUNTER_CONTAINER_LATE,
	};
	struct container_names *n = user;
	struct entry *e = find(n, key);
	bool found = answer->result == COURIER_FOUND;

	counter_add(counters[answer->result], 1);
	if (answer->result == COURIER_FORBIDDEN)
		memcpy(n->forbidden, answer->text[COURIER_NAME], sizeof(n->forbidden));
	else if (answer->result != COURIER_LATE)
		n->forbidden[0] = '\0';
	if (!e)
		return;
	e->asked = false;
	e->again_ns = courier_client_now_ns(n->client) +
		      (found ? CONTAINER_NAME_FRESH_NS : CONTAINER_RETRY_NS);
	if (found) { /* else an older name is still the best there is */
		e->known = true;
		e->facts = *answer;
	}
}

/* ---- the table ------------------------------------------------------------------------------ */

int container_names_new(struct container_names **out, struct courier_client *client)
{
	struct container_names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->client = client;
	courier_client_listen(client, COURIER_CONTAINER, on_answer, n);
	*out = n;
	return 0;
}

void container_names_free(struct container_names *n)
{
	struct entry *e, *next;

	if (!n)
		return;
	courier_client_listen(n->client, COURIER_CONTAINER, NULL, NULL);
	HASH_ITER (hh, n->by_id, e, next)
		forget(n, e);
	free(n);
}

static void make_entry(struct container_names *n, const char *id)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return;
	if (HASH_COUNT(n->by_id) >= CONTAINER_NAMES_MAX)
		forget(n, n->by_id);
	slice_copy(e->id, sizeof(e->id), slice_of(id));
	e->asked = true;
	(void)remember(n, e);
}

void container_names_want(struct container_names *n, const char *id)
{
	struct entry *e = find(n, id);

	if (e) {
		HASH_DEL(n->by_id, e);
		if (!remember(n, e) || e->asked || courier_client_now_ns(n->client) < e->again_ns)
			return;
	}
	if (courier_client_ask(n->client, COURIER_CONTAINER, slice_of(id)) < 0) {
		counter_add(COUNTER_CONTAINER_BUSY, 1);
		return;
	}
	if (e)
		e->asked = true;
	else
		make_entry(n, id);
}

const struct courier_answer *container_names_get(const struct container_names *n, const char *id,
						 bool *awaited)
{
	const struct entry *e = find(n, id);

	*awaited = e && e->asked && !e->known;
	return e && e->known ? &e->facts : NULL;
}

const char *container_names_forbidden(const struct container_names *n)
{
	return n->forbidden;
}
