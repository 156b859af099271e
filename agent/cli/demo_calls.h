/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made-up calls of a company: teams and services with weekdays and weekends, growth, cached
 * prompts, retries, cut streams, streams without usage, a subscription, a gateway, a model without
 * a price. The same number of calls up to the same day is the same calls on every machine: integers
 * only, one seed. Not priced yet.
 */
#ifndef TT_DEMO_CALLS_H
#define TT_DEMO_CALLS_H

#include "agent/base/key_names.h"
#include "agent/usage/call.h"

#define DEMO_DAYS	    45
#define DEMO_UNPRICED_MODEL "gpt-demo-preview"

struct demo_calls;

/* Exactly `rows` calls in the DEMO_DAYS days before until_us, a midnight. NULL without memory. */
struct demo_calls *demo_calls_new(uint64_t rows, int64_t until_us) TT_MUST_CHECK;
void demo_calls_free(struct demo_calls *d); /* NULL is fine */

/* The next one, hour by hour. False after the last. */
bool demo_calls_next(struct demo_calls *d, struct call *call);

/* What its credentials are called: row i, or NULL behind the last. */
const struct key_name *demo_key(size_t i);

#endif
