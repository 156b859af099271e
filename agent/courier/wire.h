/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What worker and courier say to each other: one request or one answer per datagram of a
 * SOCK_SEQPACKET pair, both of fixed size. Neither side trusts the other: each datagram is
 * validated before anything of it is used, and a text is printable UTF-8 with nothing behind its
 * end. Pure: no sockets, clocks or memory here. A new kind of look-up is one more kind and its row
 * in wire.c; both processes are one binary, so there are no versions.
 */
#ifndef TT_COURIER_WIRE_H
#define TT_COURIER_WIRE_H

#include "agent/base/base.h"

#define COURIER_KEY_MAX	     128
#define COURIER_TEXT_MAX     128
#define COURIER_CONTAINER_ID 64 /* hex digits of a container's id */
#define COURIER_TAG_KEY_MAX  64
#define COURIER_TAGS_MAX     12

#define COURIER_OUTSTANDING_MAX 64 /* requests of one worker that are not answered yet */

enum courier_kind {
	COURIER_CONTAINER, /* key: id of a container; texts: its name, image and pod */
	COURIER_KINDS
};

enum courier_result {
	COURIER_FOUND,
	COURIER_UNKNOWN,   /* every source was asked, none knows the key */
	COURIER_FORBIDDEN, /* a source may not be opened: COURIER_NAME says which */
	COURIER_FAILED,	   /* a source did not answer, or not sensibly */
	COURIER_WIRE_RESULTS,
	COURIER_LATE = COURIER_WIRE_RESULTS, /* the worker's own: no answer came in time */
	COURIER_RESULTS
};

enum courier_text {
	COURIER_NAME,
	COURIER_IMAGE,
	COURIER_NAMESPACE, /* of the pod; this one and the next: "" outside of Kubernetes */
	COURIER_POD,
	COURIER_NODE,
	COURIER_TEXTS
};

/* What the labels of a container or its pod say, as far as the operator wants to know. */
struct courier_tag {
	char key[COURIER_TAG_KEY_MAX];
	char value[COURIER_TEXT_MAX];
};

struct courier_request {
	uint64_t id; /* never used twice by one worker, nor by the one after it */
	uint32_t kind;
	uint32_t zero;
	char key[COURIER_KEY_MAX];
};

struct courier_answer {
	uint64_t id; /* the request's */
	uint32_t kind;
	uint32_t result;
	char text[COURIER_TEXTS][COURIER_TEXT_MAX]; /* all empty unless found or forbidden */
	uint32_t ignored;   /* 1: its calls are not to be recorded; 0 unless found */
	uint32_t tag_count; /* 0 unless found */
	struct courier_tag tag[COURIER_TAGS_MAX];
};

/* What the courier's socket is to hold: answers to all that, though nobody reads them. */
#define COURIER_SEND_BYTES (COURIER_OUTSTANDING_MAX * (int)sizeof(struct courier_answer))

/* False, with *out unchanged, when the key is none of this kind. */
bool courier_request_make(struct courier_request *out, uint64_t id, enum courier_kind kind,
			  struct slice key) TT_MUST_CHECK;
void courier_answer_make(struct courier_answer *out, const struct courier_request *to,
			 enum courier_result result);
/* Cut to what fits; bytes that steer terminals become '?'. */
void courier_answer_text(struct courier_answer *answer, enum courier_text which, struct slice text);
/* In place of an earlier one of this key; without a key or a value, or beyond what fits: nothing.
 */
void courier_answer_tag(struct courier_answer *answer, struct slice key, struct slice value);
/* All that `from` has found, as the answer to what `answer` answers. */
void courier_answer_take(struct courier_answer *answer, const struct courier_answer *from);

/* Validates a received datagram. False, with *out unchanged, when it is none that _make makes. */
bool courier_request_read(struct courier_request *out, struct slice datagram) TT_MUST_CHECK;
bool courier_answer_read(struct courier_answer *out, struct slice datagram) TT_MUST_CHECK;

#endif
