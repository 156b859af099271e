/* SPDX-License-Identifier: Apache-2.0 */
/* Why usage is missing. */
#include "stage.h"

#include "agent/usage/call.h"

#define ASKS	 "{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}"
#define ASKS_NOT "{\"model\":\"gpt-4o\",\"stream\":true}"
#define EVENTS	 "Content-Type: text/event-stream"
#define DONE	 "data: [DONE]\n\n"

struct row {
	const char *name, *request, *type, *coding, *answer;
	int status;
	enum message_end how;
	uint64_t gap; /* bytes missing behind the answer */
	enum usage_missing reason;
};

static const struct row rows[] = {
	{"told", ASKS, EVENTS, "", DELTA("hi") LAST_CHUNK DONE, 200, MESSAGE_COMPLETE, 0,
	 MISSING_NOT},
	{"not asked", ASKS_NOT, EVENTS, "", DELTA("hi") DONE, 200, MESSAGE_COMPLETE, 0,
	 MISSING_NOT_ASKED},
	{"asked, not told", ASKS, EVENTS, "", DELTA("hi") DONE, 200, MESSAGE_COMPLETE, 0,
	 MISSING_NOT_TOLD},
	{"a document without", ASKS_NOT, "", "", "{\"object\":\"chat.completion\",\"choices\":[]}",
	 200, MESSAGE_COMPLETE, 0, MISSING_NOT_TOLD},
	{"cut", ASKS, EVENTS, "", DELTA("hi"), 200, MESSAGE_CUT, 0, MISSING_CUT},
	{"error in the stream", ASKS, EVENTS, "",
	 DELTA("hi") "data: {\"error\":{\"type\":\"server_error\"}}\n\n", 200, MESSAGE_COMPLETE, 0,
	 MISSING_CUT},
	{"no answer", ASKS, "", "", "", 0, MESSAGE_CUT, 0, MISSING_NO_ANSWER},
	{"gap", ASKS, EVENTS, "", DELTA("hi"), 200, MESSAGE_COMPLETE, 100, MISSING_NOT_CAPTURED},
	{"end not seen", ASKS, EVENTS, "", DELTA("hi"), 200, MESSAGE_UNSEEN, 0,
	 MISSING_NOT_CAPTURED},
	{"unknown coding", ASKS, "", "lzw", "\x1f\x9d??", 200, MESSAGE_COMPLETE, 0,
	 MISSING_UNDECODABLE},
	{"broken coding", ASKS, "", "gzip", "{\"object\":1}", 200, MESSAGE_COMPLETE, 0,
	 MISSING_UNDECODABLE},
	{"broken JSON", ASKS, "", "", "{\"object\":\"chat.completion\",\"choices\":[}", 200,
	 MESSAGE_COMPLETE, 0, MISSING_UNDECODABLE},
	{"a page", ASKS, "Content-Type: text/html", "", "<html></html>", 200, MESSAGE_COMPLETE, 0,
	 MISSING_UNKNOWN_SHAPE},
	{"no mark", ASKS, "", "", "{\"ok\":true}", 200, MESSAGE_COMPLETE, 0, MISSING_UNKNOWN_SHAPE},
	{"refused", ASKS, "", "", "{\"error\":{\"type\":\"x\"}}", 429, MESSAGE_COMPLETE, 0,
	 MISSING_NOT},
};

static const struct call *play(const struct row *row)
{
	const char *type = *row->type ? row->type : "X-None: 1";
	char coding[64];
	struct exchange *x = begin_chat();

	seen.rows = 0;
	request(x, row->request);
	snprintf(coding, sizeof(coding), "%s: %s", *row->coding ? "Content-Encoding" : "X-Coding",
		 row->coding);
	if (row->status)
		answer_head(x, row->status, LINES(type, coding));
	if (*row->answer)
		answer(x, row->answer, 3 * SEC);
	if (row->gap)
		exchange_response_gap(x, row->gap);
	return end(x, row->how);
}

static void each_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct call *c = play(&rows[i]);

		if (c->usage_missing != rows[i].reason)
			fail_msg("%s: '%s', not '%s'", rows[i].name,
				 usage_missing_names[c->usage_missing],
				 usage_missing_names[rows[i].reason]);
		assert_int_equal(c->usage_missing != MISSING_NOT,
				 c->basis == BASIS_ESTIMATED || c->basis == BASIS_PARTIAL);
	}
}

/* Responses says by itself that the work goes on. */
static void under_way(void **state)
{
	struct exchange *x =
		begin_as("POST", "/v1/responses", false, LINES("Host: api.openai.com"));

	(void)state;
	request(x, "{\"model\":\"gpt-5\",\"background\":true}");
	answer_head(x, 200, NULL);
	answer(x,
	       "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"queued\",\"model\":"
	       "\"gpt-5\",\"usage\":null}",
	       3 * SEC);
	assert_int_equal(end(x, MESSAGE_COMPLETE)->usage_missing, MISSING_UNDER_WAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(each_reason), TEST(under_way)};

	return cmocka_run_group_tests_name("missing", tests, NULL, NULL);
}
