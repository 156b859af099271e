/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request says about itself, by allow-list: head fields and the few body fields that are not
 * content (design section 5). Ids, names and tags only; every text is bounded by its field.
 */
#ifndef TT_REQUEST_H
#define TT_REQUEST_H

#include "agent/exchange/message.h"
#include "agent/usage/call.h"

struct request_body;

/* Host (without the default port, lower case) into call->host; hint is used when there is none. */
void request_host(struct call *call, const struct http_head *head, const char *hint);

/* Trace, attempt, session and tags of the request's head. */
void request_head_facts(struct call *call, const struct http_head *head);
/* Tags and the request id of the answer's head; id_header may be NULL. */
void response_head_facts(struct call *call, const struct http_head *head, const char *id_header);

/*
 * Reads model, stream, tier, user and metadata from a JSON body into call, which must outlive it.
 * content_encoding as in decode_new. Returns 0, -ENOTSUP, -ENOMEM.
 */
int request_body_new(struct request_body **out, struct call *call,
		     struct slice content_encoding) TT_MUST_CHECK;
void request_body_free(struct request_body *b);
/* False when the rest cannot be read (no JSON, broken coding): free it then. */
bool request_body_feed(struct request_body *b, struct slice bytes) TT_MUST_CHECK;
size_t request_body_memory(const struct request_body *b);

#endif
