/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tokens/tokens.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>

#define MAGIC	     "TTRANKS1"
#define MAGIC_BYTES  8
#define COUNTS_BYTES 8
#define TOKENS_MAX   (1u << 20)
#define NO_RANK	     UINT32_MAX
/* What may still join a run: a contraction ('re) of two bytes behind its quote. */
#define LOOK_AHEAD 4

struct tokenizer {
	const uint8_t *tokens, *end;
	uint32_t count;
	pcre2_code *pattern;
	pcre2_match_data *match;
	uint32_t *at;	 /* by rank: where a token's length stands; NULL: not built yet */
	uint32_t *slots; /* by hash: rank + 1 */
	uint32_t mask;
	bool failed; /* no memory for the tables */
};

struct token_counter {
	struct tokenizer *tokenizer;
	uint64_t total;
	uint64_t counted, text_tokens; /* of the text at hand: bytes, and their tokens */
	uint64_t beyond;	       /* its bytes that only their number is known of */
	bool rough;
	size_t held_len;
	char held[TOKENS_HELD_MAX];
};

/* ---- the table ------------------------------------------------------------------------------- */

static uint32_t hash_of(const uint8_t *bytes, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a, 64 bits */

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t rank_of(const struct tokenizer *t, const uint8_t *bytes, size_t n)
{
	for (uint32_t i = hash_of(bytes, n) & t->mask; t->slots[i]; i = (i + 1) & t->mask) {
		const uint8_t *token = t->tokens + t->at[t->slots[i] - 1];

		if (*token == n && memcmp(token + 1, bytes, n) == 0)
			return t->slots[i] - 1;
	}
	return NO_RANK;
}

static bool fill(struct tokenizer *t)
{
	const uint8_t *p = t->tokens;

	for (uint32_t rank = 0; rank < t->count; rank++) {
		uint32_t i;

		if (p == t->end || (size_t)(t->end - p) <= *p)
			return false;
		t->at[rank] = (uint32_t)(p - t->tokens);
		i = hash_of(p + 1, *p) & t->mask;
		while (t->slots[i])
			i = (i + 1) & t->mask;
		t->slots[i] = rank + 1;
		p += 1 + *p;
	}
	return p == t->end;
}

static bool build(struct tokenizer *t)
{
	uint32_t size = 2;

	if (t->at || t->failed)
		return !t->failed;
	while (size < 2 * t->count)
		size *= 2;
	t->mask = size - 1;
	t->at = calloc(t->count, sizeof(*t->at));
	t->slots = calloc(size, sizeof(*t->slots));
	t->failed = !t->at || !t->slots || !fill(t);
	return !t->failed;
}

static uint32_t number_at(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static int compile(struct tokenizer *t, const char *pattern, size_t len)
{
	PCRE2_SIZE where;
	int why;

	t->pattern =
		pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | PCRE2_UCP, &why, &where, NULL);
	if (!t->pattern)
		return -EBADMSG;
	t->match = pcre2_match_data_create(1, NULL);
	return t->match ? 0 : -ENOMEM;
}

int tokenizer_new(struct tokenizer **out, struct slice ranks)
{
	const size_t head = MAGIC_BYTES + COUNTS_BYTES;
	struct tokenizer *t;
	uint32_t count, pattern_len;
	int err;

	if (ranks.len < head || memcmp(ranks.ptr, MAGIC, MAGIC_BYTES) != 0)
		return -EBADMSG;
	count = number_at(ranks.ptr + MAGIC_BYTES);
	pattern_len = number_at(ranks.ptr + MAGIC_BYTES + 4);
	if (!count || count > TOKENS_MAX || pattern_len > ranks.len - head ||
	    ranks.len > UINT32_MAX)
		return -EBADMSG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->count = count;
	t->tokens = (const uint8_t *)ranks.ptr + head + pattern_len;
	t->end = (const uint8_t *)ranks.ptr + ranks.len;
	err = compile(t, ranks.ptr + head, pattern_len);
	if (err) {
		tokenizer_free(t);
		return err;
	}
	*out = t;
	return 0;
}

void tokenizer_free(struct tokenizer *t)
{
	if (!t)
		return;
	pcre2_match_data_free(t->match);
	pcre2_code_free(t->pattern);
	free(t->at);
	free(t->slots);
	free(t);
}

/* ---- a run of text --------------------------------------------------------------------------- */

/* Parts of a run, as the bytes they begin at; `rank` of each joined with the next. */
struct parts {
	uint16_t begin[TOKENS_RUN_MAX + 1];
	uint32_t rank[TOKENS_RUN_MAX + 1];
	size_t count; /* the last begin is the run's end */
};

static uint32_t joined_rank(const struct tokenizer *t, const uint8_t *run, const struct parts *p,
			    size_t i)
{
	return i + 2 < p->count
		       ? rank_of(t, run + p->begin[i], (size_t)(p->begin[i + 2] - p->begin[i]))
		       : NO_RANK;
}

static size_t lowest(const struct parts *p)
{
	size_t best = 0;

	for (size_t i = 1; i + 2 < p->count; i++) {
		if (p->rank[i] < p->rank[best])
			best = i;
	}
	return best;
}

/* Joins the neighbours of lowest rank until none are left: what remains are tokens. */
static size_t count_run(const struct tokenizer *t, const uint8_t *run, size_t n)
{
	struct parts p = {.count = n + 1};

	if (n == 1 || rank_of(t, run, n) != NO_RANK)
		return 1;
	for (size_t i = 0; i <= n; i++)
		p.begin[i] = (uint16_t)i;
	for (size_t i = 0; i <= n; i++)
		p.rank[i] = joined_rank(t, run, &p, i);
	while (p.count > 2) {
		size_t i = lowest(&p);

		if (p.rank[i] == NO_RANK)
			break;
		memmove(&p.begin[i + 1], &p.begin[i + 2], (p.count - i - 2) * sizeof(p.begin[0]));
		memmove(&p.rank[i + 1], &p.rank[i + 2], (p.count - i - 2) * sizeof(p.rank[0]));
		p.count--;
		p.rank[i] = joined_rank(t, run, &p, i);
		if (i)
			p.rank[i - 1] = joined_rank(t, run, &p, i - 1);
	}
	return p.count - 1;
}

/* ---- text ------------------------------------------------------------------------------------ */

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

/* The end of the run that begins at `from`: what the pattern takes there, or one character. */
static size_t run_end(const struct token_counter *c, size_t from, size_t until)
{
	struct tokenizer *t = c->tokenizer;
	const PCRE2_SIZE *found;

	if (pcre2_match(t->pattern, (PCRE2_SPTR)c->held, until, from,
			PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, t->match, NULL) >= 0) {
		found = pcre2_get_ovector_pointer(t->match);
		if (found[1] > from)
			return found[1];
	}
	return from + char_len((uint8_t)c->held[from]);
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
			c->text_tokens +=
				count_run(c->tokenizer, (const uint8_t *)c->held + from, n);
		}
	}
	return from;
}

static void count_held(struct token_counter *c, bool at_end)
{
	size_t until = clean(c, at_end), from;

	if (build(c->tokenizer)) {
		from = count_runs(c, until, at_end);
	} else { /* four bytes a token is what English text has */
		from = c->held_len;
		c->text_tokens += (from + 3) / 4;
		c->rough = true;
	}
	c->counted += from;
	c->held_len -= from;
	memmove(c->held, c->held + from, c->held_len);
}

void token_counter_feed(struct token_counter *c, struct slice text)
{
	while (text.len) {
		size_t n = sizeof(c->held) - c->held_len;

		if (c->counted + c->held_len >= TOKENS_TEXT_MAX) {
			c->beyond += text.len;
			c->rough = true;
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

void token_counter_end(struct token_counter *c)
{
	count_held(c, true);
	if (c->beyond && c->counted)
		c->text_tokens += c->beyond * c->text_tokens / c->counted;
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
