/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all fuzz targets share. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput; with
 * libFuzzer it is fuzzed (make fuzz T=NAME), with replay.c as its main any compiler replays
 * corpus/NAME (make check-fuzz). A property that does not hold ends the program.
 */
#ifndef TT_FUZZ_H
#define TT_FUZZ_H

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

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

/*
 * A running hash of all events: two runs that must agree are compared by it. FUZZ_TRACE=1 in the
 * environment prints them, to see where they part.
 */
struct trace {
	uint64_t hash;
	uint64_t events;
};

static inline bool trace_shown(void)
{
	static int shown = -1;

	if (shown < 0)
		shown = getenv("FUZZ_TRACE") != NULL;
	return shown;
}

static inline void trace_hash(struct trace *t, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len--)
		t->hash = (t->hash ^ *p++) * 0x100000001b3ULL;
}

static inline void trace_bytes(struct trace *t, const void *bytes, size_t len)
{
	if (trace_shown() && len)
		fprintf(stderr, "%p \"%.*s\"\n", (void *)t, (int)len, (const char *)bytes);
	trace_hash(t, bytes, len);
}

static inline void trace_event(struct trace *t, char kind, uint64_t value)
{
	if (trace_shown())
		fprintf(stderr, "%p %c %llu\n", (void *)t, kind, (unsigned long long)value);
	trace_hash(t, &kind, 1);
	trace_hash(t, &value, sizeof(value));
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

/* One file per program, for parsers that read a descriptor or a path: what it holds now. */
static inline int fuzz_file(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	must_hold(fd >= 0 && ftruncate(fd, 0) == 0);
	must_hold(pwrite(fd, data, size, 0) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* The same by its path, which stays valid until the next call. */
static inline const char *fuzz_path(const uint8_t *data, size_t size)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fuzz_file(data, size));
	return path;
}

/* What an operator is told: one line that a terminal can take. */
static inline bool is_one_line(const char *text, size_t size)
{
	size_t len = strnlen(text, size);
	char clean[1024];

	return len && len < size && slice_copy(clean, sizeof(clean), (struct slice){text, len}) &&
	       memcmp(clean, text, len) == 0;
}

#endif
