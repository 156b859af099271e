/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which values of headers and bodies are kept, and how. Only those of keys that are listed here: by
 * default ids of traces, sessions and conversations, and the accounts that prices go by
 * (docs/privacy.md has the list). A value is kept as it is only where it is an id: at most
 * PRIVACY_VALUE_MAX bytes of letters, digits and -_.:/@+=~ (in answers the space, too); any other
 * is kept as a hash under the install's key, and so is one that looks like an e-mail address unless
 * the key is listed as plain.
 */
#ifndef TT_PRIVACY_H
#define TT_PRIVACY_H

#include "agent/exchange/message.h"
#include "agent/usage/call.h"

#define PRIVACY_KEYS_MAX   128 /* of both lists together */
#define PRIVACY_NAME_MAX   64
#define PRIVACY_VALUE_MAX  127 /* what an id of a call holds */
#define PRIVACY_ERROR_MAX  256
#define PRIVACY_HASH_START "hash:" /* and 16 hex digits: how a hashed value looks */

struct exchange_env;

enum privacy_source { FROM_HEADER, FROM_ANSWER, FROM_BAGGAGE, FROM_BODY, PRIVACY_SOURCES };
/* As an id, hashed where it is none or an address; as it is also an address; hashed; not at all. */
enum privacy_as { AS_ID, AS_PLAIN, AS_HASH, AS_DROP };
/* Where it goes: the first that is present is the session's id. */
enum privacy_place { PLACE_TAG, PLACE_SESSION, PLACE_TRACE };

struct privacy_key {
	enum privacy_source source;
	enum privacy_as as;
	enum privacy_place place;
	char name[PRIVACY_NAME_MAX];
	char tag[TAG_KEY_MAX];
};

struct privacy {
	bool minimal; /* of calls only what call_minimise leaves is kept */
	size_t count;
	struct privacy_key keys[PRIVACY_KEYS_MAX];
};

/* The default list; a minimal one is empty. */
void privacy_init(struct privacy *p, bool minimal);
/*
 * Adds or changes a key: "header|answer|baggage|body:NAME[=plain|hash|drop]". Returns 0 or -EINVAL
 * with one line in err: no such form, too many, a header that holds a credential, a place in the
 * body that may hold content.
 */
int privacy_add(struct privacy *p, const char *spec, char *err, size_t err_size) TT_MUST_CHECK;

/* Both from the options: profile is "standard" or "minimal". Returns as privacy_add. */
int privacy_load(struct privacy *p, const char *profile, char *const *specs, size_t count,
		 char *err, size_t err_size) TT_MUST_CHECK;

/* Keeps what is listed of a head's fields (FROM_HEADER with its baggage, or FROM_ANSWER). */
void privacy_keep_head(const struct exchange_env *env, struct call *call,
		       enum privacy_source source, const struct http_head *head);
/* Keeps the value at this place of the request's body ("metadata.team"), if it is listed. */
void privacy_keep_body(const struct exchange_env *env, struct call *call, struct slice name,
		       struct slice value);

#endif
