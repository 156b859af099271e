/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring's memory as the kernel might leave it. Whatever stands there, each record lies in the
 * mapping and none is longer than what was reserved; the reader comes to an end and never passes
 * the producer; what it takes at once it takes in pieces too.
 *
 * Input: the place where reading begins, how much is reserved, then the ring's bytes.
 */
#include "agent/capture/ring.h"
#include "tests/fuzz/fuzz.h"

#define BYTES 1024u

struct reading {
	const uint8_t *data;
	uint64_t reserved;
	size_t count, bytes;
};

static void on_record(void *user, const void *record, size_t size)
{
	struct reading *r = user;
	const uint8_t *at = record;

	must_hold(at >= r->data && at <= r->data + 2 * BYTES);
	must_hold(size <= r->reserved && size <= (size_t)(r->data + 2 * BYTES - at));
	for (size_t i = 0; i < size; i++)
		r->bytes += at[i];
	r->count++;
}

static struct reading read_all(const uint8_t *data, uint64_t from, uint64_t to, size_t most)
{
	uint64_t consumer = from, before;
	struct reading r = {.data = data, .reserved = to - from};
	struct ring ring = {.consumer = &consumer, .producer = &to, .data = data, .bytes = BYTES};
	bool torn;

	do {
		before = consumer;
		ring_consume(&ring, most, on_record, &r, &torn);
		must_hold(consumer >= before && consumer <= to);
	} while (consumer != before);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t memory[2 * BYTES] __attribute__((aligned(8)));
	struct reading whole, pieces;
	uint64_t from, reserved;

	if (size < 4)
		return 0;
	/* Positions are multiples of 8, and grow without end. */
	from = ((uint64_t)data[0] << 40 | data[1]) * 8;
	reserved = ((uint64_t)data[2] << 8 | data[3]) % (BYTES / 8 + 1) * 8;
	data += 4;
	size -= 4;
	memset(memory, 0, sizeof(memory));
	memcpy(memory, data, size < BYTES ? size : BYTES);
	memcpy(memory + BYTES, memory, BYTES);
	whole = read_all(memory, from, from + reserved, SIZE_MAX);
	pieces = read_all(memory, from, from + reserved, 1);
	must_hold(whole.count == pieces.count && whole.bytes == pieces.bytes);
	return 0;
}
