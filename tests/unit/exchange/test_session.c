/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions over a WebSocket, from the upgrade to their rows: which messages make a call, what it is
 * worth when the session ends before it, and what stays when bytes are missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/base/counters.h"
#include "agent/exchange/exchange.h"
#include "agent/exchange/session.h"
#include "agent/providers/provider.h"
#include "tests/unit/websocket/frames.h"

#define SEC  NSEC_PER_SEC
#define ROWS 40

/* ---- a stage --------------------------------------------------------------------------------- */

static struct {
	size_t rows, ignored;
	int open;
	struct call row[ROWS];
	uint64_t started_ns[ROWS];
	enum ignored_reason reason;
} seen;

static void on_done(void *user, const struct conn_id *conn, uint64_t started_ns, struct call *call)
{
	(void)user;
	(void)conn;
	assert_true(seen.rows < ROWS);
	seen.row[seen.rows] = *call;
	seen.started_ns[seen.rows++] = started_ns;
	seen.open--;
	call->basis = BASIS_UNPRICED; /* as pricing may: a later row must not inherit it */
	call->cost.cost_pusd = 5;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	(void)provider;
	seen.ignored++;
	seen.reason = reason;
}

static void on_open(void *user, const struct call *call, uint64_t started_ns, int change)
{
	(void)call;
	(void)started_ns;
	(void)user;
	seen.open += change;
	assert_true(seen.open >= 0);
}

static const struct exchange_ops ops = {.done = on_done, .ignored = on_ignored, .open = on_open};
static struct exchange_env env = {.fingerprint_key = "0123456789abcdef0123456789abcde",
				  .ops = &ops};

static struct exchange *x;
static struct frames sides[WS_SIDES];
static uint64_t now_ns;

static int set_up(void **state)
{
	struct provider_table *table = NULL;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	x = NULL;
	now_ns = 10 * SEC;
	if (provider_table_new(&table))
		return -1;
	env.providers = table;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	exchange_free(x);
	for (int side = 0; side < WS_SIDES; side++)
		frames_free(&sides[side]);
	provider_table_free((struct provider_table *)env.providers);
	assert_int_equal(seen.open, 0);
	return 0;
}

static void add_field(struct http_head *h, const char *name, const char *value)
{
	if (value)
		h->fields[h->count++] = (struct http_field){slice_of(name), slice_of(value)};
}

static void handshake(const char *host, const char *target, const char *protocol)
{
	struct exchange_start start = {
		.conn = {.tgid = 42}, .entry_ns = SEC, .host_hint = "", .index_in_record = 3};
	struct http_head head = {.method = SLICE("GET"), .target = slice_of(target)};

	add_field(&head, "Host", host);
	add_field(&head, "Upgrade", "websocket");
	add_field(&head, protocol ? "Sec-WebSocket-Protocol" : "Authorization",
		  protocol ? protocol : "Bearer sk-test-1");
	assert_int_equal(exchange_begin(&x, &env, &start, &head), 0);
	exchange_request_end(x, MESSAGE_COMPLETE);
}

static void accept_it(const char *extensions)
{
	struct http_head head = {.status = 101};
	struct ws_deflate deflate[WS_SIDES];

	add_field(&head, "Upgrade", "WebSocket");
	add_field(&head, "x-request-id", "req_1");
	add_field(&head, "Sec-WebSocket-Extensions", extensions);
	exchange_response_head(x, &head, 2 * SEC);
	assert_true(ws_extensions(slice_of(extensions), deflate));
	for (int side = 0; side < WS_SIDES; side++) {
		frames_free(&sides[side]);
		frames_init(&sides[side], side, deflate[side]);
	}
}

static void open_session(const char *host, const char *target)
{
	handshake(host, target, NULL);
	accept_it(NULL);
	assert_true(exchange_is_session(x));
	assert_int_equal(seen.open, 0);
}

/* A message in frames of `fragment` bytes. */
static void say_in(enum ws_side side, const char *text, size_t fragment)
{
	struct frames *f = &sides[side];

	f->len = 0;
	frames_text(f, text, strlen(text), fragment);
	now_ns += SEC;
	exchange_session_bytes(x, side == WS_CLIENT ? CHUNK_WRITE : CHUNK_READ,
			       (struct slice){f->ptr, f->len}, true, now_ns);
}

static void say(enum ws_side side, const char *text)
{
	say_in(side, text, SIZE_MAX);
}

static void client(const char *text)
{
	say(WS_CLIENT, text);
}

static void server(const char *text)
{
	say(WS_SERVER, text);
}

static void hang_up(enum message_end how)
{
	exchange_abandon(x, how, now_ns + SEC);
	exchange_free(x);
	x = NULL;
}

static void expect(size_t i, enum outcome outcome, enum basis basis, bool known)
{
	const struct call *c = &seen.row[i];

	if (i >= seen.rows)
		fail_msg("%zu rows", seen.rows);
	if (c->outcome != outcome || c->basis != basis || c->usage.known != known)
		fail_msg("row %zu: %s, %s, known %d; expected %s, %s, known %d", i,
			 outcome_names[c->outcome], basis_names[c->basis], c->usage.known,
			 outcome_names[outcome], basis_names[basis], known);
	assert_int_equal(c->sub_index, i);
	assert_int_equal(c->status, 101);
}

#define OPENAI	  "api.openai.com"
#define RESPONSES "/v1/responses"
#define REALTIME  "/v1/realtime?model=gpt-realtime"

#define CREATE(model) "{\"type\":\"response.create\",\"model\":\"" model "\",\"input\":[]}"
#define CREATED(id) \
	"{\"type\":\"response.created\",\"response\":{\"id\":\"" id "\",\"usage\":null}}"
#define TEXT_DELTA "{\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}"
#define USAGE(in, out)                                                                        \
	"\"usage\":{\"input_tokens\":" #in ",\"input_tokens_details\":{\"cached_tokens\":2}," \
	"\"output_tokens\":" #out ",\"output_tokens_details\":{\"reasoning_tokens\":1}}"
#define ENDED(type, id, usage)                                                               \
	"{\"type\":\"response." type "\",\"response\":{\"object\":\"response\",\"id\":\"" id \
	"\",\"model\":\"gpt-5-2025-08-07\",\"service_tier\":\"default\"," usage "}}"

/* ---- responses over a WebSocket ---------------------------------------------------------------
 */

static void a_turn_is_a_call(void **state)
{
	const struct call *c = &seen.row[0];

	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5")); /* at 11 s */
	assert_int_equal(seen.open, 1);
	server(CREATED("r1"));
	server(TEXT_DELTA); /* at 13 s */
	server(TEXT_DELTA);
	server(ENDED("completed", "r1", USAGE(10, 5))); /* at 15 s */
	client(CREATE("gpt-5-mini"));			/* at 16 s */
	server(CREATED("r2"));
	server(ENDED("incomplete", "r2", USAGE(20, 7)));
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 2);
	assert_int_equal(seen.ignored, 0);
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	expect(1, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(seen.started_ns[0], 11 * SEC);
	assert_int_equal(seen.started_ns[1], 16 * SEC);
	assert_int_equal(c->duration_us, 4000000);
	assert_int_equal(c->time_to_first_token_us, 2000000);
	assert_string_equal(c->response_id, "r1");
	assert_string_equal(c->model_requested, "gpt-5");
	assert_string_equal(c->model, "gpt-5-2025-08-07");
	assert_string_equal(c->service_tier, "default");
	assert_string_equal(c->request_id, "req_1");
	assert_string_equal(c->api, "responses");
	assert_string_equal(c->credential_kind, "api_key");
	assert_true(c->stream);
	assert_int_equal(c->usage.tokens[TOKEN_INPUT_UNCACHED], 8);
	assert_int_equal(c->usage.tokens[TOKEN_INPUT_CACHE_READ], 2);
	assert_int_equal(c->usage.tokens[TOKEN_OUTPUT_REASONING], 1);
	assert_int_equal(c->usage.tokens[TOKEN_OUTPUT_TEXT], 4);
	c++;
	assert_string_equal(c->response_id, "r2");
	assert_string_equal(c->model_requested, "gpt-5-mini");
	assert_int_equal(c->time_to_first_token_us, -1);
	assert_int_equal(c->usage.tokens[TOKEN_OUTPUT_TEXT], 6);
	assert_int_equal(c->cost.cost_pusd, -1);
	assert_memory_not_equal(seen.row[0].event_id, seen.row[1].event_id, 16);
	assert_string_not_equal(seen.row[0].operation_id, seen.row[1].operation_id);
}

/* Read back by its id, like a response that was asked for by a POST, it is known again. */
static void a_turn_goes_by_its_id(void **state)
{
	const struct exchange_start start = {
		.conn = {.tgid = 42}, .entry_ns = SEC, .host_hint = ""};
	struct http_head asked = {.method = SLICE("GET"), .target = SLICE(RESPONSES "/r1")};
	const struct http_head answered = {.status = 200};

	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	server(ENDED("completed", "r1", USAGE(10, 5)));
	hang_up(MESSAGE_CUT);
	add_field(&asked, "Host", OPENAI);
	add_field(&asked, "Authorization", "Bearer sk-test-1");
	assert_int_equal(exchange_begin(&x, &env, &start, &asked), 0);
	exchange_request_end(x, MESSAGE_COMPLETE);
	exchange_response_head(x, &answered, 2 * SEC);
	exchange_response_body(x, SLICE("{\"id\":\"r1\",\"object\":\"response\"," USAGE(10, 5) "}"),
			       3 * SEC);
	exchange_response_end(x, MESSAGE_COMPLETE, 4 * SEC);
	assert_int_equal(seen.rows, 2);
	assert_true(seen.row[0].key.set && seen.row[0].key.made);
	assert_true(seen.row[1].key.set && !seen.row[1].key.made);
	assert_memory_equal(seen.row[0].key.object, seen.row[1].key.object, 16);
}

/* Sent ahead to warm the cache; it is no call unless something is counted for it. */
static void a_prewarm_is_no_call(void **state)
{
	(void)state;
	open_session("chatgpt.com", "/backend-api/codex/responses");
	client("{\"type\":\"response.create\",\"model\":\"gpt-5\",\"generate\":false}");
	assert_int_equal(seen.open, 0);
	server(CREATED("w1"));
	server(ENDED("completed", "w1", USAGE(0, 0)));
	client("{\"generate\":false,\"type\":\"response.create\",\"model\":\"gpt-5\"}");
	server(ENDED("completed", "w2", "\"usage\":null"));
	assert_int_equal(seen.rows, 0);
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	server(ENDED("completed", "r1", USAGE(10, 5)));
	assert_int_equal(seen.rows, 1);
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(seen.row[0].response_id, "r1");
	/* not answered */
	client("{\"type\":\"response.create\",\"generate\":false}");
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 1);
}

static void a_prewarm_that_is_counted_is_a_call(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client("{\"type\":\"response.create\",\"model\":\"gpt-5\",\"generate\":false}");
	server(CREATED("w1"));
	server(ENDED("completed", "w1", USAGE(10, 0)));
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
}

static void a_session_without_calls_gives_no_row(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client("{\"type\":\"response.create\",\"generate\":false}");
	server(CREATED("w1"));
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.ignored, 1);
	assert_int_equal(seen.reason, IGNORED_SESSION_EMPTY);
}

static void a_session_cut_in_the_middle(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	server(ENDED("completed", "r1", USAGE(10, 5)));
	client(CREATE("gpt-5"));
	server(CREATED("r2"));
	server(TEXT_DELTA);
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 2);
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	expect(1, OUTCOME_ABORTED, BASIS_PARTIAL, false);
	assert_string_equal(seen.row[1].response_id, "r2");
	assert_string_equal(seen.row[1].model, "gpt-5");
	assert_int_equal(seen.row[1].usage.tokens[TOKEN_OUTPUT_TEXT], 0);
	assert_int_equal(seen.row[1].time_to_first_token_us, 2000000);
}

/* The provider may have worked, and may bill. */
static void a_request_that_got_no_answer(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5"));
	hang_up(MESSAGE_UNSEEN);
	assert_int_equal(seen.rows, 1);
	expect(0, OUTCOME_UNKNOWN, BASIS_PARTIAL, false);
}

static void failures(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	server(ENDED("failed", "r1", "\"error\":{\"code\":\"server_error\"},\"usage\":null"));
	client(CREATE("gpt-5"));
	server("{\"type\":\"error\",\"status\":429,\"error\":{\"type\":\"usage_limit_reached\","
	       "\"message\":\"a secret\"}}");
	client(CREATE("gpt-5"));
	server(CREATED("r3"));
	server("{\"type\":\"error\",\"error\":{\"code\":\"server_error\"}}");
	server("{\"type\":\"error\",\"error\":{\"code\":\"of_no_call\"}}");
	assert_int_equal(seen.rows, 3);
	expect(0, OUTCOME_ERROR, BASIS_ESTIMATED, false);
	assert_string_equal(seen.row[0].error_class, "server_error");
	assert_int_equal(seen.row[1].outcome, OUTCOME_ERROR);
	assert_int_equal(seen.row[1].basis, BASIS_NOT_BILLED);
	assert_int_equal(seen.row[1].status, 429);
	assert_string_equal(seen.row[1].error_class, "usage_limit_reached");
	expect(2, OUTCOME_ERROR, BASIS_PARTIAL, false);
	assert_string_equal(seen.row[2].response_id, "r3");
}

/* Some servers tell one end twice; and the whole answer may be all that was seen of a call. */
static void an_end_counts_once(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	server(ENDED("completed", "r1", USAGE(10, 5)));
	server(ENDED("done", "r1", USAGE(10, 5)));
	server(ENDED("completed", "r2", USAGE(10, 5)));
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.row[1].response_id, "r2");
	assert_int_equal(seen.row[0].duration_us, 0);
}

static void what_is_no_event_is_passed(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_JSON);

	(void)state;
	open_session(OPENAI, RESPONSES);
	server("hello");
	server("");
	server("{}");
	server("{\"type\":\"codex.rate_limits\",\"usage\":{\"input_tokens\":5}}");
	server("{\"type\":7}");
	client("hello");
	client("{\"type\":\"response.create\"");
	assert_int_equal(counter_get(COUNTER_DECODE_JSON), before);
	server("{\"type\":\"response.completed\",\"response\":{\"id\":");
	server("{\"type\":}");
	assert_int_equal(counter_get(COUNTER_DECODE_JSON), before + 2);
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 0);
}

static void too_many_open_calls(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	for (int i = 0; i < SESSION_CALLS_MAX + 3; i++)
		client(CREATE("gpt-5"));
	assert_int_equal(seen.rows, 3);
	assert_int_equal(seen.open, SESSION_CALLS_MAX);
	expect(0, OUTCOME_UNKNOWN, BASIS_PARTIAL, false);
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, SESSION_CALLS_MAX + 3);
	expect(3, OUTCOME_ABORTED, BASIS_PARTIAL, false);
}

/* ---- realtime ---------------------------------------------------------------------------------
 */

#define REALTIME_DONE(id, status, usage)                                                          \
	"{\"type\":\"response.done\",\"response\":{\"object\":\"realtime.response\",\"id\":\"" id \
	"\",\"status\":\"" status "\"," usage "}}"

/* Not one at a time: a response beside the conversation may end before the one that began first. */
static void realtime_responses_are_told_by_their_ids(void **state)
{
	(void)state;
	open_session(OPENAI, REALTIME);
	server("{\"type\":\"session.created\",\"session\":{\"id\":\"sess_1\","
	       "\"model\":\"gpt-realtime-2025-08-28\"}}");
	server(CREATED("a")); /* at 12 s */
	server(CREATED("b"));
	server("{\"type\":\"response.output_audio.delta\",\"response_id\":\"b\",\"delta\":\"AA\"}");
	server("{\"type\":\"conversation.item.input_audio_transcription.delta\",\"item_id\":\"i\","
	       "\"delta\":\"text\"}");
	server(REALTIME_DONE("b", "completed",
			     "\"usage\":{\"total_tokens\":10,\"input_tokens\":7,"
			     "\"output_tokens\":3}"));
	server(REALTIME_DONE("a", "cancelled",
			     "\"usage\":{\"total_tokens\":12,\"input_tokens\":9,"
			     "\"output_tokens\":3}"));
	server(CREATED("c"));
	server(REALTIME_DONE("c", "cancelled", "\"usage\":null"));
	assert_int_equal(seen.rows, 3);
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	expect(1, OUTCOME_ABORTED, BASIS_REPORTED_USAGE, true);
	expect(2, OUTCOME_ABORTED, BASIS_PARTIAL, false);
	assert_string_equal(seen.row[0].response_id, "b");
	assert_int_equal(seen.started_ns[0], 13 * SEC);
	assert_int_equal(seen.row[0].time_to_first_token_us, 1000000);
	assert_int_equal(seen.row[1].time_to_first_token_us, -1);
	assert_int_equal(seen.started_ns[1], 12 * SEC);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(seen.row[i].model, "gpt-realtime-2025-08-28");
		assert_string_equal(seen.row[i].model_requested, "gpt-realtime");
		assert_string_equal(seen.row[i].session_id, "sess_1");
		assert_string_equal(seen.row[i].api, "realtime");
	}
}

static void a_transcription_is_billed_at_its_own_model(void **state)
{
	(void)state;
	open_session(OPENAI, "/v1/realtime?intent=transcription&model=gpt-realtime");
	server("{\"type\":\"session.updated\",\"session\":{\"model\":\"gpt-realtime\",\"audio\":{"
	       "\"input\":{\"transcription\":{\"model\":\"whisper-1\"}}}}}");
	server("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":"
	       "\"i1\",\"usage\":{\"type\":\"duration\",\"seconds\":3.4}}");
	server("{\"type\":\"conversation.item.input_audio_transcription.completed\",\"item_id\":"
	       "\"i2\",\"transcript\":\"no usage\"}");
	assert_int_equal(seen.rows, 1);
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(seen.row[0].model, "whisper-1");
	assert_string_equal(seen.row[0].response_id, "i1");
	assert_int_equal(seen.row[0].usage.tool_units[TOOL_AUDIO_SECONDS], 3);
	assert_int_equal(usage_input_total(&seen.row[0].usage), 0);
}

/* A deployment's name is no model; the session names the true one, or nobody does. */
static void azure_names_a_deployment(void **state)
{
	(void)state;
	open_session("x.openai.azure.com", "/openai/realtime?api-version=1&deployment=ours");
	server(REALTIME_DONE("a", "completed",
			     "\"usage\":{\"input_tokens\":7,\"output_tokens\":3}"));
	server("{\"type\":\"session.updated\",\"session\":{\"model\":\"gpt-4o-realtime-preview\"}"
	       "}");
	server(REALTIME_DONE("b", "completed",
			     "\"usage\":{\"input_tokens\":7,\"output_tokens\":3}"));
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.row[0].model_requested, "ours");
	assert_string_equal(seen.row[0].model, "");
	assert_string_equal(seen.row[1].model, "gpt-4o-realtime-preview");
}

/* ---- Gemini Live ------------------------------------------------------------------------------
 */

#define LIVE "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k"
#define LIVE_TURN \
	"{\"serverContent\":{\"modelTurn\":{\"parts\":[{\"inlineData\":{\"data\":\"AAAA\"}}]}}}"

static void a_turn_of_a_live_session(void **state)
{
	(void)state;
	open_session("generativelanguage.googleapis.com", LIVE);
	client("{\"setup\":{\"model\":\"models/gemini-live-x\"}}");
	server("{\"setupComplete\":{}}");
	assert_int_equal(seen.open, 0);
	server(LIVE_TURN); /* at 13 s */
	assert_int_equal(seen.open, 1);
	server("{\"usageMetadata\":{\"promptTokenCount\":10,\"responseTokenCount\":5,"
	       "\"totalTokenCount\":15}}");
	server(LIVE_TURN);
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 2);
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	expect(1, OUTCOME_ABORTED, BASIS_PARTIAL, false);
	assert_int_equal(seen.started_ns[0], 13 * SEC);
	assert_string_equal(seen.row[0].model_requested, "models/gemini-live-x");
	assert_string_equal(seen.row[0].model, "gemini-live-x");
	assert_false(seen.row[0].usage.mismatch);
}

/* However its frames are cut, a message with more behind its document is no event. */
static void more_behind_a_message(void **state)
{
	static const char text[] = "{\"usageMetadata\":{\"thoughtsTokenCount\":2,"
				   "\"totalTokenCount\":13}}6\"\x80{";

	(void)state;
	for (size_t fragment = 1; fragment <= sizeof(text); fragment++) {
		uint64_t before = counter_get(COUNTER_DECODE_JSON);

		seen.rows = 0;
		open_session("generativelanguage.googleapis.com", LIVE);
		server(LIVE_TURN);
		say_in(WS_SERVER, text, fragment);
		assert_int_equal(counter_get(COUNTER_DECODE_JSON), before + 1);
		assert_int_equal(seen.rows, 0);
		hang_up(MESSAGE_CUT);
		assert_int_equal(seen.rows, 1);
		expect(0, OUTCOME_ABORTED, BASIS_PARTIAL, false);
	}
}

/* ---- what is not seen -------------------------------------------------------------------------
 */

static void a_lost_end_is_found_by_the_next_request(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	exchange_session_gap(x, CHUNK_READ, 700, now_ns);
	client(CREATE("gpt-5-mini"));
	assert_int_equal(seen.rows, 1);
	expect(0, OUTCOME_UNKNOWN, BASIS_PARTIAL, false);
	assert_int_equal(seen.row[0].gaps, 1);
	server(CREATED("r2"));
	server(ENDED("completed", "r2", USAGE(10, 5)));
	assert_int_equal(seen.rows, 2);
	expect(1, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(seen.row[1].model_requested, "gpt-5-mini");
}

static void a_gap_in_the_pieces_costs_nothing(void **state)
{
	(void)state;
	open_session(OPENAI, RESPONSES);
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	exchange_session_gap(x, CHUNK_READ, 700, now_ns);
	server(ENDED("completed", "r1", USAGE(10, 5)));
	expect(0, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_int_equal(seen.row[0].gaps, 1);
}

static void a_gap_in_a_window_makes_blind(void **state)
{
	(void)state;
	handshake(OPENAI, RESPONSES, NULL);
	accept_it("permessage-deflate");
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	assert_false(exchange_is_blind(x));
	exchange_session_gap(x, CHUNK_READ, 700, now_ns);
	assert_true(exchange_is_blind(x));
	server(ENDED("completed", "r1", USAGE(10, 5)));
	hang_up(MESSAGE_UNSEEN);
	assert_int_equal(seen.rows, 1);
	expect(0, OUTCOME_UNKNOWN, BASIS_PARTIAL, false);
}

/* Without its requests a session still tells all that is billed. */
static void a_client_that_cannot_be_read(void **state)
{
	(void)state;
	handshake(OPENAI, RESPONSES, NULL);
	accept_it("permessage-deflate");
	client(CREATE("gpt-5"));
	server(CREATED("r1"));
	exchange_session_gap(x, CHUNK_WRITE, 700, now_ns);
	assert_false(exchange_is_blind(x));
	server(ENDED("completed", "r1", USAGE(10, 5)));
	server(CREATED("r2"));
	server(ENDED("completed", "r2", USAGE(10, 5)));
	assert_int_equal(seen.rows, 2);
	expect(1, OUTCOME_OK, BASIS_REPORTED_USAGE, true);
	assert_string_equal(seen.row[1].model, "gpt-5-2025-08-07");
}

static void what_is_no_frame_makes_blind(void **state)
{
	uint64_t before = counter_get(COUNTER_DECODE_WEBSOCKET);

	(void)state;
	open_session(OPENAI, RESPONSES);
	exchange_session_bytes(x, CHUNK_READ, SLICE("HTTP/1.1"), true, now_ns);
	assert_true(exchange_is_blind(x));
	assert_int_equal(counter_get(COUNTER_DECODE_WEBSOCKET), before + 1);
}

/* ---- handshakes -------------------------------------------------------------------------------
 */

static void an_upgrade_that_is_refused(void **state)
{
	struct http_head head = {.status = 401};

	(void)state;
	handshake(OPENAI, REALTIME, NULL);
	exchange_response_head(x, &head, 2 * SEC);
	exchange_response_body(x, SLICE("{\"error\":{\"code\":\"invalid_api_key\"}}"), 3 * SEC);
	exchange_response_end(x, MESSAGE_COMPLETE, 4 * SEC);
	assert_int_equal(seen.rows, 1);
	assert_int_equal(seen.row[0].status, 401);
	assert_int_equal(seen.row[0].basis, BASIS_NOT_BILLED);
	assert_string_equal(seen.row[0].error_class, "invalid_api_key");
}

static void an_upgrade_that_is_not_made(void **state)
{
	struct http_head head = {.status = 200};

	(void)state;
	handshake(OPENAI, REALTIME, NULL);
	exchange_response_head(x, &head, 2 * SEC);
	exchange_response_end(x, MESSAGE_COMPLETE, 4 * SEC);
	exchange_free(x);
	handshake(OPENAI, REALTIME, NULL);
	hang_up(MESSAGE_CUT);
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.ignored, 2);
	assert_int_equal(seen.reason, IGNORED_SESSION_EMPTY);
}

static void what_cannot_be_read_is_no_session(void **state)
{
	struct http_head head = {.status = 101};

	(void)state;
	handshake(OPENAI, REALTIME, NULL);
	add_field(&head, "Upgrade", "websocket");
	add_field(&head, "Sec-WebSocket-Extensions", "x-unheard-of");
	exchange_response_head(x, &head, 2 * SEC);
	assert_false(exchange_is_session(x));
	exchange_response_end(x, MESSAGE_COMPLETE, 3 * SEC);
	assert_int_equal(seen.reason, IGNORED_UPGRADE);
}

/* Browsers send the key among the protocols: it is known again, and kept nowhere. */
static void a_key_among_protocols(void **state)
{
	static const char *const protocols[] = {
		NULL,
		"realtime, openai-insecure-api-key.sk-test-1, openai-beta.realtime-v1",
		"xai-client-secret.sk-test-1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		const struct call *c = &seen.row[i];

		handshake(OPENAI, REALTIME, protocols[i]);
		accept_it(NULL);
		client("{\"type\":\"session.update\",\"session\":{\"voice\":\"sk-test-1\"}}");
		server(REALTIME_DONE("b", "completed",
				     "\"usage\":{\"input_tokens\":7,\"output_tokens\":3}"));
		hang_up(MESSAGE_CUT);
		assert_string_equal(c->credential_kind, "api_key");
		assert_int_equal(strlen(c->key_fingerprint), 8);
		assert_string_equal(c->key_fingerprint, seen.row[0].key_fingerprint);
		assert_null(memmem(c, sizeof(*c), "sk-test", 7));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_turn_is_a_call),
		TEST(a_turn_goes_by_its_id),
		TEST(a_prewarm_is_no_call),
		TEST(a_prewarm_that_is_counted_is_a_call),
		TEST(a_session_without_calls_gives_no_row),
		TEST(a_session_cut_in_the_middle),
		TEST(a_request_that_got_no_answer),
		TEST(failures),
		TEST(an_end_counts_once),
		TEST(what_is_no_event_is_passed),
		TEST(too_many_open_calls),
		TEST(realtime_responses_are_told_by_their_ids),
		TEST(a_transcription_is_billed_at_its_own_model),
		TEST(azure_names_a_deployment),
		TEST(a_turn_of_a_live_session),
		TEST(more_behind_a_message),
		TEST(a_lost_end_is_found_by_the_next_request),
		TEST(a_gap_in_the_pieces_costs_nothing),
		TEST(a_gap_in_a_window_makes_blind),
		TEST(a_client_that_cannot_be_read),
		TEST(what_is_no_frame_makes_blind),
		TEST(an_upgrade_that_is_refused),
		TEST(an_upgrade_that_is_not_made),
		TEST(what_cannot_be_read_is_no_session),
		TEST(a_key_among_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
