/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A first attempt that fails and its retry, from request head to closed record, with the 1st, 2nd,
 * ... nth allocation failing; in every dialect, as a body and as a stream, with compressed requests
 * and answers. Nothing crashes or leaks into a wrong number: what is reported all the same is
 * right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <zlib.h>

#include "tests/faults/faults.h"

#include "agent/base/counters.h"
#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/providers/provider.h"

/* 30 tokens in, 12 out, however it is told. */
static const struct scene {
	const char *target, *host;
	struct slice answer;
} scenes[] = {
	{"/v1/chat/completions", "api.openai.com",
	 SLICE("{\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0}],"
	       "\"usage\":"
	       "{\"prompt_tokens\":30,\"completion_tokens\":12,\"total_tokens\":42}}")},
	{"/v1/responses", "api.openai.com",
	 SLICE("event: response.created\ndata: "
	       "{\"type\":\"response.created\",\"response\":{\"id\":\"r\","
	       "\"model\":\"m\"}}\n\nevent: response.completed\ndata: "
	       "{\"type\":\"response.completed\","
	       "\"response\":{\"output\":[{\"type\":\"web_search_call\",\"action\":{\"type\":"
	       "\"search\"}}"
	       "],"
	       "\"usage\":{\"input_tokens\":30,\"output_tokens\":12}}}\n\n")},
	{"/v1/messages", "api.anthropic.com",
	 SLICE("event: message_start\ndata: "
	       "{\"type\":\"message_start\",\"message\":{\"model\":\"m\","
	       "\"usage\":{\"input_tokens\":30,\"output_tokens\":12}}}\n\nevent: "
	       "message_delta\ndata: "
	       "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":12}}\n\nevent: "
	       "message_stop\n"
	       "data: {\"type\":\"message_stop\"}\n\n")},
	{"/xai_api.Chat/GetCompletion", "api.x.ai",
	 SLICE("\0\0\0\0\x0b\x32\x01m\x4a\x06\x08\x0c\x10\x1e\x18\x2a")},
};

struct seen {
	unsigned int rows, known, wrong, linked;
	bool begun;
	char operation_id[40];
};

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	struct seen *seen = user;
	const struct usage *u = &call->usage;

	(void)conn;
	(void)started_ns;
	if (u->known &&
	    (u->tokens[TOKEN_INPUT_UNCACHED] != 30 || u->tokens[TOKEN_OUTPUT_TEXT] != 12))
		seen->wrong++;
	if (u->known && call->status != 200)
		seen->wrong++;
	if (call->outcome != (call->status == 200 ? OUTCOME_OK : OUTCOME_ERROR))
		seen->wrong++;
	seen->known += u->known;
	if (!seen->rows++)
		memcpy(seen->operation_id, call->operation_id, sizeof(seen->operation_id));
	else if (strcmp(seen->operation_id, call->operation_id) == 0)
		seen->linked++;
}

static const struct exchange_ops ops = {.done = on_done};

struct packed {
	unsigned char bytes[2048];
	size_t len;
};

static struct packed request_body, answers[ARRAY_LEN(scenes)];

static void pack(struct packed *out, struct slice text)
{
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)text.ptr,
		      .avail_in = (unsigned int)text.len,
		      .next_out = out->bytes,
		      .avail_out = sizeof(out->bytes)};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len = sizeof(out->bytes) - z.avail_out;
	deflateEnd(&z);
}

static struct http_head head_of(struct slice target, const char *host, int status)
{
	return (struct http_head){
		.method = SLICE("POST"),
		.target = target,
		.status = status,
		.count = 3,
		.fields = {{SLICE("Host"), slice_of(host)},
			   {SLICE("Content-Encoding"), SLICE("gzip")},
			   {SLICE("Authorization"), SLICE("Bearer sk-test")}},
	};
}

static void attempt(const struct exchange_env *env, const struct scene *scene, uint64_t ssl,
		    int status, const struct packed *answer)
{
	struct exchange_start start = {
		.conn = {.tgid = 1, .ssl = ssl}, .entry_ns = ssl, .host_hint = ""};
	struct http_head head = head_of(slice_of(scene->target), scene->host, 0);
	struct exchange *x;

	if (exchange_begin(&x, env, &start, &head))
		return;
	exchange_request_body(x, (struct slice){(char *)request_body.bytes, request_body.len});
	exchange_request_end(x, MESSAGE_COMPLETE);
	head = head_of((struct slice){NULL, 0}, "", status);
	exchange_response_head(x, &head, ssl + 1);
	if (answer)
		exchange_response_body(x, (struct slice){(char *)answer->bytes, answer->len},
				       ssl + 2);
	exchange_response_end(x, MESSAGE_COMPLETE, ssl + 3);
	exchange_free(x);
}

static struct seen play(const struct provider_table *providers, size_t i)
{
	struct seen seen = {0};
	struct exchange_env env = {.providers = providers, .ops = &ops, .user = &seen};

	if (operation_table_new(&env.operations))
		return seen;
	seen.begun = true;
	attempt(&env, &scenes[i], 10, 500, NULL);
	attempt(&env, &scenes[i], 20, 200, &answers[i]);
	operation_table_free(env.operations);
	return seen;
}

static void whole_without_faults(void **state)
{
	struct provider_table *providers;

	(void)state;
	assert_int_equal(provider_table_new(&providers), 0);
	for (size_t i = 0; i < ARRAY_LEN(scenes); i++) {
		struct seen seen = play(providers, i);

		assert_int_equal(seen.rows, 2);
		assert_int_equal(seen.known, 1);
		assert_int_equal(seen.linked, 1);
		assert_int_equal(seen.wrong, 0);
	}
	provider_table_free(providers);
}

static void no_failing_allocation_gives_a_wrong_number(void **state)
{
	struct provider_table *providers;

	(void)state;
	assert_int_equal(provider_table_new(&providers), 0);
	for (size_t i = 0; i < ARRAY_LEN(scenes); i++) {
		unsigned int n = 0, unknown = 0, alone = 0, missing = 0, uncounted = 0;
		bool failed;

		do {
			struct seen seen;
			uint64_t before;

			faults_begin(++n);
			before = counter_get(COUNTER_DECODE_MEMORY);
			seen = play(providers, i);
			failed = faults_end();
			if (seen.begun && (seen.rows < 2 || !seen.known))
				uncounted += counter_get(COUNTER_DECODE_MEMORY) == before;
			assert_int_equal(seen.wrong, 0);
			missing += seen.rows < 2;
			unknown += !seen.known;
			alone += seen.rows == 2 && !seen.linked;
		} while (failed);
		assert_true(unknown > 3 && alone && missing);
		assert_int_equal(uncounted, 0);
		print_message("%s: %u allocations failed, one at a time\n", scenes[i].target,
			      n - 1);
	}
	provider_table_free(providers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_without_faults),
		cmocka_unit_test(no_failing_allocation_gives_a_wrong_number),
	};

	pack(&request_body, SLICE("{\"model\":\"m\",\"messages\":[]}"));
	for (size_t i = 0; i < ARRAY_LEN(scenes); i++)
		pack(&answers[i], scenes[i].answer);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
