/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden costs over the shipped catalogue, each worked by hand. 1 USD per 1,000,000 tokens is
 * 1,000,000 picodollars per token; 10 USD per 1,000 calls is 10,000,000,000 per call. M below is
 * that million.
 */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pricing/catalog.h"

#define M 1000000LL
#define G 1000000000LL

static struct catalog *catalog;

static int load(void **state)
{
	static char err[CATALOG_ERROR_MAX];

	(void)state;
	if (catalog_load(&catalog, "pricing/catalog.json", NULL, err, sizeof(err))) {
		print_error("%s\n", err);
		return -1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

/* Days since the epoch of the dates used below. */
#define D_2025_06_09 20248
#define D_2025_06_10 20249
#define D_2026_03_12 20524
#define D_2026_03_13 20525
#define D_2026_07_29 20663
#define D_2026_07_30 20664
#define D_2026_11_22 20779

struct vector {
	const char *what;
	const char *provider, *model;
	int day; /* 0 = 2026-11-22 */
	int64_t tokens[TOKEN_KINDS];
	int64_t tools[TOOL_UNITS];
	const char *tier, *geo, *speed, *host;
	bool batch;
	int64_t pusd; /* -1 = unpriced */
	enum unpriced_reason reason;
	const char *id; /* NULL = not looked at */
};

#define IN	 [TOKEN_INPUT_UNCACHED]
#define READ	 [TOKEN_INPUT_CACHE_READ]
#define W5	 [TOKEN_INPUT_CACHE_WRITE_5M]
#define W1H	 [TOKEN_INPUT_CACHE_WRITE_1H]
#define AUDIO	 [TOKEN_INPUT_AUDIO]
#define IMAGE	 [TOKEN_INPUT_IMAGE]
#define OUT	 [TOKEN_OUTPUT_TEXT]
#define THINK	 [TOKEN_OUTPUT_REASONING]
#define OUTAUDIO [TOKEN_OUTPUT_AUDIO]
#define OUTIMAGE [TOKEN_OUTPUT_IMAGE]

/* clang-format off */
static const struct vector vectors[] = {
	/* --- OpenAI: kinds --- */
	{"plain", "openai", "gpt-4o", .tokens = {IN = 1000, OUT = 500},
	 .pusd = 7500 * M, .id = "openai/gpt-4o@initial"},		/* 1000x2.5M + 500x10M */
	{"cached part", "openai", "gpt-4o", .tokens = {IN = 200, READ = 800, OUT = 100},
	 .pusd = 2500 * M},				/* 200x2.5M + 800x1.25M + 100x10M */
	{"reasoning is output", "openai", "o4-mini", .tokens = {IN = 10, OUT = 20, THINK = 30},
	 .pusd = 231 * M},				/* 10x1.1M + 50x4.4M */
	{"an older snapshot has its price", "openai", "gpt-4o-2024-05-13",
	 .tokens = {IN = 1000, OUT = 500}, .pusd = 12500 * M},	/* 1000x5M + 500x15M */
	{"the smallest call", "openai", "gpt-4o-mini", .tokens = {IN = 1, OUT = 1},
	 .pusd = 750000},				/* 0.15M + 0.6M */
	{"embeddings have no output", "openai", "text-embedding-3-small", .tokens = {IN = 7},
	 .pusd = 140000},				/* 7x0.02M */
	{"alias", "openai", "text-embedding-ada-002-v2", .tokens = {IN = 8},
	 .pusd = 800000, .id = "openai/text-embedding-ada-002@initial"},	/* 8x0.1M */
	{"legacy completions", "openai", "gpt-3.5-turbo-instruct",
	 .tokens = {IN = 5, OUT = 7}, .pusd = 21500000},		/* 5x1.5M + 7x2M */
	{"audio in and out", "openai", "gpt-audio",
	 .tokens = {IN = 10, AUDIO = 100, OUT = 20, OUTAUDIO = 50},
	 .pusd = 6625 * M},		/* 10x2.5M + 100x32M + 20x10M + 50x64M */
	{"audio without a price is never text", "openai", "gpt-4o",
	 .tokens = {IN = 10, AUDIO = 1}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},
	{"audio out without a price", "openai", "gpt-4o",
	 .tokens = {IN = 10, OUTAUDIO = 1}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},
	{"images", "openai", "gpt-image-1",
	 .tokens = {IN = 10, IMAGE = 100, OUTIMAGE = 1000},
	 .pusd = 41050 * M},				/* 10x5M + 100x10M + 1000x40M */
	{"image input without own price is input", "openai", "gpt-4o",
	 .tokens = {IN = 10, IMAGE = 5}, .pusd = 37500000},	/* 15x2.5M */
	{"image output without a price", "openai", "gpt-4o",
	 .tokens = {IN = 10, OUTIMAGE = 5}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},
	{"cache read without own price is input", "openai", "o1-pro",
	 .tokens = {READ = 100, OUT = 1}, .pusd = 15600 * M},	/* 100x150M + 600M */
	{"cache write without a price", "openai", "gpt-4o",
	 .tokens = {IN = 10, W5 = 1}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},
	{"fine-tune", "openai", "ft:gpt-4o-2024-08-06:acme::x",
	 .tokens = {IN = 10, OUT = 10}, .pusd = 187500000,	/* 10x3.75M + 10x15M */
	 .id = "openai/ft:gpt-4o-2024-08-06@initial"},

	/* --- OpenAI: history --- */
	{"o3 the day before the cut", "openai", "o3", .day = D_2025_06_09,
	 .tokens = {IN = 1000, OUT = 1000}, .pusd = 50000 * M,	/* 1000x10M + 1000x40M */
	 .id = "openai/o3@initial"},
	{"o3 from the cut on", "openai", "o3", .day = D_2025_06_10,
	 .tokens = {IN = 1000, OUT = 1000}, .pusd = 10000 * M,	/* 1000x2M + 1000x8M */
	 .id = "openai/o3@2025-06-10"},
	{"luna before the cut", "openai", "gpt-5.6-luna", .day = D_2026_07_29,
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 1600 * M},	/* 1000x1M + 100x6M */
	{"luna from the cut on", "openai", "gpt-5.6-luna", .day = D_2026_07_30,
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 320 * M,	/* 1000x0.2M + 100x1.2M */
	 .id = "openai/gpt-5.6-luna@2026-07-30"},
	{"terra before the cut", "openai", "gpt-5.6-terra", .day = D_2026_07_29,
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 4000 * M},	/* 1000x2.5M + 100x15M */
	{"terra from the cut on", "openai", "gpt-5.6-terra", .day = D_2026_07_30,
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 3200 * M},	/* 1000x2M + 100x12M */

	/* --- OpenAI: service tiers, context tiers, regions --- */
	{"cache writes", "openai", "gpt-5.6-luna",
	 .tokens = {IN = 100, W5 = 1000, READ = 2000, OUT = 10},
	 .pusd = 322 * M},		/* 100x0.2M + 1000x0.25M + 2000x0.02M + 10x1.2M */
	{"flex is half", "openai", "gpt-5.6-luna", .tier = "flex",
	 .tokens = {IN = 100, W5 = 1000, READ = 2000, OUT = 10}, .pusd = 161 * M,
	 .id = "openai/gpt-5.6-luna@2026-07-30+flex"},	/* 322M / 2 */
	{"priority is double", "openai", "gpt-5.6-luna", .tier = "priority",
	 .tokens = {IN = 100, W5 = 1000, READ = 2000, OUT = 10}, .pusd = 644 * M},	/* 322M x 2 */
	{"fast is priority's other name", "openai", "gpt-5.6-luna", .tier = "fast",
	 .tokens = {IN = 100, W5 = 1000, READ = 2000, OUT = 10}, .pusd = 644 * M,
	 .id = "openai/gpt-5.6-luna@2026-07-30+priority"},	/* 322M x 2 */
	{"batch is half", "openai", "gpt-5.6-luna", .batch = true,
	 .tokens = {IN = 100, W5 = 1000, READ = 2000, OUT = 10}, .pusd = 161 * M,
	 .id = "openai/gpt-5.6-luna@2026-07-30+batch"},	/* 322M / 2 */
	{"batch beats the tier's name", "openai", "gpt-5.6-luna", .batch = true, .tier = "default",
	 .tokens = {IN = 100, W5 = 1000, READ = 2000, OUT = 10}, .pusd = 161 * M},	/* 322M / 2 */
	{"at the context threshold", "openai", "gpt-5.6-luna",
	 .tokens = {IN = 272000, OUT = 10}, .pusd = 54412 * M},	/* 272000x0.2M + 10x1.2M */
	{"above the context threshold", "openai", "gpt-5.6-luna",
	 .tokens = {IN = 272001, OUT = 10},			/* 272001x0.4M + 10x1.8M */
	 .pusd = 108818400000, .id = "openai/gpt-5.6-luna@2026-07-30+above_272000"},
	{"cached tokens count for the threshold", "openai", "gpt-5.6-luna",
	 .tokens = {IN = 1, READ = 272000, OUT = 1},		/* 0.4M + 272000x0.04M + 1.8M */
	 .pusd = 10882200000},
	{"flex above the threshold", "openai", "gpt-5.6-luna", .tier = "flex",
	 .tokens = {IN = 272001}, .pusd = 54400200000,		/* 272001x0.4M/2 */
	 .id = "openai/gpt-5.6-luna@2026-07-30+flex+above_272000"},
	{"European processing", "openai", "gpt-5.6-luna", .host = "eu.api.openai.com",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 352 * M,	/* 320M x 1.1 */
	 .id = "openai/gpt-5.6-luna@2026-07-30+eu.api.openai.com"},
	{"a port is not part of the name", "openai", "gpt-5.6-luna", .host = "US.api.openai.com:443",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 352 * M},	/* (1000x0.2M + 100x1.2M) x 1.1 */
	{"nor is a longer name", "openai", "gpt-5.6-luna", .host = "eu.api.openai.com.evil.example",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 320 * M},	/* 1000x0.2M + 100x1.2M */
	{"the plain host has no uplift", "openai", "gpt-5.6-luna", .host = "api.openai.com",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 320 * M},	/* 1000x0.2M + 100x1.2M */
	{"flex with its own cached price", "openai", "gpt-5.4", .tier = "flex",
	 .tokens = {IN = 1000, READ = 1000, OUT = 100},	/* 1000x1.25M+1000x0.13M+100x7.5M */
	 .pusd = 2130 * M},
	{"own sheet above the threshold", "openai", "gpt-5.4", .tier = "flex",
	 .tokens = {IN = 272001, OUT = 100},		/* 272001x2.5M + 100x11.25M */
	 .pusd = 681127500000},
	{"priority as a factor", "openai", "gpt-4o", .tier = "priority",
	 .tokens = {IN = 1000, OUT = 500}, .pusd = 12750 * M},	/* 7500M x 1.7 */
	{"priority as own prices", "openai", "gpt-4o-mini", .tier = "priority",
	 .tokens = {IN = 1000, OUT = 1000}, .pusd = 1250 * M},	/* 1000x0.25M + 1000x1M */
	{"default tier", "openai", "gpt-4o", .tier = "default",
	 .tokens = {IN = 1000, OUT = 500}, .pusd = 7500 * M},	/* 1000x2.5M + 500x10M */
	{"scale tier is listed as standard", "openai", "gpt-4o", .tier = "scale",
	 .tokens = {IN = 1000, OUT = 500}, .pusd = 7500 * M},	/* 1000x2.5M + 500x10M */
	{"a tier without data is not guessed", "openai", "gpt-5-nano", .tier = "priority",
	 .tokens = {IN = 10}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},
	{"an unheard tier is not guessed", "openai", "gpt-4o", .tier = "warp",
	 .tokens = {IN = 10}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},

	/* --- fees --- */
	{"web search, provider's fee", "openai", "gpt-4o",
	 .tokens = {IN = 1000, OUT = 500}, .tools = {[TOOL_WEB_SEARCH] = 2},
	 .pusd = 27500 * M},				/* 7500M + 2x10G */
	{"web search, model's fee", "openai", "gpt-4o-search-preview",
	 .tokens = {IN = 1000}, .tools = {[TOOL_WEB_SEARCH] = 1},
	 .pusd = 37500 * M},				/* 1000x2.5M + 35G */
	{"file search and code interpreter", "openai", "gpt-5", .tokens = {IN = 10},
	 .tools = {[TOOL_FILE_SEARCH] = 3, [TOOL_CODE_INTERPRETER] = 1},
	 .pusd = 37512500000},				/* 10x1.25M + 3x2.5G + 30G */
	{"batch does not halve fees", "openai", "gpt-4o", .batch = true,
	 .tokens = {IN = 1000, OUT = 500}, .tools = {[TOOL_WEB_SEARCH] = 1},
	 .pusd = 13750 * M},				/* 7500M/2 + 10G */
	{"a fee without a price", "groq", "llama-3.3-70b-versatile", .tokens = {IN = 1},
	 .tools = {[TOOL_WEB_SEARCH] = 1}, .pusd = -1, .reason = UNPRICED_UNIT_MISSING},
	{"characters", "openai", "tts-1", .tools = {[TOOL_CHARACTERS] = 1000},
	 .pusd = 15 * G},				/* 1000 x 15 USD / 1,000,000 */
	{"seconds", "openai", "whisper-1", .tools = {[TOOL_AUDIO_SECONDS] = 4},
	 .pusd = 400 * M},				/* 4 x 0.36 USD / 3600 */
	{"seconds of an uneven price", "groq", "whisper-large-v3",
	 .tools = {[TOOL_AUDIO_SECONDS] = 10},
	 .pusd = 308300000},				/* 10 x 0.110988 USD / 3600 */
	{"pages", "mistral_ai", "mistral-ocr-latest", .tools = {[TOOL_PAGES] = 3},
	 .pusd = 12 * G},				/* 3 x 4 USD / 1000 */
	{"a fee per request", "perplexity", "sonar-pro", .tokens = {IN = 10, OUT = 10},
	 .pusd = 14180 * M},				/* 10x3M + 10x15M + 14G */

	/* --- Anthropic --- */
	{"every class", "anthropic", "claude-sonnet-4-5-20250929",
	 .tokens = {IN = 100, READ = 200, W5 = 300, W1H = 400, OUT = 50},
	 .pusd = 4635 * M, /* 100x3M + 200x0.3M + 300x3.75M + 400x6M + 50x15M */
	 .id = "anthropic/claude-sonnet-4-5@initial"},
	{"at 200,000", "anthropic", "claude-sonnet-4-5",
	 .tokens = {READ = 200000, OUT = 10}, .pusd = 60150 * M},	/* 200000x0.3M + 10x15M */
	{"above 200,000", "anthropic", "claude-sonnet-4-5",
	 .tokens = {READ = 200001, OUT = 10}, .pusd = 120225600000},	/* x0.6M + 10x22.5M */
	{"long-context surcharge, last day", "anthropic", "claude-opus-4-6", .day = D_2026_03_12,
	 .tokens = {IN = 200001, OUT = 10}, .pusd = 2000385 * M},	/* x10M + 10x37.5M */
	{"long-context surcharge, gone", "anthropic", "claude-opus-4-6", .day = D_2026_03_13,
	 .tokens = {IN = 200001, OUT = 10}, .pusd = 1000255 * M},	/* x5M + 10x25M */
	{"US inference", "anthropic", "claude-opus-4-6", .geo = "us",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 8250 * M,	/* (1000x5M + 100x25M) x 1.1 */
	 .id = "anthropic/claude-opus-4-6@2026-03-13+us"},
	{"no surcharge elsewhere", "anthropic", "claude-opus-4-6", .geo = "not_available",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 7500 * M},	/* 1000x5M + 100x25M */
	{"fast", "anthropic", "claude-opus-4-6", .speed = "fast",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 45000 * M},	/* 7500M x 6 */
	{"fast in the US", "anthropic", "claude-opus-4-6", .speed = "fast", .geo = "us",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 49500 * M,	/* 7500M x 6 x 1.1 */
	 .id = "anthropic/claude-opus-4-6@2026-03-13+us+fast"},
	{"fast does not stack with batch", "anthropic", "claude-opus-4-6", .speed = "fast",
	 .batch = true, .tokens = {IN = 1000, OUT = 100}, .pusd = 3750 * M},	/* 7500M / 2 */
	{"the US does", "anthropic", "claude-opus-4-6", .geo = "us", .tier = "batch",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 4125 * M},	/* 7500M x 1.1 / 2 */
	{"no multiplier on fees", "anthropic", "claude-opus-4-6", .geo = "us",
	 .tokens = {IN = 1000, OUT = 100}, .tools = {[TOOL_WEB_SEARCH] = 1},
	 .pusd = 18250 * M},				/* 7500M x 1.1 + 10G */
	{"the cancelled rise", "anthropic", "claude-sonnet-5",
	 .tokens = {IN = 1000, OUT = 1000}, .pusd = 12000 * M},	/* 1000x2M + 1000x10M */
	{"priority is committed spend", "anthropic", "claude-haiku-4-5", .tier = "priority",
	 .tokens = {IN = 10, OUT = 10}, .pusd = 60 * M},	/* 10x1M + 10x5M */
	{"served from a batch", "anthropic", "claude-haiku-4-5", .tier = "batch",
	 .tokens = {IN = 10, OUT = 10}, .pusd = 30 * M},	/* (10x1M + 10x5M) / 2 */
	{"one-hour writes of Haiku 3", "anthropic", "claude-3-haiku-20240307",
	 .tokens = {W5 = 10, W1H = 10}, .pusd = 8 * M},		/* 10x0.3M + 10x0.5M */
	{"no cache on Claude 2", "anthropic", "claude-2.1", .tokens = {IN = 1, W1H = 1},
	 .pusd = -1, .reason = UNPRICED_UNIT_MISSING},

	/* --- the others --- */
	{"Azure, priority above the threshold", "azure.ai.openai", "gpt-5.5", .tier = "priority",
	 .tokens = {IN = 272001, OUT = 10}, .pusd = 5440920 * M},	/* x20M + 10x90M */
	{"Groq", "groq", "llama-3.3-70b-versatile", .tokens = {IN = 100, OUT = 100},
	 .pusd = 138 * M},				/* 100x0.59M + 100x0.79M */
	{"DeepSeek cache hits", "deepseek", "deepseek-v4-flash",
	 .tokens = {IN = 10, READ = 90, OUT = 5},
	 .pusd = 3052000},				/* 10x0.14M + 90x0.0028M + 5x0.28M */
	{"DeepSeek's present price", "deepseek", "deepseek-chat", .tokens = {IN = 100, OUT = 100},
	 .pusd = 70 * M},				/* 100x0.28M + 100x0.42M */
	{"xAI below its threshold", "x_ai", "grok-4.3", .tokens = {IN = 199999},
	 .pusd = 249998750000},				/* x1.25M */
	{"xAI counts the threshold itself", "x_ai", "grok-4.3", .tokens = {IN = 200000},
	 .pusd = 500 * G},				/* x2.5M */
	{"Perplexity's reasoning price", "perplexity", "sonar-deep-research",
	 .tokens = {IN = 10, OUT = 10, THINK = 10},
	 .pusd = 130 * M},				/* 10x2M + 10x8M + 10x3M */
	{"Together", "together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo",
	 .tokens = {IN = 100, OUT = 100}, .pusd = 176 * M},	/* 200x0.88M */
	{"Fireworks", "fireworks_ai", "accounts/fireworks/models/gpt-oss-120b",
	 .tokens = {IN = 100, READ = 100, OUT = 10},
	 .pusd = 22400000},				/* 100x0.15M + 100x0.014M + 10x0.6M */
	{"Mistral", "mistral_ai", "mistral-small-latest", .tokens = {IN = 10, OUT = 10},
	 .pusd = 4 * M},				/* 10x0.1M + 10x0.3M */

	/* --- Google --- */
	{"audio, thinking and a search", "gcp.gemini", "gemini-2.5-flash",
	 .tokens = {IN = 100, AUDIO = 50, OUT = 20, THINK = 30},
	 .tools = {[TOOL_WEB_SEARCH] = 1},
	 .pusd = 35205 * M},		/* 100x0.3M + 50x1M + 50x2.5M + 35G */
	{"Gemini at its threshold", "gcp.gemini", "gemini-2.5-pro",
	 .tokens = {IN = 150000, READ = 50000, OUT = 10},
	 .pusd = 193850 * M},		/* 150000x1.25M + 50000x0.125M + 10x10M */
	{"Gemini above it", "gcp.gemini", "gemini-2.5-pro",
	 .tokens = {IN = 150001, READ = 50000, OUT = 10},
	 .pusd = 387652500000},		/* 150001x2.5M + 50000x0.25M + 10x15M */
	{"an image of 1,290 tokens", "gcp.gemini", "gemini-2.5-flash-image",
	 .tokens = {IN = 10, OUTIMAGE = 1290}, .pusd = 38703 * M},	/* 10x0.3M + 1290x30M */
	{"embedded sound and image", "gcp.gemini", "gemini-embedding-2",
	 .tokens = {AUDIO = 10, IMAGE = 10}, .pusd = 69500000},	/* 10x6.5M + 10x0.45M */
	{"flex with its own prices", "gcp.gemini", "gemini-3.5-flash-lite", .tier = "flex",
	 .tokens = {IN = 100, READ = 100, OUT = 10, THINK = 10},
	 .pusd = 42 * M},		/* 100x0.15M + 100x0.02M + 20x1.25M */
	{"batch is half of the standard", "gcp.gemini", "gemini-3.5-flash-lite", .batch = true,
	 .tokens = {IN = 100, READ = 100, OUT = 10},
	 .pusd = 29 * M},		/* (100x0.3M + 100x0.03M + 10x2.5M) / 2 */
	{"Vertex AI names its tiers otherwise", "gcp.vertex_ai", "gemini-3.5-flash-lite",
	 .tier = "ON_DEMAND", .tokens = {IN = 100, READ = 100, OUT = 10},
	 .pusd = 58 * M},		/* 100x0.3M + 100x0.03M + 10x2.5M */
	{"its flex", "gcp.vertex_ai", "gemini-3.5-flash-lite", .tier = "ON_DEMAND_FLEX",
	 .tokens = {IN = 100, READ = 100, OUT = 10},
	 .pusd = 29500000,		/* 100x0.15M + 100x0.02M + 10x1.25M */
	 .id = "gcp.vertex_ai/gemini-3.5-flash-lite@initial+flex"},
	{"its priority", "gcp.vertex_ai", "gemini-3.5-flash-lite", .tier = "ON_DEMAND_PRIORITY",
	 .tokens = {IN = 100, READ = 100, OUT = 10},
	 .pusd = 104 * M},		/* 100x0.54M + 100x0.05M + 10x4.5M */
	{"Claude there", "gcp.vertex_ai", "claude-sonnet-4-5",
	 .tokens = {IN = 100, W5 = 100, W1H = 100, OUT = 10},
	 .pusd = 1425 * M},		/* 100x3M + 100x3.75M + 100x6M + 10x15M */

	/* --- Bedrock: what the path names is billed --- */
	{"the global profile", "aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
	 .tokens = {IN = 100, READ = 200, W5 = 300, W1H = 400, OUT = 50},
	 .pusd = 4635 * M},	/* 100x3M + 200x0.3M + 300x3.75M + 400x6M + 50x15M */
	{"a regional profile costs a tenth more", "aws.bedrock",
	 "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
	 .tokens = {IN = 100, READ = 200, W5 = 300, W1H = 400, OUT = 50},
	 .pusd = 5098500000},	/* 100x3.3M + 200x0.33M + 300x4.125M + 400x6.6M + 50x16.5M */
	{"GovCloud a fifth", "aws.bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
	 .tokens = {IN = 100, READ = 200, W5 = 300, W1H = 400, OUT = 50},
	 .pusd = 5562 * M},	/* 100x3.6M + 200x0.36M + 300x4.5M + 400x7.2M + 50x18M */
	{"written tokens count for the threshold", "aws.bedrock",
	 "anthropic.claude-sonnet-4-5-20250929-v1:0", .tokens = {W5 = 200001},
	 .pusd = 1650008250000},			/* 200001x8.25M */
	{"a region's own price", "aws.bedrock", "meta.llama3-70b-instruct-v1:0",
	 .host = "bedrock-runtime.ap-south-1.amazonaws.com", .tokens = {IN = 100, OUT = 10},
	 .pusd = 360 * M,				/* 100x3.18M + 10x4.2M */
	 .id = "aws.bedrock/ap-south-1/meta.llama3-70b-instruct-v1:0@initial"},
	{"a region without one", "aws.bedrock", "meta.llama3-70b-instruct-v1:0",
	 .host = "bedrock-runtime.us-east-1.amazonaws.com:443", .tokens = {IN = 100, OUT = 10},
	 .pusd = 300 * M},				/* 100x2.65M + 10x3.5M */
	{"Nova", "aws.bedrock", "amazon.nova-pro-v1:0", .tokens = {IN = 10, READ = 10, OUT = 10},
	 .pusd = 42 * M},				/* 10x0.8M + 10x0.2M + 10x3.2M */
	{"Nova that speaks", "aws.bedrock", "amazon.nova-sonic-v1:0",
	 .tokens = {IN = 10, AUDIO = 10, OUT = 10, OUTAUDIO = 10},
	 .pusd = 173 * M},		/* 10x0.06M + 10x3.4M + 10x0.24M + 10x13.6M */
	{"images by the piece", "aws.bedrock", "amazon.titan-image-generator-v1",
	 .tools = {[TOOL_IMAGES] = 3}, .pusd = 24 * G},	/* 3 x 8 USD / 1000 */

	/* --- Azure --- */
	{"a sheet of batches", "azure.ai.openai", "us/gpt-4.1-nano-2025-04-14", .batch = true,
	 .tokens = {IN = 100, OUT = 10}, .pusd = 8200000},	/* 100x0.06M + 10x0.22M */
	{"a picodollar's part is rounded down", "azure.ai.openai", "us/gpt-4.1-nano-2025-04-14",
	 .batch = true, .tokens = {READ = 1}, .pusd = 13636},	/* 13636.36 */
	{"or up", "azure.ai.openai", "us/gpt-4.1-nano-2025-04-14", .batch = true,
	 .tokens = {READ = 11}, .pusd = 150000},		/* 149999.96 */
	{"and not before the sum", "azure.ai.openai", "us/gpt-4.1-nano-2025-04-14", .batch = true,
	 .tokens = {READ = 25}, .pusd = 340909},		/* 25 x 13636.36, exact */
	{"a European deployment", "azure.ai.openai", "eu/gpt-5.4", .tier = "priority",
	 .tokens = {IN = 10, OUT = 10}, .pusd = 385 * M},	/* 10x5.5M + 10x33M */
	{"sound by the second", "azure.ai.openai", "whisper-1",
	 .tools = {[TOOL_AUDIO_SECONDS] = 7}, .pusd = 700 * M},	/* 7 x 0.36 USD / 3600 */
	{"read pages", "azure.ai.openai", "doc-intelligence/prebuilt-layout",
	 .tools = {[TOOL_PAGES] = 1}, .pusd = 10 * G},		/* 10 USD / 1000 */

	/* --- more of each --- */
	{"fast at its later factor", "anthropic", "claude-opus-4-8", .speed = "fast",
	 .tokens = {IN = 1000, OUT = 100}, .pusd = 15000 * M},	/* 7500M x 2 */
	{"fast in the US with a search", "anthropic", "claude-opus-4-8", .speed = "fast",
	 .geo = "us", .tokens = {IN = 1000, OUT = 100}, .tools = {[TOOL_WEB_SEARCH] = 1},
	 .pusd = 26500 * M},				/* 7500M x 2 x 1.1 + 10G */
	{"a batch halves every class", "anthropic", "claude-haiku-4-5", .batch = true,
	 .tokens = {IN = 100, READ = 100, W5 = 100, W1H = 100, OUT = 100},
	 .pusd = 467500000},	/* (100x1M + 100x0.1M + 100x1.25M + 100x2M + 100x5M) / 2 */
	{"a realtime response in the EU", "openai", "gpt-realtime-2", .host = "eu.api.openai.com",
	 .tokens = {IN = 10, READ = 10, AUDIO = 10, IMAGE = 10, OUT = 10, OUTAUDIO = 10},
	 .pusd = 1423400000},	/* 10x(4 + 0.4 + 32 + 5 + 24 + 64)M x 1.1 */
	{"transcribed tokens", "openai", "gpt-4o-transcribe", .tokens = {AUDIO = 100, OUT = 20},
	 .pusd = 800 * M},				/* 100x6M + 20x10M */
	{"tier, threshold and region at once", "openai", "gpt-5.5", .tier = "priority",
	 .host = "eu.api.openai.com", .tokens = {IN = 272001, OUT = 10},
	 .pusd = 7481265 * M,		/* (272001x10M + 10x45M) x 2.5 x 1.1 */
	 .id = "openai/gpt-5.5@initial+priority+above_272000+eu.api.openai.com"},
	{"o3, priority", "openai", "o3", .tier = "priority", .tokens = {IN = 100, OUT = 100},
	 .pusd = 1750 * M},				/* (100x2M + 100x8M) x 1.75 */
	{"cached in a batch", "openai", "gpt-4.1", .batch = true,
	 .tokens = {IN = 100, READ = 100, OUT = 10},
	 .pusd = 165 * M},			/* (100x2M + 100x0.5M + 10x8M) / 2 */
	{"xAI's thinking", "x_ai", "grok-4.5",
	 .tokens = {IN = 100, READ = 100, OUT = 50, THINK = 50},
	 .pusd = 850 * M},			/* 100x2M + 100x0.5M + 100x6M */
	{"xAI's batch is four fifths", "x_ai", "grok-4.5", .batch = true,
	 .tokens = {IN = 100, READ = 100, OUT = 50, THINK = 50}, .pusd = 680 * M},	/* 850M x 0.8 */
	{"xAI's searches", "x_ai", "grok-4.5", .tools = {[TOOL_WEB_SEARCH] = 2},
	 .pusd = 10 * G},				/* 2 x 5 USD / 1000 */
	{"cached tokens at xAI's threshold", "x_ai", "grok-4.5", .tokens = {READ = 200000},
	 .pusd = 200 * G},				/* 200000x1M */
	{"Cohere", "cohere", "command-a-03-2025", .tokens = {IN = 1000, OUT = 100},
	 .pusd = 3500 * M},				/* 1000x2.5M + 100x10M */
	{"search units", "cohere", "rerank-v3.5", .tools = {[TOOL_SEARCH_UNITS] = 2},
	 .pusd = 4 * G},				/* 2 x 2 USD / 1000 */
	{"MiniMax writes its cache", "minimax", "MiniMax-M2",
	 .tokens = {IN = 10, READ = 10, W5 = 10, OUT = 10},
	 .pusd = 19050000},		/* 10x(0.3 + 0.03 + 0.375 + 1.2)M */
	{"Moonshot", "moonshotai", "kimi-k2-0711-preview",
	 .tokens = {IN = 10, READ = 10, OUT = 10}, .pusd = 32500000},	/* 10x(0.6 + 0.15 + 2.5)M */
	{"Z.AI", "zai", "GLM-5.2", .tokens = {IN = 10, READ = 10, OUT = 10},
	 .pusd = 60600000},				/* 10x(1.4 + 0.26 + 4.4)M */
	{"Cerebras", "cerebras", "gpt-oss-120b", .tokens = {IN = 10, OUT = 10},
	 .pusd = 11 * M},				/* 10x(0.35 + 0.75)M */
	{"Novita", "novita", "baai/bge-m3", .tokens = {IN = 10}, .pusd = 100000},	/* 10x0.01M */

	/* --- nothing to price with --- */
	{"unknown model", "openai", "gpt-99", .tokens = {IN = 1}, .pusd = -1,
	 .reason = UNPRICED_UNKNOWN_MODEL},
	{"no model", "openai", "", .tokens = {IN = 1}, .pusd = -1,
	 .reason = UNPRICED_UNKNOWN_MODEL},
	{"unknown provider", "ollama", "llama3", .tokens = {IN = 1}, .pusd = -1,
	 .reason = UNPRICED_UNKNOWN_MODEL},
	{"a known zero is zero", "openai", "gpt-4o", .pusd = 0},

	/* --- the edge of the type --- */
	{"nine million dollars", "openai", "gpt-4o", .tokens = {IN = 3600000000000},
	 .pusd = 9000000000000000000},			/* 3.6e12 x 2.5M */
	{"past int64", "openai", "gpt-4o", .tokens = {IN = 3700000000000}, .pusd = -1,
	 .reason = UNPRICED_OVERFLOW},
	{"as large as it gets", "openai", "o1-pro", .batch = true,
	 .tokens = {IN = INT64_MAX, READ = INT64_MAX, OUT = INT64_MAX}, .pusd = -1,
	 .reason = UNPRICED_OVERFLOW},
};
/* clang-format on */

static void set_text(char *dst, size_t size, const char *src)
{
	snprintf(dst, size, "%s", src ? src : "");
}

static struct call call_of(const struct vector *v)
{
	struct call call = {
		.role = ROLE_DIRECT,
		.basis = BASIS_REPORTED_USAGE,
		.billable = true,
		.batch = v->batch,
		.started_at_us = (v->day ? v->day : D_2026_11_22) * 86400LL * M,
	};

	set_text(call.provider, sizeof(call.provider), v->provider);
	set_text(call.model, sizeof(call.model), v->model);
	set_text(call.model_requested, sizeof(call.model_requested), v->model);
	set_text(call.service_tier, sizeof(call.service_tier), v->tier);
	set_text(call.inference_geo, sizeof(call.inference_geo), v->geo);
	set_text(call.speed, sizeof(call.speed), v->speed);
	set_text(call.host, sizeof(call.host), v->host);
	call.usage.known = true;
	call.usage.provider_cost_pusd = -1;
	memcpy(call.usage.tokens, v->tokens, sizeof(v->tokens));
	memcpy(call.usage.tool_units, v->tools, sizeof(v->tools));
	return call;
}

static void check_vectors(void)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct call call = call_of(v);

		price_call(catalog, &call);
		if (call.cost.cost_pusd != v->pusd || call.cost.list_pusd != v->pusd ||
		    call.cost.unpriced != v->reason)
			fail_msg("%s: cost %lld list %lld (%s), not %lld (%s)", v->what,
				 (long long)call.cost.cost_pusd, (long long)call.cost.list_pusd,
				 unpriced_reason_names[call.cost.unpriced], (long long)v->pusd,
				 unpriced_reason_names[v->reason]);
		if (v->id && strcmp(v->id, call.cost.price_id) != 0)
			fail_msg("%s: priced by %s, not %s", v->what, call.cost.price_id, v->id);
		assert_int_equal(call.basis, v->pusd < 0 ? BASIS_UNPRICED : BASIS_REPORTED_USAGE);
		assert_string_equal(call.cost.prices_sha256, catalog_sha256(catalog));
		assert_int_equal(call.cost.price_id[0] != '\0', v->pusd >= 0);
	}
}

static void golden_costs(void **state)
{
	(void)state;
	check_vectors();
}

/* One more dimension without a vector is a price that nobody worked by hand. */
static void every_dimension_has_a_vector(void **state)
{
	bool token[TOKEN_KINDS] = {false}, tool[TOOL_UNITS] = {false};
	static const struct {
		const char *part; /* of a price id */
	} parts[] = {{"+batch"}, {"+flex"}, {"+priority"},	   {"+above_"},
		     {"+us"},	 {"+fast"}, {"+eu.api.openai.com"}};
	bool part[ARRAY_LEN(parts)] = {false};
	int priced = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];

		priced += v->pusd >= 0;
		for (int k = 0; k < TOKEN_KINDS; k++)
			token[k] |= v->pusd > 0 && v->tokens[k] > 0;
		for (int k = 0; k < TOOL_UNITS; k++)
			tool[k] |= v->pusd > 0 && v->tools[k] > 0;
		for (size_t k = 0; k < ARRAY_LEN(parts); k++)
			part[k] |= v->id && strstr(v->id, parts[k].part);
	}
	assert_true(priced >= 100);
	for (int k = 0; k < TOKEN_KINDS; k++)
		assert_true(token[k]);
	for (int k = 0; k < TOOL_UNITS; k++)
		assert_true(tool[k]);
	for (size_t k = 0; k < ARRAY_LEN(parts); k++)
		assert_true(part[k]);
}

/*
 * A locale with a decimal comma, made by localedef in a directory of its own: none may be
 * installed. Returns false when it cannot be made.
 */
static bool comma_locale(char dir[64])
{
	char command[256];

	snprintf(dir, 64, "/tmp/tolltap-locale-XXXXXX");
	if (!mkdtemp(dir))
		return false;
	snprintf(command, sizeof(command),
		 "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", dir);
	if (system(command) == -1)
		return false;
	setenv("LOCPATH", dir, 1);
	return setlocale(LC_ALL, "de_DE.UTF-8") && localeconv()->decimal_point[0] == ',';
}

static void remove_locale(const char *dir)
{
	char command[128];

	setlocale(LC_ALL, "C");
	unsetenv("LOCPATH");
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

/* A decimal comma in the locale must not change how prices are read or printed. */
static void locale_changes_nothing(void **state)
{
	char err[CATALOG_ERROR_MAX], text[PUSD_TEXT_MAX], dir[64];
	struct catalog *again, *kept = catalog;
	bool made = comma_locale(dir);

	(void)state;
	if (!made) {
		remove_locale(dir);
		print_message("no locale de_DE: localedef and the package locales make one\n");
		skip();
	}
	assert_int_equal(catalog_load(&again, "pricing/catalog.json", NULL, err, sizeof(err)), 0);
	assert_string_equal(catalog_sha256(again), catalog_sha256(kept));
	catalog = again; /* read under this locale */
	check_vectors();
	catalog = kept;
	assert_string_equal(pusd_format(text, 1500000000000), "1.5");
	catalog_free(again);
	remove_locale(dir);
}

/* The period is chosen by the wall clock of the call, to the microsecond. */
static void validity_is_half_open(void **state)
{
	struct vector v = {
		.provider = "openai", .model = "o3", .day = D_2025_06_10, .tokens = {IN = 1}};
	struct call call = call_of(&v);

	(void)state;
	price_call(catalog, &call);
	assert_int_equal(call.cost.cost_pusd, 2 * M);
	call.started_at_us--;
	price_call(catalog, &call);
	assert_int_equal(call.cost.cost_pusd, 10 * M);
}

/* The usage of a whole batch: which of its prompts were long is not known, so it is a least. */
static void a_sum_has_no_context(void **state)
{
	struct vector v = {.provider = "openai",
			   .model = "gpt-5.6-luna",
			   .batch = true,
			   .tokens = {IN = 1000, OUT = 100}};
	struct call call = call_of(&v);

	(void)state;
	call.summed = true;
	price_call(catalog, &call);
	assert_int_equal(call.cost.cost_pusd, 160 * M);
	assert_int_equal(call.basis, BASIS_REPORTED_USAGE);
	call.usage.tokens[TOKEN_INPUT_UNCACHED] = 1000 * M;
	price_call(catalog, &call);
	assert_int_equal(call.cost.cost_pusd, 100000060 * M);
	assert_string_equal(call.cost.price_id, "openai/gpt-5.6-luna@2026-07-30+batch");
	assert_int_equal(call.basis, BASIS_PARTIAL);
}

/* --- basis, roles, billing ---------------------------------------------------------------- */

struct basis_case {
	const char *what;
	const char *provider, *model;
	enum basis basis;
	bool unknown_usage;
	enum host_role role;
	enum billing_mode mode;
	bool unbillable;
	int64_t wire;
	int64_t list, cost;
	enum basis after;
	enum unpriced_reason reason;
};

#define GPT	  "openai", "gpt-4o" /* 10x2.5M + 10x10M = 125M */
#define GPT_PRICE (125 * M)

static const struct basis_case basis_cases[] = {
	{"reported", GPT, BASIS_REPORTED_USAGE, false, ROLE_DIRECT, 0, false, -1, GPT_PRICE,
	 GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"partial is a priced lower bound", GPT, BASIS_PARTIAL, false, ROLE_DIRECT, 0, false, -1,
	 GPT_PRICE, GPT_PRICE, BASIS_PARTIAL, 0},
	{"estimated tokens are priced", GPT, BASIS_ESTIMATED, false, ROLE_DIRECT, 0, false, -1,
	 GPT_PRICE, GPT_PRICE, BASIS_ESTIMATED, 0},
	{"no tokens, no cost", GPT, BASIS_ESTIMATED, true, ROLE_DIRECT, 0, false, -1, -1, -1,
	 BASIS_ESTIMATED, 0},
	{"not billed", GPT, BASIS_NOT_BILLED, true, ROLE_DIRECT, 0, false, -1, 0, 0,
	 BASIS_NOT_BILLED, 0},
	{"not billed whatever the host", GPT, BASIS_NOT_BILLED, true, ROLE_UNKNOWN, 0, false, -1, 0,
	 0, BASIS_NOT_BILLED, 0},
	{"host of unknown role", GPT, BASIS_REPORTED_USAGE, false, ROLE_UNKNOWN, 0, false, -1, -1,
	 -1, BASIS_UNPRICED, UNPRICED_HOST_ROLE_UNKNOWN},
	{"unknown role, unknown usage", GPT, BASIS_ESTIMATED, true, ROLE_UNKNOWN, 0, false, -1, -1,
	 -1, BASIS_ESTIMATED, UNPRICED_HOST_ROLE_UNKNOWN},
	{"gateway", GPT, BASIS_REPORTED_USAGE, false, ROLE_GATEWAY, 0, false, -1, GPT_PRICE,
	 GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"gateway, told by its prefix", "openai", "openai/gpt-4o", BASIS_REPORTED_USAGE, false,
	 ROLE_GATEWAY, 0, false, -1, GPT_PRICE, GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"another vendor behind the gateway", "openai", "anthropic/claude-sonnet-4-5-20250929",
	 BASIS_REPORTED_USAGE, false, ROLE_GATEWAY, 0, false, -1, 180 * M, 180 * M,
	 BASIS_REPORTED_USAGE, 0}, /* 10x3M + 10x15M */
	{"a vendor nobody knows behind it", "openai", "acme/gpt-4o", BASIS_REPORTED_USAGE, false,
	 ROLE_GATEWAY, 0, false, -1, -1, -1, BASIS_UNPRICED, UNPRICED_UNKNOWN_MODEL},
	{"a prefix on a direct host", "openai", "openai/gpt-4o", BASIS_REPORTED_USAGE, false,
	 ROLE_DIRECT, 0, false, -1, -1, -1, BASIS_UNPRICED, UNPRICED_UNKNOWN_MODEL},
	{"OpenRouter's names are its own", "openrouter", "openai/gpt-4o", BASIS_REPORTED_USAGE,
	 false, ROLE_GATEWAY, 0, false, -1, GPT_PRICE, GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"self-hosted is free", GPT, BASIS_REPORTED_USAGE, false, ROLE_SELF_HOSTED, 0, false, -1, 0,
	 0, BASIS_REPORTED_USAGE, 0},
	{"self-hosted ignores a figure on the wire", GPT, BASIS_PROVIDER_REPORTED, false,
	 ROLE_SELF_HOSTED, 0, false, 77, 0, 0, BASIS_REPORTED_USAGE, 0},
	{"subscription", GPT, BASIS_REPORTED_USAGE, false, ROLE_DIRECT, BILLING_SUBSCRIPTION, false,
	 -1, GPT_PRICE, 0, BASIS_REPORTED_USAGE, 0},
	{"someone else pays", GPT, BASIS_REPORTED_USAGE, false, ROLE_DIRECT, 0, true, -1, GPT_PRICE,
	 0, BASIS_REPORTED_USAGE, 0},
	{"OpenRouter's own cost", "openrouter", "openai/gpt-4o", BASIS_REPORTED_USAGE, false,
	 ROLE_DIRECT, 0, false, 123456, GPT_PRICE, 123456, BASIS_PROVIDER_REPORTED, 0},
	{"an explicit zero is the bill", "openrouter", "openai/gpt-4o", BASIS_REPORTED_USAGE, false,
	 ROLE_DIRECT, 0, false, 0, GPT_PRICE, 0, BASIS_PROVIDER_REPORTED, 0},
	{"reported cost of an unlisted model", "openrouter", "acme/none", BASIS_REPORTED_USAGE,
	 false, ROLE_DIRECT, 0, false, 5, -1, 5, BASIS_PROVIDER_REPORTED, 0},
	{"reported cost without tokens", "x_ai", "grok-4.3", BASIS_ESTIMATED, true, ROLE_DIRECT, 0,
	 false, 5, -1, 5, BASIS_PROVIDER_REPORTED, 0},
	{"reported so far", "x_ai", "grok-4.3", BASIS_PARTIAL, false, ROLE_DIRECT, 0, false, 5,
	 37500000, 5, BASIS_PARTIAL, 0}, /* 10x1.25M + 10x2.5M */
	{"a stray cost field of another", GPT, BASIS_REPORTED_USAGE, false, ROLE_DIRECT, 0, false,
	 5, GPT_PRICE, GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"the dialect vouches for it", GPT, BASIS_PROVIDER_REPORTED, false, ROLE_DIRECT, 0, false,
	 5, GPT_PRICE, 5, BASIS_PROVIDER_REPORTED, 0},
	{"vouched for and absent", GPT, BASIS_PROVIDER_REPORTED, false, ROLE_DIRECT, 0, false, -1,
	 GPT_PRICE, GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"once unpriced, now priced", GPT, BASIS_UNPRICED, false, ROLE_DIRECT, 0, false, -1,
	 GPT_PRICE, GPT_PRICE, BASIS_REPORTED_USAGE, 0},
	{"subscription to an unlisted model", "openai", "gpt-99", BASIS_REPORTED_USAGE, false,
	 ROLE_DIRECT, BILLING_SUBSCRIPTION, false, -1, -1, 0, BASIS_UNPRICED,
	 UNPRICED_UNKNOWN_MODEL},
};

static void basis_and_roles(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(basis_cases); i++) {
		const struct basis_case *b = &basis_cases[i];
		struct vector v = {
			.provider = b->provider, .model = b->model, .tokens = {IN = 10, OUT = 10}};
		struct call call = call_of(&v);

		if (b->unknown_usage)
			memset(call.usage.tokens, 0, sizeof(call.usage.tokens));
		call.usage.known = !b->unknown_usage;
		call.usage.provider_cost_pusd = b->wire;
		call.basis = b->basis;
		call.role = b->role;
		call.billing_mode = b->mode;
		call.billable = !b->unbillable;
		price_call(catalog, &call);
		if (call.cost.list_pusd != b->list || call.cost.cost_pusd != b->cost ||
		    call.basis != b->after || call.cost.unpriced != b->reason)
			fail_msg("%s: list %lld cost %lld basis %s (%s)", b->what,
				 (long long)call.cost.list_pusd, (long long)call.cost.cost_pusd,
				 basis_names[call.basis],
				 unpriced_reason_names[call.cost.unpriced]);
	}
}

/* Pricing twice changes nothing: reprice may run over any row. */
static void pricing_is_idempotent(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct call call = call_of(&vectors[i]), again;

		price_call(catalog, &call);
		again = call;
		price_call(catalog, &again);
		assert_memory_equal(&call.cost, &again.cost, sizeof(call.cost));
		assert_int_equal(call.basis, again.basis);
	}
}

/* --- properties --------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static struct call random_call(uint32_t *seed)
{
	static const char *const models[] = {"claude-opus-4-6", "claude-sonnet-4-5",
					     "claude-haiku-4-5"};
	struct vector v = {.provider = "anthropic",
			   .model = models[next_random(seed) % ARRAY_LEN(models)],
			   .geo = next_random(seed) & 1 ? "us" : "",
			   .batch = next_random(seed) & 1};

	for (int i = 0; i < TOKEN_KINDS; i++) {
		if (i != TOKEN_INPUT_AUDIO && i != TOKEN_OUTPUT_AUDIO && i != TOKEN_OUTPUT_IMAGE)
			v.tokens[i] = next_random(seed) % 60000;
	}
	return call_of(&v);
}

static void cost_rises_with_every_bucket(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct call call = random_call(&seed), more = call;
		int kind = (int)(next_random(&seed) % TOKEN_KINDS);

		if (kind == TOKEN_INPUT_AUDIO || kind == TOKEN_OUTPUT_AUDIO ||
		    kind == TOKEN_OUTPUT_IMAGE)
			continue;
		more.usage.tokens[kind] += 1 + next_random(&seed) % 1000;
		price_call(catalog, &call);
		price_call(catalog, &more);
		assert_true(call.cost.cost_pusd >= 0);
		assert_true(more.cost.cost_pusd > call.cost.cost_pusd);
	}
}

/* What a call of this model costs, or -1 when it has no price. */
static int64_t cost_of(struct call *call)
{
	price_call(catalog, call);
	return call->cost.cost_pusd;
}

struct sweep {
	uint32_t models, compared;
};

/* Every context threshold of the table, and one token to both sides of it. */
static const int64_t prompts[] = {0,	  1,	  127999, 128000, 128001, 199999, 200000, 200001,
				  255999, 256000, 256001, 271999, 272000, 272001, 512000, 512001};

/* False when the call, or one with one more of the kind, has no price. */
static bool one_more(struct sweep *s, const struct call *base, int kind)
{
	struct call call = *base, more = *base;
	int64_t before = cost_of(&call), after;

	more.usage.tokens[kind]++;
	after = cost_of(&more);
	if (before < 0 || after < 0)
		return false;
	s->compared++;
	if (after < before)
		fail_msg("%s/%s (%s): one more of %s and the cost falls from %lld to %lld",
			 base->provider, base->model, base->service_tier, token_kind_names[kind],
			 (long long)before, (long long)after);
	return true;
}

static void sweep_model(void *user, const char *provider, const char *id)
{
	static const char *const tiers[] = {"", "flex", "priority"};
	struct sweep *s = user;

	s->models++;
	for (size_t t = 0; t < ARRAY_LEN(tiers); t++) {
		struct vector v = {.provider = provider, .model = id, .tier = tiers[t]};
		struct call base = call_of(&v);

		for (int kind = 0; kind < TOKEN_KINDS; kind++) {
			for (size_t p = 0; p < ARRAY_LEN(prompts); p++) {
				base = call_of(&v);
				base.usage.tokens[TOKEN_OUTPUT_TEXT] = 1000;
				base.usage.tokens[kind] = prompts[p];
				if (!one_more(s, &base, kind))
					break; /* no such tier, or no price of this kind */
				base.usage.tokens[TOKEN_INPUT_UNCACHED] += prompts[p];
				one_more(s, &base, kind);
			}
		}
	}
}

/* No bucket of no model, at no threshold and in no tier, makes a call cheaper as it grows. */
static void cost_never_falls(void **state)
{
	struct sweep s = {0};

	(void)state;
	catalog_each_model(catalog, NULL, sweep_model, &s);
	assert_true(s.models > 2000);
	assert_true(s.compared > 100 * s.models / 2);
}

/* Below the first threshold a call costs what its buckets cost one by one. */
static void parts_sum_to_the_whole(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int round = 0; round < 500; round++) {
		struct call whole = random_call(&seed);
		int64_t sum = 0;

		for (int i = 0; i < TOKEN_KINDS; i++) {
			struct call part = whole;

			whole.usage.tokens[i] %= 20000;
			memset(part.usage.tokens, 0, sizeof(part.usage.tokens));
			part.usage.tokens[i] = whole.usage.tokens[i];
			price_call(catalog, &part);
			sum += part.cost.cost_pusd;
		}
		price_call(catalog, &whole);
		assert_int_equal(whole.cost.cost_pusd, sum);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_costs),
		cmocka_unit_test(every_dimension_has_a_vector),
		cmocka_unit_test(locale_changes_nothing),
		cmocka_unit_test(validity_is_half_open),
		cmocka_unit_test(a_sum_has_no_context),
		cmocka_unit_test(basis_and_roles),
		cmocka_unit_test(pricing_is_idempotent),
		cmocka_unit_test(cost_rises_with_every_bucket),
		cmocka_unit_test(cost_never_falls),
		cmocka_unit_test(parts_sum_to_the_whole),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
