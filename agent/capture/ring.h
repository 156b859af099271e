/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's end of the kernel's BPF ring buffer (Documentation/bpf/ringbuf.rst), by its memory
 * alone: libbpf's reader asks the kernel about the map by bpf(2), which the sandboxed worker may
 * not call. The data pages are mapped read-only, twice in a row, so that a record never wraps.
 */
#ifndef TT_RING_H
#define TT_RING_H

#include "agent/base/base.h"

struct ring {
	uint64_t *consumer;	  /* of the next record to read; a page of its own, ours to write */
	const uint64_t *producer; /* end of what is reserved */
	const uint8_t *data;
	size_t bytes; /* of data; a power of two */
	size_t page;
};

/* Maps the ring behind fd, of that many data bytes. Returns 0 or -errno. */
int ring_open(struct ring *out, int fd, size_t bytes) TT_MUST_CHECK;
void ring_close(struct ring *ring); /* safe on a zeroed one */

/* Where what is reserved now ends, and whether all before that was taken. */
uint64_t ring_end(const struct ring *ring);
bool ring_reached(const struct ring *ring, uint64_t end);

/*
 * Calls record(user, data, size) for at most `most` records that are ready, in order, and frees the
 * room of each after its call. Stops before one that is still being written. Returns how many were
 * taken from the ring, discarded ones not counted. A header that cannot be (longer than what is
 * reserved) drops all that is there and counts as `torn`.
 */
size_t ring_consume(struct ring *ring, size_t most,
		    void (*record)(void *user, const void *data, size_t size), void *user,
		    bool *torn);

#endif
