/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Providers that speak OpenAI's dialects; some Anthropic's too. Where a vendor counts differently
 * (DeepSeek's cache hits, Groq's x_groq, costs on the wire) the dialect's rows and
 * totals tell. One row each.
 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const struct api_path paths[] = {
	PATHS_COMPATIBLE,
};

static const struct api_path writer_paths[] = {
	{"POST", "/v1/chat", "chat.completions", "chat", &dialect_openai_chat},
	PATH_COMPLETIONS(&dialect_openai_chat),
	PATHS_FREE,
};

#define HOSTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COMPAT(vendor, request_id, ...)                                                           \
	{                                                                                         \
		.name = vendor, .hosts = HOSTS(__VA_ARGS__), .paths = paths,                      \
		.path_count = ARRAY_LEN(paths), .request_id_header = request_id, .prices = vendor \
	}

const struct provider compat_providers[] = {
	COMPAT("groq", "x-request-id", "api.groq.com"),
	COMPAT("deepseek", "x-ds-trace-id", "api.deepseek.com"),
	COMPAT("together_ai", "x-request-id", "api.together.xyz", "api.together.ai"),
	COMPAT("fireworks_ai", "x-request-id", "api.fireworks.ai"),
	COMPAT("openrouter", "x-generation-id", "openrouter.ai"),
	COMPAT("perplexity", "x-request-id", "api.perplexity.ai"),
	COMPAT("cerebras", "x-request-id", "api.cerebras.ai"),
	COMPAT("huggingface", "x-request-id", "router.huggingface.co"),
	COMPAT("zai", "x-log-id", "api.z.ai", "open.bigmodel.cn"),
	COMPAT("moonshotai", "x-request-id", "api.moonshot.ai", "api.moonshot.cn"),
	COMPAT("minimax", "x-request-id", "api.minimax.io", "api.minimaxi.com"),
	COMPAT("novita", "x-request-id", "api.novita.ai"),
	COMPAT("deepinfra", "x-request-id", "api.deepinfra.com"),
	COMPAT("sambanova", "x-request-id", "api.sambanova.ai"),
	COMPAT("nebius", "x-request-id", "api.studio.nebius.ai", "api.studio.nebius.com"),
	COMPAT("voyage_ai", "x-request-id", "api.voyageai.com"),
	COMPAT("github_models", "x-request-id", "models.github.ai",
	       "models.inference.ai.azure.com"),
	/* Every plan has a host of its own below. Billed by the request, out of the plan's quota.
	 */
	COMPAT("github_copilot", "x-request-id", "githubcopilot.com"),
	{
		.name = "writer",
		.hosts = HOSTS("api.writer.com"),
		.paths = writer_paths,
		.path_count = ARRAY_LEN(writer_paths),
		.request_id_header = "x-request-id",
		.prices = "writer",
	},
	/* A local server has no host of its own: named by --provider.host. */
	COMPAT("vllm", "x-request-id", NULL),
};

const size_t compat_provider_count = ARRAY_LEN(compat_providers);
