/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ollama: a server of one's own, which costs nothing unless a price is set for it, and the cloud of
 * the same name. Both speak OpenAI's and Anthropic's dialects beside their own.
 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"ollama.com", NULL};
static const char *const own_hosts[] = {"localhost:11434", "127.0.0.1:11434", "[::1]:11434", NULL};

static const struct api_path paths[] = {
	{"POST", "/api/chat", "chat", "chat", &dialect_ollama},
	{"POST", "/api/generate", "generate", "text_completion", &dialect_ollama},
	{"POST", "/api/embed", "embed", "embeddings", &dialect_ollama},
	{"POST", "/api/embeddings", "embed", "embeddings", &dialect_ollama},
	{"POST", "/api/show", "models", "", NULL},
	{"POST", "/api/pull", "models", "", NULL},
	{"GET", "/api/tags", "models", "", NULL},
	{"GET", "/api/ps", "models", "", NULL},
	{"GET", "/api/version", "models", "", NULL},
	PATHS_OPENAI(&dialect_openai_chat),
	PATHS_MESSAGES,
	PATHS_FREE,
};

const struct provider provider_ollama = {
	.name = "ollama",
	.hosts = hosts,
	.own_hosts = own_hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-request-id",
	.prices = "ollama",
};
