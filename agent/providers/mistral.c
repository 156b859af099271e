/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/providers/builtin.h"
#include "agent/providers/paths.h"

static const char *const hosts[] = {"api.mistral.ai", "codestral.mistral.ai", NULL};

static const struct api_path paths[] = {
	PATH_CHAT(&dialect_openai_chat),
	PATH_COMPLETIONS(&dialect_openai_chat),
	PATH_EMBEDDINGS(&dialect_openai_chat),
	{"POST", "/v1/audio/transcriptions", "audio.transcriptions", "transcription",
	 &dialect_openai_chat},
	{"POST", "/v1/ocr", "ocr", "ocr", &dialect_mistral_ocr},
	{"GET", "/batch/jobs/{id}", "batches", "chat", &dialect_mistral_batch},
	{"GET", "/files/{id}/content", "batches", "chat", &dialect_openai_batch_lines},
	PATHS_FREE,
};

const struct provider provider_mistral = {
	.name = "mistral_ai",
	.hosts = hosts,
	.paths = paths,
	.path_count = ARRAY_LEN(paths),
	.request_id_header = "mistral-correlation-id",
	.prices = "mistral_ai",
};
