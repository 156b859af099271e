/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection and its open exchanges. Private to agent/stream: table.c owns connections, conn.c
 * keeps the place in both directions of one, start.c finds a lost one, pair.c knows which request
 * an answer answers, multiplex.c does all of it where the connection speaks HTTP/2.
 */
#ifndef TT_STREAM_H
#define TT_STREAM_H

#include "agent/http1/http1.h"
#include "agent/http2/http2.h"
#include "agent/stream/conn.h"

/* Is there a message start at the front of a piece? */
enum start { START_NO, START_MAYBE, START_YES };

/* START_YES only when the whole request line is there: a prompt may hold "GET " too. */
enum start request_start(struct slice data);
/* A new connection begins so, in either version of HTTP. */
bool conversation_start(struct slice data);
enum start message_start(enum chunk_dir dir, struct slice data);

/* An exchange whose answer has not ended. */
struct pair {
	struct exchange *x;
	bool sent;     /* HTTP/2: the request is over */
	bool answered; /* HTTP/2: the answer has begun */
	bool upgrade;  /* HTTP/2: an extended CONNECT */
	bool session;  /* HTTP/2: what both directions of the stream carry is a session's */
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
/* The same for one that is told from others by its stream; NULL, or it is to be given back. */
struct pair *pairs_add(struct pairs *p, struct exchange *x);
void pairs_remove(struct pairs *p, struct pair *pair);
/* The answer that was being read is over. */
void pairs_end_reading(struct pairs *p, enum message_end how, uint64_t now_ns);
/* The first exchange gets no answer that could be told from another. */
void pairs_abandon_first(struct pairs *p, enum message_end how, uint64_t now_ns);
void pairs_abandon(struct pairs *p, enum message_end how, uint64_t now_ns); /* all of them */
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

/* A call's first bytes, while they may be those of HTTP/2. */
struct sniff {
	char bytes[sizeof(HTTP2_PREFACE) - 1];
	size_t len;
	bool over;
};

struct conn {
	struct conn_id id;
	const struct exchange_env *env;
	struct side sides[2];  /* by enum chunk_dir */
	struct sniff sniff[2]; /* by enum chunk_dir */
	struct http2 *http2;   /* NULL: HTTP/1.1, or not yet known */
	bool had_session;      /* on a stream of HTTP/2 */
	bool joined_late;      /* its beginning was not seen (HTTP/2) */
	struct pairs pairs;
	const struct chunk *chunk; /* being fed */
	uint64_t now_ns;	   /* of the last thing that happened here */
	uint64_t may_end_ns;	   /* 0: nothing says that it ended */
	uint64_t start_entry_ns;   /* of the chunk with the first byte of the request being read */
	uint64_t last_entry_ns;	   /* the same of the request before */
	uint32_t index_in_record;
	bool call_begins;	  /* the chunk being fed is the first of its call */
	struct exchange *session; /* upgraded: what both directions carry is this one's, or NULL */
	bool ignored;		  /* nothing is read any more: upgraded, or lost for good */
	bool pipelined; /* two requests were open while answers came: no lost place is found again
			 */
	char host[CONN_HOST_MAX];
};

/*
 * Takes the bytes when the connection speaks HTTP/2: as was found before, or by the preface, or,
 * where the place is lost anyway, by a call that begins with what can only be a frame.
 */
bool multiplex_feed(struct conn *c, const struct chunk *chunk, bool call_begins);
/* n bytes were not seen; 0: anything may be missing. */
void multiplex_skip(struct conn *c, enum chunk_dir dir, uint64_t n);
void multiplex_end(struct conn *c, enum message_end how); /* HTTP/1.1 may follow */

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
