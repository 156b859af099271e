/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts tokens of text as OpenAI's models do: byte pair encoding over a published table of ranks
 * (make_ranks.py says which and in what form). Text comes in pieces of any size and is not kept:
 * only what a split may still change is held, TOKENS_HELD_MAX bytes at most, and wiped.
 *
 * Bounds: a run that the pattern does not split is cut after TOKENS_RUN_MAX bytes; of a text longer
 * than TOKENS_TEXT_MAX the rest is counted by the density of what came before. Both are marked as
 * not exact. Pure.
 */
#ifndef TT_TOKENS_H
#define TT_TOKENS_H

#include "agent/base/base.h"

#define TOKENS_HELD_MAX 1024
#define TOKENS_RUN_MAX	512
#define TOKENS_TEXT_MAX (128u << 10)

struct tokenizer;
struct token_counter;

/*
 * `ranks` is a file's content; borrowed, and must outlive the tokenizer. Nothing of it but its head
 * is read before the first text is counted. Returns 0, -EBADMSG (no such file), -ENOMEM.
 */
int tokenizer_new(struct tokenizer **out, struct slice ranks) TT_MUST_CHECK;
void tokenizer_free(struct tokenizer *t); /* NULL is fine */

/* The tokenizer stays the caller's and is shared by counters of one thread. */
int token_counter_new(struct token_counter **out, struct tokenizer *t) TT_MUST_CHECK;
void token_counter_free(struct token_counter *c); /* NULL is fine */

void token_counter_feed(struct token_counter *c, struct slice text); /* UTF-8; else bytes */
/* So many bytes more are only told of: taken by the density of the text's others, and inexact. */
void token_counter_skip(struct token_counter *c, uint64_t bytes);
/* The text is over: another is counted for itself. */
void token_counter_end(struct token_counter *c);

/* Of all texts that are over. */
uint64_t token_counter_total(const struct token_counter *c);
bool token_counter_is_exact(const struct token_counter *c);
size_t token_counter_memory(const struct token_counter *c);

#endif
