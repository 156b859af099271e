/* SPDX-License-Identifier: Apache-2.0 */
/* xAI: OpenAI's and Anthropic's dialects, and its own SDK's gRPC. */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"api.x.ai", NULL};

static const struct api_path paths[] = {
	{"GET", "/v1/batches/{id}/results", "batches", "chat", &dialect_xai_batch_results},
	PATHS_COMPATIBLE,
	{"POST", "/xai_api.Chat/GetCompletion", "chat.completions", "chat", &dialect_xai_grpc},
	{"POST", "/xai_api.Chat/GetCompletionChunk", "chat.completions", "chat",
	 &dialect_xai_grpc_stream},
	{"POST", "/xai_api.Chat/StartDeferredCompletion", "chat.completions", "chat",
	 &dialect_xai_grpc_deferred},
	/* Polls: what they tell may come again. */
	{"POST", "/xai_api.Chat/GetDeferredCompletion", "chat.completions", "", NULL},
	{"POST", "/xai_api.Chat/GetStoredCompletion", "chat.completions", "", NULL},
	{"POST", "/xai_api.Models/*", "models", "", NULL},
	{"POST", "/xai_api.Auth/*", "auth", "", NULL},
};

const struct provider provider_xai = {
	.name = "x_ai",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-request-id",
	.prices = "x_ai",
};
