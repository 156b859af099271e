/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of JSON documents, one a line (Ollama, Cohere v1), beside the same dialects in one piece
 * and as events: any split gives the same facts; a line that is no JSON and bytes that are missing
 * cost their line and make no count wrong.
 */
#include "agent/usage/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct reading {
	struct meter_facts facts;
	struct usage usage;
	char id[CALL_NAME_MAX];
};

#define NO_GAP SIZE_MAX

/* Pieces of `piece` bytes; those of [gap, gap + lost) are missing. */
static struct reading read_lines(const struct dialect *dialect, enum meter_hint hint,
				 struct slice text, size_t piece, size_t gap, size_t lost)
{
	struct json_paths *paths = NULL;
	struct reading r = {0};
	struct meter *m = NULL;

	assert_int_equal(dialect_paths_new(&paths, dialect), 0);
	assert_int_equal(meter_new(&m, dialect, paths, hint), 0);
	for (size_t i = 0; i < text.len;) {
		size_t end = gap != NO_GAP && i < gap ? gap : text.len;
		size_t n = end - i < piece ? end - i : piece;

		if (i == gap) {
			meter_gap(m, 0);
			i += lost;
			gap = NO_GAP;
			continue;
		}
		meter_feed(m, (struct slice){text.ptr + i, n});
		i += n;
	}
	meter_eof(m);
	r.facts = *meter_facts(m);
	slice_copy(r.id, sizeof(r.id), slice_of(meter_answer(m)->text[TEXT_RESPONSE_ID]));
	meter_usage(m, &r.usage);
	meter_free(m);
	json_paths_free(paths);
	return r;
}

#define OLLAMA_LAST                                                                      \
	"{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":" \
	"\"stop\",\"total_duration\":9,\"prompt_eval_count\":17,\"eval_count\":63}"
#define OLLAMA_STREAM                                                               \
	"{\"model\":\"m\",\"message\":{\"content\":\"a } b\\n\"},\"done\":false}\n" \
	"{\"model\":\"m\",\"message\":{\"content\":\"c\"},\"done\":false}\r\n" OLLAMA_LAST "\n"
#define BILLED                                                           \
	"{\"billed_units\":{\"input_tokens\":7.0,\"output_tokens\":20}," \
	"\"tokens\":{\"input_tokens\":69,\"output_tokens\":21}}"
#define V1_STREAM                                                                            \
	"{\"is_finished\":false,\"event_type\":\"stream-start\",\"generation_id\":\"g1\"}\n" \
	"{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"Ar\"}\n"       \
	"{\"is_finished\":true,\"event_type\":\"stream-end\",\"response\":{\"meta\":" BILLED \
	"},\"finish_reason\":\"COMPLETE\"}"
#define V2_STREAM                                                                          \
	"event: message-start\ndata: {\"id\":\"g1\",\"type\":\"message-start\"}\n\n"       \
	"event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"usage\":" BILLED \
	"}}\n\ndata: [DONE]\n\n"

static const struct vector {
	const char *name;
	const struct dialect *dialect;
	const char *text;
	int64_t input, output, search_units; /* -1: the usage is unknown */
	bool stream, ended, failed, broken, lower_bound, mismatch, not_final;
} vectors[] = {
	{"a stream", &dialect_ollama, OLLAMA_STREAM, 17, 63, .stream = true, .ended = true},
	{"without line ends", &dialect_ollama, "{\"done\":false}{\"done\":false}" OLLAMA_LAST, 17,
	 63, .stream = true, .ended = true},
	{"in one piece", &dialect_ollama, OLLAMA_LAST, 17, 63, .ended = true},
	{"a cached prompt is unknown, not zero", &dialect_ollama,
	 "{\"response\":\"x\",\"done\":true,\"eval_count\":58}", 0, 58, .ended = true,
	 .lower_bound = true},
	{"embeddings", &dialect_ollama, "{\"embeddings\":[[0.1]],\"prompt_eval_count\":4}", 4, 0,
	 .ended = true},
	{"cut before the last line", &dialect_ollama, "{\"done\":false}\n{\"done\":true,\"eval_cou",
	 -1, .stream = true, .not_final = true},
	{"an error in a stream", &dialect_ollama, "{\"done\":false}\n{\"error\":\"no memory\"}\n",
	 -1, .stream = true, .failed = true, .not_final = true},
	{"a line that is no JSON", &dialect_ollama,
	 "{\"done\":false}\n{]\"done\":true}\n" OLLAMA_LAST, 17, 63, .stream = true, .ended = true,
	 .broken = true},
	{"a list, then a document that is cut", &dialect_ollama, "[1]{\"eval_count\":1,", 0, 1,
	 .ended = true, .lower_bound = true, .not_final = true},
	{"no JSON, in one piece", &dialect_ollama, "{]\n" OLLAMA_LAST, -1, .broken = true,
	 .not_final = true},
	{"v1 stream", &dialect_cohere, V1_STREAM, 7, 20, .stream = true, .ended = true},
	{"v2 stream", &dialect_cohere, V2_STREAM, 7, 20, .stream = true, .ended = true},
	{"v1", &dialect_cohere, "{\"text\":\"x\",\"meta\":" BILLED "}", 7, 20, .ended = true},
	{"v2", &dialect_cohere, "{\"id\":\"g1\",\"usage\":" BILLED "}", 7, 20, .ended = true},
	{"rerank", &dialect_cohere, "{\"meta\":{\"billed_units\":{\"search_units\":3}}}", 0, 0, 3,
	 .ended = true},
	{"classifications have no unit", &dialect_cohere,
	 "{\"meta\":{\"billed_units\":{\"classifications\":3}}}", 0, 0, .ended = true,
	 .lower_bound = true, .mismatch = true},
	{"an error at the end", &dialect_cohere,
	 "{\"is_finished\":false}\n{\"is_finished\":true,\"finish_reason\":\"ERROR_TOXIC\"}\n", -1,
	 .stream = true, .ended = true, .failed = true, .not_final = true},
};

static void check(const struct vector *v, const struct reading *r)
{
	const struct meter_facts *f = &r->facts;

	if (f->stream != v->stream || f->ended != v->ended || f->failed != v->failed ||
	    f->broken != v->broken || f->final == v->not_final)
		fail_msg("%s: stream %d ended %d failed %d broken %d final %d", v->name, f->stream,
			 f->ended, f->failed, f->broken, f->final);
	assert_int_equal(r->usage.known, v->input >= 0);
	assert_int_equal(r->usage.lower_bound, v->lower_bound);
	assert_int_equal(r->usage.mismatch, v->mismatch);
	assert_int_equal(r->usage.tool_units[TOOL_SEARCH_UNITS], v->search_units);
	if (v->input < 0)
		return;
	assert_int_equal(usage_input_total(&r->usage), v->input);
	assert_int_equal(usage_output_total(&r->usage), v->output);
}

static void any_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct slice text = slice_of(vectors[i].text);

		for (size_t piece = 1; piece <= text.len; piece++) {
			struct reading r =
				read_lines(vectors[i].dialect, METER_PLAIN, text, piece, NO_GAP, 0);

			check(&vectors[i], &r);
		}
	}
}

static void names(void **state)
{
	struct reading r = read_lines(&dialect_cohere, METER_PLAIN, SLICE(V1_STREAM), 5, NO_GAP, 0);

	(void)state;
	assert_string_equal(r.id, "g1");
}

/* Wherever bytes are missing: the true counts, or none that pass for final. */
static void gaps(void **state)
{
	struct slice text = SLICE(OLLAMA_STREAM);
	size_t told = 0;

	(void)state;
	for (size_t gap = 0; gap < text.len; gap++) {
		for (size_t lost = 1; lost <= text.len - gap; lost += 3) {
			struct reading r =
				read_lines(&dialect_ollama, METER_LINES, text, 4, gap, lost);

			if (!r.facts.final)
				continue;
			assert_true(r.facts.stream && r.facts.ended);
			assert_int_equal(usage_input_total(&r.usage), 17);
			assert_int_equal(usage_output_total(&r.usage), 63);
			told++;
		}
	}
	assert_true(told > 100);
}

/* A body of one piece is not read on behind a gap. */
static void gap_in_one_piece(void **state)
{
	struct reading r = read_lines(&dialect_ollama, METER_PLAIN, SLICE(OLLAMA_LAST), 1, 3, 2);

	(void)state;
	assert_false(r.usage.known || r.facts.ended || r.facts.final);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split),
		cmocka_unit_test(names),
		cmocka_unit_test(gaps),
		cmocka_unit_test(gap_in_one_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
