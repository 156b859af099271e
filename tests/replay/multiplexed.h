/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings over HTTP/2: in frames of several sizes, on many streams at once, joined late. */
#ifndef TT_TEST_MULTIPLEXED_H
#define TT_TEST_MULTIPLEXED_H

#include "expected.h"
#include "http2_wire.h"

struct h2_peers {
	struct h2_writer client, server;
};

static void peers_init(struct h2_peers *p)
{
	h2_writer_init(&p->client);
	h2_writer_init(&p->server);
	h2_hello(&p->client, &p->server);
}

static void peers_free(struct h2_peers *p)
{
	h2_writer_free(&p->client);
	h2_writer_free(&p->server);
}

/* One message on each of so many streams, their frames in turn. */
static void interleave(struct h2_writer *w, const struct bytes *head, const struct bytes *plain,
		       enum coding coding, size_t streams, size_t frame)
{
	struct bytes body = encode(plain, coding);
	size_t at[STREAMS] = {0};
	bool more = true;

	for (size_t i = 0; i < streams; i++)
		h2_message_head(w, (uint32_t)(2 * i + 1), head, coding_names[coding]);
	while (more) {
		more = false;
		for (size_t i = 0; i < streams; i++) {
			if (at[i] == body.len && at[i])
				continue;
			h2_data_piece(w, (uint32_t)(2 * i + 1), &body, &at[i], frame);
			more |= at[i] < body.len;
		}
	}
	bytes_free(&body);
}

/* Every row is like those of one exchange over HTTP/1.1, under an id of its own. */
static void same_many(const struct cassette *c, const struct outcome_seen *want,
		      const struct outcome_seen *seen, size_t streams, const char *variant)
{
	if (seen->rows != streams * want->rows || seen->ignored != streams * want->ignored)
		fail_msg("%s: %s gives %zu rows, %zu ignored", c->name, variant, seen->rows,
			 seen->ignored);
	if (seen->unlike)
		fail_msg("%s: %s gives %zu other rows", c->name, variant, seen->unlike);
	for (size_t i = 0; i < seen->rows; i++) {
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(seen->ids[i], seen->ids[j], sizeof(seen->ids[i]));
	}
}

static void run_http2(const struct cassette *c, const struct outcome_seen *want, bool candidate,
		      enum coding coding, size_t streams, size_t frame, size_t piece)
{
	static struct outcome_seen seen;
	struct h2_peers peers;
	char variant[128];

	snprintf(variant, sizeof(variant), "HTTP/2 %s streams %zu frame %zu piece %zu",
		 coding_names[coding], streams, frame, piece);
	peers_init(&peers);
	interleave(&peers.client, &c->request_head, &c->request_body, CODING_NONE, streams, frame);
	interleave(&peers.server, &c->response_head, &c->response_body, coding, streams, frame);
	seen.against = want;
	replay(&peers.client.out, &peers.server.out, piece, candidate, &seen);
	same_many(c, want, &seen, streams, variant);
	peers_free(&peers);
}

static void write_on(struct h2_writer *w, uint32_t id, const struct bytes *head,
		     const struct bytes *plain, enum coding coding)
{
	struct bytes body = encode(plain, coding);
	size_t at = 0;

	h2_message_head(w, id, head, coding_names[coding]);
	h2_data_piece(w, id, &body, &at, SIZE_MAX);
	bytes_free(&body);
}

/* RFC 7541 A: the others may come as an index into what was not seen. */
static bool status_is_static(int status)
{
	static const int known[] = {200, 204, 206, 304, 400, 404, 500};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (status == known[i])
			return true;
	}
	return false;
}

/* What stands in the answer's head only may be an index into what was not seen. */
static bool counts_in_head(const struct call *want)
{
	return strcmp(want->provider, "aws.bedrock") == 0;
}

/* By its answer alone, it may be one of two APIs that count differently. */
static bool may_be_doubtful(const struct cassette *c, const struct call *want)
{
	static const char *const names[] = {"azure-openai/foundry-grok-",
					    "google-gemini/openai-compat-",
					    "synthetic/gemini-compat"};

	if (strncmp(want->api, "images.", 7) == 0 || strncmp(want->api, "audio.", 6) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strncmp(c->name, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static bool same_usage(const struct call *want, const struct call *got)
{
	return want->basis == got->basis && want->usage.known == got->usage.known &&
	       want->usage.mismatch == got->usage.mismatch &&
	       want->usage.provider_cost_pusd == got->usage.provider_cost_pusd &&
	       memcmp(want->usage.tokens, got->usage.tokens, sizeof(want->usage.tokens)) == 0 &&
	       memcmp(want->usage.tool_units, got->usage.tool_units,
		      sizeof(want->usage.tool_units)) == 0;
}

/* How it ended and what it is worth: exact, or said to be not known. */
static bool same_worth(const struct cassette *c, const struct call *want, const struct call *got,
		       bool path_seen)
{
	bool unknown = !got->usage.known && got->basis == BASIS_ESTIMATED;

	if (!got->status && !status_is_static(want->status))
		return got->outcome != OUTCOME_OK && !got->usage.known;
	if (want->status != got->status || want->outcome != got->outcome)
		return false;
	if (unknown && (counts_in_head(want) || (!path_seen && may_be_doubtful(c, want))))
		return true;
	return same_usage(want, got);
}

/* A form cannot be read without the boundary in its head; Vercel names the model there. */
static bool model_in_head(const struct call *want)
{
	return strncmp(want->api, "audio.trans", 11) == 0 || strcmp(want->provider, "vercel") == 0;
}

static bool same_or_unseen(const char *want, const char *got, bool may_be_unseen)
{
	return strcmp(want, got) == 0 || (may_be_unseen && !got[0]);
}

/* All that does not depend on the fields of the heads. */
static bool same_late(const struct cassette *c, const struct call *want, const struct call *got,
		      bool path_seen)
{
	bool headed = model_in_head(want);

	if (strcmp(want->provider, got->provider) != 0 || strcmp(want->host, got->host) != 0 ||
	    want->stream != got->stream || !same_worth(c, want, got, path_seen))
		return false;
	if (!path_seen)
		return got->tags.count && strcmp(got->tags.item[0].key, "inferred") == 0;
	return same_or_unseen(want->response_id, got->response_id, counts_in_head(want)) &&
	       same_or_unseen(want->model, got->model, headed) &&
	       strcmp(want->api, got->api) == 0 &&
	       same_or_unseen(want->model_requested, got->model_requested, headed);
}

/* Both directions from there on. */
struct late_start {
	size_t client, server;
};

/* The request's head is not seen. */
static struct late_start after_head(const struct cassette *c, struct h2_peers *p,
				    enum coding coding)
{
	struct late_start start;
	size_t at = 0;

	h2_message_head(&p->client, 1, &c->request_head, "");
	start = (struct late_start){p->client.out.len, p->server.out.len};
	h2_data_piece(&p->client, 1, &c->request_body, &at, SIZE_MAX);
	interleave(&p->server, &c->response_head, &c->response_body, coding, 1, 16384);
	return start;
}

/* A call of the same kind is not seen: fields of the next one are indexes into it. */
static struct late_start after_call(const struct cassette *c, struct h2_peers *p,
				    enum coding coding)
{
	struct late_start start;

	interleave(&p->client, &c->request_head, &c->request_body, CODING_NONE, 1, 16384);
	interleave(&p->server, &c->response_head, &c->response_body, coding, 1, 16384);
	start = (struct late_start){p->client.out.len, p->server.out.len};
	write_on(&p->client, 3, &c->request_head, &c->request_body, CODING_NONE);
	write_on(&p->server, 3, &c->response_head, &c->response_body, coding);
	return start;
}

/* Without its request's path, what has neither marks nor counts in its answer gives no row. */
static bool may_be_rowless(const struct call *want, bool path_seen)
{
	bool counted = usage_input_total(&want->usage) || usage_output_total(&want->usage);

	return !path_seen && (!counted || !want->billable || counts_in_head(want) ||
			      (want->batch && want->key.set));
}

static void run_late(const struct cassette *c, const struct outcome_seen *want, enum coding coding,
		     bool path_seen, size_t piece)
{
	static struct outcome_seen seen;
	struct late_start start;
	struct h2_peers peers;

	peers_init(&peers);
	start = path_seen ? after_call(c, &peers, coding) : after_head(c, &peers, coding);
	bytes_drop(&peers.client.out, start.client);
	bytes_drop(&peers.server.out, start.server);
	replay_at(want->row[0].host, &peers.client.out, &peers.server.out, piece, false, &seen);
	peers_free(&peers);
	if (!seen.rows && may_be_rowless(&want->row[0], path_seen))
		return;
	assert_int_equal(seen.rows, want->rows);
	for (size_t i = 0; i < want->rows && i < ROWS_MAX; i++) {
		if (!same_late(c, &want->row[i], &seen.row[i], path_seen))
			fail_msg("%s: another row over HTTP/2 %s joined late, path %sseen", c->name,
				 coding_names[coding], path_seen ? "" : "not ");
	}
}

static void run_all_late(const struct cassette *c, const struct outcome_seen *want)
{
	for (enum coding coding = CODING_NONE; want->rows && coding < CODINGS; coding++) {
		run_late(c, want, coding, true, coding ? SIZE_MAX : 61);
		run_late(c, want, coding, false, coding ? SIZE_MAX : 61);
	}
}

static void run_all_http2(const struct cassette *c, const struct outcome_seen *want, bool candidate)
{
	for (enum coding coding = CODING_NONE; coding < CODINGS; coding++) {
		run_http2(c, want, candidate, coding, 1, 16384, SIZE_MAX);
		run_http2(c, want, candidate, coding, 1, 13, 61);
	}
	run_http2(c, want, candidate, CODING_NONE, 1, 1, 1);
	run_http2(c, want, candidate, CODING_NONE, STREAMS, 509, 4096);
	/* As many windows as this body makes brotli open would be more than a connection may hold.
	 */
	run_http2(c, want, candidate, c->response_body.len > 512 * 1024 ? CODING_GZIP : CODING_BR,
		  STREAMS, 16384, 16384);
}

#endif
