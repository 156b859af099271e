/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange from within. Private to agent/exchange: exchange.c takes it from its request to its
 * end, route.c knows what the request's head means, attempt.c which operation it is an attempt of,
 * body.c reads the answer's body, settle.c makes the record of it, reading.c those of work that was
 * begun before, session_calls.c those of a session.
 */
#ifndef TT_EXCHANGE_PARTS_H
#define TT_EXCHANGE_PARTS_H

#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/exchange/request.h"

#include <nettle/hmac.h>

struct answer;
struct api_path;
struct grpc_status;

/* What only an exchange that may yield a row needs. */
struct work {
	struct call call;
	const struct dialect *dialect;
	bool by_shape;	  /* the host is not listed: the answer must carry the dialect's marks */
	enum basis basis; /* as settled, before pricing */
	bool reads;	  /* of work that was begun before; this request is none */
	char object_id[CALL_NAME_MAX];	 /* of what the path reads, or "" */
	uint32_t units_seen, units_told; /* of an answer with several; those that are records */
	char path_model[CALL_NAME_MAX];	 /* the model the path names, or "" */
	bool is_deployment;		 /* that is no model */
	bool coded;			 /* the answer has a content coding */
	bool coding_unseen;		 /* it may: its first bytes have to tell */
	char start[4];			 /* these */
	size_t start_len;
	struct request_body *request;
	struct request_units units;
	bool has_body; /* the request */
	enum { HASH_NONE, HASH_GROWS, HASH_WHOLE } hash_state;
	struct hmac_sha256_ctx hash;	  /* HASH_GROWS: of the request's body so far */
	struct operation_key request_key; /* of its head; HASH_WHOLE: of the request */
	struct decode *decode;
	struct meter *meter;
	struct guess *guess; /* NULL unless the request's path was not seen */
	bool undecodable;    /* the answer's coding is broken, or none that can be read */
	bool doubtful;	     /* more than one fits, and they count otherwise: nothing is known */
	bool answer_gap;     /* part of the answer was not captured */
	const struct grpc_status *grpc_status; /* as the answer's fields have it; NULL = not told */
	bool status_unseen;		       /* it may be among those that were not seen */
	uint64_t first_byte_ns;
	uint64_t first_content_ns;
	uint64_t now_ns;	 /* of the piece being decoded */
	struct session *session; /* upgraded: each call of it is a record, this one is none */
	int session_calls;	 /* records of it so far */
};

struct exchange {
	const struct exchange_env *env;
	struct conn_id conn;
	uint64_t entry_ns;
	uint32_t index_in_record;
	bool candidate;
	bool judged;
	bool is_head;
	bool is_connect;
	bool closed;
	enum ignored_reason ignored; /* when there is no work */
	const struct provider *provider;
	struct work *work; /* NULL: this exchange yields no row */
};

/* The judgement on a candidate's connection; only the first of an exchange is told. */
void exchange_judge(struct exchange *x, enum judgement judgement);
/* As exchange_ops.open. */
void exchange_count_open(const struct exchange *x, int change);

/* ---- route.c --------------------------------------------------------------------------------- */

/*
 * What host (or the hint), method and path mean: sets x->provider, the role of call and whether the
 * host is one that is not listed. NULL with x->ignored set when they give no row.
 */
const struct api_path *route_find(struct exchange *x, const struct http_head *head,
				  const char *hint, struct call *call, bool *by_shape);
/* All that the head says of the call, and an empty answer. */
void route_describe(struct exchange *x, struct work *w, const struct api_path *path,
		    const struct http_head *head);
bool route_asks_websocket(const struct http_head *head);

/* ---- attempt.c ------------------------------------------------------------------------------- */

/* The call's event id, and an operation of its own until more is known. */
void attempt_identify(struct exchange *x);
/* The hashes by which a retry and a gateway's other leg are known: of the head, and of the body as
 * it comes. */
void attempt_hash_begin(struct exchange *x, const struct http_head *head);
void attempt_hash_body(struct work *w, struct slice bytes);
/* The request was sent whole: now it can be told from others. */
void attempt_begin(struct exchange *x);
void attempt_end(struct exchange *x, bool failed, uint64_t now_ns);
/* Clients send again what was not answered, and what these statuses ask to send again. */
bool attempt_worth_retrying(const struct call *c);
/* The call of this event id is an operation of its own, after so many retries. */
void attempt_alone(struct call *c, int retries);

/* ---- body.c ---------------------------------------------------------------------------------- */

/* Of the answer. Without memory it is not read, and what is fed then goes nowhere. */
void body_begin(struct exchange *x, const struct http_head *head);
void body_feed(struct exchange *x, struct slice bytes);
void body_gap(struct work *w, uint64_t n); /* as meter_gap */

/* ---- settle.c -------------------------------------------------------------------------------- */

/* The end as it was seen, if all of it was; else that is a gap of the call. */
enum message_end settle_seen_end(struct exchange *x, enum message_end how, uint64_t now_ns);
/* The exchange is over: fills in the rest of its call. */
void settle_call(struct exchange *x, enum message_end how, uint64_t now_ns);
/* Usage, names, outcome and basis by what w->meter read. */
void settle_answer(struct work *w, enum message_end how);
/* The same of an answer that never came, or for which there was no memory. */
void settle_unread(struct call *c, enum message_end how);
/* Why usage is missing, of a call whose outcome and basis are settled, by what w->meter read. */
enum usage_missing settle_missing(const struct work *w);
/* Will the same request be sent again? */
bool settle_worth_retrying(const struct work *w);
void settle_error_class(struct call *c, const struct answer *a);

/* As settle_answer, of one of several units in the answer. */
void settle_told(struct work *w, enum message_end how);

/* ---- reading.c ------------------------------------------------------------------------------- */

/* The answer's body begins: its units, where it has several, are told as they come. */
void reading_begin(struct exchange *x);
/* After settle_call: true when the call is a record by the usage it tells. */
bool reading_end(struct exchange *x);
/* What is said of work that goes on: its usage may still grow. */
bool reading_is_under_way(const struct answer *a);
/* After settle_call, of work that will be read back: it goes by its id. */
void reading_made(struct exchange *x);

/* ---- session_calls.c ------------------------------------------------------------------------- */

/* After a 101. Without it the connection is none of ours: what is not known, or no memory. */
void session_calls_begin(struct exchange *x, const struct http_head *head);

/* ---- for all of them ------------------------------------------------------------------------- */

static inline void set_text(char *dst, size_t size, const char *text)
{
	slice_copy(dst, size, slice_of(text));
}

static inline int64_t between_us(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (int64_t)((to_ns - from_ns) / NSEC_PER_USEC) : 0;
}

#endif
