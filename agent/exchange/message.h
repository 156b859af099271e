/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP message as HTTP/1.1 and HTTP/2 both show it: heads with fields, body bytes, gaps, an end
 * with its reason. Transports call exchange.h with these.
 */
#ifndef TT_MESSAGE_H
#define TT_MESSAGE_H

#include "agent/base/base.h"

#define HTTP_FIELDS_MAX 128

struct http_field {
	struct slice name;
	struct slice value; /* trimmed */
};

struct http_head {
	struct slice method; /* request */
	struct slice target; /* request: path and query, as sent */
	int status;	     /* response: 100..999 */
	size_t count;
	bool cut;    /* fields beyond the limits (HTTP_FIELDS_MAX, head bytes) are missing */
	bool unseen; /* nothing of it was seen: what follows is joined within */
	struct http_field fields[HTTP_FIELDS_MAX];
};

/* First field of that name (case-insensitive), or {NULL, 0}. */
struct slice http_head_get(const struct http_head *head, const char *name);

/* Why a message ended. */
enum message_end {
	MESSAGE_COMPLETE, /* its framing said so */
	MESSAGE_CLOSED,	  /* it had no framing: the connection's end is its end */
	MESSAGE_CUT,	  /* connection closed, process gone or stream reset before the end */
	MESSAGE_UNSEEN, /* bytes of it were lost on the way here, or we let go of the connection */
	MESSAGE_BROKEN, /* bytes that are no HTTP message */
};

#endif
