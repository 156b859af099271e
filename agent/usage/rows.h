/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A meter from within. Private to agent/usage: rows.c knows what the values of a document mean by
 * the dialect's rows, meter.c finds the documents in the bytes of an answer, grpc.c those of gRPC.
 */
#ifndef TT_ROWS_H
#define TT_ROWS_H

#include "agent/eventstream/chunk.h"
#include "agent/eventstream/eventstream.h"
#include "agent/grpc/grpc.h"
#include "agent/grpc/protobuf.h"
#include "agent/sse/sse.h"
#include "agent/usage/meter.h"
#include "agent/usage/raw.h"

enum shape { SHAPE_UNKNOWN, SHAPE_JSON, SHAPE_SSE, SHAPE_MESSAGES, SHAPE_GRPC, SHAPE_DEAD };

/* Chat streams end with this in place of JSON. */
#define DONE_MARK "[DONE]"

/* What one usage object told. */
struct told {
	bool counts;
	int64_t raw[RAW_FIELDS];
	int64_t item_sum[RAW_FIELDS];
	struct raw_store store;
};

struct meter {
	const struct dialect *dialect;
	enum shape shape;
	enum meter_hint hint;
	bool finish_seen;
	bool final_by_end; /* facts.final only because the document is whole: more may follow it */
	struct meter_facts facts;
	struct answer answer;
	struct raw_store raw;
	struct json_scan *scan; /* NULL: gRPC */
	struct sse sse;
	void (*unit)(void *user); /* NULL: nobody asks */
	void *unit_user;
	void (*content)(void *user, struct slice text); /* NULL: nobody asks */
	void *content_user;
	void (*tool_call)(void *user, struct slice id); /* NULL: nobody asks */
	void *tool_call_user;

	/* gRPC: its messages, and the one being read. */
	struct grpc grpc;
	struct protobuf_scan *protobuf; /* NULL: JSON */

	/* AWS event streams. */
	struct eventstream messages;
	struct chunk_reader *chunk; /* NULL: the dialect has none */
	enum { PAYLOAD_JSON, PAYLOAD_CHUNK, PAYLOAD_OTHER } payload;
	bool message_seen; /* a whole one, of either kind */

	/* The document being read: the body, one event's data or one line. */
	bool doc_counts; /* it carried a count */
	bool doc_items;	 /* it carried an item */
	bool doc_search; /* it carried a web search */
	bool doc_last;	 /* nothing follows it, once it is whole */
	enum json_result doc;
	size_t data_len;
	char data_head[sizeof(DONE_MARK)];

	/* Dialects of usage_whole. */
	bool usage_open;     /* inside a usage object */
	bool usage_counts;   /* the one read last carried a count */
	struct told *before; /* what stood before it */

	/* After a gap events are dropped up to a blank line, documents up to a line's end. */
	bool resync;
	bool line_empty;
	bool after_cr;
};

/* Of a document's scan; its user is the meter. */
extern const struct json_ops rows_ops;

/* What was read of the document before is over; another one begins. */
void rows_document_begin(struct meter *m);
/* An event's type, from its data or its event line. */
void rows_type(struct meter *m, struct slice type);
bool rows_listed(const char *const *list, struct slice text);
/* A unit of usage begins: what was read of the one before is forgotten, but not its document's. */
void rows_unit_begin(struct meter *m);
void rows_unit_end(struct meter *m);
/* The first item of a document: it lists all of them anew. */
void rows_items_restart(struct answer *a);
/* The usage object is over, or what followed of it is lost: the one before stands if it said more.
 */
void rows_usage_end(struct meter *m, bool cut);

/* ---- grpc.c ---------------------------------------------------------------------------------- */

int grpc_body_new(struct meter *m, struct json_paths *paths) TT_MUST_CHECK;
void grpc_body_free(struct meter *m);
/* Another answer begins. */
void grpc_body_restart(struct meter *m);
size_t grpc_body_memory(const struct meter *m);

#endif
