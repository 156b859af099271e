/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which attempts belong to one operation (design section 3, rule 6). A request that a process sends
 * again, byte for byte, to the same host and path after an attempt that failed in a way worth
 * retrying joins that attempt's operation; a deliberate repeat after a success begins its own.
 * Requests are known by a keyed hash that stays in here. Pure: time is an argument.
 *
 * Bounds: OPERATIONS_MAX distinct requests, the one used least recently goes first;
 * OPERATION_SIBLINGS_MAX operations of equal requests in parallel.
 */
#ifndef TT_OPERATION_H
#define TT_OPERATION_H

#include "agent/base/base.h"

#define OPERATIONS_MAX	       4096
#define OPERATION_SIBLINGS_MAX 4
#define OPERATION_RETRY_NS     (600ULL * NSEC_PER_SEC) /* from a failure to its retry */

struct operation_table;

/* Keyed hash of process, host, path and body. */
struct operation_key {
	uint8_t bytes[32];
};

struct operation_attempt {
	uint8_t operation_id[16]; /* the event id of its first attempt */
	int number;		  /* 1 = first */
};

/* Returns 0 or -ENOMEM. */
int operation_table_new(struct operation_table **out) TT_MUST_CHECK;
void operation_table_free(struct operation_table *t); /* NULL is fine */

/*
 * An attempt begins; its request was seen whole. `retries` is what the client says: 0 = nothing;
 * more make it a retry of whatever came before. Without memory it stands alone.
 */
void operation_begin(struct operation_table *t, const struct operation_key *key,
		     const uint8_t event_id[16], int retries, uint64_t now_ns,
		     struct operation_attempt *out);

/*
 * That attempt is over, or seems so: `failed` = the same request is likely to be sent again. A
 * later word on the same attempt replaces the earlier, unless a retry has joined meanwhile.
 */
void operation_end(struct operation_table *t, const struct operation_key *key,
		   const uint8_t event_id[16], bool failed, uint64_t now_ns);

size_t operation_table_count(const struct operation_table *t); /* distinct requests */

/* An attempt that is no part of the table: its own operation, counted as the client says. */
struct operation_attempt operation_alone(const uint8_t event_id[16], int retries);

#endif
