/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts of one operation. */
#include "stage.h"

#define CHAT_BODY  "{\"model\":\"gpt-4o-mini\",\"messages\":[]}"
#define ANSWER_OK  "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":3}}"
#define ANSWER_ERR "{\"error\":{\"type\":\"server_error\"}}"

struct attempt {
	const char *target;
	const char *retries; /* the client's own count */
	const char *body;    /* in two pieces, split after `split` bytes */
	size_t split;
	uint64_t gap; /* bytes of it that were not seen */
	bool cut;     /* the request was not sent to its end */
	int status;   /* 0 = no answer */
	const char *answer;
};

#define FIRST(status, answer)                                                       \
	{                                                                           \
		"/v1/chat/completions", "0", CHAT_BODY, 5, 0, false, status, answer \
	}

static const struct retry {
	const char *what;
	struct attempt first, second;
	int number; /* of the second; 1 = an operation of its own */
} retries[] = {
	{"500", FIRST(500, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"408", FIRST(408, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"409", FIRST(409, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"429", FIRST(429, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"529", FIRST(529, ANSWER_ERR), FIRST(200, ANSWER_OK), 2},
	{"no answer", FIRST(0, NULL), FIRST(200, ANSWER_OK), 2},
	{"an error inside a 200", FIRST(200, "data: " ANSWER_ERR "\n\n"), FIRST(200, ANSWER_OK), 2},
	{"400 stays 400", FIRST(400, ANSWER_ERR), FIRST(200, ANSWER_OK), 1},
	{"401", FIRST(401, ANSWER_ERR), FIRST(200, ANSWER_OK), 1},
	{"it worked", FIRST(200, ANSWER_OK), FIRST(200, ANSWER_OK), 1},
	{"in other pieces",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "0", CHAT_BODY, 20, 0, false, 200, ANSWER_OK},
	 2},
	{"another body",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "0", CHAT_BODY " ", 5, 0, false, 200, ANSWER_OK},
	 1},
	{"another path",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/completions", "0", CHAT_BODY, 5, 0, false, 200, ANSWER_OK},
	 1},
	{"a gap in the second",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "0", CHAT_BODY, 5, 7, false, 200, ANSWER_OK},
	 1},
	{"a gap in the first",
	 {"/v1/chat/completions", "0", CHAT_BODY, 5, 7, false, 500, ANSWER_ERR},
	 FIRST(200, ANSWER_OK),
	 1},
	{"the first was cut",
	 {"/v1/chat/completions", "0", CHAT_BODY, 5, 0, true, 500, ANSWER_ERR},
	 FIRST(200, ANSWER_OK),
	 1},
	{"the client says so",
	 FIRST(200, ANSWER_OK),
	 {"/v1/chat/completions", "1", CHAT_BODY, 5, 0, false, 200, ANSWER_OK},
	 2},
	{"the client counts more",
	 FIRST(500, ANSWER_ERR),
	 {"/v1/chat/completions", "3", CHAT_BODY, 5, 0, false, 200, ANSWER_OK},
	 4},
};

static void attempt(const struct attempt *a, uint64_t ssl)
{
	struct exchange_start start = {.conn = {.tgid = 42, .ssl = ssl},
				       .entry_ns = SEC,
				       .index_in_record = 3,
				       .host_hint = ""};
	char count[64];
	struct http_head head;
	struct exchange *x;

	snprintf(count, sizeof(count), "X-Stainless-Retry-Count: %s", a->retries);
	head = head_of("POST", a->target, 0, LINES("Host: api.openai.com", count));
	assert_int_equal(exchange_begin(&x, &env, &start, &head), 0);
	exchange_request_body(x, (struct slice){a->body, a->split});
	if (a->gap)
		exchange_request_gap(x, a->gap);
	exchange_request_body(x, slice_of(a->body + a->split + a->gap));
	exchange_request_end(x, a->cut ? MESSAGE_CUT : MESSAGE_COMPLETE);
	if (a->status) {
		answer_head(x, a->status, NULL);
		answer(x, a->answer, 2 * SEC);
		end(x, MESSAGE_COMPLETE);
	} else {
		exchange_abandon(x, MESSAGE_CUT, 2 * SEC);
		exchange_free(x);
	}
}

static void retries_are_linked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(retries); i++) {
		const struct retry *r = &retries[i];
		struct call *c = seen.row;
		bool linked;

		seen.rows = 0;
		assert_int_equal(operation_table_new(&env.operations), 0);
		attempt(&r->first, 1);
		attempt(&r->second, 2);
		operation_table_free(env.operations);
		env.operations = NULL;
		linked = strcmp(c[0].operation_id, c[1].operation_id) == 0;
		if (seen.rows != 2 || c[0].attempt != 1 || c[1].attempt != r->number ||
		    linked != (r->number > 1) || strlen(c[1].operation_id) != 32)
			fail_msg("%s: attempts %d and %d, %s", r->what, c[0].attempt, c[1].attempt,
				 linked ? "linked" : "not linked");
	}
}

/* The retry comes before anything else says that the first connection is gone. */
static void freed_then_sent_again(void **state)
{
	static const struct attempt again = FIRST(200, ANSWER_OK);
	struct exchange *x;

	(void)state;
	assert_int_equal(operation_table_new(&env.operations), 0);
	x = begin_as("POST", again.target, false, LINES("Host: api.openai.com"));
	request(x, CHAT_BODY);
	exchange_may_end(x, 2 * SEC);
	attempt(&again, 2);
	exchange_abandon(x, MESSAGE_CUT, 3 * SEC);
	exchange_free(x);
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.row[0].operation_id, seen.row[1].operation_id);
	assert_int_equal(seen.row[0].attempt, 2);
	assert_int_equal(seen.row[1].attempt, 1);
	operation_table_free(env.operations);
	env.operations = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(retries_are_linked),
		TEST(freed_then_sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
