/* SPDX-License-Identifier: Apache-2.0 */
/* API paths that many providers share, as initialisers of struct api_path. */
#ifndef TT_PROVIDERS_PATHS_H
#define TT_PROVIDERS_PATHS_H

#include "agent/usage/dialect.h"

#define PATH_CHAT(d)                                                       \
	{                                                                  \
		"POST", "/chat/completions", "chat.completions", "chat", d \
	}
#define PATH_COMPLETIONS(d)                                                 \
	{                                                                   \
		"POST", "/completions", "completions", "text_completion", d \
	}
#define PATH_EMBEDDINGS(d)                                           \
	{                                                            \
		"POST", "/embeddings", "embeddings", "embeddings", d \
	}

/* Opened by an upgrade to WebSocket. */
#define PATH_REALTIME(d)                                  \
	{                                                 \
		"GET", "/realtime", "realtime", "chat", d \
	}
#define PATH_RESPONSES_SOCKET                                                              \
	{                                                                                  \
		"GET", "/responses", "responses", "chat", &dialect_openai_responses_socket \
	}

/* The Responses API. An answer whose path was not seen is taken for that of the first. */
#define PATHS_RESPONSES                                                                          \
	{"POST", "/responses", "responses", "chat", &dialect_openai_responses},                  \
		{"POST", "/responses/input_tokens", "responses", "count_tokens", &dialect_free}, \
		{"POST", "/responses/*/cancel", "responses", "", NULL},                          \
		{"POST", "/responses/compact", "responses.compact", "chat",                      \
		 &dialect_openai_responses},                                                     \
	{                                                                                        \
		"GET", "/responses/*", "responses", "chat", &dialect_openai_responses            \
	}

/* Batches: the object tells the usage of the whole, its output file that of each request. */
#define PATHS_BATCHES                                                                        \
	{"GET", "/batches/*", "batches", "chat", &dialect_openai_batch},                     \
	{                                                                                    \
		"GET", "/files/{id}/content", "batches", "chat", &dialect_openai_batch_lines \
	}

#define PATHS_MESSAGES                                                                    \
	{"POST", "/v1/messages/count_tokens", "messages", "count_tokens", &dialect_free}, \
		{"POST", "/v1/messages/batches", "messages", "", NULL},                   \
		{"GET", "/v1/messages/batches/{id}/results", "messages.batches", "chat",  \
		 &dialect_anthropic_batch_results},                                       \
		{"GET", "/v1/messages/batches/*", "messages.batches", "chat",             \
		 &dialect_anthropic_batch},                                               \
	{                                                                                 \
		"POST", "/v1/messages", "messages", "chat", &dialect_anthropic            \
	}

/* Images and audio, as OpenAI and Azure serve them behind a prefix. */
#define PATHS_MEDIA(p)                                                                       \
	{"POST", p "/images/generations", "images.generations", "image_generation",          \
	 &dialect_openai_images},                                                            \
		{"POST", p "/images/edits", "images.edits", "image_generation",              \
		 &dialect_openai_images},                                                    \
		{"POST", p "/images/variations", "images.variations", "image_generation",    \
		 &dialect_openai_images},                                                    \
		{"POST", p "/audio/transcriptions", "audio.transcriptions", "transcription", \
		 &dialect_openai_audio},                                                     \
		{"POST", p "/audio/translations", "audio.translations", "transcription",     \
		 &dialect_openai_audio},                                                     \
	{                                                                                    \
		"POST", p "/audio/speech", "audio.speech", "speech", &dialect_openai_speech  \
	}

#define PATHS_RUNS                                                                       \
	{"POST", "/threads/*/runs", "threads.runs", "chat", &dialect_openai_runs},       \
		{"POST", "/threads/runs", "threads.runs", "chat", &dialect_openai_runs}, \
		{"POST", "/runs/*/submit_tool_outputs", "threads.runs", "chat",          \
		 &dialect_openai_runs},                                                  \
	{                                                                                \
		"GET", "/threads/*/runs/*", "threads.runs", "chat", &dialect_openai_runs \
	}

#define PATHS_OPENAI(d) PATHS_RESPONSES, PATH_CHAT(d), PATH_COMPLETIONS(d), PATH_EMBEDDINGS(d)

/* Google's methods on a model. */
#define PATHS_GENERATE(model)                                                                   \
	{"POST", model ":generateContent", "generateContent", "generate_content",               \
	 &dialect_gemini},                                                                      \
		{"POST", model ":streamGenerateContent", "streamGenerateContent",               \
		 "generate_content", &dialect_gemini},                                          \
		{"POST", model ":embedContent", "embedContent", "embeddings", &dialect_gemini}, \
		{"POST", model ":batchEmbedContents", "batchEmbedContents", "embeddings",       \
		 &dialect_gemini},                                                              \
	{                                                                                       \
		"POST", model ":countTokens", "countTokens", "count_tokens", &dialect_free      \
	}

/* Lists and objects that cost nothing to read, and free work, which gives rows of no cost. */
#define PATHS_FREE                                                                            \
	{"GET", "/models", "models", "", NULL}, {"GET", "/models/*", "models", "", NULL},     \
		{"GET", "/files", "files", "", NULL}, {"GET", "/files/*", "files", "", NULL}, \
		{"GET", "/files/*/content", "files", "", NULL},                               \
		{"POST", "/files", "files", "", NULL},                                        \
		{"POST", "/moderations", "moderations", "moderation", &dialect_free},         \
	{                                                                                     \
		"POST", "/tokenize", "tokenize", "count_tokens", &dialect_free                \
	}

/* What servers that imitate OpenAI offer, some of it in Anthropic's words. */
#define PATHS_COMPATIBLE                                                            \
	PATHS_OPENAI(&dialect_openai_chat), PATHS_MEDIA(""), PATHS_MESSAGES,        \
		{"POST", "/messages", "messages", "chat", &dialect_anthropic},      \
		PATH_REALTIME(&dialect_openai_realtime), /* xAI's, and gateways' */ \
		PATHS_BATCHES, PATHS_FREE

#endif
