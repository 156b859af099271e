/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo's recording, as it lies beside the demo, through the path of `tolltap replay`: its calls
 * are those of the provider's own books.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/capture/capture.h"
#include "agent/pipeline.h"

#include <cjson/cJSON.h>

#define DEMO	 "packaging/demo/"
#define ROWS_MAX 16

static struct call row[ROWS_MAX];
static size_t rows, told;

static void on_call(void *user, const struct call *call, const char *model_id)
{
	(void)user;
	(void)model_id;
	assert_true(rows < ROWS_MAX);
	row[rows++] = *call;
}

static void on_ignored(void *user, const char *provider, enum ignored_reason reason)
{
	(void)user;
	fail_msg("no row of %s: %s", provider, ignored_reason_names[reason]);
}

static void on_judge(void *user, uint32_t tgid, uint64_t ssl, bool watch)
{
	(void)user, (void)tgid, (void)ssl, (void)watch;
}

static const struct pipeline_ops ops = {.call = on_call, .ignored = on_ignored, .judge = on_judge};

static void replay(void)
{
	struct pipeline_opts opts = {.ops = &ops};
	struct pipeline *pipeline = NULL;
	char err[512] = "out of memory";

	if (provider_table_new(&opts.providers) ||
	    catalog_load(&opts.catalog, "pricing/catalog.json", NULL, err, sizeof(err)) ||
	    pipeline_new(&pipeline, &opts) ||
	    recording_replay(DEMO "recording.ttr", &pipeline_capture_ops, pipeline, err,
			     sizeof(err)))
		fail_msg("%s", err);
	pipeline_free(pipeline);
}

static const char *text_of(const cJSON *book, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItem(book, key));
}

static const struct call *row_of(const char *request_id)
{
	for (size_t i = 0; i < rows; i++) {
		if (strcmp(row[i].request_id, request_id) == 0)
			return &row[i];
	}
	fail_msg("no row of %s", request_id);
	return NULL;
}

static void check(const cJSON *book)
{
	const struct call *call = row_of(text_of(book, "request_id"));
	const cJSON *tokens = cJSON_GetObjectItem(book, "tokens");

	assert_string_equal(call->model, text_of(book, "model"));
	assert_string_equal(outcome_names[call->outcome], text_of(book, "outcome"));
	assert_string_equal(basis_names[call->basis], text_of(book, "basis"));
	assert_string_equal(call->tags.item[0].value, "demo");
	assert_int_equal(call->usage.known, cJSON_IsObject(tokens));
	for (int i = 0; i < TOKEN_KINDS; i++) {
		const cJSON *n = cJSON_GetObjectItem(tokens, token_kind_names[i]);

		assert_int_equal(call->usage.tokens[i], n ? n->valueint : 0);
	}
}

static void the_demo_is_as_its_books(void **state)
{
	FILE *books = fopen(DEMO "recording.truth.jsonl", "re");
	char line[8192];

	(void)state;
	assert_non_null(books);
	replay();
	for (; fgets(line, sizeof(line), books); told++) {
		cJSON *book = cJSON_Parse(line);

		check(book);
		cJSON_Delete(book);
	}
	fclose(books);
	assert_true(told > 0);
	assert_int_equal(rows, told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_demo_is_as_its_books)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
