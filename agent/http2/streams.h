/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open streams of one connection: which halves have a head, which have ended, and what their
 * owner is told. Private to agent/http2.
 */
#ifndef TT_HTTP2_STREAMS_H
#define TT_HTTP2_STREAMS_H

#include "agent/http2/http2.h"

#define STREAMS_LEFT_MAX 64 /* ended ones of which more may come */

struct stream;

/* Zeroed but for ops and user: none are open. */
struct streams {
	const struct http2_ops *ops;
	void *user;
	struct stream *by_id; /* in the order of their beginning */
	uint32_t last_id;     /* highest one whose request was seen to begin */
	bool unseen;	      /* heads may have been missed: what is not known may be open */
	uint32_t left[STREAMS_LEFT_MAX]; /* the last ones whose half was open when they ended */
	size_t left_at;
};

/* A block of fields was read, or could not be: then `head` is empty. */
struct stream_fields {
	uint32_t id;
	const struct http_head *head;
	bool trailing; /* no pseudo-header among them: these can be trailers only */
	bool last;     /* END_STREAM */
};

void streams_head(struct streams *st, enum http2_side side, const struct stream_fields *fields);
/* A DATA frame begins: its stream may be one whose head was missed. */
void streams_data(struct streams *st, enum http2_side side, uint32_t id);
void streams_body(struct streams *st, enum http2_side side, uint32_t id, struct slice bytes);
void streams_gap(struct streams *st, enum http2_side side, uint32_t id, uint64_t n);
void streams_half_end(struct streams *st, enum http2_side side, uint32_t id);
void streams_reset(struct streams *st, uint32_t id);
/* GOAWAY: the server looked at no stream above last_id. */
void streams_refused(struct streams *st, uint32_t last_id);
/* Anything of that direction may have been missed. */
void streams_lose(struct streams *st, enum http2_side side);
void streams_end(struct streams *st, enum message_end how); /* all of them */
void streams_free(struct streams *st);			    /* without a word */
size_t streams_count(const struct streams *st);
size_t streams_memory(const struct streams *st);

#endif
