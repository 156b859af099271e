/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/estimate.h"

#include "agent/tokens/text_hold.h"

#include <errno.h>
#include <stdio.h>

#define TOKENS_PER_MESSAGE 4 /* with its role */

struct estimate {
	struct tokenizers *tokenizers;
	bool stopped, rough;
	struct token_method method;
	uint64_t messages;
	struct text_hold held;	       /* the request's text, until its end */
	struct token_counter *counter; /* NULL before that: of the request, then of the answer */
	uint64_t input_tokens;
};

int estimate_new(struct estimate **out, struct tokenizers *t)
{
	struct estimate *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->tokenizers = t;
	e->held.pool = &t->held_bytes;
	*out = e;
	return 0;
}

void estimate_stop(struct estimate *e)
{
	if (!e)
		return;
	e->stopped = true;
	text_hold_take(&e->held, NULL, NULL);
	token_counter_free(e->counter);
	e->counter = NULL;
}

bool estimate_goes_on(const struct estimate *e)
{
	return e && !e->stopped;
}

void estimate_free(struct estimate *e)
{
	estimate_stop(e);
	free(e);
}

void estimate_message(struct estimate *e)
{
	if (e)
		e->messages++;
}

void estimate_input(struct estimate *e, struct slice text)
{
	if (estimate_goes_on(e))
		text_hold_add(&e->held, text);
}

void estimate_input_end(struct estimate *e)
{
	if (estimate_goes_on(e))
		text_hold_end(&e->held);
}

static void count(struct estimate *e, struct slice text)
{
	size_t n = tokenizers_allow(e->tokenizers, text.len);

	token_counter_feed(e->counter, (struct slice){text.ptr, n});
	token_counter_skip(e->counter, text.len - n);
}

static void count_text(void *user, struct slice text)
{
	struct estimate *e = user;

	count(e, text);
	token_counter_end(e->counter);
}

static uint64_t total(struct estimate *e)
{
	token_counter_end(e->counter);
	e->rough |= !token_counter_is_exact(e->counter);
	return token_counter_total(e->counter);
}

void estimate_request_end(struct estimate *e, const char *model)
{
	uint64_t beyond;

	if (!estimate_goes_on(e) || e->counter)
		return;
	e->method = token_method_of(model);
	if (token_counter_new(&e->counter, e->tokenizers->table[e->method.table])) {
		estimate_stop(e);
		return;
	}
	beyond = e->held.beyond_bytes;
	text_hold_take(&e->held, count_text, e);
	token_counter_skip(e->counter, beyond);
	e->input_tokens = total(e);
	if (e->messages)
		e->input_tokens += TOKENS_PER_MESSAGE * e->messages + e->method.start;
}

/* Before the request's end nobody knows by which table. */
void estimate_output(struct estimate *e, struct slice text)
{
	if (!estimate_goes_on(e))
		return;
	if (e->counter)
		count(e, text);
	else
		estimate_stop(e);
}

void estimate_take(struct estimate *e, struct call *call)
{
	struct usage *u = &call->usage;
	uint64_t before, after;

	if (!estimate_goes_on(e) || !e->counter)
		return;
	before = token_counter_total(e->counter);
	after = total(e);
	u->tokens[TOKEN_INPUT_UNCACHED] = (int64_t)e->input_tokens;
	u->tokens[TOKEN_OUTPUT_TEXT] = (int64_t)(after - before);
	u->known = true;
	snprintf(call->estimated_by, sizeof(call->estimated_by), "%s%s", e->method.name,
		 e->rough ? "_rough" : "");
}

size_t estimate_memory(const struct estimate *e)
{
	return e ? sizeof(*e) + e->held.size + token_counter_memory(e->counter) : 0;
}
