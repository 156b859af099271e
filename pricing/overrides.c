/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prices.d: what this account pays instead of the list. A row has selectors (all that it names must
 * match), a validity, and either prices of its own or one factor over the list; or it names an
 * alias. Of the rows that match a call, the one with the strongest selector wins (key fingerprint,
 * project, account, host, model, provider); rows are never combined.
 */
#include "pricing/table.h"

#include "agent/base/key_names.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>

static const char *const selector_keys[OVERRIDE_SELECTORS] = {
	[SELECT_PROVIDER] = "provider", [SELECT_MODEL] = "models",
	[SELECT_HOST] = "host",		[SELECT_ACCOUNT] = "account",
	[SELECT_PROJECT] = "project",	[SELECT_KEY] = "key_fingerprint",
};

void override_free(struct override *o)
{
	free(o->models);
	period_free(&o->period);
}

static int read_models(struct reader *r, const cJSON *json, struct override *out)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "models"), *item;
	int n = cJSON_GetArraySize(list);

	if (!list)
		return 0;
	if (!cJSON_IsArray(list) || n == 0 || n > PRICE_NAMES_MAX)
		return price_error(r, "\"models\" must be a list of 1 to %d names",
				   PRICE_NAMES_MAX);
	out->models = calloc((size_t)n, sizeof(*out->models));
	if (!out->models)
		return price_error(r, "out of memory");
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item) || !item->valuestring[0] ||
		    strlen(item->valuestring) >= CALL_NAME_MAX)
			return price_error(r, "\"models\" holds something that is not a name");
		slice_copy(out->models[out->model_count++], CALL_NAME_MAX,
			   slice_of(item->valuestring));
	}
	out->weight |= 1u << SELECT_MODEL;
	return 0;
}

static int read_selectors(struct reader *r, const cJSON *json, struct override *out)
{
	for (int i = 0; i < OVERRIDE_SELECTORS; i++) {
		int rc = 0;

		if (i == SELECT_MODEL)
			rc = read_models(r, json, out);
		else
			rc = price_read_text(r, json, selector_keys[i], out->value[i],
					     CALL_NAME_MAX, false);
		if (rc)
			return rc;
		if (out->value[i][0])
			out->weight |= 1u << i;
	}
	return 0;
}

static int read_rate(struct reader *r, const cJSON *json, struct override *out)
{
	bool factor = cJSON_GetObjectItemCaseSensitive(json, "factor") != NULL;

	out->has_prices = cJSON_GetObjectItemCaseSensitive(json, "prices") != NULL;
	if (factor == out->has_prices)
		return price_error(r, "give either \"prices\" or \"factor\"");
	if (out->has_prices)
		return price_read_period(r, json, &out->period);
	if (cJSON_GetObjectItemCaseSensitive(json, "tiers") ||
	    cJSON_GetObjectItemCaseSensitive(json, "above") ||
	    cJSON_GetObjectItemCaseSensitive(json, "multipliers"))
		return price_error(r, "\"factor\" goes over the list with its tiers; "
				      "give no tiers beside it");
	if (price_read_factor(r, json, "factor", &out->factor))
		return -EINVAL;
	return price_read_validity(r, json, &out->period);
}

static bool models_share(const struct override *a, const struct override *b)
{
	if (!a->model_count && !b->model_count)
		return true;
	for (uint32_t i = 0; i < a->model_count; i++) {
		for (uint32_t k = 0; k < b->model_count; k++) {
			if (!strcasecmp(a->models[i], b->models[k]))
				return true;
		}
	}
	return false;
}

/* Could one call match both with the same weight? Then nothing says which one wins. */
static bool rows_collide(const struct override *a, const struct override *b)
{
	return a->weight == b->weight && !memcmp(a->value, b->value, sizeof(a->value)) &&
	       models_share(a, b) && periods_overlap(&a->period, &b->period);
}

/* Keeps the list by falling weight; the row's memory passes to the catalog. */
static int insert(struct reader *r, struct catalog *c, const struct override *row)
{
	uint32_t at = c->override_count;
	struct override *grown;

	for (uint32_t i = 0; i < c->override_count; i++) {
		if (rows_collide(row, &c->overrides[i]))
			return price_error(r, "the same selectors and dates as %s",
					   c->overrides[i].place);
	}
	if (c->override_count == PRICE_OVERRIDES_MAX)
		return price_error(r, "more than %d overrides", PRICE_OVERRIDES_MAX);
	grown = reallocarray(c->overrides, c->override_count + 1, sizeof(*grown));
	if (!grown)
		return price_error(r, "out of memory");
	c->overrides = grown;
	while (at > 0 && grown[at - 1].weight < row->weight)
		at--;
	memmove(&grown[at + 1], &grown[at], (c->override_count - at) * sizeof(*grown));
	grown[at] = *row;
	c->override_count++;
	return 0;
}

/* key_of: the fingerprint that stands for the key's name in the row; NULL: as the row has it. */
static int read_override(struct reader *r, struct catalog *c, const cJSON *json, const char *place,
			 const char *key_of)
{
	static const char *const keys[] = {
		"provider", "models", "host",	 "account",	"project", "key_fingerprint",
		"from",	    "to",     "daily",	 "factor",	"prices",  "above",
		"tiers",    "source", "checked", "multipliers", "reason",  NULL,
	};
	struct override row = {.factor = FACTOR_ONE};
	int rc = price_read_keys(r, json, keys);

	snprintf(row.place, sizeof(row.place), "%s", place);
	if (rc == 0)
		rc = read_selectors(r, json, &row);
	if (key_of)
		snprintf(row.value[SELECT_KEY], sizeof(row.value[SELECT_KEY]), "%s", key_of);
	if (rc == 0)
		rc = read_rate(r, json, &row);
	if (rc == 0 && row.weight == 0)
		rc = price_error(r, "a row without a selector would reprice everything; name at "
				    "least \"provider\"");
	if (rc == 0)
		rc = insert(r, c, &row);
	if (rc)
		override_free(&row);
	return rc;
}

/* A key may be named as the configuration names it: then the row is one of each fingerprint. */
static int read_named(struct reader *r, struct catalog *c, const cJSON *json, const char *place)
{
	const char *key = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(json, selector_keys[SELECT_KEY]));
	const struct key_names *names = key_names_in_use();
	int rc = 0, found = 0;

	if (!key || slice_is_hex(slice_of(key), FINGERPRINT_DIGITS))
		return read_override(r, c, json, place, NULL);
	for (size_t i = 0; rc == 0 && names && i < names->count; i++) {
		if (strcmp(names->row[i].name, key) != 0)
			continue;
		found++;
		rc = read_override(r, c, json, place, names->row[i].fingerprint);
	}
	if (rc == 0 && !found)
		return price_error(r,
				   "\"%s\" is neither %d hex digits nor a name of the "
				   "configuration's keys: \"%.60s\"",
				   selector_keys[SELECT_KEY], FINGERPRINT_DIGITS, key);
	return rc;
}

/* {"provider":"azure.ai.openai","names":["our-deployment"],"as":"gpt-4o"} */
static int read_alias(struct reader *r, struct catalog *c, const cJSON *json)
{
	static const char *const keys[] = {"provider", "names", "as", "reason", NULL};
	char provider[32], as[CALL_NAME_MAX];
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "names"), *item;
	const struct model *model;
	int rc = price_read_keys(r, json, keys);

	if (rc == 0)
		rc = price_read_text(r, json, "provider", provider, sizeof(provider), true);
	if (rc == 0)
		rc = price_read_text(r, json, "as", as, sizeof(as), true);
	if (rc)
		return rc;
	if (!cJSON_IsArray(names) || cJSON_GetArraySize(names) > PRICE_NAMES_MAX)
		return price_error(r, "\"names\" must be a list of at most %d", PRICE_NAMES_MAX);
	model = catalog_find(c, provider, as);
	if (!model)
		return price_error(r,
				   "\"as\" names no model of %s: \"%s\"; an alias of an alias "
				   "must stand after it, and a cycle never resolves",
				   provider, as);
	cJSON_ArrayForEach(item, names)
	{
		if (!cJSON_IsString(item))
			return price_error(r, "\"names\" holds something that is not a text");
		rc = catalog_add_name(r, c, NAME_PLAIN, provider, item->valuestring,
				      (uint32_t)(model - c->models));
		if (rc)
			return rc;
	}
	return 0;
}

int overrides_read(struct reader *r, struct catalog *c, const cJSON *root)
{
	static const char *const keys[] = {"schema", "aliases", "overrides", NULL};
	static const char *const lists[] = {"aliases", "overrides"};
	const char *base = strrchr(r->file, '/');
	int rc = price_read_keys(r, root, keys);

	base = base ? base + 1 : r->file;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(lists); i++) {
		const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, lists[i]), *item;
		uint32_t n = 0;

		if (list && !cJSON_IsArray(list))
			return price_error(r, "\"%s\" must be a list", lists[i]);
		cJSON_ArrayForEach(item, list)
		{
			char place[CALL_NAME_MAX];

			snprintf(r->place, sizeof(r->place), "%s[%u]", lists[i], n);
			snprintf(place, sizeof(place), "%.100s#%u", base, n++);
			rc = i == 0 ? read_alias(r, c, item) : read_named(r, c, item, place);
			if (rc)
				return rc;
		}
	}
	r->place[0] = '\0';
	return rc;
}

/* --- look-up ------------------------------------------------------------------------------ */

/*
 * Where a call says whose it is: a tag that the operator gives, or what the provider's own headers
 * name (agent/exchange/request.c). A row matches on any of them.
 */
static const char *const account_tags[] = {"account", "openai_organization",
					   "anthropic_organization", NULL};
static const char *const project_tags[] = {"project", "openai_project", "gcp_project", NULL};

static bool is_tagged(const struct call *call, const char *const *keys, const char *value)
{
	for (; *keys; keys++) {
		for (uint32_t i = 0; i < call->tags.count; i++) {
			if (!strcmp(call->tags.item[i].key, *keys) &&
			    !strcmp(call->tags.item[i].value, value))
				return true;
		}
	}
	return false;
}

static bool model_selected(const struct override *o, const struct call *call,
			   const struct model *model)
{
	for (uint32_t i = 0; i < o->model_count; i++) {
		if (!strcasecmp(o->models[i], call->model) ||
		    (model && !strcasecmp(o->models[i], model->id)))
			return true;
	}
	return false;
}

static bool selected(const struct override *o, enum override_selector s, const struct call *call,
		     const struct model *model)
{
	switch (s) {
	case SELECT_PROVIDER:
		return !strcmp(o->value[s], call->provider);
	case SELECT_MODEL:
		return model_selected(o, call, model);
	case SELECT_HOST:
		return host_is(call->host, o->value[s]);
	case SELECT_ACCOUNT:
		return is_tagged(call, account_tags, o->value[s]);
	case SELECT_PROJECT:
		return is_tagged(call, project_tags, o->value[s]);
	case SELECT_KEY:
		return !strcmp(o->value[s], call->key_fingerprint);
	case OVERRIDE_SELECTORS:
		break;
	}
	return false;
}

static bool row_matches(const struct override *o, const struct call *call,
			const struct model *model)
{
	for (int i = 0; i < OVERRIDE_SELECTORS; i++) {
		if ((o->weight >> i & 1) && !selected(o, (enum override_selector)i, call, model))
			return false;
	}
	return period_holds(&o->period, call->started_at_us);
}

const struct override *override_find(const struct catalog *c, const struct call *call,
				     const struct model *model)
{
	for (uint32_t i = 0; i < c->override_count; i++) {
		if (row_matches(&c->overrides[i], call, model))
			return &c->overrides[i];
	}
	return NULL;
}
