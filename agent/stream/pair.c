/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stream/stream.h"

#include <errno.h>
#include <utlist.h>

int pairs_push(struct pairs *p, struct exchange *x)
{
	struct pair *pair;

	if (p->count == CONN_PIPELINE_MAX)
		return -E2BIG;
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	pair->x = x;
	DL_APPEND(p->first, pair);
	p->count++;
	p->writing = pair;
	return 0;
}

/* A request may still be written when its answer is over: the rest of it has no exchange then. */
static void drop_first(struct pairs *p)
{
	struct pair *pair = p->first;

	if (p->writing == pair)
		p->writing = NULL;
	if (p->reading == pair)
		p->reading = NULL;
	DL_DELETE(p->first, pair);
	p->count--;
	exchange_free(pair->x);
	free(pair);
}

void pairs_end_reading(struct pairs *p, enum message_end how, uint64_t now_ns)
{
	exchange_response_end(p->reading->x, how, now_ns);
	drop_first(p);
}

void pairs_abandon_first(struct pairs *p, uint64_t now_ns)
{
	exchange_abandon(p->first->x, now_ns);
	drop_first(p);
}

void pairs_abandon(struct pairs *p, uint64_t now_ns)
{
	while (p->first)
		pairs_abandon_first(p, now_ns);
}

void pairs_may_end(struct pairs *p, uint64_t now_ns)
{
	struct pair *pair;

	DL_FOREACH(p->first, pair)
	exchange_may_end(pair->x, now_ns);
}

void pairs_rest(struct pairs *p, uint64_t now_ns)
{
	if (p->reading && p->reading != p->writing)
		exchange_rest(p->reading->x, now_ns);
}

size_t pairs_memory(const struct pairs *p)
{
	const struct pair *pair;
	size_t total = 0;

	DL_FOREACH(p->first, pair)
	total += sizeof(*pair) + exchange_memory(pair->x);
	return total;
}
