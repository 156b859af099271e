/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resumable scanner of protobuf messages (protobuf.dev, "Encoding") that watches paths: bytes in,
 * the values of wanted fields out, in the words of the JSON scanner, so that one table of rows
 * reads either. It keeps state, not bytes. Pure.
 *
 * Paths are those of json/scan.h with field numbers for keys: "9.1", "2.1.1#" (only the length of a
 * string), "9{}" (the begin and end of a message). A repeated message is told once for each of its
 * elements, by the same path. "9.9[]" is a repeated number, packed or not. Numbers come as decimal
 * text, signed as int64; strings as they are; what has a fixed width (float, double, fixed) is not
 * told, nor is what stands in no path. "**" and "~" have no meaning here.
 *
 * Nothing comes out once a message is broken: a tag of no field or of a group (which proto3 does
 * not have), a varint of more than 64 bits, a length beyond the message it stands in.
 */
#ifndef TT_GRPC_PROTOBUF_H
#define TT_GRPC_PROTOBUF_H

#include "agent/json/scan.h"

#define PROTOBUF_DEPTH_MAX  16	      /* messages in messages; deeper ones are passed */
#define PROTOBUF_TEXT_MAX   512	      /* a kept string; longer ones are cut and flagged */
#define PROTOBUF_LENGTH_MAX INT32_MAX /* of a string or a message, as the encoding has it */

struct protobuf_scan;

/* `piece` of ops is not called. Returns 0 or -ENOMEM. */
int protobuf_scan_new(struct protobuf_scan **out, struct json_paths *paths,
		      const struct json_ops *ops, void *user) TT_MUST_CHECK;
void protobuf_scan_free(struct protobuf_scan *s); /* NULL is fine; wipes what was kept */

void protobuf_scan_begin(struct protobuf_scan *s); /* a new message */
void protobuf_scan_feed(struct protobuf_scan *s, struct slice bytes);
/* The message is over. False when it was broken, or ends within a field. */
bool protobuf_scan_end(const struct protobuf_scan *s) TT_MUST_CHECK;
size_t protobuf_scan_memory(const struct protobuf_scan *s);

#endif
