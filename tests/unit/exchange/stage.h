/* SPDX-License-Identifier: Apache-2.0 */
/* A stage for one exchange: its tables, what came of it, and short ways to play a call. */
#ifndef TT_TEST_STAGE_H
#define TT_TEST_STAGE_H

#include "agent/base/counters.h"
#include "agent/exchange/exchange.h"
#include "agent/exchange/operation.h"
#include "agent/providers/provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEC NSEC_PER_SEC

static struct {
	size_t rows, ignored, judged;
	int open; /* calls begun that have not ended */
	struct call row[4];
	enum ignored_reason reason;
	char ignored_provider[32];
	enum judgement judgement;
} seen;

static inline void on_done(void *user, const struct conn_id *conn, uint64_t started_ns,
			   struct call *call)
{
	(void)user;
	assert_int_equal(conn->tgid, 42);
	assert_int_equal(started_ns, SEC);
	if (seen.rows < ARRAY_LEN(seen.row))
		seen.row[seen.rows] = *call;
	seen.rows++;
	seen.open--;
	call->basis = BASIS_UNPRICED; /* as pricing may: a later row must not inherit it */
}

static inline void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	seen.ignored++;
	seen.reason = reason;
	snprintf(seen.ignored_provider, sizeof(seen.ignored_provider), "%s", provider);
}

static inline void on_judged(void *user, const struct conn_id *conn, enum judgement judgement,
			     const char *host)
{
	(void)user;
	(void)conn;
	assert_non_null(host);
	seen.judged++;
	seen.judgement = judgement;
}

static inline void on_open(void *user, const struct call *call, uint64_t started_ns, int change)
{
	(void)user;
	assert_int_equal(started_ns, SEC);
	assert_true(!call || call->provider[0]);
	seen.open += change;
}

static uint64_t lost_at_ns; /* a record, just before; 0 = none was */

static inline bool on_may_be_lost(void *user, uint64_t from_ns, uint64_t until_ns)
{
	(void)user;
	assert_true(until_ns > 0);
	return lost_at_ns > from_ns;
}

static const struct exchange_ops ops = {.done = on_done,
					.ignored = on_ignored,
					.judged = on_judged,
					.open = on_open,
					.may_be_lost = on_may_be_lost};
static struct exchange_env env = {.fingerprint_key = "0123456789abcdef0123456789abcde",
				  .ops = &ops};

static inline int set_up(void **state)
{
	struct provider_table *table = NULL;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	if (provider_table_new(&table))
		return -1;
	env.providers = table;
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	provider_table_free((struct provider_table *)env.providers);
	assert_int_equal(seen.open, 0);
	return 0;
}

/* "Name: value" lines into a head. */
static inline struct http_head head_of(const char *method, const char *target, int status,
				       const char *const *lines)
{
	struct http_head h = {
		.method = slice_of(method), .target = slice_of(target), .status = status};

	for (; lines && *lines; lines++) {
		const char *colon = strchr(*lines, ':');

		h.fields[h.count].name = (struct slice){*lines, (size_t)(colon - *lines)};
		h.fields[h.count++].value = slice_trim(slice_of(colon + 1));
	}
	return h;
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline struct exchange *begin_as(const char *method, const char *target, bool candidate,
					const char *const *lines)
{
	struct exchange_start start = {.conn = {.tgid = 42},
				       .entry_ns = SEC,
				       .index_in_record = 3,
				       .candidate = candidate,
				       .host_hint = ""};
	struct http_head head = head_of(method, target, 0, lines);
	struct exchange *x = NULL;

	assert_int_equal(exchange_begin(&x, &env, &start, &head), 0);
	return x;
}

static inline struct exchange *begin_chat(void)
{
	return begin_as("POST", "/v1/chat/completions", false, LINES("Host: api.openai.com"));
}

static inline struct exchange *begin_messages(void)
{
	return begin_as("POST", "/v1/messages", false, LINES("Host: api.anthropic.com"));
}

static inline void request(struct exchange *x, const char *body)
{
	exchange_request_body(x, slice_of(body));
	exchange_request_end(x, MESSAGE_COMPLETE);
}

static inline void answer_head(struct exchange *x, int status, const char *const *lines)
{
	struct http_head head = head_of(NULL, NULL, status, lines);

	exchange_response_head(x, &head, 2 * SEC);
}

static inline void answer(struct exchange *x, const char *body, uint64_t now_ns)
{
	exchange_response_body(x, slice_of(body), now_ns);
}

static inline const struct call *end(struct exchange *x, enum message_end how)
{
	exchange_response_end(x, how, 9 * SEC);
	exchange_abandon(x, MESSAGE_CUT, 10 * SEC); /* closed: nothing more may come */
	exchange_free(x);
	return &seen.row[0];
}

#define CHAT_ANSWER                                                                      \
	"{\"id\":\"c1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-2024-08-06\"," \
	"\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,"         \
	"\"total_tokens\":10}}"
#define DELTA(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define LAST_CHUNK                                                                      \
	"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3," \
	"\"total_tokens\":10}}\n\n"
#define MESSAGE_START                                                                           \
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"," \
	"\"usage\":{\"input_tokens\":70,\"output_tokens\":1}}}\n\n"
#define MESSAGE_DELTA                                                                         \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" \
	"\"end_turn\"},\"usage\":{\"output_tokens\":40}}\n\n"
#define MESSAGE_STOP "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

static inline void expect(const struct call *c, enum outcome outcome, enum basis basis, bool known)
{
	if (seen.rows != 1 || c->outcome != outcome || c->basis != basis || c->usage.known != known)
		fail_msg("%zu rows, %s, %s, known %d; expected %s, %s, known %d", seen.rows,
			 outcome_names[c->outcome], basis_names[c->basis], c->usage.known,
			 outcome_names[outcome], basis_names[basis], known);
}

static inline const char *tag(const struct call *c, const char *key)
{
	for (uint32_t i = 0; i < c->tags.count; i++) {
		if (strcmp(c->tags.item[i].key, key) == 0)
			return c->tags.item[i].value;
	}
	return "";
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
