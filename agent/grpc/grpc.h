/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of one direction of a gRPC call (gRPC over HTTP2, Length-Prefixed-Message): bytes
 * in, each message out in pieces, so that none has to fit in memory. Five bytes stand before each:
 * a flag that says whether it is compressed, and its length, big-endian. Each compressed message is
 * a stream of its own, gzip or deflate as its first byte tells, since the field that names the
 * coding (grpc-encoding) may be an index into what was not seen. Pure.
 *
 * Nothing in the bytes marks where a message begins: once a length is lost, so is all that follows.
 */
#ifndef TT_GRPC_H
#define TT_GRPC_H

#include "agent/base/base.h"

#define GRPC_PREFIX	 5
#define GRPC_MESSAGE_MAX (64u << 20) /* a prefix that announces more is none */

struct decode;

struct grpc_ops {
	void (*begin)(void *user);
	void (*data)(void *user, struct slice piece); /* never empty; its coding is undone */
	/* The message is over. Not sound: part of it is missing, or its coding cannot be undone. */
	void (*end)(void *user, bool sound);
	/* What stands here is no prefix: nothing more comes. */
	void (*lost)(void *user);
};

/* Embedded by its owner. */
struct grpc {
	const struct grpc_ops *ops;
	void *user;
	uint8_t state;
	uint8_t kept; /* bytes in prefix */
	uint8_t prefix[GRPC_PREFIX];
	bool bad;	       /* the message being read is not sound */
	uint32_t left;	       /* of that message */
	struct decode *decode; /* of that message, once its first byte was seen; NULL = none */
};

void grpc_init(struct grpc *g, const struct grpc_ops *ops, void *user);
void grpc_free(struct grpc *g); /* what it holds; calls nothing */
void grpc_feed(struct grpc *g, struct slice bytes);
/*
 * n bytes are missing; 0: it is not known how many. The message they lie in is not sound; if they
 * may reach beyond it, it has no end and nothing more comes.
 */
void grpc_gap(struct grpc *g, uint64_t n);
size_t grpc_memory(const struct grpc *g); /* without sizeof(struct grpc) */

#endif
