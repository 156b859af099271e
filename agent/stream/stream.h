/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection and its open exchanges. Private to agent/stream: table.c owns connections, conn.c
 * keeps the place in both directions of one, start.c finds a lost one, pair.c knows which request
 * an answer answers.
 */
#ifndef TT_STREAM_H
#define TT_STREAM_H

#include "agent/http1/http1.h"
#include "agent/stream/conn.h"

/* Is there a message start at the front of a piece? */
enum start { START_NO, START_MAYBE, START_YES };

/* START_YES only when the whole request line is there: a prompt may hold "GET " too. */
enum start request_start(struct slice data);
enum start message_start(enum chunk_dir dir, struct slice data);

/* An exchange whose answer has not ended. */
struct pair {
	struct exchange *x;
	struct pair *prev, *next;
};

/* The open exchanges of a connection in the order of their requests: answers come so too. */
struct pairs {
	struct pair *first;
	size_t count;
	struct pair *writing; /* whose request body is being written, or NULL */
	struct pair *reading; /* whose answer is being read, or NULL; then it is the first */
};

/* Takes x on success. Returns 0, or -ENOMEM, -E2BIG beyond CONN_PIPELINE_MAX: x stays the caller's.
 */
int pairs_push(struct pairs *p, struct exchange *x) TT_MUST_CHECK;
/* The answer that was being read is over. */
void pairs_end_reading(struct pairs *p, enum message_end how, uint64_t now_ns);
/* The first exchange gets no answer that could be told from another. */
void pairs_abandon_first(struct pairs *p, uint64_t now_ns);
void pairs_abandon(struct pairs *p, uint64_t now_ns); /* all of them */
void pairs_may_end(struct pairs *p, uint64_t now_ns);
void pairs_rest(struct pairs *p, uint64_t now_ns); /* nothing has come for a while */
size_t pairs_memory(const struct pairs *p);

/* How sure we are of the place in one direction. */
enum place {
	PLACE_LOST,   /* bytes are dropped until a message start */
	PLACE_TRYING, /* what looked like a message start is being parsed; its head decides */
	PLACE_SURE,
};

struct side {
	struct http1 *parser;
	enum place place;
	bool may_jump;	  /* bytes before the next chunk may not have been captured on purpose */
	bool may_restart; /* offsets may begin again after SSL_clear or SSL_free */
	uint64_t next_offset;
	uint64_t call_entry_ns; /* of the last chunk: its other pieces carry the same */
};

struct conn {
	struct conn_id id;
	const struct exchange_env *env;
	struct side sides[2]; /* by enum chunk_dir */
	struct pairs pairs;
	const struct chunk *chunk; /* being fed */
	uint64_t now_ns;	   /* of the last thing that happened here */
	uint64_t may_end_ns;	   /* 0: nothing says that it ended */
	uint64_t start_entry_ns;   /* of the chunk with the first byte of the request being read */
	uint64_t last_entry_ns;	   /* the same of the request before */
	uint32_t index_in_record;
	bool ignored;	/* nothing is read any more: upgraded, HTTP/2, or lost for good */
	bool pipelined; /* two requests were open while answers came: no lost place is found again
			 */
	char host[CONN_HOST_MAX];
};

/* Returns 0 or -ENOMEM. */
int conn_init(struct conn *c, const struct conn_id *id, const struct exchange_env *env,
	      uint64_t now_ns) TT_MUST_CHECK;
void conn_feed(struct conn *c, const struct chunk *chunk);
void conn_may_end(struct conn *c, uint64_t now_ns);
/* The stream is over: a read-until-close body is complete, every other open exchange is cut. */
void conn_end(struct conn *c, uint64_t now_ns);
/* The same, and a new stream begins on the same SSL*. */
void conn_restart(struct conn *c, uint64_t now_ns);
/* Abandons what is open and releases all but c itself. */
void conn_release(struct conn *c, uint64_t now_ns);
size_t conn_memory(const struct conn *c); /* without sizeof(struct conn) */

#endif
