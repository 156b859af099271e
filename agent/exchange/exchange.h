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
struct batch_dates;
struct operation_table;
struct tokenizers;
struct privacy;
struct provider_table;

/* What became of an exchange that yields no row; label of tolltap_requests_ignored_total. */
enum ignored_reason {
	IGNORED_PATH_NOT_BILLABLE, /* model lists, token counting, files: known and free */
	IGNORED_PATH_UNKNOWN,	   /* a path that is in no table */
	IGNORED_METHOD,		   /* reads back work (GET), and tells no usage that is final */
	IGNORED_NOT_LLM,	   /* a candidate whose answer does not look like an LLM's */
	IGNORED_UPGRADE,	   /* to a protocol that is not read, or at a path in no table */
	IGNORED_SESSION_EMPTY,	   /* a WebSocket on which no call was made */
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
	/*
	 * A row may come (+1), or none will any more (-1); done ends one by itself. Optional. call:
	 * what its request's head says, with its event id; NULL: one of a session.
	 */
	void (*open)(void *user, const struct call *call, uint64_t started_ns, int change);
	/*
	 * A request to a listed host went out whole: what it says is filled. One of a session is
	 * not told. Optional.
	 */
	void (*asked)(void *user, const struct conn_id *conn, const struct call *call);
	/* Asked for candidates only, at most once per exchange, when the answer's shape is known.
	 */
	void (*judged)(void *user, const struct conn_id *conn, enum judgement judgement,
		       const char *host);
	/* May a record made in between have been lost? NULL: none ever is. */
	bool (*may_be_lost)(void *user, uint64_t from_ns, uint64_t until_ns);
};

/* Shared by all exchanges of an agent: tables, the install's key and where results go. */
struct exchange_env {
	const struct provider_table *providers;
	struct operation_table *operations; /* links retries; NULL = every attempt stands alone */
	struct tokenizers *tokenizers;	    /* NULL: nothing is estimated */
	struct batch_dates *batch_dates;    /* when batches were done; NULL = only where they say */
	const char *machine_id, *boot_id;   /* part of every event id; NULL = "" */
	const struct privacy *privacy;	    /* NULL = its default list */
	uint8_t fingerprint_key[32]; /* per install; keyed hashes of credentials and requests */
	/* What was written before went to another reader, in part at least; 0 = there was none. */
	uint64_t reader_since_ns;
	const struct exchange_ops *ops;
	void *user;
};

/* Where and when the request's first byte was written. */
struct exchange_start {
	struct conn_id conn;
	uint64_t entry_ns; /* entry of the write that carried it (CLOCK_MONOTONIC) */
	/* 0 = first request that starts inside that record; HTTP/2: its stream */
	uint32_t index_in_record;
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
/*
 * Asked after a head of status 101: what follows in both directions are messages of a session that
 * is read here; each of its calls is a record of its own. Else they are none of ours.
 */
bool exchange_is_session(const struct exchange *x);
/* Bytes of a session; call_begins: they are the first of a read or write of the application. */
void exchange_session_bytes(struct exchange *x, enum chunk_dir dir, struct slice bytes,
			    bool call_begins, uint64_t now_ns);
/* n bytes of it were not seen; 0: it is not known how many. */
void exchange_session_gap(struct exchange *x, enum chunk_dir dir, uint64_t n, uint64_t now_ns);
/* Nothing more of it can be read: the connection is blind from here on. */
bool exchange_is_blind(const struct exchange *x);

/* Fields behind the body: how a call of gRPC ended. */
void exchange_response_trailers(struct exchange *x, const struct http_head *trailers);

/* Closes the record and calls ops->done or ops->ignored; only exchange_free may follow. */
void exchange_response_end(struct exchange *x, enum message_end how, uint64_t now_ns);

/*
 * Nothing has come for a while: closes the record if the answer said by itself that it is over,
 * whatever its framing still waits for. More of the answer is not looked at then.
 */
void exchange_rest(struct exchange *x, uint64_t now_ns);

/*
 * No (more) answer will come: MESSAGE_CUT when connection or process are gone, MESSAGE_UNSEEN when
 * only our view of them is. Closes the record like exchange_response_end if it is open.
 */
void exchange_abandon(struct exchange *x, enum message_end how, uint64_t now_ns);

/* The request method decides the framing of the answer. */
bool exchange_is_head(const struct exchange *x);
bool exchange_is_connect(const struct exchange *x);

void exchange_free(struct exchange *x); /* NULL is fine */
size_t exchange_memory(const struct exchange *x);

#endif
