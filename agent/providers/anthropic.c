/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"api.anthropic.com", "claude.googleapis.com", NULL};

static const struct api_path paths[] = {
	PATHS_MESSAGES,
	{"POST", "/v1/complete", "complete", "text_completion", &dialect_anthropic},
	PATH_CHAT(&dialect_openai_chat),
	PATHS_FREE,
};

const struct provider provider_anthropic = {
	.name = "anthropic",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "request-id",
	.prices = "anthropic",
};
