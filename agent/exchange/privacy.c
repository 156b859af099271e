/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/exchange/privacy.h"

#include "agent/exchange/exchange.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <stdio.h>

static const char *const source_names[PRIVACY_SOURCES] = {
	[FROM_HEADER] = "header",
	[FROM_ANSWER] = "answer",
	[FROM_BAGGAGE] = "baggage",
	[FROM_BODY] = "body",
};

/* ---- what is known of keys ------------------------------------------------------------------- */

#define KEY(source, name, as, place, tag)    \
	{                                    \
		source, as, place, name, tag \
	}

/* Listed by default. Of several session ids the first counts. */
static const struct privacy_key listed[] = {
	KEY(FROM_HEADER, "traceparent", AS_ID, PLACE_TRACE, ""),
	KEY(FROM_HEADER, "x-claude-code-session-id", AS_ID, PLACE_SESSION, ""),
	KEY(FROM_HEADER, "session-id", AS_ID, PLACE_SESSION, ""), /* Codex */
	KEY(FROM_HEADER, "session_id", AS_ID, PLACE_SESSION, ""),
	KEY(FROM_HEADER, "x-opencode-session", AS_ID, PLACE_SESSION, ""),
	KEY(FROM_HEADER, "vscode-sessionid", AS_ID, PLACE_SESSION, ""), /* Copilot */
	KEY(FROM_HEADER, "x-session-id", AS_ID, PLACE_SESSION, ""),
	KEY(FROM_HEADER, "helicone-session-id", AS_ID, PLACE_SESSION, ""),
	KEY(FROM_BAGGAGE, "session.id", AS_ID, PLACE_SESSION, ""),
	KEY(FROM_HEADER, "conversation_id", AS_ID, PLACE_TAG, "conversation_id"),
	KEY(FROM_BAGGAGE, "gen_ai.conversation.id", AS_ID, PLACE_TAG, "conversation_id"),
	KEY(FROM_BODY, "conversation", AS_ID, PLACE_TAG, "conversation_id"),
	KEY(FROM_BODY, "conversation.id", AS_ID, PLACE_TAG, "conversation_id"),
	KEY(FROM_BODY, "previous_response_id", AS_ID, PLACE_TAG, "previous_response_id"),
	/* Accounts: prices of one's own go by them (docs/prices.md). */
	KEY(FROM_HEADER, "openai-organization", AS_ID, PLACE_TAG, "openai_organization"),
	KEY(FROM_HEADER, "openai-project", AS_ID, PLACE_TAG, "openai_project"),
	KEY(FROM_HEADER, "x-goog-user-project", AS_ID, PLACE_TAG, "gcp_project"),
	KEY(FROM_ANSWER, "openai-organization", AS_ID, PLACE_TAG, "openai_organization"),
	KEY(FROM_ANSWER, "openai-project", AS_ID, PLACE_TAG, "openai_project"),
	KEY(FROM_ANSWER, "anthropic-organization-id", AS_ID, PLACE_TAG, "anthropic_organization"),
	KEY(FROM_ANSWER, "x-ms-deployment-name", AS_ID, PLACE_TAG, "azure_deployment"),
	KEY(FROM_ANSWER, "x-ms-region", AS_ID, PLACE_TAG, "azure_region"),
};

/* What they are called, and how they are kept, once the configuration lists them. */
static const struct privacy_key known[] = {
	KEY(FROM_HEADER, "x-title", AS_ID, PLACE_TAG, "app"),
	KEY(FROM_HEADER, "x-openrouter-title", AS_ID, PLACE_TAG, "app"),
	KEY(FROM_HEADER, "helicone-user-id", AS_HASH, PLACE_TAG, "user_id"),
	KEY(FROM_BAGGAGE, "user.id", AS_HASH, PLACE_TAG, "user_id"),
	KEY(FROM_BODY, "user", AS_HASH, PLACE_TAG, "user_id"),
	KEY(FROM_BODY, "metadata.user_id", AS_HASH, PLACE_TAG, "user_id"),
	KEY(FROM_BODY, "safety_identifier", AS_HASH, PLACE_TAG, "safety_identifier"),
	KEY(FROM_BODY, "prompt_cache_key", AS_ID, PLACE_TAG, "prompt_cache_key"),
};

/* A header whose name has one of these holds a credential, or (baggage) more than one value. */
static const char *const secret_words[] = {
	"auth",	    "api-key",	  "apikey",
	"token",    "cookie",	  "secret",
	"password", "credential", "sec-websocket-protocol",
	"baggage",
};

/* What is below them is no content, by the providers' own words, and a tag is what it is called. */
static const char *const body_folders[] = {"metadata.", "requestMetadata.", "labels."};

static const char helicone_property[] = "helicone-property-";

static bool is_key(const struct privacy_key *key, enum privacy_source source, struct slice name)
{
	if (key->source != source)
		return false;
	return source == FROM_BODY || source == FROM_BAGGAGE ? slice_eq(slice_of(key->name), name)
							     : slice_ieq(slice_of(key->name), name);
}

static const struct privacy_key *find(const struct privacy_key *keys, size_t count,
				      enum privacy_source source, struct slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (is_key(&keys[i], source, name))
			return &keys[i];
	}
	return NULL;
}

/* ---- the list -------------------------------------------------------------------------------- */

void privacy_init(struct privacy *p, bool minimal)
{
	*p = (struct privacy){.minimal = minimal};
	if (minimal)
		return;
	memcpy(p->keys, listed, sizeof(listed));
	p->count = ARRAY_LEN(listed);
}

static int refuse(char *err, size_t err_size, const char *spec, const char *why)
{
	snprintf(err, err_size, "--privacy.keep: '%.100s': %s", spec, why);
	slice_copy(err, err_size, slice_of(err));
	return -EINVAL;
}

static bool parse_source(enum privacy_source *out, struct slice name)
{
	for (int i = 0; i < PRIVACY_SOURCES; i++) {
		if (slice_eq(slice_of(source_names[i]), name)) {
			*out = (enum privacy_source)i;
			return true;
		}
	}
	return false;
}

/* Takes "=plain" and the like off the end of name; an '=' before anything else is no name's. */
static bool parse_as(struct slice *name, enum privacy_as *as)
{
	static const struct {
		struct slice text;
		enum privacy_as as;
	} ways[] = {{SLICE("plain"), AS_PLAIN}, {SLICE("hash"), AS_HASH}, {SLICE("drop"), AS_DROP}};
	const char *equals = name->len ? memchr(name->ptr, '=', name->len) : NULL;

	if (!equals)
		return true;
	struct slice way = {equals + 1, (size_t)(name->ptr + name->len - equals - 1)};

	name->len = (size_t)(equals - name->ptr);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (slice_eq(way, ways[i].text)) {
			*as = ways[i].as;
			return true;
		}
	}
	return false;
}

static const char *folder_of(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(body_folders); i++) {
		struct slice folder = slice_of(body_folders[i]);

		if (slice_starts(name, folder) && name.len > folder.len)
			return body_folders[i];
	}
	return NULL;
}

/* The tag of a key that is in no table: its name, without what it stands in. */
static struct slice tag_of(enum privacy_source source, struct slice name)
{
	struct slice property = SLICE(helicone_property);
	const char *folder = source == FROM_BODY ? folder_of(name) : NULL;
	size_t skip = folder ? strlen(folder) : 0;

	if (source == FROM_HEADER && name.len > property.len &&
	    slice_ieq((struct slice){name.ptr, property.len}, property))
		skip = property.len;
	return (struct slice){name.ptr + skip, name.len - skip};
}

static const char *why_not(enum privacy_source source, const char *name, bool has_row)
{
	for (size_t i = 0; source <= FROM_ANSWER && i < ARRAY_LEN(secret_words); i++) {
		if (strcasestr(name, secret_words[i]))
			return "a header of such a name may hold a credential and is never kept";
	}
	if (source == FROM_BODY && !has_row && !folder_of(slice_of(name)))
		return "of a body: user, safety_identifier, prompt_cache_key, conversation, "
		       "previous_response_id, and what is below metadata, requestMetadata and "
		       "labels";
	return NULL;
}

int privacy_add(struct privacy *p, const char *spec, char *err, size_t err_size)
{
	const char *colon = strchr(spec, ':');
	struct slice name = slice_of(colon ? colon + 1 : NULL);
	const struct privacy_key *row;
	struct privacy_key key = {0}, *slot;
	enum privacy_as as = AS_ID;
	const char *why;
	bool told;

	if (!colon || !parse_source(&key.source, (struct slice){spec, (size_t)(colon - spec)}) ||
	    !parse_as(&name, &as) || !name.len || name.len >= PRIVACY_NAME_MAX)
		return refuse(err, err_size, spec,
			      "allowed: header|answer|baggage|body:NAME[=plain|hash|drop]");
	told = name.ptr[name.len] == '=';
	row = find(listed, ARRAY_LEN(listed), key.source, name);
	if (!row)
		row = find(known, ARRAY_LEN(known), key.source, name);
	if (row)
		key = *row;
	slice_copy(key.name, sizeof(key.name), name);
	why = why_not(key.source, key.name, row != NULL);
	if (why)
		return refuse(err, err_size, spec, why);
	slot = (struct privacy_key *)find(p->keys, p->count, key.source, name);
	if (!slot && p->count == PRIVACY_KEYS_MAX)
		return refuse(err, err_size, spec, "too many keys");
	if (!row)
		slice_copy(key.tag, sizeof(key.tag), tag_of(key.source, name));
	if (told)
		key.as = as;
	*(slot ? slot : &p->keys[p->count++]) = key;
	return 0;
}

int privacy_load(struct privacy *p, const char *profile, char *const *specs, size_t count,
		 char *err, size_t err_size)
{
	int rc = 0;

	privacy_init(p, strcmp(profile, "minimal") == 0);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = privacy_add(p, specs[i], err, err_size);
	return rc;
}

static const struct privacy_key *keys_of(const struct exchange_env *env, size_t *count)
{
	*count = env->privacy ? env->privacy->count : ARRAY_LEN(listed);
	return env->privacy ? env->privacy->keys : listed;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Providers' own words may have spaces ("East US"); a request's may not, they could be a sentence.
 */
static bool is_id(enum privacy_source source, struct slice value)
{
	const char *marks = source == FROM_ANSWER ? "-_.:/@+=~ " : "-_.:/@+=~";

	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i], lower = (char)(c | 0x20);

		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') &&
		    !(c && strchr(marks, c)))
			return false;
	}
	return value.len <= PRIVACY_VALUE_MAX;
}

static bool is_address(struct slice value)
{
	const char *at = value.len > 2 ? memchr(value.ptr + 1, '@', value.len - 2) : NULL;

	return at != NULL;
}

/* A word before the value keeps it apart from other hashes under this key. */
static void hash_value(char dst[PRIVACY_VALUE_MAX + 1], struct slice value, const uint8_t key[32])
{
	static const char purpose[] = "value";
	struct hmac_sha256_ctx ctx;
	uint8_t digest[8];
	int at = snprintf(dst, PRIVACY_VALUE_MAX + 1, PRIVACY_HASH_START);

	hmac_sha256_set_key(&ctx, 32, key);
	hmac_sha256_update(&ctx, sizeof(purpose), (const uint8_t *)purpose);
	hmac_sha256_update(&ctx, value.len, (const uint8_t *)value.ptr);
	hmac_sha256_digest(&ctx, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		at += snprintf(dst + at, 3, "%02x", digest[i]);
	explicit_bzero(&ctx, sizeof(ctx));
}

/* W3C Trace Context: version "-" 32 hex "-" 16 hex "-" flags. */
static bool split_trace(struct slice value, struct slice *trace, struct slice *span)
{
	if (value.len < 55)
		return false;
	*trace = (struct slice){value.ptr + 3, 32};
	*span = (struct slice){value.ptr + 36, 16};
	return value.ptr[2] == '-' && value.ptr[35] == '-' && value.ptr[52] == '-' &&
	       slice_is_hex(*trace, 32) && slice_is_hex(*span, 16);
}

static void keep(const struct exchange_env *env, struct call *call, const struct privacy_key *key,
		 struct slice value)
{
	char text[PRIVACY_VALUE_MAX + 1];
	struct slice span = {NULL, 0};
	bool plain = key->as == AS_PLAIN || (key->as == AS_ID && !is_address(value));

	if (!value.len || key->as == AS_DROP ||
	    (key->place == PLACE_TRACE && !split_trace(value, &value, &span)))
		return;
	if (plain && is_id(key->source, value))
		slice_copy(text, sizeof(text), value);
	else
		hash_value(text, value, env->fingerprint_key);
	if (key->place == PLACE_TRACE) {
		slice_copy(call->trace_id, sizeof(call->trace_id), slice_of(text));
		if (plain)
			slice_copy(call->span_id, sizeof(call->span_id), span);
	} else if (key->place == PLACE_TAG) {
		tags_set(&call->tags, slice_of(key->tag), slice_of(text),
			 key->source == FROM_BODY ? TAG_BODY : TAG_HEADER);
	} else if (!call->session_id[0]) {
		slice_copy(call->session_id, sizeof(call->session_id), slice_of(text));
	}
}

/* The next member of a baggage list, without its properties (W3C Baggage 3.1). */
static bool next_member(struct slice *list, struct slice *name, struct slice *value)
{
	while (list->len) {
		const char *comma = memchr(list->ptr, ',', list->len);
		size_t used = comma ? (size_t)(comma - list->ptr) + 1 : list->len;
		struct slice part = {list->ptr, used - (comma != NULL)};
		const char *end = memchr(part.ptr, ';', part.len), *equals;

		list->ptr += used;
		list->len -= used;
		part.len = end ? (size_t)(end - part.ptr) : part.len;
		equals = memchr(part.ptr, '=', part.len);
		if (!equals)
			continue;
		*name = slice_trim((struct slice){part.ptr, (size_t)(equals - part.ptr)});
		*value = slice_trim(
			(struct slice){equals + 1, (size_t)(part.ptr + part.len - equals - 1)});
		return true;
	}
	return false;
}

/* A value too long for an id is hashed by its first KiB. */
static void keep_baggage(const struct exchange_env *env, struct call *call,
			 const struct privacy_key *key, struct slice list)
{
	struct slice name, value;
	char text[1024];

	while (next_member(&list, &name, &value)) {
		if (slice_eq(name, slice_of(key->name)))
			keep(env, call, key, percent_decode(text, sizeof(text), value));
	}
}

void privacy_keep_head(const struct exchange_env *env, struct call *call,
		       enum privacy_source source, const struct http_head *head)
{
	struct slice baggage = http_head_get(head, "baggage");
	const struct privacy_key *keys;
	size_t count;

	keys = keys_of(env, &count);
	for (size_t i = 0; i < count; i++) {
		if (keys[i].source == source)
			keep(env, call, &keys[i], http_head_get(head, keys[i].name));
		else if (source == FROM_HEADER && keys[i].source == FROM_BAGGAGE)
			keep_baggage(env, call, &keys[i], baggage);
	}
}

void privacy_keep_body(const struct exchange_env *env, struct call *call, struct slice name,
		       struct slice value)
{
	const struct privacy_key *keys, *key;
	size_t count;

	keys = keys_of(env, &count);
	key = find(keys, count, FROM_BODY, name);
	if (key)
		keep(env, call, key, value);
}
