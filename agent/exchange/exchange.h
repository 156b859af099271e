/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange pairs a request with its answer and yields one call (usage/call.h). The transport
 * calls in wire order; the exchange picks the provider by host and path, undoes content codings,
 * feeds SSE or JSON to the provider's dialect and closes the record. It holds parser state, never a
 * body. Wall times come from the caller; no clock is read here.
 */
#ifndef TT_EXCHANGE_H
#define TT_EXCHANGE_H

#include "agent/capture/chunk.h"
#include "agent/exchange/message.h"
#include "agent/usage/call.h"

struct exchange;
struct operation_table;
struct provider_table;

/* What became of an exchange that yields no row; label of tolltap_requests_ignored_total. */
enum ignored_reason {
	IGNORED_PATH_NOT_BILLABLE, /* model lists, token counting, files: known and free */
	IGNORED_PATH_UNKNOWN,	   /* a path that is in no table */
	IGNORED_METHOD,		   /* a poll (GET) of work metered at its POST */
	IGNORED_NOT_LLM,	   /* a candidate whose answer does not look like an LLM's */
	IGNORED_UPGRADE,	   /* WebSocket and others: refused politely */
	IGNORED_REASONS
};
extern const char *const ignored_reason_names[IGNORED_REASONS];

/* The judgement on a candidate connection. */
enum judgement { JUDGE_WATCH, JUDGE_MUTE };

struct exchange_ops {
	/*
	 * The call is over: everything but workload, tags of the environment, wall time and cost is
	 * filled. `call` is borrowed. started_ns (CLOCK_MONOTONIC) is that of the request's first
	 * byte.
	 */
	void (*done)(void *user, const struct conn_id *conn, uint64_t started_ns,
		     struct call *call);
	void (*ignored)(void *user, const char *provider, enum ignored_reason reason);
	/* Asked for candidates only, at most once per exchange, when the answer's shape is known.
	 */
	void (*judged)(void *user, const struct conn_id *conn, enum judgement judgement,
		       const char *host);
};

/* Shared by all exchanges of an agent: tables, the install's key and where results go. */
struct exchange_env {
	const struct provider_table *providers;
	struct operation_table *operations; /* links retries; NULL = every attempt stands alone */
	const char *machine_id, *boot_id;   /* part of every event id; NULL = "" */
	uint8_t fingerprint_key[32]; /* per install; keyed hashes of credentials and requests */
	const struct exchange_ops *ops;
	void *user;
};

/* Where and when the request's first byte was written. */
struct exchange_start {
	struct conn_id conn;
	uint64_t entry_ns;	  /* entry of the write that carried it (CLOCK_MONOTONIC) */
	uint32_t index_in_record; /* 0 = first request that starts inside that record */
	bool candidate;
	const char *host_hint; /* server name from the gate, used when there is no Host; or "" */
};

/*
 * Begins at a request head. Returns 0 and *out, or -ENOMEM. An exchange whose path gives no row is
 * still returned (the transport must pair its answer); it costs no parser.
 */
int exchange_begin(struct exchange **out, const struct exchange_env *env,
		   const struct exchange_start *start,
		   const struct http_head *request) TT_MUST_CHECK;

void exchange_request_body(struct exchange *x, struct slice bytes);
void exchange_request_gap(struct exchange *x, uint64_t n);
void exchange_request_end(struct exchange *x, enum message_end how);

/* SSL_free or SSL_clear was seen: likely nothing more comes, and the client may try again. */
void exchange_may_end(struct exchange *x, uint64_t now_ns);

void exchange_response_head(struct exchange *x, const struct http_head *head, uint64_t now_ns);
void exchange_response_body(struct exchange *x, struct slice bytes, uint64_t now_ns);
void exchange_response_gap(struct exchange *x, uint64_t n);
/* Closes the record and calls ops->done or ops->ignored; only exchange_free may follow. */
void exchange_response_end(struct exchange *x, enum message_end how, uint64_t now_ns);

/*
 * Nothing has come for a while: closes the record if the answer said by itself that it is over,
 * whatever its framing still waits for. More of the answer is not looked at then.
 */
void exchange_rest(struct exchange *x, uint64_t now_ns);

/*
 * No (more) answer will come: connection gone, process gone, protocol broken. Closes the record
 * like exchange_response_end if it is open: no head seen = outcome aborted.
 */
void exchange_abandon(struct exchange *x, uint64_t now_ns);

/* The request method decides the framing of the answer. */
bool exchange_is_head(const struct exchange *x);
bool exchange_is_connect(const struct exchange *x);

void exchange_free(struct exchange *x); /* NULL is fine */
size_t exchange_memory(const struct exchange *x);

#endif
