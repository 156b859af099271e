/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One gzipped, chunked stream is metered with the 1st, 2nd, ... nth allocation failing, from the
 * connection table to the closed record. Nothing crashes, and a usage that is reported all the same
 * is the right one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <zlib.h>

#include "tests/faults/faults.h"

#include "agent/base/counters.h"
#include "agent/providers/provider.h"
#include "agent/stream/conn.h"

static const char request[] = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
			      "Authorization: Bearer sk-test\r\nContent-Length: 39\r\n\r\n"
			      "{\"model\":\"gpt-4o-mini\",\"stream\":true  }";
static const char answer_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				  "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char answer_events[] =
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini\","
	"\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n"
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini\","
	"\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":12,"
	"\"total_tokens\":42}}\n\ndata: [DONE]\n\n";

struct outcome_seen {
	bool table; /* it could be made */
	unsigned int calls;
	unsigned int known;
	unsigned int wrong;
};

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct outcome_seen *seen = user;
	const int64_t *tokens = call->usage.tokens;

	(void)conn;
	(void)started_ns;
	seen->calls++;
	seen->known += call->usage.known;
	if (call->usage.known &&
	    (tokens[TOKEN_INPUT_UNCACHED] != 30 || tokens[TOKEN_OUTPUT_TEXT] != 12))
		seen->wrong++;
}

static const struct exchange_ops ops = {.done = on_done};

static char answer[4096];
static size_t answer_len;

static void make_answer(void)
{
	unsigned char body[2048];
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)answer_events,
		      .avail_in = sizeof(answer_events) - 1,
		      .next_out = body,
		      .avail_out = sizeof(body)};
	size_t body_len;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	body_len = sizeof(body) - z.avail_out;
	deflateEnd(&z);
	answer_len = (size_t)snprintf(answer, sizeof(answer), "%s%zx\r\n", answer_head, body_len);
	memcpy(answer + answer_len, body, body_len);
	answer_len += body_len;
	memcpy(answer + answer_len, "\r\n0\r\n\r\n", 7);
	answer_len += 7;
}

static void feed(struct conn_table *t, uint64_t ssl, enum chunk_dir dir, struct slice data)
{
	struct chunk chunk = {.conn = {.ssl = ssl, .tgid = 1},
			      .dir = dir,
			      .entry_ns = 10,
			      .now_ns = 20,
			      .data = data,
			      .want = (uint32_t)data.len};

	conn_table_feed(t, &chunk);
}

static void meter_one(struct conn_table *t, uint64_t ssl)
{
	feed(t, ssl, CHUNK_WRITE, (struct slice){request, sizeof(request) - 1});
	feed(t, ssl, CHUNK_READ, (struct slice){answer, answer_len});
}

static struct outcome_seen meter(const struct provider_table *providers)
{
	struct outcome_seen seen = {0};
	struct exchange_env env = {.providers = providers, .ops = &ops, .user = &seen};
	struct conn_table *t;

	if (conn_table_new(&t, &env))
		return seen;
	seen.table = true;
	meter_one(t, 1);
	conn_table_process_exit(t, 1, 30);
	conn_table_free(t);
	return seen;
}

static void a_whole_call_is_metered(void **state)
{
	struct provider_table *providers;
	struct outcome_seen seen;

	(void)state;
	assert_int_equal(provider_table_new(&providers), 0);
	seen = meter(providers);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.known, 1);
	assert_int_equal(seen.wrong, 0);
	provider_table_free(providers);
}

static uint64_t decode_errors(void)
{
	return counter_get(COUNTER_DECODE_MEMORY) + counter_get(COUNTER_DECODE_HTTP1) +
	       counter_get(COUNTER_DECODE_CODING);
}

static void no_failing_allocation_gives_a_wrong_number(void **state)
{
	struct provider_table *providers;
	unsigned int n = 0, unknown = 0;
	bool failed;

	(void)state;
	assert_int_equal(provider_table_new(&providers), 0);
	do {
		struct outcome_seen seen;
		uint64_t told = decode_errors();

		faults_begin(++n);
		seen = meter(providers);
		failed = faults_end();
		assert_int_equal(seen.wrong, 0);
		assert_true(seen.calls <= 1);
		told = decode_errors() - told;
		if (seen.table && !seen.known && !told)
			fail_msg("allocation %u failed in silence", n);
		unknown += !seen.known;
	} while (failed);
	assert_true(unknown > 3);
	print_message("%u allocations failed, one at a time; %u lost the usage\n", n - 1, unknown);
	provider_table_free(providers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_call_is_metered),
		cmocka_unit_test(no_failing_allocation_gives_a_wrong_number),
	};

	make_answer();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
