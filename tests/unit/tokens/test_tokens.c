/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of tokens against what the published encoder counts (vectors.json). */
#include "agent/tokens/text_hold.h"
#include "agent/tokens/tokenizers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>

static const char *const names[] = {"o200k_base", "cl100k_base"};
static char *ranks[ARRAY_LEN(names)];
static struct tokenizer *tokenizers[ARRAY_LEN(names)];
static cJSON *vectors;

static char *read_all(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;

	assert_non_null(f);
	n = getdelim(&text, &cap, EOF, f);
	fclose(f);
	assert_true(n > 0);
	*len = (size_t)n;
	return text;
}

/* A file of bytes may hold any: read by its size. */
static char *read_ranks(const char *name, size_t *len)
{
	char path[64];
	FILE *f;
	char *text;

	snprintf(path, sizeof(path), "agent/tokens/%s.ranks", name);
	f = fopen(path, "re");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	text = malloc(*len);
	assert_int_equal(fread(text, 1, *len, f), *len);
	fclose(f);
	return text;
}

static int set_up(void **state)
{
	size_t len;
	char *text = read_all("tests/unit/tokens/vectors.json", &len);

	(void)state;
	vectors = cJSON_ParseWithLength(text, len);
	free(text);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ranks[i] = read_ranks(names[i], &len);
		assert_int_equal(tokenizer_new(&tokenizers[i], (struct slice){ranks[i], len}), 0);
	}
	return vectors ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	cJSON_Delete(vectors);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		tokenizer_free(tokenizers[i]);
		free(ranks[i]);
	}
	return 0;
}

/* In pieces of so many bytes; 0: all at once. */
static uint64_t count(struct tokenizer *t, struct slice text, size_t piece, bool *exact)
{
	struct token_counter *c = NULL;
	uint64_t total;

	assert_int_equal(token_counter_new(&c, t), 0);
	for (size_t i = 0, n; i < text.len; i += n) {
		n = piece && piece < text.len - i ? piece : text.len - i;
		token_counter_feed(c, (struct slice){text.ptr + i, n});
	}
	token_counter_end(c);
	total = token_counter_total(c);
	if (exact)
		*exact = token_counter_is_exact(c);
	token_counter_free(c);
	return total;
}

static void as_the_published_encoder(void **state)
{
	const cJSON *v;

	(void)state;
	cJSON_ArrayForEach(v, cJSON_GetObjectItem(vectors, "vectors"))
	{
		struct slice text = slice_of(cJSON_GetStringValue(cJSON_GetObjectItem(v, "text")));

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			int expected = cJSON_GetObjectItem(v, names[i])->valueint;
			bool exact;

			for (size_t piece = 0; piece < 8; piece++) {
				uint64_t n = count(tokenizers[i], text, piece, &exact);

				if (n != (uint64_t)expected || !exact)
					fail_msg("%s, pieces of %zu: %lu, not %d, exact %d: %s",
						 names[i], piece, n, expected, exact, text.ptr);
			}
		}
	}
}

/* Longer than what is held: the same, however it comes. */
static void long_texts_in_any_pieces(void **state)
{
	static char text[60000];
	const char *const words[] = {"alpha ", "Beta", "\n\n", "1234567",
				     " größe", "…",    "   ",  "x"};
	struct slice all = {text, 0};

	(void)state;
	for (unsigned i = 0; all.len + 16 < sizeof(text); i++)
		all.len += (size_t)snprintf(text + all.len, sizeof(text) - all.len, "%s",
					    words[i * 7919 % 8]);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		uint64_t whole = count(tokenizers[i], all, 0, NULL);

		assert_true(whole > all.len / 8 && whole < all.len);
		for (size_t piece = 1; piece < 9000; piece = piece * 3 + 1)
			assert_int_equal(count(tokenizers[i], all, piece, NULL), whole);
	}
}

static void texts_are_apart(void **state)
{
	struct token_counter *c = NULL;

	(void)state;
	assert_int_equal(token_counter_new(&c, tokenizers[0]), 0);
	token_counter_feed(c, SLICE("hel"));
	token_counter_end(c);
	token_counter_feed(c, SLICE("lo"));
	token_counter_end(c);
	token_counter_end(c); /* an empty text has none */
	assert_int_equal(token_counter_total(c),
			 count(tokenizers[0], SLICE("hel"), 0, NULL) +
				 count(tokenizers[0], SLICE("lo"), 0, NULL));
	token_counter_free(c);
}

/* Bounds: what is not counted exactly says so, and takes its time in proportion. */
static void what_is_not_exact_says_so(void **state)
{
	static char text[TOKENS_TEXT_MAX + 4096];
	struct slice all = {text, sizeof(text)};
	bool exact;
	uint64_t n;

	(void)state;
	memset(text, 'a', sizeof(text));
	n = count(tokenizers[0], all, 0, &exact);
	assert_false(exact);
	assert_true(n > 1000 && n < sizeof(text));
	for (size_t i = 0; i < sizeof(text); i += 5)
		text[i] = ' ';
	n = count(tokenizers[0], all, 1000, &exact);
	assert_false(exact); /* beyond the bound, by density */
	assert_in_range(n, sizeof(text) / 5, sizeof(text) / 2);
	count(tokenizers[0], SLICE("broken \xff\xc3 text \xe2\x82"), 0, &exact);
	assert_false(exact);
	memset(text, ' ', 10000);
	n = count(tokenizers[0], (struct slice){text, 10000}, 1, &exact);
	assert_true(n > 0 && n < 10000);
}

/* What is only told of is taken by the density of the text before it, or by four bytes a token. */
static void skipped_text_by_density(void **state)
{
	struct token_counter *c = NULL;

	(void)state;
	assert_int_equal(token_counter_new(&c, tokenizers[0]), 0);
	token_counter_skip(c, 0);
	token_counter_feed(c, SLICE("hello"));
	token_counter_end(c);
	assert_true(token_counter_is_exact(c));
	token_counter_skip(c, 401);
	token_counter_end(c);
	assert_int_equal(token_counter_total(c), 1 + 101);
	for (size_t i = 0; i < 100; i++)
		token_counter_feed(c, SLICE("1234")); /* three digits a token at most */
	token_counter_skip(c, 40000);
	token_counter_feed(c, SLICE("nothing of this is counted"));
	token_counter_end(c);
	assert_int_equal(token_counter_total(c), 102 + 134 + 40026 * 134 / 400);
	assert_false(token_counter_is_exact(c));
	token_counter_free(c);
}

struct heard {
	char text[512];
};

static void hear(void *user, struct slice text)
{
	struct heard *h = user;
	size_t len = strlen(h->text);

	snprintf(h->text + len, sizeof(h->text) - len, "%.*s|", (int)text.len, text.ptr);
}

static void texts_are_held_until_they_are_wanted(void **state)
{
	static char big[TEXT_HOLD_MAX];
	size_t pool = 0;
	struct text_hold h = {.pool = &pool}, other = {.pool = &pool};
	struct heard heard = {""};

	(void)state;
	text_hold_end(&h); /* none */
	text_hold_add(&h, SLICE("on"));
	text_hold_add(&h, SLICE("e"));
	text_hold_end(&h);
	text_hold_end(&h);
	text_hold_add(&h, SLICE("\xff two"));
	assert_true(pool > 0);
	text_hold_take(&h, hear, &heard);
	assert_string_equal(heard.text, "one|\xfe two|");
	assert_int_equal(pool, 0);
	text_hold_take(&h, hear, &heard); /* nothing is left */
	assert_string_equal(heard.text, "one|\xfe two|");

	memset(big, 'x', sizeof(big));
	text_hold_add(&h, (struct slice){big, sizeof(big) - 1});
	assert_int_equal(pool, TEXT_HOLD_MAX);
	assert_int_equal(h.beyond_bytes, 0);
	text_hold_end(&h); /* the last byte that there is room for */
	text_hold_add(&h, SLICE("more"));
	text_hold_add(&h, SLICE("x"));
	assert_int_equal(h.beyond_bytes, 5);
	pool = TEXT_POOL_MAX; /* others hold the rest */
	text_hold_add(&other, SLICE("none"));
	assert_int_equal(other.beyond_bytes, 4);
	assert_int_equal(other.size, 0);
	pool = TEXT_HOLD_MAX;
	text_hold_take(&h, NULL, NULL);
	assert_int_equal(pool, 0);
}

static void an_allowance_a_second(void **state)
{
	struct tokenizers t = {.refilled_ns = 5 * NSEC_PER_SEC};

	(void)state;
	tokenizers_refill(&t, 6 * NSEC_PER_SEC - 1);
	assert_int_equal(tokenizers_allow(&t, 10), 0);
	tokenizers_refill(&t, 6 * NSEC_PER_SEC);
	assert_int_equal(tokenizers_allow(&t, 10), 10);
	assert_int_equal(tokenizers_allow(&t, SIZE_MAX), TOKENIZERS_BYTES_PER_S - 10);
	assert_int_equal(tokenizers_allow(&t, 1), 0);
}

static void files_that_are_none(void **state)
{
	struct tokenizer *t = NULL;
	struct token_counter *c = NULL;

	(void)state;
	assert_int_equal(tokenizer_new(&t, SLICE("")), -EBADMSG);
	assert_int_equal(tokenizer_new(&t, SLICE("TTRANKS2\1\0\0\0\1\0\0\0a\1a")), -EBADMSG);
	assert_int_equal(tokenizer_new(&t, SLICE("TTRANKS1\1\0\0\0\xff\xff\0\0a")), -EBADMSG);
	assert_int_equal(tokenizer_new(&t, SLICE("TTRANKS1\1\0\0\0\1\0\0\0(\1a")), -EBADMSG);
	assert_int_equal(tokenizer_new(&t, SLICE("TTRANKS1\2\0\0\0\1\0\0\0.\1a\7")), 0);
	assert_int_equal(token_counter_new(&c, t), 0);
	token_counter_feed(c, SLICE("12345678")); /* the table is cut: counted by length */
	token_counter_end(c);
	assert_int_equal(token_counter_total(c), 2);
	assert_false(token_counter_is_exact(c));
	token_counter_free(c);
	tokenizer_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_published_encoder),
		cmocka_unit_test(long_texts_in_any_pieces),
		cmocka_unit_test(texts_are_apart),
		cmocka_unit_test(what_is_not_exact_says_so),
		cmocka_unit_test(skipped_text_by_density),
		cmocka_unit_test(texts_are_held_until_they_are_wanted),
		cmocka_unit_test(an_allowance_a_second),
		cmocka_unit_test(files_that_are_none),
	};

	return cmocka_run_group_tests_name("tokens", tests, set_up, tear_down);
}
