/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key by which usage that is told more than once is known: provider, credential, kind and id of
 * the object, line or custom id. Providers' ids are not unique, so the credential is part of it.
 * All of it is hashed under the install's key; a custom id may be anything the client likes.
 */
#ifndef TT_USAGE_KEY_H
#define TT_USAGE_KEY_H

#include "agent/exchange/exchange.h"

/* The whole object, read back. Not set when id is empty. */
void usage_key_object(struct usage_key *key, const struct exchange_env *env,
		      const struct call *call, const char *kind, struct slice id);
/* One part of it: by its name, or by its ordinal where it has none. */
void usage_key_part(struct usage_key *key, const struct exchange_env *env, struct slice name,
		    uint32_t ordinal);

#endif
