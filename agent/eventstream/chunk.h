/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of one chunk of Bedrock's InvokeModelWithResponseStream as a stream: a JSON object
 * with a model's own event as base64 in "bytes", and padding beside it. Payload in, the event's
 * bytes out in pieces. Pure.
 */
#ifndef TT_EVENTSTREAM_CHUNK_H
#define TT_EVENTSTREAM_CHUNK_H

#include "agent/base/base.h"

struct chunk_reader;

int chunk_reader_new(struct chunk_reader **out, void (*bytes)(void *user, struct slice piece),
		     void *user) TT_MUST_CHECK;
void chunk_reader_free(struct chunk_reader *r);

void chunk_reader_begin(struct chunk_reader *r); /* a new payload */
void chunk_reader_feed(struct chunk_reader *r, struct slice piece);
/* False when the payload was no whole JSON object, or its bytes no whole base64. */
bool chunk_reader_end(const struct chunk_reader *r) TT_MUST_CHECK;
size_t chunk_reader_memory(const struct chunk_reader *r);

#endif
