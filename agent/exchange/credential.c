/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/credential.h"

#include <nettle/hmac.h>
#include <stdio.h>

#define FINGERPRINT_BYTES 4

/* First match wins. A subscription is told by its login token (design section 3, rule 8). */
static const struct kind {
	const char *header;
	const char *scheme; /* "" = the bare value */
	const char *prefix; /* of the credential */
	const char *host;   /* NULL = any */
	const char *name;
	enum billing_mode billing;
	const char *beta; /* what stands in anthropic-beta; NULL = any */
} kinds[] = {
	{"authorization", "Bearer ", "sk-ant-oat", NULL, "oauth", BILLING_SUBSCRIPTION, NULL},
	{"authorization", "Bearer ", "", NULL, "oauth", BILLING_SUBSCRIPTION, "oauth-"},
	{"authorization", "Bearer ", "eyJ", "chatgpt.com", "oauth", BILLING_SUBSCRIPTION, NULL},
	{"authorization", "Bearer ", "eyJ", NULL, "oauth", BILLING_METERED, NULL},
	{"authorization", "Bearer ", "", NULL, "api_key", BILLING_METERED, NULL},
	{"authorization", "Basic ", "", NULL, "basic", BILLING_METERED, NULL},
	{"x-api-key", "", "", NULL, "api_key", BILLING_METERED, NULL},
	{"api-key", "", "", NULL, "azure_key", BILLING_METERED, NULL},
	{"x-goog-api-key", "", "", NULL, "api_key", BILLING_METERED, NULL},
};

static bool has_beta(const struct http_head *head, const char *beta)
{
	struct slice value = http_head_get(head, "anthropic-beta");

	return value.len && memmem(value.ptr, value.len, beta, strlen(beta));
}

/* The credential in this form, or {NULL, 0}. */
static struct slice find(const struct kind *kind, const struct http_head *head, const char *host)
{
	struct slice value = http_head_get(head, kind->header), scheme = slice_of(kind->scheme);

	if (value.len <= scheme.len || !slice_ieq((struct slice){value.ptr, scheme.len}, scheme))
		return (struct slice){NULL, 0};
	if ((kind->host && strcmp(kind->host, host) != 0) ||
	    (kind->beta && !has_beta(head, kind->beta)))
		return (struct slice){NULL, 0};
	value = slice_trim((struct slice){value.ptr + scheme.len, value.len - scheme.len});
	return slice_starts(value, slice_of(kind->prefix)) ? value : (struct slice){NULL, 0};
}

static void fingerprint(char dst[2 * FINGERPRINT_BYTES + 1], struct slice secret,
			const uint8_t key[32])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, 32, key);
	hmac_sha256_update(&ctx, secret.len, (const uint8_t *)secret.ptr);
	hmac_sha256_digest(&ctx, sizeof(digest), digest);
	for (size_t i = 0; i < FINGERPRINT_BYTES; i++)
		snprintf(dst + 2 * i, 3, "%02x", digest[i]);
	explicit_bzero(&ctx, sizeof(ctx));
	explicit_bzero(digest, sizeof(digest));
}

void credential_read(struct call *call, const struct http_head *head,
		     const uint8_t fingerprint_key[32])
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct slice secret = find(&kinds[i], head, call->host);

		if (!secret.len)
			continue;
		slice_copy(call->credential_kind, sizeof(call->credential_kind),
			   slice_of(kinds[i].name));
		call->billing_mode = kinds[i].billing;
		fingerprint(call->key_fingerprint, secret, fingerprint_key);
		return;
	}
}
