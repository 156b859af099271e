/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/parts.h"

#include "agent/base/hex.h"
#include "agent/exchange/event_id.h"

#include <stdio.h>

static void hash_text(struct hmac_sha256_ctx *hash, struct slice text)
{
	hmac_sha256_update(hash, text.len, (const uint8_t *)text.ptr);
	hmac_sha256_update(hash, 1, (const uint8_t *)"");
}

void attempt_hash_begin(struct exchange *x, const struct http_head *head)
{
	const struct exchange_env *env = x->env;
	struct work *w = x->work;
	const uint64_t process[2] = {x->conn.tgid, x->conn.start_boot_ns};

	if (!env->operations || w->reads) /* asking again is no retry of the work */
		return;
	hmac_sha256_set_key(&w->hash, sizeof(env->fingerprint_key), env->fingerprint_key);
	hmac_sha256_update(&w->hash, sizeof(process), (const uint8_t *)process);
	hash_text(&w->hash, slice_of(w->call.host));
	hash_text(&w->hash, head->target);
	hmac_sha256_digest(&w->hash, sizeof(w->request_key.bytes), w->request_key.bytes);
	w->hash_state = HASH_GROWS;
}

void attempt_hash_body(struct work *w, struct slice bytes)
{
	if (w->hash_state != HASH_GROWS)
		return;
	w->has_body |= bytes.len != 0;
	hmac_sha256_update(&w->hash, bytes.len, (const uint8_t *)bytes.ptr);
}

static void set_operation(struct call *c, const struct operation_attempt *attempt)
{
	c->attempt = attempt->number;
	hex_of(c->operation_id, attempt->operation_id, sizeof(attempt->operation_id));
}

void attempt_alone(struct call *c, int retries)
{
	struct operation_attempt alone = operation_alone(c->event_id, retries);

	set_operation(c, &alone);
}

void attempt_identify(struct exchange *x)
{
	struct call *c = &x->work->call;

	event_id_fill(c->event_id, x->env, &x->conn, x->entry_ns, x->index_in_record, 0);
	attempt_alone(c, c->attempt - 1);
}

/* The body's hash, and the request's, which is that of its head and of its body's. */
static void set_body(struct work *w)
{
	struct operation_key *key = &w->request_key;
	uint8_t body[sizeof(key->bytes)];

	hmac_sha256_digest(&w->hash, sizeof(body), body); /* and begins anew under its key */
	memcpy(w->call.body, body, sizeof(w->call.body));
	w->call.body_known = w->has_body;
	hmac_sha256_update(&w->hash, sizeof(key->bytes), key->bytes);
	hmac_sha256_update(&w->hash, sizeof(body), body);
	hmac_sha256_digest(&w->hash, sizeof(key->bytes), key->bytes);
}

void attempt_begin(struct exchange *x)
{
	struct work *w = x->work;
	struct operation_attempt attempt;

	if (w->hash_state != HASH_GROWS)
		return;
	set_body(w);
	w->hash_state = HASH_WHOLE;
	operation_begin(x->env->operations, &w->request_key, w->call.event_id, w->call.attempt - 1,
			x->entry_ns, &attempt);
	set_operation(&w->call, &attempt);
}

void attempt_end(struct exchange *x, bool failed, uint64_t now_ns)
{
	const struct work *w = x->work;

	if (w->hash_state == HASH_WHOLE)
		operation_end(x->env->operations, &w->request_key, w->call.event_id, failed,
			      now_ns);
}

bool attempt_worth_retrying(const struct call *c)
{
	if (c->outcome == OUTCOME_ABORTED || c->outcome == OUTCOME_UNKNOWN)
		return true;
	if (c->outcome != OUTCOME_ERROR)
		return false;
	return c->status < 300 || c->status == 408 || c->status == 409 || c->status == 429 ||
	       c->status >= 500;
}
