/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/key_names.h"

#include <errno.h>

static const struct key_names *in_use;

int key_names_add(struct key_names *names, const struct key_name *row)
{
	struct key_name *grown;
	size_t at = names->count;

	if (key_names_find(names, row->fingerprint))
		return -EEXIST;
	if (names->count == KEY_NAMES_MAX)
		return -E2BIG;
	grown = reallocarray(names->row, names->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	names->row = grown;
	while (at > 0 && strcmp(grown[at - 1].fingerprint, row->fingerprint) > 0)
		at--;
	memmove(&grown[at + 1], &grown[at], (names->count - at) * sizeof(*grown));
	grown[at] = *row;
	names->count++;
	return 0;
}

void key_names_free(struct key_names *names)
{
	if (!names)
		return;
	free(names->row);
	free(names);
}

static int compare(const void *fingerprint, const void *row)
{
	return strcmp(fingerprint, ((const struct key_name *)row)->fingerprint);
}

const struct key_name *key_names_find(const struct key_names *names, const char *fingerprint)
{
	if (!names || !names->count)
		return NULL;
	return bsearch(fingerprint, names->row, names->count, sizeof(*names->row), compare);
}

void key_names_use(const struct key_names *names)
{
	in_use = names;
}

const struct key_names *key_names_in_use(void)
{
	return in_use;
}
