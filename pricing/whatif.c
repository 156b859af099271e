/* SPDX-License-Identifier: Apache-2.0 */
#include "pricing/whatif.h"

#include "pricing/table.h"

static void forget_provider(struct call *call)
{
	call->service_tier[0] = call->inference_geo[0] = call->speed[0] = '\0';
}

/* Returns false when nothing was written to a cache. */
static bool writes_to_input(struct usage *usage)
{
	int64_t *input = &usage->tokens[TOKEN_INPUT_UNCACHED];
	int64_t *write_5m = &usage->tokens[TOKEN_INPUT_CACHE_WRITE_5M];
	int64_t *write_1h = &usage->tokens[TOKEN_INPUT_CACHE_WRITE_1H];
	int64_t sum;

	if (!*write_5m && !*write_1h)
		return false;
	if (__builtin_add_overflow(*input, *write_5m, &sum) ||
	    __builtin_add_overflow(sum, *write_1h, &sum))
		return false;
	*input = sum;
	*write_5m = *write_1h = 0;
	return true;
}

void price_as_model(const struct catalog *c, const struct call *call, const char *provider,
		    const char *model, int64_t at_us, struct call *out)
{
	enum basis basis;

	*out = *call;
	if (strcmp(call->provider, provider) != 0)
		forget_provider(out);
	slice_copy(out->provider, sizeof(out->provider), slice_of(provider));
	slice_copy(out->model, sizeof(out->model), slice_of(model));
	slice_copy(out->model_requested, sizeof(out->model_requested), slice_of(model));
	out->host[0] = out->key_fingerprint[0] = '\0';
	out->role = ROLE_DIRECT;
	out->usage.provider_cost_pusd = -1; /* the other provider's */
	if (at_us)
		out->started_at_us = at_us;
	basis = out->basis;
	price_call(c, out);
	if (out->cost.unpriced == UNPRICED_UNIT_MISSING && writes_to_input(&out->usage)) {
		out->basis = basis;
		price_call(c, out);
	}
}

const char *catalog_id_of(const struct catalog *c, const char *provider, const char *model)
{
	const struct model *found = catalog_find(c, provider, model);

	return found ? found->id : NULL;
}
