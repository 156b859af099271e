/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/usage_key.h"

#include <nettle/hmac.h>
#include <stdio.h>

/* With their lengths, so that no two lists of parts look alike. */
static void hash_parts(uint8_t out[16], const uint8_t key[32], const struct slice *parts,
		       size_t count)
{
	struct hmac_sha256_ctx hash;

	hmac_sha256_set_key(&hash, 32, key);
	for (size_t i = 0; i < count; i++) {
		uint64_t len = parts[i].len;

		hmac_sha256_update(&hash, sizeof(len), (const uint8_t *)&len);
		hmac_sha256_update(&hash, parts[i].len, (const uint8_t *)parts[i].ptr);
	}
	hmac_sha256_digest(&hash, 16, out);
	explicit_bzero(&hash, sizeof(hash));
}

void usage_key_object(struct usage_key *key, const struct exchange_env *env,
		      const struct call *call, const char *kind, struct slice id)
{
	const struct slice parts[] = {
		slice_of(call->provider),
		slice_of(call->key_fingerprint),
		slice_of(kind),
		id,
	};

	*key = (struct usage_key){.set = id.len != 0};
	if (key->set)
		hash_parts(key->object, env->fingerprint_key, parts, ARRAY_LEN(parts));
}

void usage_key_part(struct usage_key *key, const struct exchange_env *env, struct slice name,
		    uint32_t ordinal)
{
	char number[16];
	int n = snprintf(number, sizeof(number), "%u", ordinal);
	const struct slice parts[] = {
		name.len ? SLICE("name") : SLICE("line"),
		name.len ? name : (struct slice){number, (size_t)n},
	};

	hash_parts(key->part, env->fingerprint_key, parts, ARRAY_LEN(parts));
}
