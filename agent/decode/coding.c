/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/decode/coding.h"

/* Stands before each block; as wide as the strictest alignment, so that the block keeps it. */
union block_head {
	size_t bytes;
	max_align_t align;
};

void *coding_alloc(void *budget, size_t bytes)
{
	struct coding_budget *b = budget;
	union block_head *head;

	if (bytes > b->max - b->used) {
		b->refused = true;
		return NULL;
	}
	head = malloc(sizeof(*head) + bytes);
	if (!head)
		return NULL;
	head->bytes = bytes;
	b->used += bytes;
	return head + 1;
}

void coding_release(void *budget, void *ptr)
{
	struct coding_budget *b = budget;
	union block_head *head = ptr;

	if (!ptr)
		return;
	b->used -= head[-1].bytes;
	free(head - 1);
}

size_t coding_budget_used(const void *state, const struct coding_budget *budget)
{
	(void)state;
	return budget->used;
}
