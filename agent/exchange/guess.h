/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which API an answer is of, when the request's path was not seen: it is read in every dialect that
 * the host's provider speaks; at its end the one that found most counts is it, of equals one that
 * found words of its own. Holds a meter for each, at most GUESSES_MAX.
 */
#ifndef TT_GUESS_H
#define TT_GUESS_H

#include "agent/providers/provider.h"
#include "agent/usage/meter.h"

#define GUESSES_MAX 16

struct guess;

/* Stands for the path until it is known. */
extern const struct api_path path_unseen;

/* Returns 0 or -ENOMEM. */
int guess_new(struct guess **out, const struct provider_table *t, const struct provider *p,
	      enum meter_hint hint) TT_MUST_CHECK;
void guess_free(struct guess *g); /* NULL is fine */
/* path: the first one in the dialect that is spoken, or NULL. */
struct guessed {
	const struct api_path *path;
	struct meter *meter; /* the caller's from now on */
	bool doubtful;	     /* another dialect fits as well, and counts otherwise */
};

void guess_feed(struct guess *g, struct slice bytes);
struct guessed guess_take(struct guess *g);
/* As the dialects with words of their own see it. */
bool guess_ended(const struct guess *g);
bool guess_content(const struct guess *g);
void guess_gap(struct guess *g, uint64_t n); /* as meter_gap */
size_t guess_memory(const struct guess *g);

#endif
