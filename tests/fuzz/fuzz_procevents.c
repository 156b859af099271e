/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a perf ring: the first two say where in the ring they begin. A ring that wraps gives the
 * records that the bytes hold in a row; what an event names lies in its record.
 */
#include <linux/perf_event.h>

#include "agent/discovery/procevents.h"
#include "tests/fuzz/fuzz.h"

#define RING_BYTES 4096u

static void check_record(const uint8_t *record, size_t size)
{
	/* A block of its own size, so that a read beyond is found. */
	uint8_t *block = malloc(size);
	struct proc_event event = {0};

	if (!block)
		abort();
	memcpy(block, record, size);
	if (proc_event_parse(block, size, &event)) {
		const char *begin = (const char *)block;

		must_hold(event.type <= PROC_EVENT_LOST && event.start <= event.end);
		must_hold(!event.name.len || (event.name.ptr > begin &&
					      event.name.ptr + event.name.len < begin + size));
		must_hold(event.type != PROC_EVENT_MAPPED || event.inode);
	}
	free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ring[RING_BYTES], record[64u << 10];
	uint64_t tail, head;
	size_t len, done = 0;

	if (size < 2)
		return 0;
	tail = (data[0] | (uint64_t)data[1] << 8) + (data[0] & 1 ? UINT64_MAX - 40000 : 0);
	data += 2;
	size -= 2;
	if (size > RING_BYTES)
		size = RING_BYTES;
	memset(ring, 0xa5, sizeof(ring));
	for (size_t i = 0; i < size; i++)
		ring[(tail + i) % RING_BYTES] = data[i];
	head = tail + size;
	while ((len = proc_ring_record(ring, RING_BYTES, head, tail + done, record))) {
		must_hold(len >= sizeof(struct perf_event_header) && len <= size - done);
		must_hold(memcmp(record, data + done, len) == 0);
		check_record(record, len);
		done += len;
	}
	must_hold(proc_ring_record(ring, RING_BYTES, tail + RING_BYTES + 1, tail, record) == 0);
	return 0;
}
