/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all fuzz targets share. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput; with
 * libFuzzer it is fuzzed (make fuzz T=NAME), with replay.c as its main any compiler replays
 * corpus/NAME (make check-fuzz). A property that does not hold ends the program.
 */
#ifndef TT_FUZZ_H
#define TT_FUZZ_H

#include <stdio.h>

#include "agent/base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must_hold(property)                                                               \
	do {                                                                              \
		if (!(property)) {                                                        \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
				#property);                                               \
			abort();                                                          \
		}                                                                         \
	} while (0)

/* A running hash of all events: two runs that must agree are compared by it. */
struct trace {
	uint64_t hash;
	uint64_t events;
};

static inline void trace_bytes(struct trace *t, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len--)
		t->hash = (t->hash ^ *p++) * 0x100000001b3ULL;
}

static inline void trace_event(struct trace *t, char kind, uint64_t value)
{
	trace_bytes(t, &kind, 1);
	trace_bytes(t, &value, sizeof(value));
	t->events++;
}

static inline bool trace_eq(const struct trace *a, const struct trace *b)
{
	return a->hash == b->hash && a->events == b->events;
}

/* How an input is cut: from its first bytes, so that the fuzzer chooses. Pieces of 1 to 16. */
struct cutter {
	const uint8_t *data;
	size_t size;
	size_t at;
	uint32_t seed; /* 0: one piece */
};

static inline bool next_piece(struct cutter *c, struct slice *out)
{
	size_t n = c->size - c->at;

	if (!n)
		return false;
	if (c->seed) {
		c->seed = c->seed * 1664525u + 1013904223u;
		if (n > (c->seed >> 28) + 1)
			n = (c->seed >> 28) + 1;
	}
	*out = (struct slice){(const char *)c->data + c->at, n};
	c->at += n;
	return true;
}

#endif
