/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stream/stream.h"

#include <errno.h>
#include <utlist.h>

struct pair *pairs_add(struct pairs *p, struct exchange *x)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return NULL;
	pair->x = x;
	DL_APPEND(p->first, pair);
	p->count++;
	return pair;
}

int pairs_push(struct pairs *p, struct exchange *x)
{
	struct pair *pair;

	if (p->count == CONN_PIPELINE_MAX)
		return -E2BIG;
	pair = pairs_add(p, x);
	if (!pair)
		return -ENOMEM;
	p->writing = pair;
	return 0;
}

/* A request may still be written when its answer is over: the rest of it has no exchange then. */
void pairs_remove(struct pairs *p, struct pair *pair)
{
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
	pairs_remove(p, p->first);
}

void pairs_abandon_first(struct pairs *p, enum message_end how, uint64_t now_ns)
{
	exchange_abandon(p->first->x, how, now_ns);
	pairs_remove(p, p->first);
}

void pairs_abandon(struct pairs *p, enum message_end how, uint64_t now_ns)
{
	while (p->first)
		pairs_abandon_first(p, how, now_ns);
}

void pairs_may_end(struct pairs *p, uint64_t now_ns)
{
	struct pair *pair;

	DL_FOREACH(p->first, pair)
	exchange_may_end(pair->x, now_ns);
}

void pairs_rest(struct pairs *p, uint64_t now_ns)
{
	struct pair *pair;

	if (p->reading && p->reading != p->writing)
		exchange_rest(p->reading->x, now_ns);
	DL_FOREACH(p->first, pair)
	{
		if (pair->sent && pair->answered)
			exchange_rest(pair->x, now_ns);
	}
}

size_t pairs_memory(const struct pairs *p)
{
	const struct pair *pair;
	size_t total = 0;

	DL_FOREACH(p->first, pair)
	total += sizeof(*pair) + exchange_memory(pair->x);
	return total;
}
