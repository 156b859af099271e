/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole path from chunks to exchanges: the input is a list of steps (below) on two connections.
 * Every exchange that was begun is closed once and the table holds what its bounds allow. Calls
 * that come in pieces, as the kernel cuts long ones, give the same rows.
 */
#include "agent/providers/provider.h"
#include "agent/stream/conn.h"
#include "tests/fuzz/fuzz.h"

struct rows {
	struct trace trace;
	int open; /* begun and not ended */
};

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct rows *r = user;

	must_hold(conn->tgid == 1 && r->open-- > 0);
	trace_event(&r->trace, 'c', started_ns);
	trace_event(&r->trace, 's', (uint64_t)call->status << 8 | call->basis);
	trace_bytes(&r->trace, call->event_id, sizeof(call->event_id));
	trace_bytes(&r->trace, call->usage.tokens, sizeof(call->usage.tokens));
	trace_bytes(&r->trace, call->model, strlen(call->model));
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	(void)provider;
	must_hold(reason < IGNORED_REASONS);
}

static void on_open(void *user, const struct call *call, uint64_t started_ns, int change)
{
	struct rows *r = user;

	(void)call;
	(void)started_ns;
	r->open += change;
	must_hold(r->open >= 0);
}

static void on_judged(void *user, const struct conn_id *conn, enum judgement judgement,
		      const char *host)
{
	(void)user;
	must_hold(conn->tgid == 1 && judgement <= JUDGE_MUTE && host);
}

static const struct exchange_ops ops = {
	.done = on_done,
	.ignored = on_ignored,
	.judged = on_judged,
	.open = on_open,
};

/* A step: one byte of what, one of length, then so many bytes of data. */
enum { STEP_DIR = 1, STEP_CONN = 2, STEP_GAP = 4, STEP_END = 8, STEP_CANDIDATE = 16 };

/* The bytes of one call, in pieces of at most `piece`. */
static void feed(struct conn_table *t, const struct chunk *call, size_t piece)
{
	struct chunk chunk = *call;
	size_t at = 0;

	do {
		size_t n = call->data.len - at < piece ? call->data.len - at : piece;

		chunk.data = (struct slice){call->data.ptr + at, n};
		chunk.want = (uint32_t)n;
		chunk.offset = call->offset + at;
		conn_table_feed(t, &chunk);
		at += n;
	} while (at < call->data.len);
}

static void step(struct conn_table *t, uint8_t what, struct slice data, uint64_t offsets[2][2],
		 uint32_t generations[2], uint64_t now_ns, size_t piece)
{
	unsigned int which = what & STEP_CONN ? 1 : 0, dir = what & STEP_DIR;
	struct chunk chunk = {
		.conn = {.ssl = which, .tgid = 1, .generation = generations[which]},
		.dir = dir ? CHUNK_READ : CHUNK_WRITE,
		.entry_ns = now_ns,
		.now_ns = now_ns + 1,
		.data = data,
		.want = (uint32_t)data.len,
		.candidate = what & STEP_CANDIDATE,
	};

	if (what & STEP_END) {
		generations[which]++;
		conn_table_may_end(t, &chunk.conn, now_ns);
	}
	if (what & STEP_GAP)
		offsets[which][dir] += data.len;
	chunk.offset = offsets[which][dir];
	offsets[which][dir] += chunk.want;
	feed(t, &chunk, piece);
	must_hold(conn_table_memory(t) <= CONN_MEMORY_MAX);
}

static struct provider_table *providers(void)
{
	static struct provider_table *table;

	if (!table && provider_table_new(&table))
		abort();
	return table;
}

static struct rows play(const uint8_t *data, size_t size, size_t piece)
{
	struct rows rows = {0};
	const struct exchange_env env = {.providers = providers(), .ops = &ops, .user = &rows};
	uint64_t offsets[2][2] = {{0}}, now_ns = 1;
	uint32_t generations[2] = {0};
	struct conn_table *t;

	if (conn_table_new(&t, &env))
		abort();
	while (size > 2) {
		size_t n = data[1] < size - 2 ? data[1] : size - 2;

		step(t, data[0], (struct slice){(const char *)data + 2, n}, offsets, generations,
		     now_ns, piece);
		data += 2 + n;
		size -= 2 + n;
		now_ns += NSEC_PER_SEC;
		conn_table_tick(t, now_ns);
	}
	conn_table_process_exit(t, 1, now_ns);
	must_hold(conn_table_count(t) == 0 && conn_table_memory(t) == 0);
	conn_table_free(t);
	must_hold(rows.open == 0);
	return rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows whole = play(data, size, SIZE_MAX), cut = play(data, size, 128 + size % 97);

	must_hold(trace_eq(&whole.trace, &cut.trace));
	return 0;
}
