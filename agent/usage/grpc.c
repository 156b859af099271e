/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of gRPC: each of its messages is a document, read by the dialect's rows. */
#include "agent/usage/rows.h"

#include <errno.h>

static void message_begin(void *user)
{
	struct meter *m = user;

	rows_document_begin(m);
	protobuf_scan_begin(m->protobuf);
	m->facts.stream |= m->message_seen;
}

static void message_data(void *user, struct slice piece)
{
	struct meter *m = user;

	protobuf_scan_feed(m->protobuf, piece);
}

/* Of a message that is not all here what was read stands; one that is no protobuf told nothing. */
static void message_end(void *user, bool sound)
{
	struct meter *m = user;
	bool whole = protobuf_scan_end(m->protobuf);

	m->message_seen = true;
	if (m->usage_open)
		rows_usage_end(m, true);
	if (sound && !whole)
		m->answer.unreadable |= m->doc_counts;
	m->facts.broken |= !sound || !whole;
}

static void message_lost(void *user)
{
	struct meter *m = user;

	m->facts.broken = true;
	m->facts.alien |= !m->message_seen;
	m->facts.final &= !m->facts.stream;
}

static const struct grpc_ops ops = {
	.begin = message_begin,
	.data = message_data,
	.end = message_end,
	.lost = message_lost,
};

int grpc_body_new(struct meter *m, struct json_paths *paths)
{
	return protobuf_scan_new(&m->protobuf, paths, &rows_ops, m);
}

void grpc_body_free(struct meter *m)
{
	grpc_free(&m->grpc);
	protobuf_scan_free(m->protobuf);
}

void grpc_body_restart(struct meter *m)
{
	grpc_free(&m->grpc);
	grpc_init(&m->grpc, &ops, m);
	m->shape = SHAPE_GRPC;
	m->facts.stream = m->dialect->wire == WIRE_GRPC_STREAM;
}

size_t grpc_body_memory(const struct meter *m)
{
	return protobuf_scan_memory(m->protobuf) + grpc_memory(&m->grpc);
}
