/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS event streams (application/vnd.amazon.eventstream) as a stream: bytes in, for each message
 * its names and its payload in pieces, so that no message has to fit in memory. Big-endian: total
 * length, length of the headers, CRC-32 of these eight bytes; headers; payload; CRC-32 of all
 * before it. The first sum guards the framing: where it does not hold, or bytes are missing, the
 * stream goes on at the next twelve bytes that are a sound prelude. Pure.
 */
#ifndef TT_EVENTSTREAM_H
#define TT_EVENTSTREAM_H

#include "agent/base/base.h"

#define EVENTSTREAM_PRELUDE	12
#define EVENTSTREAM_SUM		4
#define EVENTSTREAM_MESSAGE_MAX (32u << 20)  /* a prelude that announces more is none */
#define EVENTSTREAM_HEADERS_MAX (128u << 10) /* of one message */
#define EVENTSTREAM_NAME_MAX	32	     /* longer header names are none of ours */
#define EVENTSTREAM_TEXT_MAX	64	     /* longer values are cut */

/* The headers that say what a message is; "" = absent. */
struct eventstream_head {
	char message_type[EVENTSTREAM_TEXT_MAX]; /* event, exception, error */
	char event_type[EVENTSTREAM_TEXT_MAX];
	char exception_type[EVENTSTREAM_TEXT_MAX]; /* of an exception, or an error's code */
	char content_type[EVENTSTREAM_TEXT_MAX];
};

struct eventstream_ops {
	void (*begin)(void *user, const struct eventstream_head *head);
	void (*data)(void *user, struct slice piece); /* never empty */
	/*
	 * The message is over. Not sound: its sum does not hold, or its headers cannot be read;
	 * then its head is empty and no data was told.
	 */
	void (*end)(void *user, bool sound);
	/* What stands here is no prelude: bytes are dropped up to the next sound one. */
	void (*lost)(void *user);
};

/* Embedded by its owner; nothing in it needs to be freed. */
struct eventstream {
	const struct eventstream_ops *ops;
	void *user;
	uint8_t state;
	uint8_t part; /* of the header being read */
	bool malformed;
	uint8_t kept; /* bytes in window */
	uint8_t window[EVENTSTREAM_PRELUDE];
	uint32_t headers_left, payload_left;
	uint32_t sum; /* of the message so far */
	uint8_t name_left;
	uint8_t name_len;
	uint8_t length_left; /* bytes of a value's length */
	uint16_t value_left;
	uint8_t text_len;
	char *text; /* where the value goes, in head; NULL = nowhere */
	char name[EVENTSTREAM_NAME_MAX];
	struct eventstream_head head;
};

void eventstream_init(struct eventstream *s, const struct eventstream_ops *ops, void *user);
void eventstream_feed(struct eventstream *s, struct slice bytes);
/* Bytes are missing: an open message is dropped without an end. */
void eventstream_gap(struct eventstream *s);

#endif
