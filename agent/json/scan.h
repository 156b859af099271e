/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resumable JSON scanner (RFC 8259) that watches paths: bytes in, the scalars at wanted paths
 * out. It keeps state, not bytes: bodies of any size pass in constant memory. Pure; cJSON is its
 * oracle in tests. Depth beyond JSON_DEPTH_MAX and strings beyond JSON_STRING_MAX are skipped, not
 * kept.
 *
 * Paths: "usage.prompt_tokens", "choices[].delta.content" ([] = any element), "output[].type",
 * "usage.**" (any scalar below). The root array of a streamed array is "[].usage.x". "output[]{}"
 * asks for the begin and end of an object, "delta.text#" for the length of a string without its
 * bytes: content that is only measured is never held. "bytes~" asks for a string in pieces as it
 * comes, whatever its length, and for its length at the end. A path list is compiled once
 * (json_paths_new) and shared by all scanners of a dialect.
 *
 * Lenient where peers are: control bytes inside strings and unpaired surrogates (which become
 * U+FFFD) do not break a document.
 */
#ifndef TT_JSON_SCAN_H
#define TT_JSON_SCAN_H

#include "agent/base/base.h"

#define JSON_DEPTH_MAX	64
#define JSON_STRING_MAX 4096 /* a kept string; longer ones are cut and flagged */
#define JSON_KEY_MAX	128  /* longer keys match nothing */
#define JSON_NUMBER_MAX 64   /* a kept number; longer ones are cut and flagged */
#define JSON_TAIL_MAX	256  /* longer tails of "**" are not reported */

enum json_type { JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

struct json_value {
	size_t path; /* index into the path list */
	enum json_type type;
	struct slice text; /* unescaped string bytes (UTF-8) or the number as written; borrowed */
	bool cut; /* the text was longer than its maximum; text_len tells the length of a string */
	uint64_t text_len; /* full unescaped length in bytes */
	struct slice tail; /* for "**": the keys below joined by '.', elements as "[index]" */
};

struct json_paths;
struct json_scan;

enum json_result {
	JSON_MORE,   /* inside a document, or before the first one */
	JSON_DONE,   /* a whole document passed; further documents may follow (NDJSON) */
	JSON_BROKEN, /* no JSON; nothing more comes out until json_scan_reset */
};

struct json_ops {
	/* A scalar that both a path and a "**" cover is reported once for each. */
	void (*value)(void *user, const struct json_value *value);
	/* An object at a watched prefix begins or ends; may be NULL. path as in json_value. */
	void (*object)(void *user, size_t path, bool begin);
	/* Unescaped bytes of a string at a "~" path, never empty; NULL where there is none. */
	void (*piece)(void *user, size_t path, struct slice bytes);
};

/*
 * Returns 0, -ENOMEM, or -EINVAL for a malformed or repeated path. The strings stay the caller's
 * and must outlive the list.
 */
int json_paths_new(struct json_paths **out, const char *const *paths, size_t count) TT_MUST_CHECK;
void json_paths_free(struct json_paths *paths); /* scanners keep what they still need */

int json_scan_new(struct json_scan **out, struct json_paths *paths, const struct json_ops *ops,
		  void *user) TT_MUST_CHECK;
void json_scan_free(struct json_scan *s); /* wipes what was kept */
enum json_result json_scan_feed(struct json_scan *s, struct slice bytes) TT_MUST_CHECK;
enum json_result json_scan_eof(struct json_scan *s) TT_MUST_CHECK; /* ends a bare number */
/* Forget everything, wait for a new document. */
void json_scan_reset(struct json_scan *s);
size_t json_scan_memory(const struct json_scan *s);

#endif
