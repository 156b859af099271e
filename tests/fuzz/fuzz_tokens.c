/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any bytes, in any pieces: the same count, within its bounds. */
#include "fuzz.h"

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
	return 0;
}
