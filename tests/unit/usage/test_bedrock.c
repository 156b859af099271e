/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bedrock's two forms, as bodies and as event streams: the same kinds in any split, the bill's
 * counts before those of the body, nothing believed of a message whose sum does not hold.
 */
#include "agent/usage/meter.h"
#include "tests/unit/usage/aws_stream.h"

struct reading {
	struct meter_facts facts;
	struct usage usage;
	char error[CALL_NAME_MAX], tier[CALL_NAME_MAX];
};

struct header {
	const char *name, *value;
};

static void read_head(struct meter *m, const struct dialect *dialect, const struct header *headers)
{
	for (; headers && headers->name; headers++) {
		for (const struct dialect_head *row = dialect->head; row->header; row++) {
			if (strcmp(row->header, headers->name) == 0)
				meter_header(m, row, slice_of(headers->value));
		}
	}
}

/* Bytes of [gap, gap + lost) are missing; lost 0 = none. */
static struct reading read_answer(const struct dialect *dialect, const struct header *headers,
				  struct slice text, size_t piece, size_t gap, size_t lost)
{
	struct json_paths *paths = NULL;
	struct reading r = {0};
	struct meter *m = NULL;

	assert_int_equal(dialect_paths_new(&paths, dialect), 0);
	assert_int_equal(meter_new(&m, dialect, paths, METER_EVENTSTREAM), 0);
	read_head(m, dialect, headers);
	for (size_t i = 0; i < text.len;) {
		size_t n = text.len - i < piece ? text.len - i : piece;

		if (lost && i >= gap) {
			meter_gap(m, 0);
			i += lost;
			lost = 0;
			continue;
		}
		if (lost && n > gap - i)
			n = gap - i;
		meter_feed(m, (struct slice){text.ptr + i, n});
		i += n;
	}
	meter_eof(m);
	r.facts = *meter_facts(m);
	slice_copy(r.error, sizeof(r.error), slice_of(meter_answer(m)->text[TEXT_ERROR_TYPE]));
	slice_copy(r.tier, sizeof(r.tier), slice_of(meter_answer(m)->text[TEXT_SERVICE_TIER]));
	meter_usage(m, &r.usage);
	meter_free(m);
	json_paths_free(paths);
	return r;
}

/* ---- expectations ---------------------------------------------------------------------------- */

struct want {
	int64_t input, cached, write_5m, write_1h, output; /* input -1: the usage is unknown */
	bool mismatch, lower_bound, stream, ended, failed, broken, not_final;
};

static void check(const char *name, const struct want *w, const struct reading *r)
{
	const struct meter_facts *f = &r->facts;
	const int64_t *t = r->usage.tokens;

	if (f->stream != w->stream || f->ended != w->ended || f->failed != w->failed ||
	    f->broken != w->broken || f->final == w->not_final)
		fail_msg("%s: stream %d ended %d failed %d broken %d final %d", name, f->stream,
			 f->ended, f->failed, f->broken, f->final);
	if (r->usage.known != (w->input >= 0) || r->usage.mismatch != w->mismatch ||
	    r->usage.lower_bound != w->lower_bound)
		fail_msg("%s: known %d mismatch %d lower bound %d", name, r->usage.known,
			 r->usage.mismatch, r->usage.lower_bound);
	if (w->input < 0)
		return;
	assert_int_equal(t[TOKEN_INPUT_UNCACHED], w->input);
	assert_int_equal(t[TOKEN_INPUT_CACHE_READ], w->cached);
	assert_int_equal(t[TOKEN_INPUT_CACHE_WRITE_5M], w->write_5m);
	assert_int_equal(t[TOKEN_INPUT_CACHE_WRITE_1H], w->write_1h);
	assert_int_equal(usage_output_total(&r->usage), w->output);
}

static void expect(const char *name, const struct dialect *dialect, const struct header *headers,
		   struct slice text, const struct want *w)
{
	for (size_t piece = 1; piece <= text.len; piece += 1 + piece / 8) {
		struct reading r = read_answer(dialect, headers, text, piece, 0, 0);

		check(name, w, &r);
	}
}

/* ---- Converse -------------------------------------------------------------------------------- */

#define CONVERSE(usage)                                                                           \
	"{\"output\":{\"message\":{\"content\":[{\"text\":\"x\"}]}},\"stopReason\":\"end_turn\"," \
	"\"usage\":" usage "}"

static void converse(void **state)
{
	static const struct {
		const char *name, *text;
		struct want want;
	} rows[] = {
		{"plain",
		 CONVERSE("{\"inputTokens\":10,\"outputTokens\":4,\"totalTokens\":14}"),
		 {.input = 10, .output = 4, .ended = true}},
		{"each cache count comes twice",
		 CONVERSE("{\"inputTokens\":10,\"outputTokens\":4,\"totalTokens\":49,"
			  "\"cacheReadInputTokens\":30,\"cacheReadInputTokenCount\":30,"
			  "\"cacheWriteInputTokens\":5,\"cacheWriteInputTokenCount\":5}"),
		 {.input = 10, .cached = 30, .write_5m = 5, .output = 4, .ended = true}},
		{"two lifetimes",
		 CONVERSE("{\"inputTokens\":10,\"outputTokens\":4,\"totalTokens\":22,"
			  "\"cacheWriteInputTokens\":8,\"cacheDetails\":[{\"ttl\":\"1h\","
			  "\"inputTokens\":5},{\"ttl\":\"5m\",\"inputTokens\":3}]}"),
		 {.input = 10, .write_5m = 3, .write_1h = 5, .output = 4, .ended = true}},
		{"an unknown lifetime",
		 CONVERSE("{\"inputTokens\":10,\"outputTokens\":4,\"cacheWriteInputTokens\":8,"
			  "\"cacheDetails\":[{\"ttl\":\"9d\",\"inputTokens\":8}]}"),
		 {.input = 10, .write_5m = 8, .output = 4, .ended = true, .mismatch = true}},
		{"a total that is none",
		 CONVERSE("{\"inputTokens\":10,\"outputTokens\":4,\"totalTokens\":15}"),
		 {.input = 10, .output = 4, .ended = true, .mismatch = true}},
		{"no counts",
		 "{\"message\":\"no\"}",
		 {.input = -1, .ended = true, .not_final = true}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].name, &dialect_bedrock_converse, NULL, slice_of(rows[i].text),
		       &rows[i].want);
}

static void add_converse(struct stream *s)
{
	add_message(s, ":event-type", "messageStart", "{\"role\":\"assistant\"}");
	add_message(s, ":event-type", "contentBlockDelta", "{\"delta\":{\"text\":\"Hi\"}}");
	add_message(s, ":event-type", "messageStop", "{\"stopReason\":\"end_turn\"}");
	add_message(s, ":event-type", "metadata",
		    "{\"usage\":{\"inputTokens\":10,\"outputTokens\":4,\"totalTokens\":14},"
		    "\"performanceConfig\":{\"latency\":\"optimized\"}}");
}

static void converse_stream(void **state)
{
	static const struct want whole = {.input = 10, .output = 4, .stream = true, .ended = true};
	static const struct want bad = {
		.input = -1, .mismatch = true, .stream = true, .broken = true};
	struct stream s = {0};
	struct reading r;

	(void)state;
	add_converse(&s);
	expect("stream", &dialect_bedrock_converse, NULL, (struct slice){s.bytes, s.len}, &whole);
	r = read_answer(&dialect_bedrock_converse, NULL, (struct slice){s.bytes, s.len}, 9, 0, 0);
	assert_string_equal(r.tier, "optimized"); /* never priced as the standard one */
	s.bytes[s.len - 1] ^= 1;
	expect("bad sum", &dialect_bedrock_converse, NULL, (struct slice){s.bytes, s.len}, &bad);
}

/* An exception is told by its header; its text is not kept. */
static void exceptions(void **state)
{
	static const struct want want = {
		.input = -1, .stream = true, .failed = true, .not_final = true};
	struct stream s = {0};
	struct reading r;

	(void)state;
	add_message(&s, ":event-type", "messageStart", "{\"role\":\"assistant\"}");
	add_message(&s, ":exception-type", "throttlingException", "{\"message\":\"slow\"}");
	expect("exception", &dialect_bedrock_converse, NULL, (struct slice){s.bytes, s.len}, &want);
	r = read_answer(&dialect_bedrock_converse, NULL, (struct slice){s.bytes, s.len}, 7, 0, 0);
	assert_string_equal(r.error, "throttlingException");
}

/* Wherever bytes are missing: the true counts, or none that pass for final. */
static void gaps(void **state)
{
	struct stream s = {0};
	size_t told = 0;

	(void)state;
	add_converse(&s);
	for (size_t gap = 0; gap < s.len; gap++) {
		for (size_t lost = 1; lost <= s.len - gap; lost += 5) {
			struct reading r =
				read_answer(&dialect_bedrock_converse, NULL,
					    (struct slice){s.bytes, s.len}, 11, gap, lost);

			if (!r.facts.final || !r.facts.ended)
				continue;
			assert_int_equal(usage_input_total(&r.usage), 10);
			assert_int_equal(usage_output_total(&r.usage), 4);
			told++;
		}
	}
	assert_true(told > 100);
}

/* ---- InvokeModel ----------------------------------------------------------------------------- */

static const struct header both[] = {
	{"x-amzn-bedrock-input-token-count", "12"},
	{"x-amzn-bedrock-output-token-count", "34"},
	{NULL, NULL},
};

static void invoke(void **state)
{
	static const struct header input_only[] = {{"x-amzn-bedrock-input-token-count", "7.0"},
						   {NULL, NULL}};
	static const struct header no_count[] = {{"x-amzn-bedrock-input-token-count", "many"},
						 {"x-amzn-bedrock-output-token-count", "3"},
						 {NULL, NULL}};
	static const struct {
		const char *name;
		const struct header *head;
		const char *text;
		struct want want;
	} rows[] = {
		{"the head alone",
		 both,
		 "{\"generations\":[{\"text\":\"x\"}]}",
		 {.input = 12, .output = 34, .ended = true}},
		{"the head alone of a body that is cut",
		 both,
		 "{\"generations\":[{",
		 {.input = 12, .output = 34}},
		{"embeddings", input_only, "{\"embeddings\":[[0.5]]}", {.input = 7, .ended = true}},
		{"text without a count of it",
		 input_only,
		 "{\"outputs\":[{\"text\":\"x\"}]}",
		 {.input = 7, .ended = true, .lower_bound = true}},
		{"a head that counts nothing",
		 no_count,
		 "{}",
		 {.input = -1, .ended = true, .mismatch = true}},
		{"Claude, cached",
		 NULL,
		 "{\"type\":\"message\",\"usage\":{\"input_tokens\":4,\"output_tokens\":50,"
		 "\"cache_creation_input_tokens\":9,\"cache_read_input_tokens\":2}}",
		 {.input = 4, .cached = 2, .write_5m = 9, .output = 50, .ended = true}},
		{"Claude, whose body says otherwise",
		 both,
		 "{\"type\":\"message\",\"usage\":{\"input_tokens\":12,\"output_tokens\":50}}",
		 {.input = 12, .output = 34, .ended = true, .mismatch = true}},
		{"Nova",
		 NULL,
		 "{\"usage\":{\"inputTokens\":5,\"outputTokens\":10}}",
		 {.input = 5, .output = 10, .ended = true}},
		{"Titan",
		 NULL,
		 "{\"inputTextTokenCount\":28.0,\"results\":[{\"tokenCount\":3},{\"tokenCount\":4}]"
		 "}",
		 {.input = 28, .output = 7, .ended = true}},
		{"Llama",
		 both,
		 "{\"prompt_token_count\":12,\"generation_token_count\":34}",
		 {.input = 12, .output = 34, .ended = true}},
		{"Mistral",
		 NULL,
		 "{\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":8}}",
		 {.input = 6, .output = 8, .ended = true}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].name, &dialect_bedrock_invoke, rows[i].head, slice_of(rows[i].text),
		       &rows[i].want);
}

#define METRICS(in, out)                                                \
	"\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":" in \
	",\"outputTokenCount\":" out ",\"invocationLatency\":900}"
#define CLAUDE_START                                                               \
	"{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25," \
	"\"cache_read_input_tokens\":7,\"output_tokens\":1}}}"
#define CLAUDE_DELTA "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":130}}"

/* The last chunk's metrics are the bill: 98, though the model said 130. */
static void invoke_stream(void **state)
{
	static const struct want want = {.input = 25,
					 .cached = 7,
					 .output = 98,
					 .mismatch = true,
					 .stream = true,
					 .ended = true};
	static const struct want cut = {.input = 25, .cached = 7, .output = 130, .stream = true};
	struct stream s = {0};

	(void)state;
	add_chunk(&s, CLAUDE_START);
	add_chunk(&s, "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"Hi\"}}");
	add_chunk(&s, CLAUDE_DELTA);
	expect("cut", &dialect_bedrock_invoke, NULL, (struct slice){s.bytes, s.len}, &cut);
	add_chunk(&s, "{\"type\":\"message_stop\"," METRICS("25", "98") "}");
	expect("Claude", &dialect_bedrock_invoke, NULL, (struct slice){s.bytes, s.len}, &want);
}

static void chunk_that_is_no_base64(void **state)
{
	static const struct want want = {
		.input = 3, .output = 4, .stream = true, .ended = true, .broken = true};
	struct stream s = {0};

	(void)state;
	add_message(&s, ":event-type", "chunk", "{\"bytes\":\"*\"}");
	add_chunk(&s, "{\"outputText\":\"x\"," METRICS("3", "4") "}");
	expect("no base64", &dialect_bedrock_invoke, NULL, (struct slice){s.bytes, s.len}, &want);
}

/* Zeros are no stream: nothing in them is a message. */
static void zeros(void **state)
{
	static const char text[64];
	struct reading r = read_answer(&dialect_bedrock_invoke, NULL,
				       (struct slice){text, sizeof(text)}, 5, 0, 0);

	(void)state;
	assert_true(r.facts.alien && !r.facts.ended && !r.facts.final && !r.usage.known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(converse),
		cmocka_unit_test(converse_stream),
		cmocka_unit_test(exceptions),
		cmocka_unit_test(gaps),
		cmocka_unit_test(invoke),
		cmocka_unit_test(invoke_stream),
		cmocka_unit_test(chunk_that_is_no_base64),
		cmocka_unit_test(zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
