/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/providers/provider.h"
#include "agent/usage/dialect.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct provider_table *table;

static int set_up(void **state)
{
	(void)state;
	return provider_table_new(&table);
}

static int tear_down(void **state)
{
	(void)state;
	provider_table_free(table);
	table = NULL;
	return 0;
}

static const char *name_of(const char *host)
{
	struct provider_host h = provider_table_host(table, slice_of(host));

	return h.provider ? h.provider->name : "";
}

static void hosts(void **state)
{
	static const char *const rows[][2] = {
		{"api.openai.com", "openai"},
		{"API.OpenAI.com:443", "openai"},
		{"eu.api.openai.com", "openai"},
		{"api.openai.com.", "openai"},
		{"api.openai.com.evil.example", ""},
		{"notapi.openai.com", ""},
		{"xapi.openai.com", ""},
		{"openai.com", ""},
		{"api.anthropic.com", "anthropic"},
		{"res-1.openai.azure.com", "azure.ai.openai"},
		{"res.services.ai.azure.com", "azure.ai.openai"},
		{"gate.azure-api.net", "azure.ai.openai"},
		{"models.inference.ai.azure.com", "github_models"},
		{"api.groq.com", "groq"},
		{"api.mistral.ai", "mistral_ai"},
		{"aiplatform.googleapis.com", "gcp.vertex_ai"},
		{"us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"},
		{"xaiplatform.googleapis.com", ""},
		{"storage.googleapis.com", ""},
		{"api.deepseek.com", "deepseek"},
		{"api.together.ai", "together_ai"},
		{"api.x.ai", "x_ai"},
		{"openrouter.ai", "openrouter"},
		{"bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"},
		{"Bedrock-Runtime.us-east-1.amazonaws.com.", "aws.bedrock"},
		{"bedrock-runtime-fips.us-gov-west-1.amazonaws.com:443", "aws.bedrock"},
		{"bedrock-runtime.some-new-region-9.api.aws", "aws.bedrock"},
		{"bedrock-runtime.cn-north-1.amazonaws.com.cn", "aws.bedrock"},
		{"vpce-0a.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "aws.bedrock"},
		{"bedrock-mantle.us-east-1.api.aws", "aws.bedrock"},
		{"bedrock-runtime.amazonaws.com", ""},
		{"bedrock-runtime..amazonaws.com", ""},
		{".us-east-1.amazonaws.com", ""},
		{"bedrock-runtime.a.b.amazonaws.com", ""},
		{"xbedrock-runtime.us-east-1.amazonaws.com", ""},
		{"bedrock-agent.us-east-1.amazonaws.com", ""},
		{"s3.us-east-1.amazonaws.com", ""},
		{".amazonaws.com", ""},
		{"amazonaws.com", ""},
		{"api.cohere.ai", "cohere"},
		{"ollama.com", "ollama"},
		{"localhost:11434", "ollama"},
		{"127.0.0.1:11434", "ollama"},
		{"[::1]:11434", "ollama"},
		{"localhost", ""},
		{"my.localhost:11434", ""},
		{"localhost:8000", ""},
		{"[::1]:443", ""},
		{"", ""},
		{":", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(name_of(rows[i][0]), rows[i][1]) != 0)
			fail_msg("%s is \"%s\", expected \"%s\"", rows[i][0], name_of(rows[i][0]),
				 rows[i][1]);
	}
}

static void add(const char *spec)
{
	char err[256] = "";

	if (provider_table_add_host(table, spec, err, sizeof(err)))
		fail_msg("%s", err);
}

static void configured_hosts(void **state)
{
	struct provider_host h;

	(void)state;
	add("LLM.corp.example=openai");
	add("big.llm.corp.example=anthropic,role=gateway");
	add("127.0.0.1:8000=vllm,role=self_hosted");
	add("[::1]:8443=mistral_ai");
	add("api.groq.com=openrouter,role=direct");
	assert_string_equal(name_of("llm.corp.example"), "openai");
	assert_string_equal(name_of("eu.llm.corp.example:8443"), "openai");
	assert_string_equal(name_of("big.llm.corp.example"), "anthropic");
	assert_string_equal(name_of("corp.example"), "");
	assert_string_equal(name_of("127.0.0.1"), "");
	assert_string_equal(name_of("127.0.0.1:8001"), "");
	assert_string_equal(name_of("[::1]:8443"), "mistral_ai");
	assert_string_equal(name_of("api.groq.com"), "openrouter");
	h = provider_table_host(table, SLICE("127.0.0.1:8000"));
	assert_int_equal(h.role, ROLE_SELF_HOSTED);
	h = provider_table_host(table, SLICE("llm.corp.example"));
	assert_int_equal(h.role, ROLE_DIRECT);
	h = provider_table_host(table, SLICE("localhost:11434"));
	assert_int_equal(h.role, ROLE_SELF_HOSTED);
	add("llm.corp.example=deepseek"); /* of two equal ones the later */
	assert_string_equal(name_of("llm.corp.example"), "deepseek");
}

static void refused_specs(void **state)
{
	static const char *const specs[] = {
		"",
		"host",
		"=openai",
		"host=",
		"host=nobody",
		"host=openai,role=",
		"host=openai,role=owner",
		"host=openai,rank=direct",
		"ho st=openai",
		"host/path=openai",
		"http://host=openai",
		"host=open\nai",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		char err[256] = "";

		if (provider_table_add_host(table, specs[i], err, sizeof(err)) != -EINVAL)
			fail_msg("\"%s\" passed", specs[i]);
		assert_true(err[0] && !strchr(err, '\n'));
	}
	assert_string_equal(name_of("host"), "");
}

static void too_many_hosts(void **state)
{
	char spec[64], err[256] = "";

	(void)state;
	for (int i = 0; i < PROVIDER_HOSTS_MAX; i++) {
		snprintf(spec, sizeof(spec), "h%d.example=openai", i);
		add(spec);
	}
	assert_int_equal(provider_table_add_host(table, "one.more=openai", err, sizeof(err)),
			 -ENOSPC);
	assert_true(err[0]);
}

struct path_row {
	const char *provider, *method, *target;
	const char *api; /* "" = in no row */
	bool free;
	const char *model;
};

static void paths(void **state)
{
	static const struct path_row rows[] = {
		{"openai", "POST", "/v1/chat/completions", "chat.completions", false, ""},
		{"openai", "POST", "//v1//chat/completions/?x=/v1/responses#y", "chat.completions",
		 false, ""},
		{"openai", "POST", "https://api.openai.com/v1/responses", "responses", false, ""},
		{"openai", "POST", "/v1/responses/compact", "responses.compact", false, ""},
		{"openai", "POST", "/v1/responses/input_tokens", "responses", false, ""},
		{"openai", "POST", "/v1/responses/resp_1/cancel", "responses", true, ""},
		{"openai", "POST", "/v1/completions", "completions", false, ""},
		{"openai", "POST", "/v1/embeddings", "embeddings", false, ""},
		{"openai", "POST", "/v1/moderations", "moderations", false, ""},
		{"openai", "GET", "/v1/models/gpt-4o", "models", true, ""},
		{"openai", "GET", "/v1/responses/resp_1", "responses", false, ""},
		{"openai", "POST", "/v1/mycompletions", "", false, ""},
		{"openai", "POST", "/", "", false, ""},
		{"openai", "POST", "", "", false, ""},
		{"openai", "OPTIONS", "*", "", false, ""},
		{"anthropic", "POST", "/v1/messages?beta=true", "messages", false, ""},
		{"anthropic", "POST", "/v1/messages/count_tokens", "messages", false, ""},
		{"anthropic", "POST", "/v1/messages/batches", "messages", true, ""},
		{"anthropic", "POST", "/v1/complete", "complete", false, ""},
		{"azure.ai.openai", "POST",
		 "//openai/deployments/my-gpt/chat/completions?api-version=1", "chat.completions",
		 false, "my-gpt"},
		{"azure.ai.openai", "POST", "/openai/deployments/e/embeddings", "embeddings", false,
		 "e"},
		{"azure.ai.openai", "POST", "/openai/v1/responses", "responses", false, ""},
		{"azure.ai.openai", "POST", "/models/chat/completions", "chat.completions", false,
		 ""},
		{"azure.ai.openai", "POST", "/anthropic/v1/messages", "messages", false, ""},
		{"groq", "POST", "/openai/v1/chat/completions", "chat.completions", false, ""},
		{"fireworks_ai", "POST", "/inference/v1/chat/completions", "chat.completions",
		 false, ""},
		{"openrouter", "POST", "/api/v1/messages", "messages", false, ""},
		{"mistral_ai", "POST", "/v1/fim/completions", "completions", false, ""},
		{"aws.bedrock", "POST", "/model/us.a.b-v1%3A0/converse", "converse", false,
		 "us.a.b-v1%3A0"},
		{"aws.bedrock", "POST", "/bedrock/model/m/converse-stream", "converse", false, "m"},
		{"aws.bedrock", "POST", "/model/m/invoke", "invoke", false, "m"},
		{"aws.bedrock", "POST", "/model/m/invoke-with-response-stream", "invoke", false,
		 "m"},
		{"aws.bedrock", "POST", "/openai/v1/responses", "responses", false, ""},
		{"aws.bedrock", "POST", "/anthropic/v1/messages", "messages", false, ""},
		{"cohere", "POST", "/v2/chat", "chat", false, ""},
		{"cohere", "POST", "/v1/rerank", "rerank", false, ""},
		{"cohere", "POST", "/compatibility/v1/chat/completions", "chat.completions", false,
		 ""},
		{"cohere", "POST", "/v1/tokenize", "tokenize", false, ""},
		{"ollama", "POST", "/api/chat", "chat", false, ""},
		{"ollama", "POST", "/api/embeddings", "embed", false, ""},
		{"ollama", "POST", "/v1/chat/completions", "chat.completions", false, ""},
		{"ollama", "POST", "/api/show", "models", true, ""},
		{"gcp.gemini", "POST", "/v1beta/openai/chat/completions", "chat.completions", false,
		 ""},
		{"gcp.gemini", "POST", "/v1beta/models/x:generateContent", "generateContent", false,
		 "x"},
		{"gcp.gemini", "POST", "/v1beta/models/x:streamGenerateContent?alt=sse",
		 "streamGenerateContent", false, "x"},
		{"gcp.gemini", "POST", "/v1beta/models/x:regenerateContent", "", false, ""},
		{"gcp.gemini", "POST", "/v1beta/models/:generateContent", "", false, ""},
		{"gcp.gemini", "POST", "/v1beta/models/x/:generateContent", "", false, ""},
		{"gcp.gemini", "POST", "/v1beta/tunedModels/t:generateContent", "generateContent",
		 false, "t"},
		{"gcp.gemini", "POST", "/v1beta/interactions", "interactions", false, ""},
		{"gcp.vertex_ai", "POST",
		 "/v1/projects/p/locations/l/publishers/google/models/m@001:countTokens",
		 "countTokens", false, "m@001"},
		{"gcp.vertex_ai", "POST",
		 "/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict",
		 "streamRawPredict", false, "c"},
		{"gcp.vertex_ai", "POST",
		 "/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
		 "chat.completions", false, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct path_row *r = &rows[i];
		const struct provider *p = provider_by_name(r->provider);
		const struct api_path *path;
		struct slice model;

		assert_non_null(p);
		path = provider_path(p, slice_of(r->method), slice_of(r->target));
		if (strcmp(path ? path->api : "", r->api) != 0)
			fail_msg("%s %s: \"%s\", expected \"%s\"", r->method, r->target,
				 path ? path->api : "", r->api);
		if (!path)
			continue;
		if ((path->dialect == NULL) != r->free)
			fail_msg("%s: free or not", r->target);
		model = provider_path_model(path, slice_of(r->target));
		assert_true(slice_eq(model, slice_of(r->model)));
	}
}

/* What reads back usage that is told more than once, and by which id it goes: NULL = it does not.
 */
static void readings(void **state)
{
	static const struct {
		const char *provider, *target, *api, *id;
	} rows[] = {
		{"openai", "/v1/responses/resp_1?stream=true", "responses", ""},
		{"openai", "/v1/batches/batch_1", "batches", ""},
		{"openai", "/v1/files/file-1/content", "batches", "file-1"},
		{"openai", "/v1/threads/t/runs/run_1", "threads.runs", ""},
		{"openai", "/v1/files/file-1", "files", NULL},
		{"azure.ai.openai", "/openai/files/f/content?api-version=1", "batches", "f"},
		{"azure.ai.openai", "/openai/v1/responses/resp_1", "responses", ""},
		{"azure.ai.openai", "/anthropic/v1/messages/batches/b/results", "messages.batches",
		 "b"},
		{"anthropic", "/v1/messages/batches/msgbatch_1", "messages.batches", ""},
		{"anthropic", "/v1/messages/batches/msgbatch_1/results", "messages.batches",
		 "msgbatch_1"},
		{"x_ai", "/v1/batches/b/results?limit=100", "batches", "b"},
		{"groq", "/openai/v1/files/f/content", "batches", "f"},
		{"mistral_ai", "/v1/batch/jobs/j", "batches", "j"},
		{"gcp.gemini", "/v1beta/batches/b", "batches", "b"},
		{"gcp.gemini", "/v1beta/interactions/i", "interactions", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct provider *p = provider_by_name(rows[i].provider);
		struct slice target = slice_of(rows[i].target);
		const struct api_path *path = provider_path(p, SLICE("GET"), target);

		assert_non_null(path);
		assert_string_equal(path->api, rows[i].api);
		assert_int_equal(provider_path_reads(path), rows[i].id != NULL);
		assert_int_equal(provider_path_model(path, target).len, 0);
		assert_true(slice_eq(provider_path_object(path, target),
				     slice_of(rows[i].id ? rows[i].id : "")));
	}
}

static void polls(void **state)
{
	const struct provider *p = provider_by_name("openai");

	(void)state;
	assert_true(provider_is_poll(p, SLICE("GET"), SLICE("/v1/responses/resp_1?stream=false")));
	assert_true(provider_is_poll(p, SLICE("GET"), SLICE("/v1/chat/completions/chatcmpl-1")));
	assert_true(provider_is_poll(p, SLICE("DELETE"), SLICE("/v1/responses/resp_1")));
	assert_false(provider_is_poll(p, SLICE("GET"), SLICE("/v1/batches/b")));
	assert_false(provider_is_poll(p, SLICE("GET"), SLICE("/")));
}

static void shape(void **state)
{
	static const char *const rows[][3] = {
		{"POST", "/gate/v1beta/models/m:generateContent", "gcp.gemini"},
		{"POST", "/v1/chat/completions", "openai"},
		{"POST", "/prefix/api/chat/completions", "openai"},
		{"POST", "/v1/completions", "openai"},
		{"POST", "/anthropic/v1/messages?beta=true", "anthropic"},
		{"POST", "/v1/responses", "openai"},
		{"POST", "/embeddings", "openai"},
		{"POST", "/bedrock/model/m/invoke", "aws.bedrock"},
		{"POST", "/chain/invoke", ""},
		{"POST", "/api/chat", "ollama"},
		{"POST", "/api/generate", "ollama"},
		{"POST", "/v1/messages/count_tokens", ""},
		{"POST", "/messages", ""},
		{"GET", "/v1/chat/completions", ""},
		{"POST", "/completions", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct api_path *path = NULL;
		const struct provider *p =
			provider_by_shape(slice_of(rows[i][0]), slice_of(rows[i][1]), &path);

		if (strcmp(p ? p->name : "", rows[i][2]) != 0)
			fail_msg("%s: \"%s\"", rows[i][1], p ? p->name : "");
		assert_int_equal(p == NULL, path == NULL);
	}
}

static void count_suffix(void *user, const char *suffix)
{
	size_t *count = user;

	assert_true(suffix[0] && !strpbrk(suffix, "{*:"));
	++*count;
}

static void every_host_and_dialect(void **state)
{
	size_t before = 0, after = 0;

	(void)state;
	provider_table_each_host(table, count_suffix, &before);
	add("10.0.0.1:9000=openai");
	provider_table_each_host(table, count_suffix, &after);
	assert_true(before > 20 && before < 512); /* the kernel's table takes 1024 */
	assert_int_equal(after, before + 1);
	assert_non_null(provider_table_paths(table, &dialect_openai_chat));
	assert_non_null(provider_table_paths(table, &dialect_anthropic));
	assert_non_null(provider_table_paths(table, &dialect_mistral_ocr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hosts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(configured_hosts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_specs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_hosts, set_up, tear_down),
		cmocka_unit_test(paths),
		cmocka_unit_test(readings),
		cmocka_unit_test(polls),
		cmocka_unit_test(shape),
		cmocka_unit_test_setup_teardown(every_host_and_dialect, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
