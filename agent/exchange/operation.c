/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/operation.h"

#include <errno.h>

#include "agent/base/counters.h"

/* The key is a hash already: its first bytes spread as well as any. */
static unsigned int key_hash(const void *key)
{
	unsigned int h;

	memcpy(&h, key, sizeof(h));
	return h;
}

#define HASH_FUNCTION(ptr, len, hv) ((hv) = key_hash(ptr))
#include "agent/base/hash.h"
#include <utlist.h>

/* How far an operation is, the likeliest to be retried last. */
enum state {
	STATE_NONE,    /* a free place */
	STATE_SETTLED, /* its last attempt got its answer */
	STATE_OPEN,    /* its last attempt has no end yet */
	STATE_FAILED,
};

struct operation {
	enum state state;
	struct operation_attempt last;
	uint8_t last_event[16];
	uint64_t at_ns; /* when it came into this state */
};

struct entry {
	struct operation_key key;
	struct operation op[OPERATION_SIBLINGS_MAX];
	bool in_table;
	struct entry *prev, *next; /* by last use, the oldest first */
	UT_hash_handle hh;
};

struct operation_table {
	struct entry *by_key;
	struct entry *by_use;
};

int operation_table_new(struct operation_table **out)
{
	struct operation_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*out = t;
	return 0;
}

static void remove_entry(struct operation_table *t, struct entry *e)
{
	HASH_DELETE(hh, t->by_key, e);
	DL_DELETE(t->by_use, e);
	free(e);
}

void operation_table_free(struct operation_table *t)
{
	struct entry *e, *tmp;

	if (!t)
		return;
	DL_FOREACH_SAFE(t->by_use, e, tmp)
	remove_entry(t, e);
	free(t);
}

static struct entry *find(const struct operation_table *t, const struct operation_key *key)
{
	struct entry *e;

	HASH_FIND(hh, t->by_key, key, sizeof(*key), e);
	return e;
}

static bool is_past(const struct operation *op, uint64_t now_ns)
{
	return now_ns > op->at_ns && now_ns - op->at_ns > OPERATION_RETRY_NS;
}

/* The oldest makes room; it matters only when a retry of it may still come. */
static void evict(struct operation_table *t, uint64_t now_ns)
{
	const struct entry *e = t->by_use;
	bool matters = false;

	for (size_t i = 0; i < ARRAY_LEN(e->op); i++)
		matters |= e->op[i].state >= STATE_OPEN && !is_past(&e->op[i], now_ns);
	counter_add(COUNTER_OPERATIONS_EVICTED, matters);
	remove_entry(t, t->by_use);
}

static struct entry *add(struct operation_table *t, const struct operation_key *key,
			 uint64_t now_ns)
{
	struct entry *e;

	if (HASH_COUNT(t->by_key) >= OPERATIONS_MAX)
		evict(t, now_ns);
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->key = *key;
	e->in_table = true;
	HASH_ADD(hh, t->by_key, key, sizeof(e->key), e);
	if (!e->in_table) {
		free(e);
		return NULL;
	}
	DL_APPEND(t->by_use, e);
	return e;
}

/* The request's entry, now the one used last; NULL when there is no memory for it. */
static struct entry *use(struct operation_table *t, const struct operation_key *key,
			 uint64_t now_ns)
{
	struct entry *e = find(t, key);

	if (!e)
		return add(t, key, now_ns);
	DL_DELETE(t->by_use, e);
	DL_APPEND(t->by_use, e);
	return e;
}

/* The operation that a new attempt continues: the likeliest state, of equal ones the oldest. */
static struct operation *to_continue(struct entry *e, int retries, uint64_t now_ns)
{
	enum state least = retries > 0 ? STATE_SETTLED : STATE_FAILED;
	struct operation *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(e->op); i++) {
		struct operation *op = &e->op[i];

		if (op->state < least || is_past(op, now_ns))
			continue;
		if (!best || op->state > best->state ||
		    (op->state == best->state && op->at_ns < best->at_ns))
			best = op;
	}
	return best;
}

/* A place for a new operation: a free one, else the one least likely to be retried. */
static struct operation *place(struct entry *e)
{
	struct operation *worst = &e->op[0];

	for (size_t i = 1; i < ARRAY_LEN(e->op); i++) {
		struct operation *op = &e->op[i];

		if (op->state < worst->state ||
		    (op->state == worst->state && op->at_ns < worst->at_ns))
			worst = op;
	}
	return worst;
}

struct operation_attempt operation_alone(const uint8_t event_id[16], int retries)
{
	struct operation_attempt attempt = {.number = retries + 1};

	memcpy(attempt.operation_id, event_id, sizeof(attempt.operation_id));
	return attempt;
}

void operation_begin(struct operation_table *t, const struct operation_key *key,
		     const uint8_t event_id[16], int retries, uint64_t now_ns,
		     struct operation_attempt *out)
{
	struct operation_attempt attempt = operation_alone(event_id, retries);
	struct entry *e = use(t, key, now_ns);
	struct operation *op = e ? to_continue(e, retries, now_ns) : NULL;

	if (op) {
		int number = op->last.number + 1;

		attempt = op->last;
		attempt.number = number > retries ? number : retries + 1;
	} else if (e) {
		op = place(e);
	}
	if (op) {
		op->state = STATE_OPEN;
		op->at_ns = now_ns;
		op->last = attempt;
		memcpy(op->last_event, event_id, sizeof(op->last_event));
	}
	*out = attempt;
}

void operation_end(struct operation_table *t, const struct operation_key *key,
		   const uint8_t event_id[16], bool failed, uint64_t now_ns)
{
	struct entry *e = find(t, key);

	for (size_t i = 0; e && i < ARRAY_LEN(e->op); i++) {
		struct operation *op = &e->op[i];

		if (op->state == STATE_NONE ||
		    memcmp(op->last_event, event_id, sizeof(op->last_event)) != 0)
			continue;
		op->state = failed ? STATE_FAILED : STATE_SETTLED;
		op->at_ns = now_ns;
		return;
	}
}

size_t operation_table_count(const struct operation_table *t)
{
	return HASH_COUNT(t->by_key);
}
