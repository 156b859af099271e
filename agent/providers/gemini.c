/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini's OpenAI-compatible path; its own API is in no table, so that it gives no row. */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"generativelanguage.googleapis.com", NULL};

static const struct api_path paths[] = {
	{"POST", "/openai/chat/completions", "chat.completions", "chat", &dialect_gemini_compat},
};

const struct provider provider_gemini = {
	.name = "gcp.gemini",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "x-request-id",
	.prices = "gcp.gemini",
};
