/* SPDX-License-Identifier: Apache-2.0 */
/* A published table of tokens: how text is split into runs, and how many tokens a run is. Pure. */
#ifndef TT_TOKEN_TABLE_H
#define TT_TOKEN_TABLE_H

#include "agent/tokens/tokens.h"

/* Builds what finds tokens, once. False: the file is damaged, or there is no memory. */
bool tokenizer_ready(struct tokenizer *t);

/* Where the run that begins at `from` of valid UTF-8 ends; `from`: the pattern has none there. */
size_t tokenizer_pattern_end(const struct tokenizer *t, const char *text, size_t from,
			     size_t until);
/*
 * The same of an English word with the character before it, where every published pattern ends a
 * run: most text, and many times as fast. 0: the pattern must say. (fuzz_tokens compares.)
 */
size_t token_word_end(const char *text, size_t from, size_t until);

/* Of a ready table, for a run of 1 to TOKENS_RUN_MAX bytes. */
size_t tokenizer_count_run(const struct tokenizer *t, const uint8_t *run, size_t n);

#endif
