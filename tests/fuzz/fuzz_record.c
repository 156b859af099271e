/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as they come from the ring or a recording: what is delivered lies within the record, its
 * texts end, its numbers fit. Each runs in a block of its own size, so that a read beyond is found.
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
	must_hold(memchr(text, '\0', (size_t)(b->end - text)));
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

static void on_verdict(void *user, const struct conn_verdict *verdict)
{
	struct block *b = user;

	b->delivered++;
	must_hold(verdict->verdict < TT_VERDICTS);
	must_end_within(b, verdict->comm);
	must_end_within(b, verdict->host);
}

static const struct capture_ops ops = {
	.opened = on_open,
	.chunk = on_chunk,
	.may_end = on_may_end,
	.verdict = on_verdict,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
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
	return 0;
}
