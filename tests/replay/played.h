/* SPDX-License-Identifier: Apache-2.0 */
/* Wire bytes through the connection table, and what came out. */
#ifndef TT_TEST_PLAYED_H
#define TT_TEST_PLAYED_H

#include "tests/replay/bytes.h"

#include "agent/providers/provider.h"
#include "agent/stream/conn.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROWS_MAX 8
#define STREAMS	 50
#define NOW_NS	 5000000000ULL

struct outcome_seen {
	/* Set: rows are compared with the like of these, not kept. */
	const struct outcome_seen *against;
	size_t unlike; /* of those compared */
	uint8_t ids[STREAMS * ROWS_MAX][16];
	size_t rows;
	struct call row[ROWS_MAX];
	size_t ignored;
	enum ignored_reason reason;
	size_t judged;
	enum judgement judgement;
	int open; /* calls begun that have not ended */
};

/* Equal but for what names the request on the wire. */
static bool row_eq(const struct call *a, const struct call *b)
{
	static struct call x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	memset(x.event_id, 0, sizeof(x.event_id));
	memset(y.event_id, 0, sizeof(y.event_id));
	memset(x.operation_id, 0, sizeof(x.operation_id));
	memset(y.operation_id, 0, sizeof(y.operation_id));
	return memcmp(&x, &y, sizeof(x)) == 0;
}

static void compare(struct outcome_seen *seen, const struct call *call)
{
	const struct outcome_seen *want = seen->against;
	size_t i = (size_t)call->sub_index;

	if (i >= want->rows || i >= ROWS_MAX || !row_eq(call, &want->row[i]))
		seen->unlike++;
	if (seen->rows < ARRAY_LEN(seen->ids))
		memcpy(seen->ids[seen->rows], call->event_id, sizeof(call->event_id));
}

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct outcome_seen *seen = user;

	(void)conn;
	(void)started_ns;
	if (seen->against)
		compare(seen, call);
	else if (seen->rows < ROWS_MAX)
		seen->row[seen->rows] = *call;
	seen->rows++;
	seen->open--;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	struct outcome_seen *seen = user;

	(void)provider;
	seen->ignored++;
	seen->reason = reason;
}

static void on_judged(void *user, const struct conn_id *conn, enum judgement judgement,
		      const char *host)
{
	struct outcome_seen *seen = user;

	(void)conn;
	(void)host;
	seen->judged++;
	seen->judgement = judgement;
}

static void on_open(void *user, const struct call *call, uint64_t started_ns, int change)
{
	struct outcome_seen *seen = user;

	(void)call;
	(void)started_ns;
	seen->open += change;
}

static const struct exchange_ops ops = {
	.done = on_done, .ignored = on_ignored, .judged = on_judged, .open = on_open};

static struct provider_table *providers;

static void feed(struct conn_table *t, const struct conn_id *id, enum chunk_dir dir,
		 const struct bytes *wire, size_t piece, bool candidate)
{
	for (size_t at = 0; at < wire->len; at += piece) {
		size_t n = wire->len - at < piece ? wire->len - at : piece;
		struct chunk chunk = {
			.conn = *id,
			.dir = dir,
			.offset = at,
			.entry_ns = NOW_NS,
			.now_ns = NOW_NS + 1000,
			.data = {wire->ptr + at, n},
			.want = (uint32_t)n,
			.candidate = candidate,
		};

		conn_table_feed(t, &chunk);
	}
}

static void replay_at(const char *host, const struct bytes *request, const struct bytes *response,
		      size_t piece, bool candidate, struct outcome_seen *seen)
{
	struct exchange_env env = {.providers = providers, .ops = &ops, .user = seen};
	struct conn_id id = {.ssl = 0x1000, .start_boot_ns = 7, .tgid = 42};
	struct conn_table *t = NULL;

	*seen = (struct outcome_seen){.against = seen->against};
	assert_int_equal(conn_table_new(&t, &env), 0);
	conn_table_open(t, &id, host, NOW_NS);
	feed(t, &id, CHUNK_WRITE, request, piece, candidate);
	feed(t, &id, CHUNK_READ, response, piece, candidate);
	conn_table_free(t);
	assert_int_equal(seen->open, 0);
}

static void replay(const struct bytes *request, const struct bytes *response, size_t piece,
		   bool candidate, struct outcome_seen *seen)
{
	replay_at("", request, response, piece, candidate, seen);
}

#endif
