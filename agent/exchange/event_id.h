/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's identity: 128 bits of SHA-256 over what names its request on this machine for ever;
 * never an agent-side counter, so that an agent restarted on an open connection gives new calls new
 * ids and the same call the same one.
 */
#ifndef TT_EVENT_ID_H
#define TT_EVENT_ID_H

#include "agent/exchange/exchange.h"

/* started_ns and index name the request's first byte; sub_index as in struct call. */
void event_id_fill(uint8_t event_id[16], const struct exchange_env *env, const struct conn_id *conn,
		   uint64_t started_ns, uint32_t index_in_record, uint32_t sub_index);

#endif
