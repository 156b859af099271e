/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/estimate.h"

#include <errno.h>

#define TOKENS_PER_MESSAGE 4 /* with its role */

struct estimate {
	const struct tokenizers *tokenizers;
	bool stopped;
	bool method_known;
	struct token_method method;
	uint64_t messages;
	struct token_counter *input[TOKEN_TABLES]; /* all, until the model is known */
	struct token_counter *output;
};

int estimate_new(struct estimate **out, const struct tokenizers *t)
{
	struct estimate *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->tokenizers = t;
	for (size_t i = 0; i < TOKEN_TABLES; i++) {
		if (token_counter_new(&e->input[i], t->table[i])) {
			estimate_free(e);
			return -ENOMEM;
		}
	}
	*out = e;
	return 0;
}

void estimate_stop(struct estimate *e)
{
	if (!e)
		return;
	e->stopped = true;
	for (size_t i = 0; i < TOKEN_TABLES; i++) {
		token_counter_free(e->input[i]);
		e->input[i] = NULL;
	}
	token_counter_free(e->output);
	e->output = NULL;
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
	for (size_t i = 0; e && i < TOKEN_TABLES; i++) {
		if (e->input[i])
			token_counter_feed(e->input[i], text);
	}
}

void estimate_input_end(struct estimate *e)
{
	for (size_t i = 0; e && i < TOKEN_TABLES; i++) {
		if (e->input[i])
			token_counter_end(e->input[i]);
	}
}

/* The other tables' counts are not wanted any more. */
void estimate_model(struct estimate *e, const char *model)
{
	if (!e || e->method_known || !*model)
		return;
	e->method = token_method_of(model);
	e->method_known = true;
	for (size_t i = 0; i < TOKEN_TABLES; i++) {
		if (i == e->method.table)
			continue;
		token_counter_free(e->input[i]);
		e->input[i] = NULL;
	}
}

void estimate_output(struct estimate *e, struct slice text)
{
	if (!e || e->stopped)
		return;
	if (!e->method_known)
		e->method = token_method_of("");
	if (!e->output && token_counter_new(&e->output, e->tokenizers->table[e->method.table])) {
		estimate_stop(e);
		return;
	}
	token_counter_feed(e->output, text);
}

void estimate_take(struct estimate *e, struct call *call)
{
	struct usage *u = &call->usage;
	struct token_counter *input = e && !e->stopped ? e->input[e->method.table] : NULL;

	if (!input)
		return;
	if (!e->method_known)
		e->method = token_method_of("");
	if (e->output)
		token_counter_end(e->output);
	u->tokens[TOKEN_INPUT_UNCACHED] = (int64_t)token_counter_total(input);
	if (e->messages)
		u->tokens[TOKEN_INPUT_UNCACHED] +=
			(int64_t)(TOKENS_PER_MESSAGE * e->messages + e->method.start);
	if (e->output)
		u->tokens[TOKEN_OUTPUT_TEXT] = (int64_t)token_counter_total(e->output);
	u->known = true;
	slice_copy(call->estimated_by, sizeof(call->estimated_by), slice_of(e->method.name));
}

size_t estimate_memory(const struct estimate *e)
{
	size_t sum = e ? sizeof(*e) + token_counter_memory(e->output) : 0;

	for (size_t i = 0; e && i < TOKEN_TABLES; i++)
		sum += token_counter_memory(e->input[i]);
	return sum;
}
