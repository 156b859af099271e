/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a chat would count where its answer does not say: the tokens of the request's text and of
 * the text that was generated, by a published table (agent/tokens). Text passes and is not kept.
 *
 * The request's shape adds what OpenAI's cookbook says it does: 3 tokens a message and one for its
 * role, and 2 or 3 for the answer to begin. Tools are counted as the text they are written
 * in; pictures and sound, what a cache held and thinking that is not shown are not in it.
 */
#ifndef TT_ESTIMATE_H
#define TT_ESTIMATE_H

#include "agent/tokens/tokenizers.h"
#include "agent/usage/call.h"

struct estimate;

/* The tokenizers stay the caller's. Returns 0 or -ENOMEM. */
int estimate_new(struct estimate **out, const struct tokenizers *t) TT_MUST_CHECK;
void estimate_free(struct estimate *e); /* NULL is fine, here and below */

void estimate_message(struct estimate *e); /* one more */
void estimate_input(struct estimate *e, struct slice text);
void estimate_input_end(struct estimate *e); /* of one text */
void estimate_model(struct estimate *e, const char *model);
void estimate_output(struct estimate *e, struct slice text);

/*
 * The answer tells its usage by itself: no more is counted, and nothing is estimated. To be called
 * as soon as that is known.
 */
void estimate_stop(struct estimate *e);

/* Into call->usage and call->estimated_by, unless it was stopped. */
void estimate_take(struct estimate *e, struct call *call);
size_t estimate_memory(const struct estimate *e);

#endif
