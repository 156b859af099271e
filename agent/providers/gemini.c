/* SPDX-License-Identifier: Apache-2.0 */
/* The Gemini API, with its interactions, caches and OpenAI-compatible path. */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"generativelanguage.googleapis.com", NULL};

static const struct api_path paths[] = {
	PATHS_GENERATE("/models/{model}"),
	PATHS_GENERATE("/tunedModels/{deployment}"),
	{"POST", "/interactions", "interactions", "generate_content", &dialect_gemini_interactions},
	{"GET", "/interactions/*", "interactions", "generate_content",
	 &dialect_gemini_interactions},
	{"GET", "/batches/{id}", "batches", "generate_content", &dialect_gemini_batch},
	{"POST", "/cachedContents", "cachedContents", "create_cache", &dialect_gemini_cache},
	{"POST", "/openai/chat/completions", "chat.completions", "chat", &dialect_gemini_compat},
	/* Each is a service and a method in one segment: "...BidiGenerateContent". */
	{"GET", "/ws/*", "live", "chat", &dialect_gemini_live},
	{"POST", "/openai/embeddings", "embeddings", "embeddings", &dialect_openai_chat},
	PATHS_FREE,
};

const struct provider provider_gemini = {
	.name = "gcp.gemini",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.prices = "gcp.gemini",
};
