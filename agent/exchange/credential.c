/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/hex.h"
#include "agent/exchange/credential.h"

#include <nettle/hmac.h>
#include <stdio.h>

/* First match wins. A subscription is told by its login token (design section 3, rule 8). */
static const struct kind {
	const char *header;
	const char *scheme; /* "" = the bare value */
	const char *prefix; /* of the credential */
	const char *host;   /* and those below it; NULL = any */
	const char *name;
	enum billing_mode billing;
	const char *beta; /* what stands in anthropic-beta; NULL = any */
} kinds[] = {
	/* A signature is another every time: the credential is the key's id in front of it. */
	{"authorization", "AWS4-HMAC-SHA256 ", "Credential=", NULL, "aws_sigv4", BILLING_METERED,
	 NULL},
	{"authorization", "Bearer ", "sk-ant-oat", NULL, "oauth", BILLING_SUBSCRIPTION, NULL},
	{"authorization", "Bearer ", "", NULL, "oauth", BILLING_SUBSCRIPTION, "oauth-"},
	{"authorization", "Bearer ", "eyJ", "chatgpt.com", "oauth", BILLING_SUBSCRIPTION, NULL},
	{"authorization", "Bearer ", "", "githubcopilot.com", "oauth", BILLING_SUBSCRIPTION, NULL},
	{"authorization", "Bearer ", "eyJ", NULL, "oauth", BILLING_METERED, NULL},
	{"authorization", "Bearer ", "", NULL, "api_key", BILLING_METERED, NULL},
	{"authorization", "Basic ", "", NULL, "basic", BILLING_METERED, NULL},
	{"x-api-key", "", "", NULL, "api_key", BILLING_METERED, NULL},
	{"api-key", "", "", NULL, "azure_key", BILLING_METERED, NULL},
	{"x-goog-api-key", "", "", NULL, "api_key", BILLING_METERED, NULL},
};

/* Browsers' WebSockets cannot set fields: the key stands among the names of protocols. */
static const char *const protocol_keys[] = {"openai-insecure-api-key.", "xai-client-secret."};

static bool has_beta(const struct http_head *head, const char *beta)
{
	struct slice value = http_head_get(head, "anthropic-beta");

	return value.len && memmem(value.ptr, value.len, beta, strlen(beta));
}

static bool is_below(const char *host, const char *domain)
{
	size_t n = strlen(host), m = strlen(domain);

	return n >= m && strcmp(host + n - m, domain) == 0 && (n == m || host[n - m - 1] == '.');
}

/* The credential in this form, or {NULL, 0}. */
static struct slice find(const struct kind *kind, const struct http_head *head, const char *host)
{
	struct slice value = http_head_get(head, kind->header), scheme = slice_of(kind->scheme);

	if (value.len <= scheme.len || !slice_ieq((struct slice){value.ptr, scheme.len}, scheme))
		return (struct slice){NULL, 0};
	if ((kind->host && !is_below(host, kind->host)) ||
	    (kind->beta && !has_beta(head, kind->beta)))
		return (struct slice){NULL, 0};
	value = slice_trim((struct slice){value.ptr + scheme.len, value.len - scheme.len});
	return slice_starts(value, slice_of(kind->prefix)) ? value : (struct slice){NULL, 0};
}

/* The access key's id of "Credential=ID/date/region/service/aws4_request, SignedHeaders=...". */
static struct slice access_key_id(struct slice value)
{
	const char *start = value.ptr + strlen("Credential=");
	const char *end = memchr(start, '/', (size_t)(value.ptr + value.len - start));

	return (struct slice){start, end ? (size_t)(end - start) : 0};
}

/* The credential in a list of protocols, or {NULL, 0}. */
static struct slice find_in_list(struct slice list)
{
	while (list.len) {
		const char *comma = memchr(list.ptr, ',', list.len);
		size_t used = comma ? (size_t)(comma - list.ptr) + 1 : list.len;
		struct slice item = slice_trim((struct slice){list.ptr, used - (comma != NULL)});

		for (size_t i = 0; i < ARRAY_LEN(protocol_keys); i++) {
			size_t n = strlen(protocol_keys[i]);

			if (slice_starts(item, slice_of(protocol_keys[i])) && item.len > n)
				return (struct slice){item.ptr + n, item.len - n};
		}
		list.ptr += used;
		list.len -= used;
	}
	return (struct slice){NULL, 0};
}

static struct slice find_in_protocols(const struct http_head *head)
{
	struct slice secret = {NULL, 0};

	for (size_t i = 0; i < head->count && !secret.len; i++) {
		if (slice_ieq(head->fields[i].name, SLICE("sec-websocket-protocol")))
			secret = find_in_list(head->fields[i].value);
	}
	return secret;
}

static bool is_google(const char *host)
{
	return slice_ends(slice_of(host), SLICE(".googleapis.com"));
}

/* Google's APIs take the key as a parameter, too: ?alt=sse&key=... */
static struct slice find_in_query(struct slice target)
{
	const char *query = target.len ? memchr(target.ptr, '?', target.len) : NULL;
	const char *end = target.ptr + target.len;

	while (query && query < end) {
		const char *start = query + 1;
		const char *next = memchr(start, '&', (size_t)(end - start));
		struct slice item = {start, (size_t)((next ? next : end) - start)};

		if (slice_starts(item, SLICE("key=")))
			return (struct slice){item.ptr + 4, item.len - 4};
		query = next;
	}
	return (struct slice){NULL, 0};
}

void credential_fingerprint(char dst[FINGERPRINT_DIGITS + 1], struct slice secret,
			    const uint8_t fingerprint_key[32])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, 32, fingerprint_key);
	hmac_sha256_update(&ctx, secret.len, (const uint8_t *)secret.ptr);
	hmac_sha256_digest(&ctx, sizeof(digest), digest);
	hex_of(dst, digest, FINGERPRINT_DIGITS / 2);
	explicit_bzero(&ctx, sizeof(ctx));
	explicit_bzero(digest, sizeof(digest));
}

static void take(struct call *call, struct slice secret, const char *kind,
		 enum billing_mode billing, const uint8_t fingerprint_key[32])
{
	slice_copy(call->credential_kind, sizeof(call->credential_kind), slice_of(kind));
	call->billing_mode = billing;
	if (secret.len)
		credential_fingerprint(call->key_fingerprint, secret, fingerprint_key);
}

void credential_read(struct call *call, const struct http_head *head,
		     const uint8_t fingerprint_key[32])
{
	struct slice secret;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		secret = find(&kinds[i], head, call->host);
		if (secret.len) {
			if (strcmp(kinds[i].name, "aws_sigv4") == 0)
				secret = access_key_id(secret);
			take(call, secret, kinds[i].name, kinds[i].billing, fingerprint_key);
			return;
		}
	}
	secret = find_in_protocols(head);
	if (!secret.len && is_google(call->host))
		secret = find_in_query(head->target);
	if (secret.len)
		take(call, secret, "api_key", BILLING_METERED, fingerprint_key);
}
