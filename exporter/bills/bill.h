/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a provider's bill: a row is what was billed or counted of one class for one model in
 * one span of time. Money is an integer count of 10^-12 of its currency (picodollars for USD) and
 * never meets money of another currency. Pure.
 */
#ifndef TT_BILL_H
#define TT_BILL_H

#include "agent/base/money.h"
#include "agent/usage/call.h"

/* What a price is for. Token classes first, then units, then what the ledger has no count of. */
enum bill_class {
	BILL_INPUT,
	BILL_CACHE_READ,
	BILL_CACHE_WRITE_5M,
	BILL_CACHE_WRITE_1H,
	BILL_INPUT_AUDIO,
	BILL_INPUT_IMAGE,
	BILL_OUTPUT, /* text and reasoning: one price */
	BILL_OUTPUT_AUDIO,
	BILL_OUTPUT_IMAGE,
	BILL_WEB_SEARCH,
	BILL_FILE_SEARCH,
	BILL_CODE_INTERPRETER,
	BILL_IMAGES,
	BILL_AUDIO_SECONDS,
	BILL_CHARACTERS,
	BILL_PAGES,
	BILL_SEARCH_UNITS,
	BILL_OTHER, /* storage, training, credits, taxes: nothing that a call counts */
	BILL_ALL,   /* the bill does not split what it bills */
	BILL_CLASSES
};

extern const char *const bill_class_names[BILL_CLASSES]; /* "input", "cache_read", ... */

/* Tokens can be counted in another class of their own side only. */
enum bill_side { SIDE_INPUT, SIDE_OUTPUT, SIDE_UNITS };
enum bill_side bill_side_of(enum bill_class class);

extern const enum bill_class bill_class_of_token[TOKEN_KINDS];
extern const enum bill_class bill_class_of_tool[TOOL_UNITS];

#define BILL_ID_MAX	  128
#define BILL_ITEM_MAX	  160
#define BILL_CURRENCY_MAX 8
#define BILL_TIER_MAX	  32
#define BILL_USD	  "USD"
#define BILL_STANDARD	  "standard" /* the tier of calls that asked for none */

#define SECONDS_PER_DAY 86400

struct bill_row {
	char provider[32];
	int64_t from_s, to_s; /* Unix time, [from, to) */
	char model[CALL_NAME_MAX];
	enum bill_class class;
	char tier[BILL_TIER_MAX];   /* "" = the bill does not say */
	char window[BILL_TIER_MAX]; /* of the context; "" = not said, or one price for all */
	char project[BILL_ID_MAX];  /* project, workspace or sub-account */
	char key[BILL_ID_MAX];	    /* the provider's id of the API key */
	char item[BILL_ITEM_MAX];   /* in the provider's words */
	bool has_quantity;
	int64_t quantity;
	bool has_amount;
	int64_t amount; /* 10^-12 of the currency */
	int64_t slack;	/* half of the amount's last digit: what rounding may have taken */
	char currency[BILL_CURRENCY_MAX]; /* ISO 4217; "" without an amount */
};

/* The class that a meter, token type or line item names, by its words; BILL_OTHER for none. */
enum bill_class bill_class_of_words(struct slice words);

/* "batch", "priority", ...; every name of the plain tier becomes BILL_STANDARD, "" stays. */
void bill_tier_copy(char dst[BILL_TIER_MAX], struct slice tier);

/* Upper case. False when it is not three letters. */
bool bill_currency_copy(char dst[BILL_CURRENCY_MAX], struct slice currency);

/* The name that the ledger has for a provider ("OpenAI" -> "openai"); others in lower case. */
void bill_provider_copy(char dst[32], struct slice name);

/*
 * Signed decimal text times 10^scale (12: of the currency, 10: of its hundredth), rounded half away
 * from zero; decimals, when not NULL, gets the digits behind the point. False when it is no number
 * or leaves 64 bits. The text is the number as written: binary floating point never comes near.
 */
bool bill_money_parse(struct slice text, int scale, int64_t *amount, int *decimals);

/* Half of the last of so many digits behind the point: what rounding to them may have taken. */
int64_t bill_slack(int decimals);

/* A count: a decimal that is a whole number, not below zero. */
bool bill_count_parse(struct slice text, int64_t *count);

/* A bill row's UTC day, counted from 1970. */
static inline int64_t bill_day(int64_t unix_s)
{
	return unix_s / SECONDS_PER_DAY;
}

/* "2026-11-22". Returns dst. */
#define BILL_DAY_TEXT_MAX 16
char *bill_day_text(char dst[BILL_DAY_TEXT_MAX], int64_t day);

/* A growing list of rows with a ceiling. Zero it to begin. */
#define BILL_PAGE_ROWS_MAX 500000
struct bill_rows {
	struct bill_row *row;
	size_t count, cap;
};

/* Returns the new row, all zero, or NULL: no memory, or more than BILL_PAGE_ROWS_MAX. */
struct bill_row *bill_rows_add(struct bill_rows *rows);
void bill_rows_free(struct bill_rows *rows);

#endif
