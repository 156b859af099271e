/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded exchanges through the real path: wire bytes -> connection table -> HTTP/1.1 -> exchange
 * -> dialect -> call, against each recording's expected.json. Bodies are framed by length and in
 * chunks of every size class, plain and in each content coding, read in pieces of several sizes;
 * over HTTP/2 in frames of several sizes and with many streams at once. Every variant must give the
 * same row.
 *
 * gRPC runs over HTTP/2 alone, with trailers behind its messages, which are compressed or not.
 *
 * Sessions over a WebSocket are upgraded, framed, cut and compressed in every way that was agreed.
 *
 * Two sets: tests/replay/cases (the project's own, always there) and the folder named by
 * TOLLTAP_CASSETTES (default ../shared/data/cassettes), skipped by name when it is missing.
 */
#include "grpc.h"
#include "multiplexed.h"
#include "upgraded.h"

#include <dirent.h>

static const char *const providers_covered[] = {
	"openai",
	"azure-openai",
	"anthropic",
	"other",
	"vllm",
	"groq",
	"deepseek",
	"mistral",
	"together",
	"openrouter",
	"perplexity",
	"xai",
	"huggingface-router",
	"google-gemini",
	"google-vertex",
	"aws-bedrock",
	"cohere",
	"ollama",
};

static const char *skip_reason(const struct cassette *c)
{
	const char *provider = text_member(c, "provider");

	if (c->frames.ptr) /* of any provider */
		return NULL;

	if (text_member(c, "transport")[0] && !is_grpc(c))
		return text_member(c, "transport");
	if (strstr(c->name, "/openai-compat-")) /* of any provider */
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(providers_covered); i++) {
		if (strcmp(provider, providers_covered[i]) == 0)
			return NULL;
	}
	return "provider not covered";
}

static void run_cassette(const struct cassette *c)
{
	static const size_t chunks[] = {FRAMED_BY_LENGTH, 1, 13, SIZE_MAX};
	static const size_t pieces[] = {1, 61, SIZE_MAX};
	static struct outcome_seen first, seen;
	struct provider_host host =
		provider_table_host(providers, slice_of(text_member(c, "host")));
	bool candidate = !host.provider, any = false;

	for (enum coding coding = CODING_NONE; coding < CODINGS; coding++) {
		for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
			struct bytes request =
				message(&c->request_head, &c->request_body,
					i % 2 ? CODING_ZSTD : CODING_NONE, chunks[i]);
			struct bytes response =
				message(&c->response_head, &c->response_body, coding, chunks[i]);
			char variant[128];

			for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
				snprintf(variant, sizeof(variant), "%s chunk %zu piece %zu",
					 coding_names[coding], chunks[i], pieces[j]);
				replay(&request, &response, pieces[j], candidate, &seen);
				if (!any) {
					first = seen;
					check_seen(c, &seen, candidate);
				}
				same_rows(c, &first, &seen, variant);
				any = true;
			}
			bytes_free(&request);
			bytes_free(&response);
		}
	}
	run_all_http2(c, &first, candidate);
	if (!candidate)
		run_all_late(c, &first);
}

/* Runs or skips one recording; returns true when it ran. */
static bool visit(const char *dir, const char *name)
{
	struct cassette c;
	const char *why;

	if (!cassette_load(&c, dir, name)) {
		cassette_free(&c);
		return false;
	}
	why = skip_reason(&c);
	if (why)
		printf("skip %s: %s\n", name, why);
	else if (c.frames.ptr)
		run_session(&c);
	else if (is_grpc(&c))
		run_grpc(&c);
	else
		run_cassette(&c);
	cassette_free(&c);
	return !why;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static size_t visit_group(const char *top, const char *group)
{
	struct dirent **entries = NULL;
	char dir[4096], name[600];
	size_t ran = 0;
	int n;

	snprintf(dir, sizeof(dir), "%s/%s", top, group);
	n = scandir(dir, &entries, not_hidden, by_name);
	for (int i = 0; i < n; i++) {
		snprintf(dir, sizeof(dir), "%s/%s/%s", top, group, entries[i]->d_name);
		snprintf(name, sizeof(name), "%s/%s", group, entries[i]->d_name);
		ran += visit(dir, name);
		free(entries[i]);
	}
	free(entries);
	return ran;
}

static size_t visit_all(const char *top)
{
	struct dirent **groups = NULL;
	int n = scandir(top, &groups, not_hidden, by_name);
	size_t ran = 0;

	for (int i = 0; i < n; i++) {
		if (groups[i]->d_type != DT_REG)
			ran += visit_group(top, groups[i]->d_name);
		free(groups[i]);
	}
	free(groups);
	return ran;
}

static void own_cases(void **state)
{
	(void)state;
	assert_true(visit_all("tests/replay/cases") >= 10);
}

static void recorded_cassettes(void **state)
{
	const char *top = getenv("TOLLTAP_CASSETTES");
	size_t ran;

	(void)state;
	if (!top)
		top = "../shared/data/cassettes";
	ran = visit_all(top);
	if (!ran) {
		printf("skip recorded_cassettes: no recordings in %s (TOLLTAP_CASSETTES)\n", top);
		skip();
	}
	printf("# %zu recorded exchanges checked\n", ran);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_cases),
		cmocka_unit_test(recorded_cassettes),
	};
	char err[CATALOG_ERROR_MAX];
	int rc;

	if (provider_table_new(&providers) ||
	    catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err)))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	catalog_free(catalog);
	provider_table_free(providers);
	return rc;
}
