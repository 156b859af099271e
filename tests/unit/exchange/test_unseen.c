/* SPDX-License-Identifier: Apache-2.0 */
/* What was not seen of an exchange, or could not be read. */
#include "stage.h"

#include <zlib.h>

/* ---- gaps
 * ---------------------------------------------------------------------------------------- */

static void gap_in_the_request(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	exchange_request_body(x, SLICE("{\"messages\":[{\"content\":\"abc"));
	exchange_request_gap(x, 100);
	exchange_request_body(x, SLICE("\"}],\"model\":\"gpt-4o\"}"));
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, NULL);
	answer(x, CHAT_ANSWER, 3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(c->gaps, 1);
	assert_string_equal(c->model, "gpt-4o-2024-08-06");
}

static void gap_before_the_usage_event(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, DELTA("one") "data: {\"choices\":[{\"delta\":{\"content\":\"cut", 3 * SEC);
	exchange_response_gap(x, 500);
	/* What follows the gap may look like an event's fields; only a blank line resyncs. */
	answer(x, "\"usage\":{\"prompt_tokens\":99}\n", 4 * SEC);
	answer(x, "\n", 4 * SEC);
	answer(x, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" LAST_CHUNK, 5 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(c->usage.tokens[TOKEN_INPUT_UNCACHED], 7);
	assert_int_equal(c->gaps, 1);
}

static void gap_over_the_usage_event(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, DELTA("one"), 3 * SEC);
	exchange_response_gap(x, 500);
	answer(x, "\n\ndata: [DONE]\n\n", 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, false);
}

/* Counts that were cumulative before the gap may have grown in it. */
static void gap_after_cumulative_usage(void **state)
{
	struct exchange *x =
		begin_as("POST", "/chat/completions", false, LINES("Host: api.perplexity.ai"));

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, LAST_CHUNK, 3 * SEC);
	exchange_response_gap(x, 500);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
}

static void gap_over_the_final_delta(void **state)
{
	struct exchange *x = begin_messages();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, MESSAGE_START, 3 * SEC);
	exchange_response_gap(x, 500);
	answer(x, "\n\n" MESSAGE_STOP, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
}

static void gap_in_a_json_answer(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, "{\"object\":\"chat.completion\",\"choices\":[{\"message\":{\"content\":\"a",
	       3 * SEC);
	exchange_response_gap(x, 10);
	answer(x, "\"}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}", 4 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, false);
}

static void gap_after_the_usage_of_a_json_answer(void **state)
{
	struct exchange *x = begin_messages();

	(void)state;
	answer_head(x, 200, NULL);
	answer(x, "{\"type\":\"message\",\"usage\":{\"input_tokens\":7,\"output_tokens\":3},",
	       3 * SEC);
	exchange_response_gap(x, 10);
	answer(x, "\"id\":\"m\"}", 4 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
}

static void gap_in_the_first_bytes(void **state)
{
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Type: text/event-stream"));
	exchange_response_gap(x, 500);
	answer(x, "x\n\n" LAST_CHUNK "data: [DONE]\n\n", 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
}

static void broken_coding(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_CODING);
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: gzip"));
	answer(x, CHAT_ANSWER, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_CODING), before + 1);
}

static void unknown_coding(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_CODING);
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: aes128gcm"));
	answer(x, CHAT_ANSWER, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_CODING), before + 1);
}

/* A stored block of deflate: `text` as it is, and no trailer. */
static size_t stored_gzip(uint8_t *dst, const char *text)
{
	static const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	uint16_t len = (uint16_t)strlen(text);
	uint8_t block[] = {0, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len,
			   (uint8_t)(~len >> 8)};

	memcpy(dst, head, sizeof(head));
	memcpy(dst + sizeof(head), block, sizeof(block));
	memcpy(dst + sizeof(head) + sizeof(block), text, len);
	return sizeof(head) + sizeof(block) + len;
}

/* Cumulative counts were read; later ones may stand in what could not be. */
static void coding_breaks_after_usage(void **state)
{
	struct exchange *x = begin_chat();
	uint8_t wire[512];
	size_t n = stored_gzip(wire, "data: {\"object\":\"chat.completion.chunk\",\"usage\":"
				     "{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n");

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: gzip"));
	memset(wire + n, 0xff, 8); /* a block of no known type */
	exchange_response_body(x, (struct slice){(char *)wire, n + 8}, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_PARTIAL, true);
	assert_int_equal(seen.row[0].usage.tokens[TOKEN_INPUT_UNCACHED], 9);
}

/* Far more spaces, which JSON allows, than a body may unpack to; to one of its ends. */
static void feed_bomb(struct exchange *x, bool request)
{
	static uint8_t spaces[1 << 20], packed[1 << 16];
	z_stream z = {0};

	memset(spaces, ' ', sizeof(spaces));
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	for (int i = 0; i < 64; i++) {
		struct slice piece = {(char *)packed, 0};

		z.next_in = spaces;
		z.avail_in = sizeof(spaces);
		z.next_out = packed;
		z.avail_out = sizeof(packed);
		assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
		piece.len = sizeof(packed) - z.avail_out;
		if (request)
			exchange_request_body(x, piece);
		else
			exchange_response_body(x, piece, 5 * SEC);
	}
	deflateEnd(&z);
}

static void bomb(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_BOMB);
	struct exchange *x = begin_chat();

	(void)state;
	answer_head(x, 200, LINES("Content-Encoding: gzip"));
	feed_bomb(x, false);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_BOMB), before + 1);
}

/* It costs what the request says, not the answer. */
static void bomb_in_a_request(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_BOMB);
	struct exchange *x = begin_as("POST", "/v1/chat/completions", false,
				      LINES("Host: api.openai.com", "Content-Encoding: gzip"));

	(void)state;
	feed_bomb(x, true);
	exchange_request_end(x, MESSAGE_COMPLETE);
	answer_head(x, 200, NULL);
	answer(x, CHAT_ANSWER, 5 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(counter_get(COUNTER_DECODE_BOMB), before + 1);
}

/* ---- heads that were not seen whole (HTTP/2, joined late) --------------------------------------
 */

static struct exchange *begin_unseen(const char *hint)
{
	struct exchange_start start = {.conn = {.tgid = 42}, .entry_ns = SEC, .host_hint = hint};
	struct http_head head = {.cut = true};
	struct exchange *x = NULL;

	assert_int_equal(exchange_begin(&x, &env, &start, &head), 0);
	return x;
}

static void answer_unseen(struct exchange *x, int status, bool unseen)
{
	struct http_head head = {.status = status, .cut = true, .unseen = unseen};

	exchange_response_head(x, &head, 2 * SEC);
}

static void the_answer_tells_the_api(void **state)
{
	static const struct {
		const char *host, *answer, *api, *provider;
		int64_t input;
	} rows[] = {
		{"api.openai.com", CHAT_ANSWER, "chat.completions", "openai", 7},
		{"api.openai.com", DELTA("a") LAST_CHUNK, "chat.completions", "openai", 7},
		{"api.openai.com",
		 "{\"id\":\"r\",\"object\":\"response\",\"usage\":{\"input_tokens\":8,"
		 "\"output_tokens\":1}}",
		 "responses", "openai", 8},
		{"api.anthropic.com", MESSAGE_START MESSAGE_DELTA MESSAGE_STOP, "messages",
		 "anthropic", 70},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exchange *x = begin_unseen(rows[i].host);
		const struct call *c;

		seen.rows = 0;
		request(x, "{\"model\":\"asked\"}");
		answer_unseen(x, 200, false);
		for (const char *b = rows[i].answer; *b; b++)
			exchange_response_body(x, (struct slice){b, 1}, 3 * SEC);
		c = end(x, MESSAGE_COMPLETE);
		expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
		assert_string_equal(c->host, rows[i].host);
		assert_string_equal(c->api, rows[i].api);
		assert_string_equal(c->provider, rows[i].provider);
		assert_string_equal(c->model_requested, "asked");
		assert_string_equal(tag(c, "inferred"), "path");
		assert_int_equal(usage_input_total(&c->usage), rows[i].input);
	}
}

static void an_answer_without_marks_tells_nothing(void **state)
{
	struct exchange *x = begin_unseen("api.openai.com");

	(void)state;
	request(x, "{}");
	answer_unseen(x, 200, false);
	answer(x, "{\"hello\":\"world\"}", 3 * SEC);
	end(x, MESSAGE_COMPLETE);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.reason, IGNORED_PATH_UNKNOWN);
}

/* Joined within a stream: the usage comes at its end. */
static void the_rest_of_an_answer_tells_the_api(void **state)
{
	struct exchange *x = begin_unseen("api.openai.com");
	const struct call *c;

	(void)state;
	answer_unseen(x, 0, true);
	exchange_response_gap(x, 0);
	answer(x, "part of a line\"}}]}\n\n" DELTA("a") LAST_CHUNK "data: [DONE]\n\n", 3 * SEC);
	exchange_rest(x, 4 * SEC);
	c = &seen.row[0];
	expect(c, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(c->status, 0);
	assert_int_equal(c->gaps, 1);
	assert_true(c->stream);
	exchange_free(x);
}

static void an_error_whose_status_was_not_seen(void **state)
{
	struct exchange *x = begin_chat();
	const struct call *c;

	(void)state;
	request(x, "{}");
	answer_unseen(x, 0, false);
	answer(x, "{\"error\":{\"type\":\"rate_limit\"}}", 3 * SEC);
	c = end(x, MESSAGE_COMPLETE);
	expect(c, OUTCOME_ERROR, BASIS_NOT_BILLED, false);
	assert_int_equal(c->status, 0);
}

/* A field may have been an index into what was not seen. */
static void the_first_bytes_tell_a_coding(void **state)
{
	static const char gzipped_start[] = "\x1f\x8b\x08\x00";
	uint64_t before = counter_get(COUNTER_DECODE_CODING);
	struct exchange *x = begin_chat();

	(void)state;
	request(x, "{}");
	answer_unseen(x, 200, false);
	for (size_t i = 0; i < 4; i++)
		exchange_response_body(x, (struct slice){gzipped_start + i, 1}, 3 * SEC);
	answer(x, "no deflate at all, as the decoder finds out", 3 * SEC);
	expect(end(x, MESSAGE_COMPLETE), OUTCOME_OK, BASIS_ESTIMATED, false);
	assert_int_equal(counter_get(COUNTER_DECODE_CODING), before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gap_in_the_request),
		TEST(gap_before_the_usage_event),
		TEST(gap_over_the_usage_event),
		TEST(gap_after_cumulative_usage),
		TEST(gap_over_the_final_delta),
		TEST(gap_in_a_json_answer),
		TEST(gap_after_the_usage_of_a_json_answer),
		TEST(gap_in_the_first_bytes),
		TEST(broken_coding),
		TEST(unknown_coding),
		TEST(coding_breaks_after_usage),
		TEST(bomb),
		TEST(bomb_in_a_request),
		TEST(the_answer_tells_the_api),
		TEST(an_answer_without_marks_tells_nothing),
		TEST(the_rest_of_an_answer_tells_the_api),
		TEST(an_error_whose_status_was_not_seen),
		TEST(the_first_bytes_tell_a_coding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
