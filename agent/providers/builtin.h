/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in descriptors, for registry.c alone. */
#ifndef TT_PROVIDERS_BUILTIN_H
#define TT_PROVIDERS_BUILTIN_H

#include "agent/providers/provider.h"

extern const struct provider provider_openai;
extern const struct provider provider_anthropic;
extern const struct provider provider_azure;
extern const struct provider provider_gemini;
extern const struct provider provider_vertex;
extern const struct provider provider_mistral;
extern const struct provider provider_bedrock;
extern const struct provider provider_cohere;
extern const struct provider provider_ollama;
extern const struct provider provider_xai;
extern const struct provider provider_vercel;
extern const struct provider compat_providers[]; /* speak OpenAI's dialect as it is */
extern const size_t compat_provider_count;

#endif
