/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buckets of a usage are disjoint and sum to the provider's total: for random counts in every
 * dialect, also where the provider's parts are larger than their whole (which is flagged).
 */
#include "agent/usage/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ROUNDS 2000

static uint32_t seed = 3;

static int64_t below(int64_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return n > 0 ? (seed >> 4) % n : 0;
}

/* One random usage: two wholes and parts of each, which all dialects tell in their own words. */
struct counts {
	int64_t input, read, w5m, w1h, audio, image, tool;
	int64_t output, thinking, out_audio;
	bool too_much; /* a part is larger than its whole */
};

static struct counts random_counts(void)
{
	struct counts c = {.input = below(300000), .output = 1 + below(20000)};
	int64_t rest = c.input;

	c.read = below(rest + 1);
	c.w5m = below((rest -= c.read) + 1);
	c.w1h = below((rest -= c.w5m) + 1);
	c.audio = below((rest -= c.w1h) + 1);
	c.image = below(rest - c.audio + 1);
	c.tool = below(1000);
	c.thinking = below(c.output + 1);
	c.out_audio = below(c.output - c.thinking + 1);
	if (below(10) == 0) {
		c.read = c.input + 1 + below(1000);
		c.too_much = true;
	}
	return c;
}

#define N(x) ((long long)(x))

static void tell_chat(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":%lld,"
		 "\"completion_tokens\":%lld,\"total_tokens\":%lld,\"prompt_tokens_details\":{"
		 "\"cached_tokens\":%lld,\"cache_write_tokens\":%lld,\"audio_tokens\":%lld,"
		 "\"image_tokens\":%lld},\"completion_tokens_details\":{\"reasoning_tokens\":%lld,"
		 "\"audio_tokens\":%lld}}}",
		 N(c->input), N(c->output), N(c->input + c->output), N(c->read), N(c->w5m),
		 N(c->audio), N(c->image), N(c->thinking), N(c->out_audio));
}

static void tell_responses(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"object\":\"response\",\"usage\":{\"input_tokens\":%lld,\"output_tokens\":%lld,"
		 "\"total_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld,"
		 "\"cache_write_tokens\":%lld},\"output_tokens_details\":{\"reasoning_tokens\":"
		 "%lld}}}",
		 N(c->input), N(c->output), N(c->input + c->output), N(c->read), N(c->w5m),
		 N(c->thinking));
}

/* Its input is what remains, and no total is told. */
static void tell_anthropic(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"type\":\"message\",\"usage\":{\"input_tokens\":%lld,"
		 "\"cache_read_input_tokens\":%lld,\"cache_creation_input_tokens\":%lld,"
		 "\"cache_creation\":{\"ephemeral_5m_input_tokens\":%lld,"
		 "\"ephemeral_1h_input_tokens\":%lld},\"output_tokens\":%lld,"
		 "\"output_tokens_details\":{\"thinking_tokens\":%lld}}}",
		 N(c->input - c->read - c->w5m - c->w1h), N(c->read), N(c->w5m + c->w1h), N(c->w5m),
		 N(c->w1h), N(c->output), N(c->thinking));
}

static void tell_gemini(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{"
		 "\"promptTokenCount\":%lld,\"cachedContentTokenCount\":%lld,"
		 "\"candidatesTokenCount\":%lld,\"thoughtsTokenCount\":%lld,"
		 "\"toolUsePromptTokenCount\":%lld,\"totalTokenCount\":%lld}}",
		 N(c->input - c->tool), N(c->read), N(c->output - c->thinking), N(c->thinking),
		 N(c->tool), N(c->input + c->output));
}

static void tell_converse(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"output\":{},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":%lld,"
		 "\"outputTokens\":%lld,\"cacheReadInputTokens\":%lld,\"cacheWriteInputTokens\":"
		 "%lld,\"totalTokens\":%lld}}",
		 N(c->input - c->read - c->w5m), N(c->output), N(c->read), N(c->w5m),
		 N(c->input + c->output));
}

static void tell_deepseek(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":%lld,"
		 "\"completion_tokens\":%lld,\"total_tokens\":%lld,\"prompt_cache_hit_tokens\":"
		 "%lld,\"prompt_cache_miss_tokens\":%lld,\"completion_tokens_details\":{"
		 "\"reasoning_tokens\":%lld}}}",
		 N(c->input), N(c->output), N(c->input + c->output), N(c->read),
		 N(c->input - c->read), N(c->thinking));
}

/* Thinking stands beside the completion. */
static void tell_xai(const struct counts *c, char *text, size_t size)
{
	snprintf(text, size,
		 "{\"object\":\"chat.completion\",\"usage\":{\"prompt_tokens\":%lld,"
		 "\"completion_tokens\":%lld,\"total_tokens\":%lld,\"prompt_tokens_details\":{"
		 "\"cached_tokens\":%lld},\"completion_tokens_details\":{\"reasoning_tokens\":"
		 "%lld}}}",
		 N(c->input), N(c->output - c->thinking), N(c->input + c->output), N(c->read),
		 N(c->thinking));
}

static const struct {
	const char *name;
	const struct dialect *dialect;
	void (*tell)(const struct counts *c, char *text, size_t size);
	bool excludes; /* its input is without the cache: no part can be larger than it */
} tellers[] = {
	{"chat", &dialect_openai_chat, tell_chat, false},
	{"responses", &dialect_openai_responses, tell_responses, false},
	{"messages", &dialect_anthropic, tell_anthropic, true},
	{"generateContent", &dialect_gemini, tell_gemini, false},
	{"converse", &dialect_bedrock_converse, tell_converse, true},
	{"DeepSeek", &dialect_openai_chat, tell_deepseek, false},
	{"xAI", &dialect_openai_chat, tell_xai, false},
};

static void read_usage(const struct dialect *dialect, const char *text, struct usage *usage)
{
	struct json_paths *paths = NULL;
	struct meter *m = NULL;

	assert_int_equal(dialect_paths_new(&paths, dialect), 0);
	assert_int_equal(meter_new(&m, dialect, paths, METER_PLAIN), 0);
	meter_feed(m, slice_of(text));
	meter_eof(m);
	meter_usage(m, usage);
	meter_free(m);
	json_paths_free(paths);
}

static void check(const char *name, const struct counts *c, const struct usage *u)
{
	int64_t sum = 0;

	for (int i = 0; i < TOKEN_KINDS; i++) {
		if (u->tokens[i] < 0)
			fail_msg("%s: %s is %lld", name, token_kind_names[i], N(u->tokens[i]));
		sum += u->tokens[i];
	}
	if (!u->known || u->mismatch != c->too_much || sum != c->input + c->output ||
	    usage_output_total(u) != c->output)
		fail_msg("%s: known %d, mismatch %d of %d, %lld tokens of %lld, %lld out of %lld",
			 name, u->known, u->mismatch, c->too_much, N(sum), N(c->input + c->output),
			 N(usage_output_total(u)), N(c->output));
}

static void buckets_sum_to_the_total(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tellers); i++) {
		for (int round = 0; round < ROUNDS; round++) {
			struct counts c = random_counts();
			struct usage usage;
			char text[1024];

			if (tellers[i].excludes && c.too_much)
				continue;
			if (tellers[i].tell == tell_gemini && c.input - c.tool < c.read)
				continue; /* tool results are beside the prompt that is cached */
			tellers[i].tell(&c, text, sizeof(text));
			read_usage(tellers[i].dialect, text, &usage);
			check(tellers[i].name, &c, &usage);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_sum_to_the_total),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
