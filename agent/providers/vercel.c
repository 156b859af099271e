/* SPDX-License-Identifier: Apache-2.0 */
/* Vercel AI Gateway: OpenAI's and Anthropic's dialects, and its own SDK's protocol. */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"ai-gateway.vercel.sh", NULL};

static const struct api_path paths[] = {
	{"POST", "/language-model", "language-model", "chat", &dialect_vercel},
	PATHS_COMPATIBLE,
};

const struct provider provider_vercel = {
	.name = "vercel",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-request-id",
	.model_header = "ai-language-model-id",
	.prices = "vercel",
};
