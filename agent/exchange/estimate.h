/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a chat would count where its answer does not say: the tokens of the request's text and of
 * the text that was generated, by a published table (agent/tokens). A request's text is held until
 * its end, when it is known whether it is wanted; generated text is counted as it passes.
 *
 * The request's shape adds what OpenAI's cookbook says it does: 3 tokens a message and one for its
 * role, and 2 or 3 for the answer to begin. Tools are counted as the text they are written
 * in; pictures and sound, what a cache held and thinking that is not shown are not in it.
 *
 * Counting costs: what the allowance of the tokenizers does not cover, and what could not be held,
 * is taken by its length, and the method's name says so.
 */
#ifndef TT_ESTIMATE_H
#define TT_ESTIMATE_H

#include "agent/tokens/tokenizers.h"
#include "agent/usage/call.h"

struct estimate;

/* The tokenizers stay the caller's, and their pool and allowance are used. 0 or -ENOMEM. */
int estimate_new(struct estimate **out, struct tokenizers *t) TT_MUST_CHECK;
void estimate_free(struct estimate *e); /* NULL is fine, here and below */

void estimate_message(struct estimate *e); /* one more */
void estimate_input(struct estimate *e, struct slice text);
void estimate_input_end(struct estimate *e); /* of one text */
/* The request is whole, and its answer will not tell: what is held is counted. */
void estimate_request_end(struct estimate *e, const char *model);
void estimate_output(struct estimate *e, struct slice text);

/*
 * The answer tells its usage by itself: no more is held or counted, and nothing is estimated. To be
 * called as soon as that is known.
 */
void estimate_stop(struct estimate *e);
bool estimate_goes_on(const struct estimate *e);

/* Into call->usage and call->estimated_by, if the request was whole. */
void estimate_take(struct estimate *e, struct call *call);
size_t estimate_memory(const struct estimate *e);

#endif
