/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One content coding as a row: how to open it, how to take a step, how to close it. Private to
 * agent/decode. To add one, write its row in a file of its own and name it in decode.c.
 */
#ifndef TT_DECODE_CODING_H
#define TT_DECODE_CODING_H

#include "agent/decode/decode.h"

/* A window grows by copying into one of twice its size; 1 MiB is for tables and state. */
#define CODING_MEMORY_MAX (DECODE_WINDOW_MAX + DECODE_WINDOW_MAX / 2 + (1u << 20))

/* Memory a decoder got through coding_alloc. */
struct coding_budget {
	size_t used;
	size_t max;
	bool refused; /* an allocation would have passed max */
};

enum coding_step {
	CODING_MORE,   /* all input taken, all output given */
	CODING_AGAIN,  /* output is full or input is left: call again */
	CODING_BROKEN, /* corrupt, or out of memory */
	CODING_LIMIT,  /* the stream asks for a larger window than DECODE_WINDOW_MAX */
};

struct coding {
	const char *name; /* as in Content-Encoding, compared without case */
	void *(*open)(struct coding_budget *budget); /* NULL: out of memory */
	void (*close)(void *state);
	/* Takes from the front of *in, writes at most `size` bytes, tells how many in *produced. */
	enum coding_step (*step)(void *state, struct slice *in, char *out, size_t size,
				 size_t *produced);
	size_t (*memory)(const void *state, const struct coding_budget *budget);
};

extern const struct coding coding_gzip, coding_x_gzip, coding_deflate, coding_br, coding_zstd;

/* malloc and free for libraries with hooks: charged to the budget, NULL beyond it. */
void *coding_alloc(void *budget, size_t bytes);
void coding_release(void *budget, void *ptr);
size_t coding_budget_used(const void *state, const struct coding_budget *budget);

#endif
