/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"api.cohere.com", "api.cohere.ai", NULL};

#define NATIVE(path, api, operation)                          \
	{                                                     \
		"POST", path, api, operation, &dialect_cohere \
	}

static const struct api_path paths[] = {
	NATIVE("/v1/chat", "chat", "chat"),
	NATIVE("/v2/chat", "chat", "chat"),
	NATIVE("/v1/generate", "generate", "text_completion"),
	NATIVE("/v1/summarize", "summarize", "text_completion"),
	NATIVE("/v1/embed", "embed", "embeddings"),
	NATIVE("/v2/embed", "embed", "embeddings"),
	NATIVE("/v1/rerank", "rerank", "rerank"),
	NATIVE("/v2/rerank", "rerank", "rerank"),
	NATIVE("/v1/classify", "classify", "classify"),
	{"POST", "/v1/detokenize", "tokenize", "", NULL},
	{"POST", "/v1/check-api-key", "check-api-key", "", NULL},
	PATH_CHAT(&dialect_openai_chat),
	PATH_EMBEDDINGS(&dialect_openai_chat),
	PATHS_FREE,
};

const struct provider provider_cohere = {
	.name = "cohere",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-debug-trace-id",
	.prices = "cohere",
};
