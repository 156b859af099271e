/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/held.h"

#include <errno.h>

#include "agent/base/counters.h"

struct held {
	uint64_t until_ns;
	struct call call;
};

struct held_calls {
	const struct held_ops *ops;
	void *user;
	size_t count;
	struct held *item[HELD_CALLS_MAX]; /* as they came, the oldest first */
};

int held_calls_new(struct held_calls **out, const struct held_ops *ops, void *user)
{
	struct held_calls *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->ops = ops;
	h->user = user;
	*out = h;
	return 0;
}

static void release(struct held_calls *h, struct held *held, enum counter how)
{
	counter_add(how, 1);
	h->ops->release(h->user, &held->call);
	free(held);
}

void held_calls_free(struct held_calls *h)
{
	if (!h)
		return;
	held_calls_sweep(h, UINT64_MAX);
	free(h);
}

void held_calls_add(struct held_calls *h, struct call *call, uint64_t ended_ns)
{
	struct held *held = malloc(sizeof(*held));

	if (!held) {
		counter_add(COUNTER_HELD_OVERFLOW, 1);
		h->ops->release(h->user, call);
		return;
	}
	if (h->count == HELD_CALLS_MAX) {
		release(h, h->item[0], COUNTER_HELD_OVERFLOW);
		memmove(h->item, h->item + 1, --h->count * sizeof(h->item[0]));
	}
	held->until_ns = ended_ns + HELD_NS;
	held->call = *call;
	h->item[h->count++] = held;
	counter_set(COUNTER_HELD_NOW, h->count);
}

void held_calls_sweep(struct held_calls *h, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++) {
		struct held *held = h->item[i];

		if (h->ops->complete(h->user, &held->call))
			release(h, held, COUNTER_HELD_ANSWERED);
		else if (now_ns >= held->until_ns)
			release(h, held, COUNTER_HELD_LATE);
		else
			h->item[kept++] = held;
	}
	h->count = kept;
	counter_set(COUNTER_HELD_NOW, h->count);
}
