/* SPDX-License-Identifier: Apache-2.0 */
/* The tables there are, and which of them a model is counted with. */
#ifndef TT_TOKENIZERS_H
#define TT_TOKENIZERS_H

#include "agent/tokens/tokens.h"

/* Bounds what counting costs: about a tenth of a core (docs/estimates.md). */
#define TOKENIZERS_BYTES_PER_S (1u << 20)

enum token_table { TABLE_O200K, TABLE_CL100K, TOKEN_TABLES };

struct tokenizers {
	struct tokenizer *table[TOKEN_TABLES];
	struct slice file[TOKEN_TABLES]; /* mapped */
	size_t held_bytes;		 /* of requests: text_hold's pool */
	uint64_t allowance_bytes;	 /* that may still be counted */
	uint64_t refilled_ns;
};

/*
 * Maps the files of a folder; NULL: those beside the program (config/share). Returns 0, -ENOENT,
 * -EBADMSG or -ENOMEM.
 */
int tokenizers_open(struct tokenizers **out, const char *dir) TT_MUST_CHECK;
void tokenizers_free(struct tokenizers *t); /* NULL is fine */

/* Once a second, or as time goes: what may be counted of text until the next time. */
void tokenizers_refill(struct tokenizers *t, uint64_t now_ns);
/* How many of n bytes may be counted now; they are taken from the allowance. */
size_t tokenizers_allow(struct tokenizers *t, size_t n);

/* How a model's text is counted, and what a row calls that. */
struct token_method {
	/* Bounds what counting costs: about a tenth of a core (docs/estimates.md). */
#define TOKENIZERS_BYTES_PER_S (1u << 20)

	enum token_table table;
	const char *name; /* "o200k_base"; "o200k_base_other": the model has a table of its own */
	uint32_t start;	  /* tokens with which an answer begins, counted as input */
};

/* By the model's name, of a provider or a gateway ("openai/gpt-4o"). */
struct token_method token_method_of(const char *model);

#endif
