/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/legs.h"

#include <errno.h>
#include <nettle/sha2.h>

#include "agent/base/counters.h"

#define uthash_nonfatal_oom(billed) ((billed)->used = false)
#include "agent/base/hash.h"

#define EVENT_ID_BYTES 16

struct front {
	uint8_t event_id[EVENT_ID_BYTES];
	uint64_t started_ns;
};

struct upstream {
	uint64_t started_ns, ended_ns;
	struct call call;
};

/* A response id and its usage, of a call that was the bill. */
struct billed {
	uint8_t key[16];
	bool used;
	char by[sizeof(((struct call *)0)->provider)];
	UT_hash_handle hh;
};

struct legs {
	legs_release *release;
	void *user;
	size_t front_count, held_count;
	struct front front[LEGS_OPEN_MAX];    /* as they began */
	struct upstream *held[LEGS_HELD_MAX]; /* as they ended */
	struct billed *known;		      /* of billed[] */
	size_t next;			      /* place of the one told first */
	struct billed billed[LEGS_BILLED_MAX];
};

int legs_new(struct legs **out, legs_release *release, void *user)
{
	struct legs *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->release = release;
	l->user = user;
	*out = l;
	return 0;
}

void legs_free(struct legs *l)
{
	if (!l)
		return;
	legs_tick(l, UINT64_MAX);
	HASH_CLEAR(hh, l->known);
	free(l);
}

/* ---- fronts that are open -------------------------------------------------------------------- */

static bool is_front(const struct call *call)
{
	return call->role == ROLE_GATEWAY || call->role == ROLE_UNKNOWN;
}

void legs_begin(struct legs *l, const struct call *call, uint64_t started_ns)
{
	struct front *front;

	if (!is_front(call))
		return;
	if (l->front_count == LEGS_OPEN_MAX) {
		counter_add(COUNTER_LEGS_EVICTED_OPEN, 1);
		memmove(l->front, l->front + 1, --l->front_count * sizeof(l->front[0]));
	}
	front = &l->front[l->front_count++];
	memcpy(front->event_id, call->event_id, EVENT_ID_BYTES);
	front->started_ns = started_ns;
}

static void forget_front(struct legs *l, const struct call *call)
{
	for (size_t i = 0; i < l->front_count; i++) {
		if (memcmp(l->front[i].event_id, call->event_id, EVENT_ID_BYTES))
			continue;
		memmove(&l->front[i], &l->front[i + 1],
			(--l->front_count - i) * sizeof(l->front[0]));
		return;
	}
}

static bool any_front_since(const struct legs *l, uint64_t started_ns)
{
	for (size_t i = 0; i < l->front_count; i++) {
		if (l->front[i].started_ns <= started_ns)
			return true;
	}
	return false;
}

/* ---- upstreams that wait --------------------------------------------------------------------- */

static void release_at(struct legs *l, size_t i)
{
	struct upstream *up = l->held[i];

	memmove(&l->held[i], &l->held[i + 1], (--l->held_count - i) * sizeof(l->held[0]));
	l->release(l->user, &up->call, up->ended_ns);
	free(up);
}

/* Those that no open front can be of, and those whose time is over. */
static void release_ready(struct legs *l, uint64_t now_ns)
{
	for (size_t i = 0; i < l->held_count;) {
		const struct upstream *up = l->held[i];

		if (!any_front_since(l, up->started_ns) || now_ns >= up->ended_ns + LEGS_HOLD_NS)
			release_at(l, i);
		else
			i++;
	}
}

void legs_tick(struct legs *l, uint64_t now_ns)
{
	release_ready(l, now_ns);
}

void legs_drop(struct legs *l, const struct call *call)
{
	if (!is_front(call))
		return;
	forget_front(l, call);
	release_ready(l, 0);
}

static void hold(struct legs *l, struct call *call, uint64_t started_ns, uint64_t ended_ns)
{
	struct upstream *up = malloc(sizeof(*up));

	if (!up) {
		counter_add(COUNTER_LEGS_EVICTED_HELD, 1);
		l->release(l->user, call, ended_ns);
		return;
	}
	if (l->held_count == LEGS_HELD_MAX) {
		counter_add(COUNTER_LEGS_EVICTED_HELD, 1);
		release_at(l, 0);
	}
	*up = (struct upstream){started_ns, ended_ns, *call};
	l->held[l->held_count++] = up;
}

/* ---- what was billed ------------------------------------------------------------------------- */

static bool has_id(const struct call *call)
{
	return strlen(call->response_id) >= LEGS_ID_MIN;
}

/*
 * False where the answer says too little to be known again. A bill of a front is its host's alone:
 * only that may say it again out of its cache; host "" is for a provider's, which any gateway may.
 */
static bool billed_key(const struct call *call, const char *host, uint8_t key[16])
{
	struct sha256_ctx hash;
	uint8_t usage[16];

	if (!has_id(call) || !call->usage.known)
		return false;
	usage_digest(&call->usage, usage);
	sha256_init(&hash);
	sha256_update(&hash, strlen(call->response_id), (const uint8_t *)call->response_id);
	sha256_update(&hash, sizeof(usage), usage);
	sha256_update(&hash, strlen(host), (const uint8_t *)host);
	sha256_digest(&hash, 16, key);
	return true;
}

static const char *billed_at(const struct legs *l, const struct call *call, const char *host)
{
	struct billed *found = NULL;
	uint8_t key[16];

	if (billed_key(call, host, key))
		HASH_FIND(hh, l->known, key, sizeof(key), found);
	return found ? found->by : NULL;
}

static const char *billed_find(const struct legs *l, const struct call *front)
{
	const char *by = billed_at(l, front, "");

	return by ? by : billed_at(l, front, front->host);
}

static void billed_note(struct legs *l, const struct call *call)
{
	struct billed *place = &l->billed[l->next];
	const char *host = is_front(call) ? call->host : "";
	uint8_t key[16];

	if (!billed_key(call, host, key) || billed_at(l, call, host))
		return;
	if (place->used) {
		counter_add(COUNTER_LEGS_EVICTED_BILLED, 1);
		HASH_DEL(l->known, place);
	}
	memcpy(place->key, key, sizeof(key));
	slice_copy(place->by, sizeof(place->by), slice_of(call->billed_by));
	place->used = true;
	HASH_ADD(hh, l->known, key, sizeof(place->key), place);
	l->next = (l->next + 1) % LEGS_BILLED_MAX;
}

/* ---- matching -------------------------------------------------------------------------------- */

static enum collapse match(const struct call *front, const struct call *up)
{
	if (front->workload.pid == up->workload.pid)
		return COLLAPSED_NOT;
	if (has_id(front) && strcmp(front->response_id, up->response_id) == 0)
		return COLLAPSED_RESPONSE_ID;
	if (front->body_known && up->body_known &&
	    memcmp(front->body, up->body, sizeof(front->body)) == 0)
		return COLLAPSED_REQUEST_BODY;
	return COLLAPSED_NOT;
}

/* The upstream of a front, by the strongest sign; held_count where there is none. */
static size_t find_upstream(const struct legs *l, const struct call *front, uint64_t started_ns,
			    enum collapse *how)
{
	size_t best = l->held_count;

	*how = COLLAPSED_NOT;
	for (size_t i = 0; i < l->held_count; i++) {
		enum collapse one = match(front, &l->held[i]->call);

		if (one == COLLAPSED_NOT || l->held[i]->started_ns < started_ns)
			continue;
		if (*how == COLLAPSED_NOT || one <= *how) { /* of equal ones the last */
			best = i;
			*how = one;
		}
	}
	return best;
}

/* The payer's tags stand; the gateway's own only where it says nothing. */
static void give_tags(struct call *bill, const struct call *front)
{
	struct tags own = bill->tags;

	bill->tags = front->tags;
	for (uint32_t i = 0; i < own.count; i++) {
		const struct tag *tag = &own.item[i];
		bool told = false;

		for (uint32_t k = 0; k < front->tags.count; k++)
			told |= strcmp(front->tags.item[k].key, tag->key) == 0;
		if (!told)
			tags_set(&bill->tags, slice_of(tag->key), slice_of(tag->value),
				 tag->source);
	}
}

/* A gateway that does not pass on what joins the call to others leaves the bill without it. */
static void give_run(struct call *bill, const struct call *front)
{
	if (!bill->trace_id[0]) {
		slice_copy(bill->trace_id, sizeof(bill->trace_id), slice_of(front->trace_id));
		slice_copy(bill->span_id, sizeof(bill->span_id), slice_of(front->span_id));
	}
	if (!bill->session_id[0])
		slice_copy(bill->session_id, sizeof(bill->session_id), slice_of(front->session_id));
}

/* Of chained gateways the outermost front ends last, and stays. */
static void give_workload(struct call *bill, const struct call *front)
{
	bill->is_on_behalf = true;
	bill->on_behalf_of = front->workload;
	give_tags(bill, front);
	give_run(bill, front);
}

static void collapse(struct call *front, enum collapse how, const char *billed_by)
{
	front->billable = false;
	front->collapsed_by = how;
	slice_copy(front->billed_by, sizeof(front->billed_by), slice_of(billed_by));
	counter_add(how == COLLAPSED_RESPONSE_ID ? COUNTER_LEGS_BY_ID : COUNTER_LEGS_BY_BODY, 1);
}

/* The gateway's attempts at the same operation are the front's too. */
static void settle_front(struct legs *l, struct call *front, uint64_t started_ns)
{
	enum collapse how;
	size_t at = find_upstream(l, front, started_ns, &how);
	const char *billed_by;

	if (at < l->held_count) {
		const struct call *up = &l->held[at]->call;

		for (size_t i = 0; i < l->held_count; i++) {
			if (i != at && strcmp(l->held[i]->call.operation_id, up->operation_id) == 0)
				give_workload(&l->held[i]->call, front);
		}
		give_workload(&l->held[at]->call, front);
		collapse(front, how, up->billed_by);
		return;
	}
	billed_by = billed_find(l, front);
	if (billed_by)
		collapse(front, COLLAPSED_RESPONSE_ID, billed_by);
	else
		billed_note(l, front);
}

void legs_done(struct legs *l, struct call *call, uint64_t started_ns, uint64_t ended_ns)
{
	if (is_front(call)) {
		forget_front(l, call);
		settle_front(l, call, started_ns);
		l->release(l->user, call, ended_ns);
		release_ready(l, ended_ns);
		return;
	}
	if (call->role == ROLE_DIRECT)
		billed_note(l, call);
	if (call->role == ROLE_DIRECT && any_front_since(l, started_ns))
		hold(l, call, started_ns, ended_ns);
	else
		l->release(l->user, call, ended_ns);
}
