/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dialect says what an answer's JSON means: rows of (path, meaning), the same for a JSON body and
 * for the events of a stream, since their paths differ. Code stands only in `finish`, which turns
 * the provider's raw counts into disjoint kinds (design section 3, rule 1), and in `item`, which
 * reads one element of a list (Anthropic's iterations, the output items of Responses).
 *
 * To add one: rows, a finish, an extern below, and vectors in tests/unit/usage.
 */
#ifndef TT_DIALECT_H
#define TT_DIALECT_H

#include "agent/usage/call.h"

/* Counts as the provider sends them; what each includes differs by dialect. */
enum raw_field {
	RAW_INPUT,
	RAW_OUTPUT,
	RAW_TOTAL,
	RAW_CACHED,
	RAW_CACHE_WRITE,
	RAW_CACHE_WRITE_5M,
	RAW_CACHE_WRITE_1H,
	RAW_INPUT_AUDIO,
	RAW_INPUT_IMAGE,
	RAW_REASONING,
	RAW_OUTPUT_AUDIO,
	RAW_OUTPUT_IMAGE,
	RAW_WEB_SEARCH,
	RAW_FILE_SEARCH,
	RAW_CODE_INTERPRETER,
	RAW_AUDIO_SECONDS,
	RAW_PAGES,
	RAW_COST_TICKS,	   /* 10^-10 USD (xAI) */
	RAW_COST,	   /* picodollars, from decimal USD on the wire */
	RAW_UPSTREAM_COST, /* picodollars billed to the customer's own key (OpenRouter BYOK) */
	RAW_BYOK,	   /* 1 = RAW_UPSTREAM_COST comes on top of RAW_COST */
	RAW_FIELDS
};
#define RAW_ABSENT    (-1)
#define RAW_COUNT_MAX 1000000000000000LL /* larger counts are no counts */

enum answer_text {
	TEXT_MODEL,
	TEXT_RESPONSE_ID,
	TEXT_SERVICE_TIER,
	TEXT_INFERENCE_GEO,
	TEXT_SPEED,
	TEXT_ERROR_TYPE,
	TEXT_ERROR_CODE,
	TEXT_ITEM_TYPE, /* of the item being read */
	TEXT_ITEM_ACTION,
	TEXT_ITEM_MODEL,
	TEXT_ITEM_CONTAINER,
	ANSWER_TEXTS
};

enum row_kind {
	ROW_COUNT,	/* integer into raw[field]; the last one wins, null changes nothing */
	ROW_USD,	/* decimal USD into raw[field] as picodollars */
	ROW_TRUE,	/* true puts 1 into raw[field] */
	ROW_TEXT,	/* identifier into text[field]; the last non-empty one wins */
	ROW_RAW,	/* "x.**": the provider's own numbers, kept unchanged */
	ROW_USAGE,	/* "x{}": its end makes the usage final as far as this document goes */
	ROW_CONTENT,	/* "x#": generated text; only its length is seen */
	ROW_FINISH,	/* a string here says that generation ended */
	ROW_TYPE,	/* the event's type: see end_types; a mark of the dialect */
	ROW_MARK,	/* text that starts with `prefix` shows that this dialect is spoken */
	ROW_ERROR,	/* "x{}": an error object */
	ROW_ITEM,	/* "x[]{}": one element of the item list begins or ends */
	ROW_ITEM_COUNT, /* integer into item_raw[field] */
};

struct dialect_row {
	const char *path;
	enum row_kind kind;
	uint8_t field;	    /* enum raw_field or enum answer_text */
	const char *prefix; /* ROW_MARK, ROW_TYPE */
};

#define ANSWER_SUBS_MAX	      8
#define ANSWER_CONTAINERS_MAX 8

/* Usage at another model than the answer's: its own row (Anthropic's advisor). */
struct answer_sub {
	char model[CALL_NAME_MAX];
	int64_t raw[RAW_FIELDS];
};

/* All that was read of one answer. */
struct answer {
	int64_t raw[RAW_FIELDS];
	char text[ANSWER_TEXTS][CALL_NAME_MAX];
	uint64_t content_bytes;
	bool unreadable; /* a count was sent that is none (-1, 1.5, 1e999): all are doubted */
	int64_t item_raw[RAW_FIELDS]; /* of the item being read */

	/* What `item` gathers; cleared when a later document lists its items anew. */
	int64_t item_sum[RAW_FIELDS]; /* 0 = none */
	uint32_t items_unlike;	      /* items that make the top level incomplete */
	bool items_fallback;	      /* an item says that the top level is whole */
	bool items_unknown;	      /* items of a kind this dialect does not know */
	bool items_unbilled;	      /* items whose bill stands nowhere in the usage */
	uint32_t container_count;
	uint64_t container[ANSWER_CONTAINERS_MAX];
	uint32_t sub_count;
	struct answer_sub sub[ANSWER_SUBS_MAX];
};

struct dialect {
	const char *name;
	const struct dialect_row *rows;
	size_t row_count;
	const char *const *end_types; /* values of ROW_TYPE that end a stream; NULL-ended or NULL */
	void (*item)(struct answer *a); /* at the end of each item; may be NULL */
	/* Sets known, mismatch, lower_bound, tokens and tool units from the raw counts. */
	void (*finish)(const struct answer *a, struct usage *u);
	/* Same for one sub-model's counts; NULL where there are none. */
	void (*finish_sub)(const struct answer_sub *sub, struct usage *u);
};

extern const struct dialect dialect_openai_chat; /* chat and legacy completions, embeddings */
extern const struct dialect dialect_openai_responses;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_foundry;	   /* Azure AI Foundry /models: grok's rule */
extern const struct dialect dialect_gemini_compat; /* Gemini's OpenAI path hides its thinking */
extern const struct dialect dialect_mistral_ocr;

/* The count, or 0 when absent. */
static inline int64_t raw_or_zero(const int64_t raw[RAW_FIELDS], enum raw_field field)
{
	return raw[field] == RAW_ABSENT ? 0 : raw[field];
}

void raw_clear(int64_t raw[RAW_FIELDS]); /* all absent */

/* Moves at most `part` out of *rest; returns what was moved. *clamped is set when it was less. */
int64_t usage_take(int64_t *rest, int64_t part, bool *clamped);

#endif
