/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of any bytes, in any pieces: the same count, within its bounds; and words end where the
 * pattern ends them.
 */
#include "fuzz.h"

#include "agent/tokens/table.h"
#include "agent/tokens/tokenizers.h"

static struct tokenizers *tokenizers;

static uint64_t count(struct tokenizer *t, struct cutter cutter, bool *exact)
{
	struct token_counter *c = NULL;
	struct slice piece;
	uint64_t total;

	must_hold(token_counter_new(&c, t) == 0);
	while (next_piece(&cutter, &piece))
		token_counter_feed(c, piece);
	token_counter_end(c);
	total = token_counter_total(c);
	*exact = token_counter_is_exact(c);
	token_counter_free(c);
	return total;
}

static void words_end_as_the_pattern_says(const uint8_t *data, size_t size)
{
	size_t n = 0;

	while (n < size && data[n] < 0x80) /* valid UTF-8 */
		n++;
	for (size_t i = 0; i < n; i++) {
		size_t end = token_word_end((const char *)data, i, n);

		for (size_t table = 0; end && table < TOKEN_TABLES; table++)
			must_hold(tokenizer_pattern_end(tokenizers->table[table],
							(const char *)data, i, n) == end);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!tokenizers)
		must_hold(tokenizers_open(&tokenizers, "agent/tokens") == 0);
	for (size_t i = 0; i < TOKEN_TABLES; i++) {
		bool exact, cut_exact;
		uint64_t whole =
			count(tokenizers->table[i], (struct cutter){data, size, 0, 0}, &exact);
		uint64_t cut =
			count(tokenizers->table[i],
			      (struct cutter){data, size, 0, 1 + (uint32_t)size}, &cut_exact);

		must_hold(whole <= size && (whole > 0) == (size > 0));
		must_hold(!exact || !cut_exact || whole == cut);
	}
	words_end_as_the_pattern_says(data, size);
	return 0;
}
