/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/grpc/grpc.h"

#include "agent/decode/decode.h"

enum state {
	IN_PREFIX,
	IN_MESSAGE, /* `left` bytes, at least one */
	LOST,	    /* for good */
};

#define GZIP_FIRST 0x1f /* RFC 1952 2.3.1; zlib's first byte ends in 8 (RFC 1950 2.2) */

void grpc_init(struct grpc *g, const struct grpc_ops *ops, void *user)
{
	*g = (struct grpc){.ops = ops, .user = user, .state = IN_PREFIX};
}

static void drop_decode(struct grpc *g)
{
	decode_free(g->decode);
	g->decode = NULL;
}

void grpc_free(struct grpc *g)
{
	drop_decode(g);
}

static void end_message(struct grpc *g)
{
	drop_decode(g);
	g->state = IN_PREFIX;
	g->kept = 0;
	g->ops->end(g->user, !g->bad);
}

static void begin_message(struct grpc *g)
{
	const uint8_t *p = g->prefix;

	g->left = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	if (p[0] > 1 || g->left > GRPC_MESSAGE_MAX) {
		g->state = LOST;
		g->ops->lost(g->user);
		return;
	}
	g->bad = false;
	g->state = IN_MESSAGE;
	g->ops->begin(g->user);
	if (!g->left)
		end_message(g);
}

static size_t eat_prefix(struct grpc *g, struct slice bytes)
{
	g->prefix[g->kept++] = (uint8_t)bytes.ptr[0];
	if (g->kept == GRPC_PREFIX)
		begin_message(g);
	return 1;
}

static void on_decoded(void *user, struct slice piece)
{
	struct grpc *g = user;

	g->ops->data(g->user, piece);
}

static void decompress(struct grpc *g, struct slice piece)
{
	bool gzip = (uint8_t)piece.ptr[0] == GZIP_FIRST;

	if (!g->decode &&
	    decode_new(&g->decode, gzip ? SLICE("gzip") : SLICE("deflate"), on_decoded, g))
		g->bad = true;
	else if (decode_feed(g->decode, piece) != DECODE_OK)
		g->bad = true;
}

static size_t eat_message(struct grpc *g, struct slice bytes)
{
	if (bytes.len > g->left)
		bytes.len = g->left;
	if (!g->bad && g->prefix[0])
		decompress(g, bytes);
	else if (!g->bad)
		g->ops->data(g->user, bytes);
	g->left -= (uint32_t)bytes.len;
	if (!g->left)
		end_message(g);
	return bytes.len;
}

void grpc_feed(struct grpc *g, struct slice bytes)
{
	while (bytes.len && g->state != LOST) {
		size_t n = g->state == IN_PREFIX ? eat_prefix(g, bytes) : eat_message(g, bytes);

		bytes.ptr += n;
		bytes.len -= n;
	}
}

void grpc_gap(struct grpc *g, uint64_t n)
{
	if (g->state != IN_MESSAGE || !n || n > g->left) {
		drop_decode(g);
		g->state = LOST;
		return;
	}
	g->bad = true;
	g->left -= (uint32_t)n;
	if (!g->left)
		end_message(g);
}

size_t grpc_memory(const struct grpc *g)
{
	return g->decode ? decode_memory(g->decode) : 0;
}
