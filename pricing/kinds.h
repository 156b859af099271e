/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can have a price, and for how many units that price is. The one table of units: the
 * catalogue repeats it and is refused when it differs, so that a price per token can never be read
 * as a price per million. To add a kind, add a row here and in merge.py.
 */
#ifndef TT_PRICING_KINDS_H
#define TT_PRICING_KINDS_H

#include "agent/base/base.h"
#include "agent/usage/call.h"

enum price_kind {
	PRICE_INPUT,
	PRICE_CACHE_READ,
	PRICE_CACHE_WRITE_5M,
	PRICE_CACHE_WRITE_1H,
	PRICE_INPUT_AUDIO,
	PRICE_CACHE_READ_AUDIO,
	PRICE_INPUT_IMAGE,
	PRICE_CACHE_READ_IMAGE,
	PRICE_INPUT_VIDEO,
	PRICE_OUTPUT,
	PRICE_REASONING,
	PRICE_CITATION,
	PRICE_OUTPUT_AUDIO,
	PRICE_OUTPUT_IMAGE,
	PRICE_OUTPUT_VIDEO,
	PRICE_WEB_SEARCH,
	PRICE_FILE_SEARCH,
	PRICE_CODE_INTERPRETER,
	PRICE_IMAGE,
	PRICE_IMAGE_INPUT,
	PRICE_AUDIO_INPUT,
	PRICE_AUDIO_OUTPUT,
	PRICE_VIDEO_INPUT,
	PRICE_VIDEO_OUTPUT,
	PRICE_CHARACTER,
	PRICE_PAGE,
	PRICE_SEARCH_UNIT,
	PRICE_REQUEST,
	PRICE_DURATION,
	PRICE_KINDS
};

/* Every `per` divides this, so that all terms of a call have one denominator. */
#define PRICE_DENOMINATOR 3600000000LL

struct price_kind_row {
	const char *name;
	const char *unit;	  /* as the catalogue states it */
	int64_t per;		  /* counted units that one price covers; duration counts us */
	bool token;		  /* priced by service tier, context tier and multipliers */
	enum price_kind fallback; /* used when the price is absent; itself = unit missing */
	int64_t max_usd;	  /* above this a price is a slip of the unit */
	const char *genai;	  /* key in genai-prices, or NULL */
	const char *litellm;	  /* key in LiteLLM, or NULL */
};

extern const struct price_kind_row price_kinds[PRICE_KINDS];

/* The price of each bucket of usage. */
extern const enum price_kind price_of_token[TOKEN_KINDS];
extern const enum price_kind price_of_tool[TOOL_UNITS];

/* A price above zero but below this many dollars is a slip of the unit. */
#define PRICE_MIN_TEXT "0.0001"

bool price_kind_find(const char *name, enum price_kind *out);

#endif
