/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

/* chatgpt.com serves coding agents that log in with a subscription. */
static const char *const hosts[] = {"api.openai.com", "chatgpt.com", NULL};

static const struct api_path paths[] = {
	PATHS_OPENAI(&dialect_openai_chat),
	PATH_REALTIME(&dialect_openai_realtime),
	PATH_RESPONSES_SOCKET,
	PATHS_MEDIA(""),
	PATHS_RUNS,
	PATHS_BATCHES,
	PATHS_FREE,
};

const struct provider provider_openai = {
	.name = "openai",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-request-id",
	.prices = "openai",
};
