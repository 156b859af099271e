/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The price table: shipped catalogue plus prices.d overrides, parsed once into integers, immutable
 * after load; a reload makes a new one. Look-up is exact name, then alias, then anchored dated
 * suffix; never substring, never fuzzy (design section 3, rule 4).
 */
#ifndef TT_CATALOG_H
#define TT_CATALOG_H

#include <stdio.h>

#include "agent/base/money.h"
#include "agent/usage/call.h"

#define CATALOG_ERROR_MAX 512

struct catalog;

/*
 * Loads the catalogue file (NULL: an error that says so) and, when dir is not NULL, every *.json
 * below it in name order. Returns 0, or -errno with one line in err (file, place, reason, what to
 * do). *out changes only on success.
 */
int catalog_load(struct catalog **out, const char *file, const char *dir, char *err,
		 size_t err_size) TT_MUST_CHECK;
void catalog_free(struct catalog *c);

/*
 * Loads path for its errors alone: a catalogue, or an overrides file (told by its "schema") on top
 * of the given catalogue. Returns as catalog_load.
 */
int catalog_check(const char *path, const char *catalogue, char *err,
		  size_t err_size) TT_MUST_CHECK;

/*
 * Reads a foreign price table ("litellm" or "genai-prices") and prints it in our form: exact, with
 * what cannot be said in it left out and counted. Returns 0, or as catalog_load.
 */
int catalog_import(const char *form, const char *path, FILE *out, size_t *left_out, char *err,
		   size_t err_size) TT_MUST_CHECK;

const char *catalog_sha256(const struct catalog *c); /* hex, of all files loaded */

/*
 * Prices a call: reads provider, host role, model, time, usage, tier selectors, basis and billing
 * mode; fills call->cost and may turn call->basis into unpriced. Pure.
 */
void price_call(const struct catalog *c, struct call *call);

/* The id in the table of a call's model (metrics label by it), or NULL when it does not resolve. */
const char *catalog_model_id(const struct catalog *c, const struct call *call);

/* One stated price, as `tolltap prices` shows it. Texts live as long as the catalog. */
struct price_view {
	const char *provider, *model;
	const char *from, *to;	    /* "YYYY-MM-DD", "" = open */
	const char *tier;	    /* service tier, "" = standard */
	int64_t above;		    /* context threshold in tokens, 0 = none */
	const char *kind;	    /* "input", ...; "factor" for a tier that is one */
	const char *unit;	    /* "1000000 tokens"; "" for a factor */
	char amount[PUSD_TEXT_MAX]; /* dollars per unit, or the factor */
	const char *source, *checked;
};

/*
 * Calls each for every price, in the file's order; provider and model (an id) narrow it when not
 * NULL. Returns how many there were.
 */
size_t catalog_each_price(const struct catalog *c, const char *provider, const char *model,
			  void (*each)(void *user, const struct price_view *view), void *user);

/* Calls each for every (provider, id); when name is not NULL, for those it resolves to. */
size_t catalog_each_model(const struct catalog *c, const char *name,
			  void (*each)(void *user, const char *provider, const char *id),
			  void *user);

#endif
