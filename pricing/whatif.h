/* SPDX-License-Identifier: Apache-2.0 */
/* What a recorded call would have cost at another model. */
#ifndef TT_WHATIF_H
#define TT_WHATIF_H

#include "pricing/catalog.h"

/*
 * Fills *out with the call as if that model of that provider had counted the same tokens, priced at
 * `at_us` (0 = when the call began): out->cost.cost_pusd is -1 when it cannot be priced. Its tier
 * and speed stay where the provider is the same, else it is the standard one; a batch stays a
 * batch. It is called directly, at no host or key that has prices of its own. Tokens written to a
 * cache are plain input where the model has no price for writing. Pure; out may not be call.
 */
void price_as_model(const struct catalog *c, const struct call *call, const char *provider,
		    const char *model, int64_t at_us, struct call *out);

/* The id in the table of a provider's model as a direct call names it, or NULL. */
const char *catalog_id_of(const struct catalog *c, const char *provider, const char *model);

#endif
