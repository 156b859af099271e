/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection table: chunks in stream order in, HTTP messages out to exchanges. It finds gaps by
 * stream offsets, tells request from answer by direction (the client writes requests), finds its
 * place again at the next message start after a gap or a late join, and bounds what hostile or idle
 * connections hold: CONNS_MAX entries, CONN_IDLE_NS, CONN_MEMORY_MAX in all. What is too much goes
 * from the process that holds most, the connection first that it used longest ago.
 */
#ifndef TT_CONN_H
#define TT_CONN_H

#include "agent/capture/chunk.h"
#include "agent/exchange/exchange.h"

#define CONNS_MAX	     8192
#define CONN_IDLE_NS	     (600ULL * NSEC_PER_SEC)
#define CONN_SESSION_IDLE_NS (7200ULL * NSEC_PER_SEC) /* of a WebSocket */
#define CONN_MEMORY_MAX	     (64u << 20)
#define CONN_PIPELINE_MAX    64 /* requests awaiting their answer on one connection */
#define CONN_MAY_END_NS	     (1ULL * NSEC_PER_SEC) /* without bytes after a sign of the end */
#define CONN_HOST_MAX	     128

struct conn_table;

/* Returns 0 or -ENOMEM. env stays the caller's and must outlive the table. */
int conn_table_new(struct conn_table **out, const struct exchange_env *env) TT_MUST_CHECK;
void conn_table_free(struct conn_table *t); /* open exchanges are abandoned first */

/*
 * A connection became candidate or watched: a request start was seen. One that is known here ends:
 * this is a new one in its memory, or the kernel, which counts anew, has forgotten it. host is the
 * gate's server name or "".
 */
void conn_table_open(struct conn_table *t, const struct conn_id *id, const char *host,
		     uint64_t now_ns);
void conn_table_feed(struct conn_table *t, const struct chunk *chunk);
/* SSL_free/SSL_clear: a read-until-close body is complete; others wait for CONN_MAY_END_NS. */
void conn_table_may_end(struct conn_table *t, const struct conn_id *id, uint64_t now_ns);
/*
 * The process is gone: every connection of it ends. Chunks of it that are still in the ring must
 * have been fed before, or they open connections that only idling ends.
 */
void conn_table_process_exit(struct conn_table *t, uint32_t tgid, uint64_t now_ns);
/*
 * Call twice a second, so that a row is visible 2 s after its call: ends connections that only "may
 * end", closes calls whose answer said that it is over, evicts idle connections.
 */
void conn_table_tick(struct conn_table *t, uint64_t now_ns);
size_t conn_table_count(const struct conn_table *t);
size_t conn_table_memory(const struct conn_table *t);

#endif
