/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stream/stream.h"
#include "agent/base/counters.h"

#include <errno.h>

/* Nothing on this connection is read any more. Safe from within a parser's call. */
static void give_up(struct conn *c)
{
	c->session = NULL;
	pairs_abandon(&c->pairs, MESSAGE_UNSEEN, c->now_ns);
	c->ignored = true;
}

/* ---- what the request parser says ---------------------------------------------------------- */

static void on_request_first_byte(void *user, uint64_t at)
{
	struct conn *c = user;

	(void)at;
	c->start_entry_ns = c->chunk->entry_ns;
}

/* The record with a request's first byte, and which of the requests in it: the same after a restart
 * of the agent. */
static struct exchange_start start_of(struct conn *c)
{
	bool same_record = c->start_entry_ns == c->last_entry_ns;

	c->index_in_record = same_record ? c->index_in_record + 1 : 0;
	c->last_entry_ns = c->start_entry_ns;
	return (struct exchange_start){
		.conn = c->id,
		.entry_ns = c->start_entry_ns,
		.index_in_record = c->index_in_record,
		.candidate = c->chunk->candidate,
		.host_hint = c->host,
	};
}

/*
 * Answers may have passed unseen: what waits for one is given up, since the next head may as well
 * answer a request that was not seen.
 */
static void lose_answers(struct conn *c, uint64_t missing)
{
	while (c->pairs.first) {
		exchange_response_gap(c->pairs.first->x, missing);
		pairs_abandon_first(&c->pairs, MESSAGE_UNSEEN, c->now_ns);
	}
}

/*
 * The first request after bytes that were not seen. Whatever was open before it can't be paired any
 * more, and an answer that is still being read is not the answer to it.
 */
static void find_place_in_writes(struct conn *c)
{
	struct side *answers = &c->sides[CHUNK_READ];

	c->sides[CHUNK_WRITE].place = PLACE_SURE;
	answers->place = PLACE_LOST;
	answers->may_jump = true;
	lose_answers(c, 0);
}

static void on_request_head(void *user, const struct http_head *head, uint64_t at)
{
	struct conn *c = user;
	struct exchange_start start;
	struct exchange *x;
	int err;

	(void)at;
	if (c->ignored)
		return;
	if (c->sides[CHUNK_WRITE].place == PLACE_TRYING)
		find_place_in_writes(c);
	start = start_of(c);
	err = exchange_begin(&x, c->env, &start, head);
	if (!err) {
		err = pairs_push(&c->pairs, x);
		if (err) {
			exchange_abandon(x, MESSAGE_UNSEEN, c->now_ns);
			exchange_free(x);
		}
	}
	if (err) {
		counter_add(err == -ENOMEM ? COUNTER_DECODE_MEMORY : COUNTER_DECODE_HTTP1, 1);
		give_up(c);
	}
}

static void on_request_body(void *user, struct slice bytes)
{
	struct conn *c = user;

	if (c->pairs.writing)
		exchange_request_body(c->pairs.writing->x, bytes);
}

static void on_request_gap(void *user, uint64_t n)
{
	struct conn *c = user;

	if (c->pairs.writing)
		exchange_request_gap(c->pairs.writing->x, n);
}

static void on_request_end(void *user, enum message_end how)
{
	struct conn *c = user;
	struct pair *pair = c->pairs.writing;

	c->pairs.writing = NULL;
	if (pair)
		exchange_request_end(pair->x, how);
}

/* ---- upgraded connections ------------------------------------------------------------------ */

/* A switch to another protocol: sessions are read on, anything else is none of ours. */
static void upgrade(struct conn *c, struct pair *pair)
{
	if (exchange_is_session(pair->x)) {
		c->session = pair->x;
		c->sides[CHUNK_WRITE].place = PLACE_SURE;
		http1_upgrade(c->sides[CHUNK_WRITE].parser);
		return;
	}
	counter_add(COUNTER_CONN_BLIND_UPGRADE, 1);
	pairs_end_reading(&c->pairs, MESSAGE_COMPLETE, c->now_ns);
	give_up(c);
}

static void leave_blind_session(struct conn *c)
{
	if (!exchange_is_blind(c->session))
		return;
	counter_add(COUNTER_CONN_BLIND_UPGRADE, 1);
	give_up(c);
}

static void session_bytes(struct conn *c, enum chunk_dir dir, struct slice bytes)
{
	if (!c->session)
		return;
	exchange_session_bytes(c->session, dir, bytes, c->call_begins, c->now_ns);
	leave_blind_session(c);
}

static void session_gap(struct conn *c, enum chunk_dir dir, uint64_t n)
{
	if (!c->session)
		return;
	exchange_session_gap(c->session, dir, n, c->now_ns);
	leave_blind_session(c);
}

static void on_client_bytes(void *user, struct slice bytes)
{
	session_bytes(user, CHUNK_WRITE, bytes);
}

static void on_client_gap(void *user, uint64_t n)
{
	session_gap(user, CHUNK_WRITE, n);
}

static void on_server_bytes(void *user, struct slice bytes)
{
	session_bytes(user, CHUNK_READ, bytes);
}

static void on_server_gap(void *user, uint64_t n)
{
	session_gap(user, CHUNK_READ, n);
}

/* ---- what the answer parser says ----------------------------------------------------------- */

static enum http1_expect expect_of(const struct exchange *x)
{
	if (exchange_is_head(x))
		return HTTP1_EXPECT_HEAD;
	return exchange_is_connect(x) ? HTTP1_EXPECT_CONNECT : HTTP1_EXPECT_NORMAL;
}

static void on_answer_head(void *user, const struct http_head *head, uint64_t at)
{
	struct conn *c = user;
	struct side *side = &c->sides[CHUNK_READ];
	struct pair *pair = c->pairs.first;
	enum http1_expect expect;

	(void)at;
	side->place = PLACE_SURE;
	if (!pair)
		return; /* the answer to a request that was not seen */
	expect = expect_of(pair->x);
	http1_expect(side->parser, expect);
	if (head->status < 200 && head->status != 101)
		return; /* the real answer is still to come (RFC 9110 15.2) */
	c->pairs.reading = pair;
	exchange_response_head(pair->x, head, c->now_ns);
	if (head->status == 101 || (expect == HTTP1_EXPECT_CONNECT && head->status / 100 == 2))
		upgrade(c, pair);
}

static void on_answer_body(void *user, struct slice bytes)
{
	struct conn *c = user;

	if (c->pairs.reading)
		exchange_response_body(c->pairs.reading->x, bytes, c->now_ns);
}

static void on_answer_gap(void *user, uint64_t n)
{
	struct conn *c = user;

	if (c->pairs.reading)
		exchange_response_gap(c->pairs.reading->x, n);
}

static void on_answer_end(void *user, enum message_end how)
{
	struct conn *c = user;

	if (c->pairs.reading)
		pairs_end_reading(&c->pairs, how, c->now_ns);
}

static const struct http1_ops request_ops = {
	.start = on_request_first_byte,
	.head = on_request_head,
	.body = on_request_body,
	.body_gap = on_request_gap,
	.end = on_request_end,
	.tunnel = on_client_bytes,
	.tunnel_gap = on_client_gap,
};

static const struct http1_ops answer_ops = {
	.head = on_answer_head,
	.body = on_answer_body,
	.body_gap = on_answer_gap,
	.end = on_answer_end,
	.tunnel = on_server_bytes,
	.tunnel_gap = on_server_gap,
};

/* ---- gaps and lost places ------------------------------------------------------------------ */

static void lose_place(struct conn *c, enum chunk_dir dir, uint64_t missing)
{
	if (c->session) {
		session_gap(c, dir, missing);
		return;
	}
	if (c->http2) {
		multiplex_skip(c, dir, 0);
		return;
	}
	c->sides[dir].place = PLACE_LOST;
	if (dir == CHUNK_READ)
		lose_answers(c, missing);
	else if (c->pairs.writing)
		on_request_end(c, MESSAGE_CUT);
	if (c->pipelined)
		give_up(c);
}

static void skip_gap(struct conn *c, enum chunk_dir dir, uint64_t missing)
{
	struct side *side = &c->sides[dir];

	counter_add(COUNTER_STREAM_GAPS, 1);
	if (c->http2)
		multiplex_skip(c, dir, missing);
	else if (side->place == PLACE_LOST || http1_skip(side->parser, missing) == HTTP1_BROKEN)
		lose_place(c, dir, missing);
}

/*
 * A jump in the answers right after a request was found: they were not captured before it, and
 * there is one request only that can be meant.
 */
static bool jump_is_harmless(const struct conn *c, const struct chunk *chunk)
{
	const struct side *side = &c->sides[chunk->dir];

	return side->may_jump && side->place == PLACE_LOST && c->pairs.count <= 1;
}

/* Where the chunk stands against the bytes before it. */
static void find_gap(struct conn *c, const struct chunk *chunk)
{
	struct side *side = &c->sides[chunk->dir];
	uint64_t expected = side->next_offset;

	if (chunk->offset > expected && jump_is_harmless(c, chunk))
		expected = chunk->offset;
	if (chunk->offset < expected && side->may_restart)
		expected = chunk->offset;
	side->may_jump = side->may_restart = false;
	side->next_offset = chunk->offset + chunk->want;
	if (chunk->offset > expected)
		skip_gap(c, chunk->dir, chunk->offset - expected);
	else if (chunk->offset < expected)
		lose_place(c, chunk->dir, 0); /* the kernel counts anew: it had forgotten */
	else if (chunk->dir == CHUNK_READ && c->pairs.count > 1 && !c->http2)
		c->pipelined = true;
}

/* ---- feeding ------------------------------------------------------------------------------- */

static void seek_start(struct conn *c, const struct chunk *chunk)
{
	struct side *side = &c->sides[chunk->dir];
	enum start start = message_start(chunk->dir, chunk->data);

	if (chunk->dir == CHUNK_READ && !c->pairs.first)
		return;
	if (start == START_YES || (start == START_MAYBE && side->place == PLACE_LOST)) {
		http1_reset(side->parser, chunk->offset);
		side->place = PLACE_TRYING;
	} else if (chunk->dir == CHUNK_READ && side->place == PLACE_LOST) {
		lose_answers(c, 0); /* an answer without its head */
	}
}

/* What only looked like a start is no error: any bytes may stand where we join. */
static void broke(struct conn *c, enum chunk_dir dir)
{
	struct side *side = &c->sides[dir];

	if (side->place == PLACE_SURE || http1_reason(side->parser) != HTTP1_BAD_START_LINE)
		counter_add(COUNTER_DECODE_HTTP1, 1);
	lose_place(c, dir, 0);
}

static void feed_bytes(struct conn *c, const struct chunk *chunk, bool call_begins)
{
	struct side *side = &c->sides[chunk->dir];

	if (multiplex_feed(c, chunk, call_begins))
		return;
	if (call_begins && side->place != PLACE_SURE)
		seek_start(c, chunk);
	if (side->place == PLACE_LOST)
		return;
	if (http1_feed(side->parser, chunk->data) == HTTP1_BROKEN && !c->ignored)
		broke(c, chunk->dir);
}

/* ---- the end that may be none -------------------------------------------------------------- */

static void start_afresh(struct conn *c)
{
	for (size_t i = 0; i < ARRAY_LEN(c->sides); i++) {
		struct http1 *parser = c->sides[i].parser;

		http1_reset(parser, 0);
		c->sides[i] = (struct side){
			.parser = parser, .call_entry_ns = UINT64_MAX, .may_jump = true};
		c->sniff[i] = (struct sniff){0};
	}
	c->ignored = c->pipelined = c->had_session = false;
	c->may_end_ns = 0;
}

/* Bytes after SSL_free or SSL_clear: a new connection in the old memory, or the old one goes on. */
static void go_on(struct conn *c, const struct chunk *chunk)
{
	c->may_end_ns = 0;
	if (chunk->dir == CHUNK_WRITE && conversation_start(chunk->data)) {
		conn_restart(c, c->now_ns);
	} else if (c->session) {
		session_gap(c, chunk->dir, 0);
	} else if (c->http2) {
		multiplex_skip(c, chunk->dir, 0);
	} else if (chunk->dir == CHUNK_WRITE) {
		on_request_gap(c, 0);
	} else {
		on_answer_gap(c, 0);
	}
}

void conn_may_end(struct conn *c, uint64_t now_ns)
{
	struct side *answers = &c->sides[CHUNK_READ];

	c->now_ns = now_ns;
	c->may_end_ns = now_ns;
	c->sides[CHUNK_WRITE].may_restart = answers->may_restart = true;
	if (answers->place != PLACE_LOST && http1_until_close(answers->parser)) {
		http1_eof(answers->parser);
		answers->place = PLACE_LOST;
	}
	pairs_may_end(&c->pairs, now_ns);
}

void conn_end(struct conn *c, uint64_t now_ns)
{
	c->now_ns = now_ns;
	for (size_t i = 0; i < ARRAY_LEN(c->sides); i++) {
		if (c->sides[i].place != PLACE_LOST)
			http1_eof(c->sides[i].parser);
	}
	c->session = NULL;
	multiplex_end(c, MESSAGE_CUT);
	pairs_abandon(&c->pairs, MESSAGE_CUT, now_ns);
}

void conn_restart(struct conn *c, uint64_t now_ns)
{
	conn_end(c, now_ns);
	start_afresh(c);
}

static void feed_captured(struct conn *c, const struct chunk *chunk, bool call_begins)
{
	find_gap(c, chunk);
	if (!c->ignored && chunk->data.len)
		feed_bytes(c, chunk, call_begins);
	if (!c->ignored && chunk->want > chunk->data.len)
		skip_gap(c, chunk->dir, chunk->want - chunk->data.len);
}

void conn_feed(struct conn *c, const struct chunk *chunk)
{
	struct side *side = &c->sides[chunk->dir];
	bool call_begins;

	c->now_ns = chunk->now_ns;
	if (chunk->conn.generation != c->id.generation && !c->may_end_ns)
		conn_may_end(c, chunk->now_ns);
	c->id = chunk->conn;
	if (c->may_end_ns)
		go_on(c, chunk);
	call_begins = chunk->entry_ns != side->call_entry_ns;
	side->call_entry_ns = chunk->entry_ns;
	if (c->ignored)
		return;
	c->chunk = chunk;
	c->call_begins = call_begins;
	feed_captured(c, chunk, call_begins);
	c->chunk = NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

int conn_init(struct conn *c, const struct conn_id *id, const struct exchange_env *env,
	      uint64_t now_ns)
{
	struct http1 *requests, *answers;

	if (http1_new(&requests, HTTP1_REQUEST, &request_ops, c))
		return -ENOMEM;
	if (http1_new(&answers, HTTP1_RESPONSE, &answer_ops, c)) {
		http1_free(requests);
		return -ENOMEM;
	}
	*c = (struct conn){.id = *id, .env = env, .now_ns = now_ns, .last_entry_ns = UINT64_MAX};
	c->sides[CHUNK_WRITE].parser = requests;
	c->sides[CHUNK_READ].parser = answers;
	start_afresh(c);
	return 0;
}

void conn_release(struct conn *c, uint64_t now_ns)
{
	c->session = NULL;
	c->now_ns = now_ns;
	multiplex_end(c, MESSAGE_UNSEEN);
	pairs_abandon(&c->pairs, MESSAGE_UNSEEN, now_ns);
	http1_free(c->sides[CHUNK_WRITE].parser);
	http1_free(c->sides[CHUNK_READ].parser);
}

size_t conn_memory(const struct conn *c)
{
	return pairs_memory(&c->pairs) + (c->http2 ? http2_memory(c->http2) : 0) +
	       http1_memory(c->sides[CHUNK_WRITE].parser) +
	       http1_memory(c->sides[CHUNK_READ].parser);
}
