/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/metric_tag.h"

#include <ctype.h>
#include <stdio.h>

/* As labels, letter case and punctuation aside. */
static const char *const never[] = {
	"pid",	      "tid",
	"user",	      "user_id",
	"uid",	      "user_email",
	"email",      "loginuid",
	"session",    "session_id",
	"trace_id",   "span_id",
	"request_id", "response_id",
	"event_id",   "key",
	"key_id",     "api_key",
	"apikey",     "key_name",
	"credential", "key_fingerprint",
};

static bool is_never(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		if (!strcasecmp(never[i], name))
			return true;
	}
	return false;
}

static bool parse_values(const char *text, uint32_t *out)
{
	size_t digits = strspn(text, "0123456789");
	long n = digits && digits <= 4 && !text[digits] ? strtol(text, NULL, 10) : 0;

	*out = (uint32_t)n;
	return n >= 1 && n <= METRIC_TAG_VALUES_MAX;
}

const char *metric_tag_parse(const char *text, struct metric_tag *out)
{
	struct metric_tag tag = {.values_max = METRIC_TAG_VALUES_DEFAULT};
	size_t len = strcspn(text, "=");
	char *name;

	if (len == 0 || len >= sizeof(tag.key))
		return "TAG or TAG=VALUES, the tag's key of at most 63 bytes";
	if (text[len] && !parse_values(text + len + 1, &tag.values_max))
		return "TAG=VALUES with VALUES from 1 to 1000";
	memcpy(tag.key, text, len);
	snprintf(tag.label, sizeof(tag.label), "tag_%s", tag.key);
	name = tag.label + strlen("tag_");
	for (char *p = name; *p; p++) {
		if (*p == '.' || *p == '-')
			*p = '_';
		else if (!isalnum((unsigned char)*p) && *p != '_')
			return "keys of letters, digits, '_', '.' and '-'";
	}
	if (is_never(name))
		return "no tag of single users, sessions, requests or keys; the ledger has them";
	if (out)
		*out = tag;
	return NULL;
}
