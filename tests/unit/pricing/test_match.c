/* SPDX-License-Identifier: Apache-2.0 */
/* Name look-up over the shipped catalogue: what must match, and what must never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "pricing/catalog.h"

static struct catalog *catalog;

/* What the name of a model resolves to on the provider's own host. */
static const char *model_id(const struct catalog *c, const char *provider, const char *model)
{
	struct call call = {.role = ROLE_DIRECT};

	slice_copy(call.provider, sizeof(call.provider), slice_of(provider));
	slice_copy(call.model, sizeof(call.model), slice_of(model));
	return catalog_model_id(c, &call);
}

static int load(void **state)
{
	static char err[CATALOG_ERROR_MAX];

	(void)state;
	if (catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err))) {
		print_error("%s\n", err);
		return -1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

struct good {
	const char *provider, *name, *id;
};

static const struct good goods[] = {
	/* exact and alias */
	{"openai", "gpt-4o", "gpt-4o"},
	{"openai", "gpt-4o-2024-08-06", "gpt-4o"},
	{"openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"},
	{"openai", "GPT-4o", "gpt-4o"},
	{"openai", "gpt-4o-mini", "gpt-4o-mini"},
	{"openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"},
	{"openai", "gpt-5.6", "gpt-5.6-sol"},
	{"openai", "o3-mini", "o3-mini"},
	{"openai", "text-embedding-3-small", "text-embedding-3-small"},
	{"anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5"},
	{"anthropic", "claude-sonnet-4", "claude-sonnet-4-0"},
	{"anthropic", "claude-2.1", "claude-2"},
	{"azure.ai.openai", "gpt-4o", "gpt-4o"},
	{"groq", "openai/gpt-oss-safeguard-20b", "openai/gpt-oss-safeguard-20b"},
	{"deepseek", "deepseek-v4-flash", "deepseek-v4-flash"},
	{"x_ai", "grok-4.3", "grok-4.3"},
	/* anchored dated suffix */
	{"openai", "gpt-5.6-luna-2026-07-09", "gpt-5.6-luna"},
	{"openai", "gpt-4o-2027-02-28", "gpt-4o"},
	{"anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"},
	{"anthropic", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"},
	{"anthropic", "claude-sonnet-4-20250514", "claude-sonnet-4-0"},
	{"anthropic", "claude-3-5-haiku-20241022", "claude-3-5-haiku-latest"},
	{"x_ai", "grok-4.3-20260430", "grok-4.3"},
	/* Bedrock: the profile of a region is another model than the global one */
	{"aws.bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0",
	 "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"},
	{"aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
	 "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"},
	{"aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
	 "global.anthropic.claude-sonnet-4-5-20250929-v1:0"},
	{"aws.bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
	 "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0"},
	{"aws.bedrock", "eu.amazon.nova-pro-v1:0", "eu.amazon.nova-pro-v1:0"},
	/* Azure: the model that the answer names, in the forms of both APIs */
	{"azure.ai.openai", "gpt-4o-20240806", "gpt-4o"},
	{"azure.ai.openai", "gpt-35-turbo", "gpt-35-turbo"},
	/* fine-tunes: their own base, up to the colon */
	{"openai", "ft:gpt-4o-2024-08-06:acme::AbC123", "ft:gpt-4o-2024-08-06"},
};

static const struct good bads[] = {
	{"openai", "", NULL},
	{"openai", "gpt", NULL},
	{"openai", "gpt-4o-2024-13-01", NULL},	/* no such month */
	{"openai", "gpt-4o-2024-00-10", NULL},	/* no such month */
	{"openai", "gpt-4o-2024-01-32", NULL},	/* no such day */
	{"openai", "gpt-4o-2024-08-06x", NULL}, /* not anchored at the end */
	{"openai", "gpt-4o-20240806", NULL},	/* another provider's form */
	{"openai", "xgpt-4o", NULL},
	{"openai", "gpt-4o ", NULL},
	{"openai", "gpt-4o-super", NULL},
	{"openai", "my-gpt-4o-mini-copy", NULL},
	{"openai", "openai/gpt-4o", NULL},
	{"openai", "claude-sonnet-4-5", NULL}, /* another provider's model */
	{"openai", "ft:gpt-4o-2024-08-06", "ft:gpt-4o-2024-08-06"},
	{"openai", "ft:gpt-4o-2024-08-06:", NULL},
	{"openai", "ft:gpt-9:acme::x", NULL}, /* never falls to the base */
	{"openai", "ft::x", NULL},
	{"openai", "-2024-08-06", NULL},
	{"anthropic", "claude-sonnet-4-5-latest-preview", NULL},
	{"anthropic", "claude-sonnet-4-5-2025092", NULL},
	{"anthropic", "us.anthropic.claude-sonnet-4-5", NULL},
	{"aws.bedrock", "xx.amazon.nova-pro-v1:0", NULL},  /* no such region */
	{"aws.bedrock", "amazon.nova-pro-v1:0:24k", NULL}, /* provisioned, by the hour */
	{"aws.bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x", NULL},
	{"azure.ai.openai", "our-gpt-4o", NULL}, /* a deployment is no model */
	{"nobody", "gpt-4o", NULL},
	{"", "gpt-4o", NULL},
};

static void check(const struct good *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *id = model_id(catalog, rows[i].provider, rows[i].name);

		if (!rows[i].id && id)
			fail_msg("%s/%s matched %s", rows[i].provider, rows[i].name, id);
		if (rows[i].id && (!id || strcmp(id, rows[i].id) != 0))
			fail_msg("%s/%s gave %s, not %s", rows[i].provider, rows[i].name,
				 id ? id : "nothing", rows[i].id);
	}
}

static void names_that_match(void **state)
{
	(void)state;
	check(goods, ARRAY_LEN(goods));
}

static void names_that_must_not_match(void **state)
{
	(void)state;
	check(bads, ARRAY_LEN(bads));
}

/* A name longer than any column must not reach past a buffer, nor match by its beginning. */
static void overlong_names(void **state)
{
	char name[4096];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memcpy(name, "gpt-4o", 6);
	assert_null(model_id(catalog, "openai", name));
	assert_null(model_id(catalog, name, "gpt-4o"));
}

/* No name of the table is matched by itself plus or minus one character, unless it is listed. */
static void count_model(void *user, const char *provider, const char *id)
{
	char longer[CALL_NAME_MAX + 2];
	const char *found;

	*(size_t *)user += 1;
	assert_string_equal(model_id(catalog, provider, id), id);
	snprintf(longer, sizeof(longer), "%s~", id);
	found = model_id(catalog, provider, longer);
	if (found)
		fail_msg("%s/%s matched %s", provider, longer, found);
}

static void every_id_is_itself_only(void **state)
{
	size_t seen = 0, count;

	(void)state;
	count = catalog_each_model(catalog, NULL, count_model, &seen);
	assert_int_equal(count, seen);
	assert_true(count > 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_match),
		cmocka_unit_test(names_that_must_not_match),
		cmocka_unit_test(overlong_names),
		cmocka_unit_test(every_id_is_itself_only),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
