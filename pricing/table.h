/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The price table in memory, shared by the files of this folder only. Filled by catalog.c,
 * read.c and overrides.c, checked by lint.c, then read-only: match.c and cost.c take it const.
 */
#ifndef TT_PRICING_TABLE_H
#define TT_PRICING_TABLE_H

#include "agent/base/hash.h"
#include "pricing/catalog.h"
#include "pricing/kinds.h"
#include "pricing/meters.h"

#define PRICE_FILE_MAX_BYTES	(16u << 20)
#define PRICE_FILES_MAX		256
#define PRICE_MODELS_MAX	50000
#define PRICE_NAMES_MAX		512 /* per model */
#define PRICE_PERIODS_MAX	64
#define PRICE_CONTEXT_TIERS_MAX 4
#define PRICE_TIERS_MAX		16
#define PRICE_MULTIPLIERS_MAX	16
#define PRICE_SUFFIXES_MAX	8
#define PRICE_OVERRIDES_MAX	10000
#define PRICE_TEXT_MAX		64
#define PRICE_DATE_MAX		16

#define FACTOR_SCALE 6 /* digits behind the point of a factor */

/* A factor as a reduced fraction, so that products of several stay small. */
struct factor {
	int64_t num;
	int64_t den;
};

#define FACTOR_ONE ((struct factor){1, 1})

/* Prices in pUSD per price_kinds[].per units; a bit of `has` says which are stated. */
struct price_set {
	uint64_t has;
	int64_t pusd[PRICE_KINDS];
};
_Static_assert(PRICE_KINDS <= 64, "one bit per kind");

static inline bool price_has(const struct price_set *set, enum price_kind kind)
{
	return set->has >> kind & 1;
}

struct context_tier {
	int64_t tokens; /* of the whole prompt */
	bool inclusive; /* at the threshold too, not only above it */
	struct price_set prices;
};

struct sheet {
	struct price_set base;
	struct context_tier above[PRICE_CONTEXT_TIERS_MAX]; /* by rising threshold */
	uint32_t above_count;
};

/* A service tier is a factor over the standard sheet, or has a sheet of its own (factor one). */
struct service_tier {
	char name[32];
	struct factor factor;
	struct sheet *own; /* NULL: the standard sheet */
};

enum multiplier_by { BY_INFERENCE_GEO, BY_SPEED, BY_HOST, MULTIPLIER_BYS };

struct multiplier {
	enum multiplier_by by;
	char value[PRICE_TEXT_MAX];
	struct factor factor;
	char not_with[32]; /* service tier on which it does not stack, "" = none */
};

struct period {
	int64_t from_us, to_us; /* wall clock, [from, to); INT64_MIN and INT64_MAX when open */
	char from[PRICE_DATE_MAX], to[PRICE_DATE_MAX]; /* as written, "" = open */
	int daily_from_min, daily_to_min; /* UTC minutes of the day, equal = whole day */
	struct sheet sheet;
	struct service_tier *tiers;
	uint32_t tier_count;
	struct multiplier *multipliers;
	uint32_t multiplier_count;
	char source[PRICE_TEXT_MAX];
	char checked[PRICE_DATE_MAX];
};

struct model {
	char provider[32];
	char id[CALL_NAME_MAX];
	struct period *periods;
	uint32_t period_count;
};

/* What holds for all models of a provider. */
struct provider_facts {
	char provider[32];
	bool cost_on_wire;   /* its reported cost is what it bills */
	bool request_names;  /* it bills the model that the request names, not the answer's */
	bool regional_names; /* "REGION/model" is the price where the host names that region */
	struct price_set fees;
	char suffixes[PRICE_SUFFIXES_MAX][16]; /* "-YYYY-MM-DD", ... */
	uint32_t suffix_count;
	char standard_tiers[PRICE_TIERS_MAX][32]; /* billed at the standard price */
	uint32_t standard_count;
	char tier_from[PRICE_TIERS_MAX][32], tier_to[PRICE_TIERS_MAX][32];
	uint32_t tier_name_count;
};

enum name_rule { NAME_PLAIN = 'n', NAME_DATED = 'd', NAME_FINE_TUNED = 'f' };

#define NAME_KEY_MAX (CALL_NAME_MAX + 40)

/* One accepted name: key is rule, provider, '/', lower-case name. */
struct name_entry {
	char key[NAME_KEY_MAX];
	uint32_t model;
	bool in_table;
	UT_hash_handle hh;
};

/* One summand of a price: so many counted units at pusd for price_kinds[kind].per of them. */
struct price_term {
	int meter; /* pricing/meters.h */
	enum price_kind kind;
	int64_t units;
	int64_t pusd;
};

/* (terms of token kinds x tokens + other terms) x all. No terms: it has no price. */
struct price_terms {
	struct price_term term[METERS];
	int count;
	struct factor tokens, all;
};

/* Selectors of an override, weakest first: the bit is its weight. */
enum override_selector {
	SELECT_PROVIDER,
	SELECT_MODEL,
	SELECT_HOST,
	SELECT_ACCOUNT,
	SELECT_PROJECT,
	SELECT_KEY,
	OVERRIDE_SELECTORS
};

struct override {
	char value[OVERRIDE_SELECTORS][CALL_NAME_MAX]; /* "" = any; model is in models */
	char (*models)[CALL_NAME_MAX];
	uint32_t model_count;
	uint32_t weight; /* bits of the selectors given */
	bool has_prices;
	struct factor factor;
	struct period period; /* prices, when has_prices; validity always */
	char place[CALL_NAME_MAX];
};

struct catalog {
	struct model *models;
	uint32_t model_count;
	struct provider_facts *providers;
	uint32_t provider_count;
	struct name_entry *names;
	struct override *overrides; /* by falling weight */
	uint32_t override_count;
	char sha256[65];
};

/* Where an error is, and the one line that says it. */
struct reader {
	const char *file;
	const char *text; /* of the file, once it has parsed; NULL before */
	char place[256];
	char *err;
	size_t err_size;
};

/* The line of a place ("models[3] (p/m).periods[0]") in the text of a file, or 0. */
int place_line(const char *text, const char *place);

/* Writes "file: line: place: text" once; later calls change nothing. Returns -EINVAL. */
int price_error(struct reader *r, const char *fmt, ...) TT_PRINTF(2, 3);

struct cJSON;

/* Readers of read.c; each returns 0 or price_error's -EINVAL. */
int price_read_keys(struct reader *r, const struct cJSON *object, const char *const *allowed);
int price_read_text(struct reader *r, const struct cJSON *object, const char *key, char *dst,
		    size_t size, bool required);
int price_read_factor(struct reader *r, const struct cJSON *object, const char *key,
		      struct factor *out);
int price_read_prices(struct reader *r, const struct cJSON *json, struct price_set *out);
int price_read_validity(struct reader *r, const struct cJSON *json, struct period *out);
int price_read_period(struct reader *r, const struct cJSON *json, struct period *out);
void period_free(struct period *p);

int catalog_add_name(struct reader *r, struct catalog *c, enum name_rule rule, const char *provider,
		     const char *name, uint32_t model);
const struct model *catalog_find(const struct catalog *c, const char *provider, const char *name);
/* The model of a call; at a gateway "PROVIDER/model" names another provider's. */
const struct model *catalog_find_call(const struct catalog *c, const struct call *call);
const struct provider_facts *catalog_provider(const struct catalog *c, const char *provider);
const struct period *period_at(const struct model *model, int64_t when_us);
bool period_holds(const struct period *p, int64_t when_us);

/* The terms of a call's public price and of what this account owes, as price_call sums them. */
void price_terms(const struct catalog *c, const struct call *call, struct price_terms *list,
		 struct price_terms *cost);

/* Adds the overrides of one file, already parsed. */
int overrides_read(struct reader *r, struct catalog *c, const struct cJSON *root);
void override_free(struct override *o);
const struct override *override_find(const struct catalog *c, const struct call *call,
				     const struct model *model);

/* Cross-checks of a whole table: overlaps and gaps of validity, context tiers that cost less. */
int lint_models(struct reader *r, const struct catalog *c);
int lint_period(struct reader *r, const struct period *p);
int lint_price(struct reader *r, enum price_kind kind, int64_t pusd);
bool periods_overlap(const struct period *a, const struct period *b);

/* Is the host of a call (with or without a port) this one? ASCII case is ignored. */
bool host_is(const char *host, const char *wanted);

/* The whole file, ended by 0, bounded. */
int price_slurp(struct reader *r, char **out, size_t *len);

/* Text parts. */
bool factor_parse(const char *text, struct factor *out);
bool date_parse(const char *text, int64_t *us);

#endif
