/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/counters.h"
#include "agent/stream/stream.h"

#include <errno.h>

/* The generation is no part of it: it says "may have ended", not "another connection". */
struct key {
	uint64_t ssl;
	uint64_t start_boot_ns;
	uint64_t tgid;
};

static unsigned int key_hash(const struct key *key)
{
	const uint64_t odd =
		0x9e3779b97f4a7c15ULL; /* 2^64 / golden ratio: spreads aligned pointers */
	uint64_t h = key->ssl * odd;

	h = (h ^ (h >> 32) ^ key->start_boot_ns) * odd;
	h = (h ^ (h >> 32) ^ key->tgid) * odd;
	return (unsigned int)(h >> 32);
}

#define HASH_FUNCTION(ptr, len, hv) ((hv) = key_hash((const struct key *)(ptr)))
#include "agent/base/hash.h"
#include <utlist.h>

/* A process with connections. */
struct owner {
	struct key key; /* ssl is 0 */
	size_t conns, memory;
	bool in_table;
	UT_hash_handle hh;
};

struct entry {
	struct conn conn;
	struct key key;
	struct owner *owner;
	size_t memory; /* charged to the table and to the owner */
	bool in_table;
	struct entry *prev, *next; /* by last use, the oldest first */
	UT_hash_handle hh;
};

struct conn_table {
	const struct exchange_env *env;
	struct entry *by_key;
	struct entry *by_use;
	struct owner *owners;
	size_t memory;
	uint64_t now_ns;
};

int conn_table_new(struct conn_table **out, const struct exchange_env *env)
{
	struct conn_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->env = env;
	*out = t;
	return 0;
}

/* ---- who holds how much ---------------------------------------------------------------------- */

/* With one connection more; NULL: no memory. */
static struct owner *owner_take(struct conn_table *t, const struct conn_id *id)
{
	struct key key = {0, id->start_boot_ns, id->tgid};
	struct owner *owner;

	HASH_FIND(hh, t->owners, &key, sizeof(key), owner);
	if (!owner) {
		owner = calloc(1, sizeof(*owner));
		if (!owner)
			return NULL;
		owner->key = key;
		owner->in_table = true;
		HASH_ADD(hh, t->owners, key, sizeof(owner->key), owner);
		if (!owner->in_table) {
			free(owner);
			return NULL;
		}
	}
	owner->conns++;
	return owner;
}

static void owner_leave(struct conn_table *t, struct owner *owner)
{
	if (--owner->conns)
		return;
	HASH_DELETE(hh, t->owners, owner);
	free(owner);
}

static size_t memory_of(const struct owner *owner)
{
	return owner->memory;
}

static size_t conns_of(const struct owner *owner)
{
	return owner->conns;
}

/*
 * Who has to give way: the process that holds most, with the connection it used longest ago. What
 * one of them opens without end costs the others nothing.
 */
static struct entry *victim(const struct conn_table *t, size_t (*held)(const struct owner *owner))
{
	struct owner *most = t->by_use->owner, *owner, *tmp;
	struct entry *e;

	HASH_ITER (hh, t->owners, owner, tmp) {
		if (held(owner) > held(most))
			most = owner;
	}
	DL_FOREACH(t->by_use, e)
	{
		if (e->owner == most)
			break;
	}
	return e;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void charge(struct conn_table *t, struct entry *e)
{
	size_t memory = sizeof(*e) + conn_memory(&e->conn);

	t->memory += memory - e->memory;
	e->owner->memory += memory - e->memory;
	e->memory = memory;
}

static void remove_entry(struct conn_table *t, struct entry *e)
{
	HASH_DELETE(hh, t->by_key, e);
	DL_DELETE(t->by_use, e);
	t->memory -= e->memory;
	e->owner->memory -= e->memory;
	owner_leave(t, e->owner);
	conn_release(&e->conn, t->now_ns);
	free(e);
}

/* It ended by itself: bodies that only the end completes are complete. */
static void end_entry(struct conn_table *t, struct entry *e)
{
	conn_end(&e->conn, e->conn.may_end_ns ? e->conn.may_end_ns : t->now_ns);
	remove_entry(t, e);
}

static void evict(struct conn_table *t, struct entry *e, enum counter why)
{
	counter_add(why, 1);
	remove_entry(t, e);
}

void conn_table_free(struct conn_table *t)
{
	struct entry *e, *tmp;

	if (!t)
		return;
	DL_FOREACH_SAFE(t->by_use, e, tmp)
	remove_entry(t, e);
	free(t);
}

static struct entry *find(const struct conn_table *t, const struct conn_id *id)
{
	struct key key = {id->ssl, id->start_boot_ns, id->tgid};
	struct entry *e;

	HASH_FIND(hh, t->by_key, &key, sizeof(key), e);
	return e;
}

static struct entry *new_entry(struct conn_table *t, const struct conn_id *id)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->key = (struct key){id->ssl, id->start_boot_ns, id->tgid};
	if (conn_init(&e->conn, id, t->env, t->now_ns)) {
		free(e);
		return NULL;
	}
	e->owner = owner_take(t, id);
	e->in_table = e->owner != NULL;
	if (e->in_table)
		HASH_ADD(hh, t->by_key, key, sizeof(e->key), e);
	if (e->in_table)
		return e;
	if (e->owner)
		owner_leave(t, e->owner);
	conn_release(&e->conn, t->now_ns);
	free(e);
	return NULL;
}

static struct entry *add(struct conn_table *t, const struct conn_id *id)
{
	struct entry *e;

	if (HASH_COUNT(t->by_key) >= CONNS_MAX)
		evict(t, victim(t, conns_of), COUNTER_CONN_EVICTED);
	e = new_entry(t, id);
	if (!e)
		return NULL;
	DL_APPEND(t->by_use, e);
	charge(t, e);
	return e;
}

/* The connection, now the one used last; NULL when there is no memory for it. */
static struct entry *use(struct conn_table *t, const struct conn_id *id)
{
	struct entry *e = find(t, id);

	if (e) {
		DL_DELETE(t->by_use, e);
		DL_APPEND(t->by_use, e);
		return e;
	}
	e = add(t, id);
	if (!e)
		counter_add(COUNTER_DECODE_MEMORY, 1);
	return e;
}

static void hold_budget(struct conn_table *t)
{
	while (t->memory > CONN_MEMORY_MAX)
		evict(t, victim(t, memory_of), COUNTER_CONN_EVICTED_MEMORY);
}

void conn_table_open(struct conn_table *t, const struct conn_id *id, const char *host,
		     uint64_t now_ns)
{
	bool known = find(t, id);
	struct entry *e;

	t->now_ns = now_ns;
	e = use(t, id);
	if (!e)
		return;
	/* Its offsets begin anew. The generation need not grow: the kernel may have forgotten it.
	 */
	if (known)
		conn_restart(&e->conn, now_ns);
	if (e->conn.id.generation != id->generation)
		e->conn.host[0] = '\0';
	e->conn.id = *id;
	if (host[0])
		slice_copy(e->conn.host, sizeof(e->conn.host), slice_of(host));
	charge(t, e);
}

void conn_table_feed(struct conn_table *t, const struct chunk *chunk)
{
	struct entry *e;

	t->now_ns = chunk->now_ns;
	e = use(t, &chunk->conn);
	if (!e)
		return;
	conn_feed(&e->conn, chunk);
	charge(t, e);
	hold_budget(t);
}

void conn_table_may_end(struct conn_table *t, const struct conn_id *id, uint64_t now_ns)
{
	struct entry *e = find(t, id);

	t->now_ns = now_ns;
	if (!e)
		return;
	e->conn.id.generation = id->generation;
	conn_may_end(&e->conn, now_ns);
	charge(t, e);
}

void conn_table_process_exit(struct conn_table *t, uint32_t tgid, uint64_t now_ns)
{
	struct entry *e, *tmp;

	t->now_ns = now_ns;
	DL_FOREACH_SAFE(t->by_use, e, tmp)
	{
		if (e->conn.id.tgid == tgid)
			end_entry(t, e);
	}
}

static bool older_than(uint64_t then_ns, uint64_t now_ns, uint64_t age_ns)
{
	return now_ns > then_ns && now_ns - then_ns > age_ns;
}

void conn_table_tick(struct conn_table *t, uint64_t now_ns)
{
	struct entry *e, *tmp;

	t->now_ns = now_ns;
	DL_FOREACH_SAFE(t->by_use, e, tmp)
	{
		struct conn *c = &e->conn;

		if (!older_than(c->now_ns, now_ns, CONN_MAY_END_NS))
			continue;
		pairs_rest(&c->pairs, c->now_ns);
		if (c->may_end_ns)
			end_entry(t, e);
		else if (older_than(c->now_ns, now_ns,
				    c->session || c->had_session ? CONN_SESSION_IDLE_NS
								 : CONN_IDLE_NS))
			evict(t, e, COUNTER_CONN_EVICTED_IDLE);
	}
}

size_t conn_table_count(const struct conn_table *t)
{
	return HASH_COUNT(t->by_key);
}

size_t conn_table_memory(const struct conn_table *t)
{
	return t->memory;
}
