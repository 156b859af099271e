/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request says about itself: head fields and the few body fields that are not content
 * (design section 5). Ids, names and tags only; every text is bounded by its field. Whose values
 * are kept, and how, is privacy.h's.
 */
#ifndef TT_REQUEST_H
#define TT_REQUEST_H

#include "agent/exchange/message.h"
#include "agent/usage/call.h"

struct estimate;
struct exchange_env;
struct request_body;
struct request_field;

/* Host (without the default port, lower case) into call->host; hint is used when there is none. */
void request_host(struct call *call, const struct http_head *head, const char *hint);

/* Trace, attempt, session and tags of the request's head. */
void request_head_facts(const struct exchange_env *env, struct call *call,
			const struct http_head *head);
/* Tags and the request id of the answer's head; id_header may be NULL. */
void response_head_facts(const struct exchange_env *env, struct call *call,
			 const struct http_head *head, const char *id_header);

/* What a request asks for and no answer repeats. */
struct request_units {
	uint64_t characters;	   /* of "input", when that is one text: what speech is made of */
	bool usage_asked;	   /* stream_options.include_usage */
	const uint8_t *link_key;   /* 32 bytes, borrowed: hashes call->asks; NULL: no links */
	struct estimate *estimate; /* counts the text; borrowed, NULL: not counted */
};

/*
 * Reads model, stream, tier and what privacy.h lists and what joins runs from a JSON body, the
 * first three also from a multipart form, what `fields` (of the dialect) has of them from a gRPC
 * message, into call and units, which must outlive it as env must. Coding and form are told by the
 * head. Returns 0, -ENOTSUP, -ENOMEM.
 */
int request_body_new(struct request_body **out, const struct exchange_env *env, struct call *call,
		     struct request_units *units, const struct http_head *head,
		     const struct request_field *fields) TT_MUST_CHECK;
void request_body_free(struct request_body *b);
/* False when the rest says nothing or cannot be read (the end of a form or message, no JSON, a
 * broken coding, which is counted): free it then. */
bool request_body_feed(struct request_body *b, struct slice bytes) TT_MUST_CHECK;
size_t request_body_memory(const struct request_body *b);

#endif
