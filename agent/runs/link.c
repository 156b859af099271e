/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/runs/link.h"

#include <nettle/hmac.h>

bool link_hash(uint8_t hash[16], const uint8_t *key, enum run_source kind, struct slice id)
{
	const uint8_t kind_byte = (uint8_t)kind;
	struct hmac_sha256_ctx hmac;

	if (id.len < LINK_ID_MIN)
		return false;
	hmac_sha256_set_key(&hmac, 32, key);
	hmac_sha256_update(&hmac, sizeof(kind_byte), &kind_byte);
	hmac_sha256_update(&hmac, id.len, (const uint8_t *)id.ptr);
	hmac_sha256_digest(&hmac, 16, hash);
	explicit_bzero(&hmac, sizeof(hmac));
	return true;
}

void link_add(struct call_links *links, const uint8_t *key, enum run_source kind, struct slice id)
{
	struct call_link link = {.kind = kind};

	if (!link_hash(link.hash, key, kind, id))
		return;
	for (uint32_t i = 0; i < link_count(links); i++) {
		if (memcmp(links->item[i].hash, link.hash, sizeof(link.hash)) == 0)
			return;
	}
	links->item[links->count++ % CALL_LINKS_MAX] = link;
	if (links->count == 2 * CALL_LINKS_MAX) /* full stays full */
		links->count = CALL_LINKS_MAX;
}
