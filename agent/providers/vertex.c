/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vertex AI: Google's models in their own dialect, over gRPC too, Anthropic's by rawPredict, others
 * as their vendors speak. An endpoint is a deployment: its name is no model.
 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {
	"aiplatform.googleapis.com",	    "-aiplatform.googleapis.com", /* a region before it */
	"aiplatform.us.rep.googleapis.com", "aiplatform.eu.rep.googleapis.com", NULL,
};

#define PATHS_RAW(models, d)                                                      \
	{"POST", models ":rawPredict", "rawPredict", "chat", d},                  \
	{                                                                         \
		"POST", models ":streamRawPredict", "streamRawPredict", "chat", d \
	}

#define PATHS_GRPC(service)                                                                  \
	{"POST", service "/GenerateContent", "generateContent", "generate_content",          \
	 &dialect_vertex_grpc},                                                              \
		{"POST", service "/StreamGenerateContent", "streamGenerateContent",          \
		 "generate_content", &dialect_vertex_grpc_stream},                           \
	{                                                                                    \
		"POST", service "/CountTokens", "countTokens", "count_tokens", &dialect_free \
	}

static const struct api_path paths[] = {
	{"POST", "/publishers/anthropic/models/count-tokens:rawPredict", "rawPredict",
	 "count_tokens", &dialect_free},
	PATHS_RAW("/publishers/anthropic/models/{model}", &dialect_anthropic),
	PATHS_RAW("/publishers/*/models/{model}", &dialect_openai_chat),
	PATHS_GENERATE("/models/{model}"),
	PATHS_GENERATE("/endpoints/{deployment}"),
	{"POST", "/models/{model}:predict", "predict", "embeddings", &dialect_vertex_predict},
	{"POST", "/models/{model}:computeTokens", "computeTokens", "count_tokens", &dialect_free},
	{"POST", "/endpoints/{deployment}:computeTokens", "computeTokens", "count_tokens",
	 &dialect_free},
	{"POST", "/cachedContents", "cachedContents", "create_cache", &dialect_gemini_cache},
	PATH_CHAT(&dialect_openai_chat),
	PATHS_GRPC("/google.cloud.aiplatform.v1.PredictionService"),
	PATHS_GRPC("/google.cloud.aiplatform.v1beta1.PredictionService"),
	{"POST", "/google.cloud.aiplatform.v1.LlmUtilityService/*", "countTokens", "count_tokens",
	 &dialect_free},
	{"POST", "/google.cloud.aiplatform.v1beta1.LlmUtilityService/*", "countTokens",
	 "count_tokens", &dialect_free},
	{"GET", "/ws/*/BidiGenerateContent", "live", "chat", &dialect_gemini_live},
};

const struct provider provider_vertex = {
	.name = "gcp.vertex_ai",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.prices = "gcp.vertex_ai",
};
