/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of credential a request carries, and its fingerprint: 8 hex of a keyed hash. The key's
 * bytes are read where they stand; no copy outlives the call.
 */
#ifndef TT_CREDENTIAL_H
#define TT_CREDENTIAL_H

#include "agent/base/key_names.h"
#include "agent/exchange/message.h"
#include "agent/usage/call.h"

/*
 * The fingerprint of a credential as it stands in a request, without its scheme; of AWS keys that
 * is the access key's id. dst ends with 0.
 */
void credential_fingerprint(char dst[FINGERPRINT_DIGITS + 1], struct slice secret,
			    const uint8_t fingerprint_key[32]);

/* Sets credential_kind, key_fingerprint and billing_mode; reads call->host. */
void credential_read(struct call *call, const struct http_head *head,
		     const uint8_t fingerprint_key[32]);

#endif
