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

/* The Responses API; the free and the more special paths stand before the general one. */
#define PATHS_RESPONSES                                                              \
	{"POST", "/responses/input_tokens", "responses", "", NULL},                  \
		{"POST", "/responses/*/cancel", "responses", "", NULL},              \
		{"POST", "/responses/compact", "responses.compact", "chat",          \
		 &dialect_openai_responses},                                         \
	{                                                                            \
		"POST", "/responses", "responses", "chat", &dialect_openai_responses \
	}

#define PATHS_MESSAGES                                                         \
	{"POST", "/v1/messages/count_tokens", "messages", "", NULL},           \
		{"POST", "/v1/messages/batches", "messages", "", NULL},        \
	{                                                                      \
		"POST", "/v1/messages", "messages", "chat", &dialect_anthropic \
	}

#define PATHS_OPENAI(d) PATHS_RESPONSES, PATH_CHAT(d), PATH_COMPLETIONS(d), PATH_EMBEDDINGS(d)

/* Lists and objects that cost nothing to read. */
#define PATHS_FREE                                                                            \
	{"GET", "/models", "models", "", NULL}, {"GET", "/models/*", "models", "", NULL},     \
		{"GET", "/files", "files", "", NULL}, {"GET", "/files/*", "files", "", NULL}, \
		{"GET", "/files/*/content", "files", "", NULL},                               \
		{"POST", "/files", "files", "", NULL},                                        \
		{"POST", "/moderations", "moderations", "", NULL},                            \
	{                                                                                     \
		"POST", "/tokenize", "tokenize", "", NULL                                     \
	}

#endif
