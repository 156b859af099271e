/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as they come from the ring or a recording: what is delivered lies within the record, its
 * texts end, its numbers fit. Each runs in a block of its own size, so that a read beyond is found.
 * What begins as a recording is replayed as a file of many.
 */
#include "agent/capture/capture.h"
#include "bpf/events.h"
#include "tests/fuzz/fuzz.h"

struct block {
	const char *start, *end;
	unsigned int delivered;
};

static void must_end_within(const struct block *b, const char *text)
{
	must_hold(text >= b->start && text < b->end);
	must_hold(strnlen(text, (size_t)(b->end - text)) < (size_t)(b->end - text));
}

static void must_lie_within(const struct block *b, struct slice s)
{
	must_hold(!s.len || (s.ptr >= b->start && s.len <= (size_t)(b->end - s.ptr)));
}

static void on_open(void *user, const struct conn_open *open)
{
	struct block *b = user;

	b->delivered++;
	must_end_within(b, open->comm);
	must_end_within(b, open->host);
	for (size_t i = 0; i < CONN_CGROUP_LEVELS && open->cgroup[i][0]; i++)
		must_hold(strnlen(open->cgroup[i], CONN_CGROUP_NAME) < CONN_CGROUP_NAME);
	must_lie_within(b, open->env);
}

static void on_chunk(void *user, const struct chunk *chunk)
{
	struct block *b = user;

	b->delivered++;
	must_lie_within(b, chunk->data);
	must_hold(chunk->data.len <= chunk->want);
	must_hold(chunk->dir == CHUNK_WRITE || chunk->dir == CHUNK_READ);
	must_hold(chunk->offset + chunk->want >= chunk->offset);
}

static void on_may_end(void *user, const struct conn_id *conn, uint64_t now_ns)
{
	struct block *b = user;

	(void)conn;
	(void)now_ns;
	b->delivered++;
}

static const struct capture_ops ops = {
	.opened = on_open,
	.chunk = on_chunk,
	.may_end = on_may_end,
};

static void check_recording(const uint8_t *data, size_t size)
{
	/* The records pass through a block of recording.c's: what lies where is checked above. */
	struct block anywhere = {NULL, (const char *)UINTPTR_MAX, 0};
	char err[512] = "";

	if (recording_replay(fuzz_path(data, size), &ops, &anywhere, err, sizeof(err)))
		must_hold(is_one_line(err, sizeof(err)));
}

static void check_record(const uint8_t *data, size_t size)
{
	char *record = malloc(size ? size : 1);
	struct block block = {record, record + size, 0};

	if (!record)
		abort();
	memcpy(record, data, size);
	/* Few inputs would get past the size: half of them are given the true one. */
	if (size >= sizeof(struct tt_rec_head) && data[size - 1] & 1)
		((struct tt_rec_head *)(void *)record)->size = (uint32_t)size;
	must_hold(capture_dispatch(&ops, &block, record, size) == (block.delivered == 1));
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char magic[] = RECORDING_MAGIC;

	if (slice_starts((struct slice){(const char *)data, size}, SLICE(magic)))
		check_recording(data, size);
	else
		check_record(data, size);
	return 0;
}
