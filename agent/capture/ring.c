/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

/* A record: length with two flags, a page offset of the kernel's own, then the data, in eights. */
struct record_head {
	uint32_t len;
	uint32_t page_offset;
};

int ring_open(struct ring *out, int fd, size_t bytes)
{
	struct ring ring = {.bytes = bytes, .page = (size_t)sysconf(_SC_PAGESIZE)};
	void *consumer, *producer;

	consumer = mmap(NULL, ring.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, ring.page + 2 * bytes, PROT_READ, MAP_SHARED, fd, (off_t)ring.page);
	if (producer == MAP_FAILED) {
		int err = -errno;

		munmap(consumer, ring.page);
		return err;
	}
	ring.consumer = consumer;
	ring.producer = producer;
	ring.data = (const uint8_t *)producer + ring.page;
	*out = ring;
	return 0;
}

void ring_close(struct ring *ring)
{
	if (!ring->consumer)
		return;
	munmap(ring->consumer, ring->page);
	munmap((void *)(uintptr_t)ring->producer, ring->page + 2 * ring->bytes);
	*ring = (struct ring){0};
}

uint64_t ring_end(const struct ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

bool ring_reached(const struct ring *ring, uint64_t end)
{
	return *ring->consumer >= end;
}

size_t ring_consume(struct ring *ring, size_t most,
		    void (*record)(void *user, const void *data, size_t size), void *user,
		    bool *torn)
{
	uint64_t at = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	size_t taken = 0;

	*torn = false;
	while (taken < most) {
		uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
		const struct record_head *head = (const void *)&ring->data[at & (ring->bytes - 1)];
		uint32_t len;
		uint64_t room;

		if (at == end)
			break;
		len = __atomic_load_n(&head->len, __ATOMIC_ACQUIRE);
		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		room = ((uint64_t)(len & ~BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ + 7) &
		       ~7ULL;
		if (room > end - at) {
			*torn = true;
			room = end - at;
		} else if (!(len & BPF_RINGBUF_DISCARD_BIT)) {
			record(user, head + 1, len);
			taken++;
		}
		at += room;
		__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	}
	return taken;
}
