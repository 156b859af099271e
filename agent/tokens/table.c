/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tokens/table.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>

#define MAGIC	     "TTRANKS1"
#define MAGIC_BYTES  8
#define COUNTS_BYTES 8
#define TOKENS_MAX   (1u << 20)
#define NO_RANK	     UINT32_MAX

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

bool tokenizer_ready(struct tokenizer *t)
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

/* ---- the tokens of a run
 * --------------------------------------------------------------------------- */

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
size_t tokenizer_count_run(const struct tokenizer *t, const uint8_t *run, size_t n)
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

/* ---- the runs of a text ---------------------------------------------------------------------- */

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

size_t token_word_end(const char *text, size_t from, size_t until)
{
	size_t i = from, begin;

	if (i < until && !is_lower(text[i]) && !is_upper(text[i]) &&
	    (text[i] & 0x80 || (text[i] >= '0' && text[i] <= '9') || strchr("\r\n'", text[i])))
		return 0;
	i += !is_lower(text[i]) && !is_upper(text[i]);
	i += i < until && is_upper(text[i]);
	begin = i;
	while (i < until && is_lower(text[i]))
		i++;
	if (i == begin || i == until || text[i] & 0x80 || text[i] == '\'' || is_upper(text[i]))
		return 0;
	return i;
}

size_t tokenizer_pattern_end(const struct tokenizer *t, const char *text, size_t from, size_t until)
{
	const PCRE2_SIZE *found;

	if (pcre2_match(t->pattern, (PCRE2_SPTR)text, until, from,
			PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, t->match, NULL) < 0)
		return from;
	found = pcre2_get_ovector_pointer(t->match);
	return found[1];
}
