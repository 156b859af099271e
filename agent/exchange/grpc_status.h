/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a gRPC call ended (gRPC over HTTP2, Responses): HTTP's status is 200 whatever became of it,
 * and "grpc-status" says more, in the trailers or in the head of an answer without messages.
 */
#ifndef TT_GRPC_STATUS_H
#define TT_GRPC_STATUS_H

#include "agent/exchange/message.h"

struct grpc_status {
	const char *name; /* "RESOURCE_EXHAUSTED", as Google's JSON errors have it too */
	bool failed;
	bool retried; /* clients are likely to send the same request again */
};

/* NULL: these fields do not tell. */
const struct grpc_status *grpc_status_read(const struct http_head *head);

#endif
