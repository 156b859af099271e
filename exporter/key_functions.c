/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/key_functions.h"

#include "agent/base/key_names.h"

#include <errno.h>
#include <sqlite3.h>

/* The function's own data is the place of the text in a row. */
static void look_up(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	const char *fingerprint = (const char *)sqlite3_value_text(argv[0]);
	size_t offset = (size_t)(uintptr_t)sqlite3_user_data(context);
	const struct key_name *row;
	const char *text;

	(void)argc;
	if (!fingerprint)
		return;
	row = key_names_find(key_names_in_use(), fingerprint);
	text = row ? (const char *)row + offset : "";
	sqlite3_result_text(context, *text ? text : fingerprint, -1, SQLITE_TRANSIENT);
}

int key_functions(struct sqlite3 *db)
{
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
		{"key_name", offsetof(struct key_name, name)},
		{"key_owner", offsetof(struct key_name, owner)},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(functions); i++)
		rc = sqlite3_create_function(
			db, functions[i].name, 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
			(void *)(uintptr_t)functions[i].offset, look_up, NULL, NULL);
	return rc == SQLITE_OK ? 0 : -ENOMEM; /* no other cause is left */
}
