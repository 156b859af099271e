/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of credential a request carries, and its fingerprint: 8 hex of a keyed hash. The key's
 * bytes are read where they stand; no copy outlives the call.
 */
#ifndef TT_CREDENTIAL_H
#define TT_CREDENTIAL_H

#include "agent/exchange/message.h"
#include "agent/usage/call.h"

/* Sets credential_kind, key_fingerprint and billing_mode; reads call->host. */
void credential_read(struct call *call, const struct http_head *head,
		     const uint8_t fingerprint_key[32]);

#endif
