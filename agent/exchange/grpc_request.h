/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the wanted fields of a gRPC request: bytes in, each as the member of a JSON request that
 * says the same. Of a string longer than PROTOBUF_TEXT_MAX nothing is told. Pure.
 */
#ifndef TT_GRPC_REQUEST_H
#define TT_GRPC_REQUEST_H

#include "agent/base/base.h"

struct grpc_request;
struct request_field;

struct grpc_request_ops {
	/* Both are borrowed; an enum's value is its number. */
	void (*field)(void *user, struct slice name, struct slice value);
};

/* `fields` as in struct dialect. Returns 0 or -ENOMEM. */
int grpc_request_new(struct grpc_request **out, const struct request_field *fields,
		     const struct grpc_request_ops *ops, void *user) TT_MUST_CHECK;
void grpc_request_free(struct grpc_request *r); /* NULL is fine */
/* False once nothing more can come: the message is over, or these bytes are none. */
bool grpc_request_feed(struct grpc_request *r, struct slice bytes);
size_t grpc_request_memory(const struct grpc_request *r);

#endif
