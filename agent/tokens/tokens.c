/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tokens/tokens.h"

#include "agent/tokens/table.h"

#include <errno.h>

/* What may still join a run: a contraction ('re) of two bytes behind its quote. */
#define LOOK_AHEAD 4
/* Where nothing better is known: what English text has. */
#define BYTES_PER_TOKEN	  4
#define DENSITY_BYTES_MIN 256

struct token_counter {
	struct tokenizer *tokenizer;
	uint64_t total;
	uint64_t counted, text_tokens; /* of the text at hand: bytes, and their tokens */
	uint64_t beyond;	       /* its bytes that only their number is known of */
	bool rough;
	size_t held_len;
	char held[TOKENS_HELD_MAX];
};

int token_counter_new(struct token_counter **out, struct tokenizer *t)
{
	struct token_counter *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->tokenizer = t;
	*out = c;
	return 0;
}

void token_counter_free(struct token_counter *c)
{
	if (!c)
		return;
	explicit_bzero(c->held, sizeof(c->held));
	free(c);
}

/* Bytes of the character that begins with b, by RFC 3629; 0: none does. */
static size_t char_len(uint8_t b)
{
	if (b < 0x80)
		return 1;
	if (b >= 0xc2 && b <= 0xdf)
		return 2;
	if ((b & 0xf0) == 0xe0)
		return 3;
	return b >= 0xf0 && b <= 0xf4 ? 4 : 0;
}

/* Is p[1] a byte that may follow p[0]? Overlong forms and surrogates are none. */
static bool second_ok(const uint8_t *p)
{
	uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

	return p[1] >= low && p[1] <= high;
}

/* How many bytes at p, of n, are the character that begins there; 0: it is broken. */
static size_t char_bytes(const uint8_t *p, size_t n)
{
	size_t len = char_len(*p), seen = len < n ? len : n;

	if (!len || (seen > 1 && !second_ok(p)))
		return 0;
	for (size_t i = 2; i < seen; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

/* Makes what is held UTF-8; how much of it are whole characters. */
static size_t clean(struct token_counter *c, bool at_end)
{
	uint8_t *held = (uint8_t *)c->held;
	size_t i = 0;

	while (i < c->held_len) {
		size_t len = char_bytes(held + i, c->held_len - i);

		if (len > c->held_len - i && !at_end)
			return i;
		if (!len || len > c->held_len - i) {
			held[i] = '?';
			len = 1;
			c->rough = true;
		}
		i += len;
	}
	return i;
}

/* The end of the run that begins at `from`: of one character, where the pattern has none. */
static size_t run_end(const struct token_counter *c, size_t from, size_t until)
{
	size_t end = token_word_end(c->held, from, until);

	if (!end)
		end = tokenizer_pattern_end(c->tokenizer, c->held, from, until);
	return end > from ? end : from + char_len((uint8_t)c->held[from]);
}

/* Space behind a run may belong to it, when what ends the space is not seen yet. */
static bool is_settled(const struct token_counter *c, size_t end, size_t until)
{
	if (end + LOOK_AHEAD > until)
		return false;
	for (size_t i = end; i < until; i++) {
		if (!strchr(" \t\r\n", c->held[i]) || !c->held[i])
			return true;
	}
	return false;
}

/* Counts the runs that nothing to come can change, at the text's end all. */
static size_t count_runs(struct token_counter *c, size_t until, bool at_end)
{
	size_t from = 0;

	while (from < until) {
		size_t end = run_end(c, from, until);
		bool stuck = from == 0 && until + LOOK_AHEAD > sizeof(c->held);

		if (!at_end && !stuck && !is_settled(c, end, until))
			break;
		c->rough |= end - from > TOKENS_RUN_MAX || (stuck && !is_settled(c, end, until));
		for (size_t n; from < end; from += n) {
			n = end - from < TOKENS_RUN_MAX ? end - from : TOKENS_RUN_MAX;
			c->text_tokens += tokenizer_count_run(c->tokenizer,
							      (const uint8_t *)c->held + from, n);
		}
	}
	return from;
}

static void count_held(struct token_counter *c, bool at_end)
{
	size_t until = clean(c, at_end), from;

	if (tokenizer_ready(c->tokenizer)) {
		from = count_runs(c, until, at_end);
	} else {
		from = c->held_len;
		c->text_tokens += (from + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
		c->rough = true;
	}
	c->counted += from;
	c->held_len -= from;
	memmove(c->held, c->held + from, c->held_len);
}

void token_counter_skip(struct token_counter *c, uint64_t bytes)
{
	c->beyond += bytes;
	c->rough |= bytes > 0;
}

void token_counter_feed(struct token_counter *c, struct slice text)
{
	while (text.len) {
		size_t n = sizeof(c->held) - c->held_len;

		if (c->beyond || c->counted + c->held_len >= TOKENS_TEXT_MAX) {
			token_counter_skip(c, text.len);
			return;
		}
		n = text.len < n ? text.len : n;
		memcpy(c->held + c->held_len, text.ptr, n);
		c->held_len += n;
		text = (struct slice){text.ptr + n, text.len - n};
		if (c->held_len == sizeof(c->held))
			count_held(c, false);
	}
}

/* Tokens of what was skipped. Short beginnings say little of the rest. */
static uint64_t by_density(const struct token_counter *c)
{
	if (c->counted >= DENSITY_BYTES_MIN)
		return (uint64_t)((unsigned __int128)c->beyond * c->text_tokens / c->counted);
	return c->beyond / BYTES_PER_TOKEN + (c->beyond % BYTES_PER_TOKEN > 0);
}

void token_counter_end(struct token_counter *c)
{
	count_held(c, true);
	c->text_tokens += by_density(c);
	explicit_bzero(c->held, sizeof(c->held));
	c->total += c->text_tokens;
	c->counted = c->text_tokens = c->beyond = 0;
}

uint64_t token_counter_total(const struct token_counter *c)
{
	return c->total;
}

bool token_counter_is_exact(const struct token_counter *c)
{
	return !c->rough;
}

size_t token_counter_memory(const struct token_counter *c)
{
	return c ? sizeof(*c) : 0;
}
