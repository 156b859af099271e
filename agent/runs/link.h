/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids by which a call goes on from another: of an answer, a conversation, a tool call. They are
 * hashed under the install's key where they are read; nothing keeps the id.
 */
#ifndef TT_LINK_H
#define TT_LINK_H

#include "agent/usage/call.h"

#define LINK_ID_MIN 9 /* bytes; servers that count ("call_1") give the same id to many */

/* The hash of an id. Returns false for one that is too short. key: 32 bytes. */
bool link_hash(uint8_t hash[16], const uint8_t *key, enum run_source kind,
	       struct slice id) TT_MUST_CHECK;
/* Adds an id that is long enough and not there yet; of more than CALL_LINKS_MAX the last stay. */
void link_add(struct call_links *links, const uint8_t *key, enum run_source kind, struct slice id);

/* How many are held. */
static inline uint32_t link_count(const struct call_links *links)
{
	return links->count < CALL_LINKS_MAX ? links->count : CALL_LINKS_MAX;
}

#endif
