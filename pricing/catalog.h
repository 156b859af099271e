/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The price table: shipped catalogue plus prices.d overrides, parsed once into integers, immutable
 * after load; a reload makes a new one. Look-up is exact name, then alias, then anchored dated
 * suffix; never substring, never fuzzy (design section 3, rule 4).
 */
#ifndef TT_CATALOG_H
#define TT_CATALOG_H

#include "agent/base/money.h"
#include "agent/usage/call.h"

#define CATALOG_ERROR_MAX 512

struct catalog;

/*
 * Loads the catalogue file and, when dir is not NULL, every *.json below it in name order. Returns
 * 0, or -errno with one line in err (file, place, reason, what to do). *out changes only on
 * success.
 */
int catalog_load(struct catalog **out, const char *file, const char *dir, char *err,
		 size_t err_size) TT_MUST_CHECK;
void catalog_free(struct catalog *c);

const char *catalog_sha256(const struct catalog *c); /* hex, of all files loaded */

/*
 * Prices a call: reads provider, host role, model, time, usage, tier selectors, basis and billing
 * mode; fills call->cost and may turn call->basis into unpriced. Pure.
 */
void price_call(const struct catalog *c, struct call *call);

/* True when the name resolves for that provider: metrics label models by it, else "other". */
bool catalog_knows_model(const struct catalog *c, const char *provider, const char *model);

#endif
