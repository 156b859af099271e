/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Azure OpenAI and Azure AI Foundry. The path names a deployment, not a model: it is what was asked
 * for, never what is priced.
 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {
	"openai.azure.com",
	"cognitiveservices.azure.com",
	"services.ai.azure.com",
	"azure-api.net",
	NULL,
};

static const struct api_path paths[] = {
	{"POST", "/deployments/{deployment}/chat/completions", "chat.completions", "chat",
	 &dialect_openai_chat},
	{"POST", "/deployments/{deployment}/completions", "completions", "text_completion",
	 &dialect_openai_chat},
	{"POST", "/deployments/{deployment}/embeddings", "embeddings", "embeddings",
	 &dialect_openai_chat},
	PATHS_MEDIA("/deployments/{deployment}"),
	PATHS_MEDIA("/v1"),
	PATHS_RUNS,
	{"POST", "/models/chat/completions", "chat.completions", "chat", &dialect_foundry},
	PATHS_MESSAGES,
	PATHS_BATCHES,
	/* /openai/v1 serves Foundry's models too. */
	PATHS_OPENAI(&dialect_foundry),
	PATH_REALTIME(&dialect_azure_realtime),
	PATH_RESPONSES_SOCKET,
	PATHS_FREE,
};

const struct provider provider_azure = {
	.name = "azure.ai.openai",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "apim-request-id",
	.prices = "azure.ai.openai",
};
