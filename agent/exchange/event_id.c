/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/event_id.h"

#include <nettle/sha2.h>

static void add_text(struct sha256_ctx *hash, const char *text)
{
	sha256_update(hash, text ? strlen(text) + 1 : 1, (const uint8_t *)(text ? text : ""));
}

void event_id_fill(uint8_t event_id[16], const struct exchange_env *env, const struct conn_id *conn,
		   uint64_t started_ns, uint32_t index_in_record, uint32_t sub_index)
{
	const struct {
		uint64_t ssl, start_boot_ns, started_ns;
		uint32_t tgid, index, h2_stream, sub_index;
	} name = {
		.ssl = conn->ssl,
		.start_boot_ns = conn->start_boot_ns,
		.started_ns = started_ns,
		.tgid = conn->tgid,
		.index = index_in_record,
		.sub_index = sub_index,
	};
	struct sha256_ctx hash;

	sha256_init(&hash);
	add_text(&hash, env->machine_id);
	add_text(&hash, env->boot_id);
	sha256_update(&hash, sizeof(name), (const uint8_t *)&name);
	sha256_digest(&hash, 16, event_id);
}
