/* SPDX-License-Identifier: Apache-2.0 */
/* The section `keys` of the configuration file: what credentials are called. */
#include "agent/config/options.h"

#include <errno.h>
#include <stdio.h>

static const struct field {
	const char *name;
	size_t offset, size;
	bool required;
} fields[] = {
#define FIELD(name, required)                                                                 \
	{                                                                                     \
#name, offsetof(struct key_name, name), sizeof(((struct key_name *)0)->name), \
			required                                                              \
	}
	FIELD(fingerprint, true), FIELD(name, true),	FIELD(owner, false),
	FIELD(provider, false),	  FIELD(key_id, false),
};

/* A name is written behind --where=key=, whose conditions stand apart by commas. */
static bool text_ok(const char *value)
{
	for (const char *p = value; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f || *p == ',')
			return false;
	}
	return *value && value[0] != ' ' && value[strlen(value) - 1] != ' ';
}

static int refuse_value(const struct field *f, const char *value, char *why, size_t size)
{
	snprintf(why, size,
		 "bad %s '%.60s'; allowed: 1 to %zu bytes without commas and control "
		 "characters, no space at its ends",
		 f->name, value, f->size - 1);
	return -EINVAL;
}

int config_key_set(struct key_name *row, const char *field, const char *value, char *why,
		   size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		char *at = (char *)row + f->offset;

		if (strcmp(f->name, field) != 0)
			continue;
		if (*at) {
			snprintf(why, size, "%s is given twice", field);
			return -EINVAL;
		}
		if (strlen(value) >= f->size || !text_ok(value))
			return refuse_value(f, value, why, size);
		snprintf(at, f->size, "%s", value);
		return 0;
	}
	snprintf(why, size,
		 "unknown key '%.60s'; known: fingerprint, name, owner, provider, key_id", field);
	return -EINVAL;
}

static int check(const struct key_name *row, char *why, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (fields[i].required && !((const char *)row)[fields[i].offset]) {
			snprintf(why, size, "%s is missing", fields[i].name);
			return -EINVAL;
		}
	}
	if (!slice_is_hex(slice_of(row->fingerprint), FINGERPRINT_DIGITS)) {
		snprintf(why, size, "fingerprint '%s' is not %d lower-case hex digits",
			 row->fingerprint, FINGERPRINT_DIGITS);
		return -EINVAL;
	}
	if (slice_is_hex(slice_of(row->name), FINGERPRINT_DIGITS)) {
		snprintf(why, size, "name '%s' could be a fingerprint; choose another", row->name);
		return -EINVAL;
	}
	return 0;
}

int config_key_add(struct config *c, const struct key_name *row, char *why, size_t size)
{
	const struct key_name *known;
	int rc = check(row, why, size);

	if (rc)
		return rc;
	if (!c->keys)
		c->keys = calloc(1, sizeof(*c->keys));
	if (!c->keys)
		return -ENOMEM;
	rc = key_names_add(c->keys, row);
	if (rc == -EEXIST) {
		known = key_names_find(c->keys, row->fingerprint);
		snprintf(why, size, "fingerprint %s stands already on line %d", row->fingerprint,
			 known->line);
	}
	if (rc == -E2BIG)
		snprintf(why, size, "more than %d keys", KEY_NAMES_MAX);
	return rc && rc != -ENOMEM ? -EINVAL : rc;
}
