/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/focus_facts.h"

#include "agent/base/key_names.h"

#include <stdio.h>

static void put(struct text *out, const char *text)
{
	text_append(out, text, strlen(text) + 1);
}

static const char *tag_of(const struct call *call, const char *key)
{
	for (uint32_t i = 0; i < call->tags.count; i++) {
		if (!strcmp(call->tags.item[i].key, key))
			return call->tags.item[i].value;
	}
	return "";
}

const char *focus_cost_state(const struct call *call, bool cost_known)
{
	if (call->billing_mode == BILLING_SUBSCRIPTION)
		return "exact"; /* 0, whatever else is not known of it */
	if (!cost_known || call->basis == BASIS_UNPRICED)
		return "unknown";
	if (call->basis == BASIS_PARTIAL)
		return "at_least";
	return call->basis == BASIS_ESTIMATED ? "estimated" : "exact";
}

/* ---- who pays ---------------------------------------------------------------------------- */

/* FOCUS allows no null: the tag that prices know too, else what tells one credential from another.
 */
static void put_account(struct text *out, const struct call *call)
{
	const char *account = tag_of(call, "account");
	char key[32];

	snprintf(key, sizeof(key), "key:%s", call->key_fingerprint);
	if (!*account)
		account = *call->key_fingerprint ? key : QUERY_NONE;
	put(out, account);
}

/* ---- what was used ----------------------------------------------------------------------- */

/* "PROVIDER/MODEL" of the price table, where the call was priced by it: names that mean one model
 * are one SKU. */
static size_t listed_model(const char *price_id)
{
	size_t len = strcspn(price_id, "@");

	return price_id[len] && memchr(price_id, '/', len) ? len : 0;
}

static void put_sku(struct text *out, const struct call *call, int meter, bool of_price)
{
	size_t len = listed_model(call->cost.price_id);
	char model[sizeof(call->provider) + CALL_NAME_MAX], sku[2 * CALL_NAME_MAX + 64];

	snprintf(model, sizeof(model), "%s/%s", call->provider,
		 *call->model ? call->model : QUERY_NONE);
	if (!of_price || !*call->cost.price_id)
		snprintf(sku, sizeof(sku), "%.*s:%s", len ? (int)len : (int)strlen(model),
			 len ? call->cost.price_id : model, meter_name(meter));
	else if (len)
		snprintf(sku, sizeof(sku), "%s:%s", call->cost.price_id, meter_name(meter));
	else
		snprintf(sku, sizeof(sku), "%.160s@%.127s:%s", model, call->cost.price_id,
			 meter_name(meter));
	put(out, sku);
}

/* Where the host of a provider names the region it serves. */
static void put_region(struct text *out, const struct call *call)
{
	static const struct {
		const char *before, *after;
	} shapes[] = {
		{"bedrock-runtime.", ".amazonaws.com"},
		{"bedrock-runtime-fips.", ".amazonaws.com"},
		{"", "-aiplatform.googleapis.com"},
	};
	struct slice host = {call->host, strcspn(call->host, ":")};
	char region[64] = "";

	slice_copy(region, sizeof(region), slice_of(call->inference_geo));
	for (size_t i = 0; !*region && i < ARRAY_LEN(shapes); i++) {
		struct slice before = slice_of(shapes[i].before), after = slice_of(shapes[i].after);

		if (host.len > before.len + after.len && slice_starts(host, before) &&
		    slice_ends(host, after))
			slice_copy(region, sizeof(region),
				   (struct slice){host.ptr + before.len,
						  host.len - before.len - after.len});
	}
	put(out, region);
}

static void put_pair(struct text *out, const char *first, const char *between, const char *second)
{
	char text[CALL_HOST_MAX + CALL_NAME_MAX];

	snprintf(text, sizeof(text), "%s%s%s", first, between, second);
	put(out, text);
}

/* ---- attribution ------------------------------------------------------------------------- */

static void put_tag(struct text *out, bool *any, const char *prefix, const char *key,
		    const char *value)
{
	char name[TAG_KEY_MAX + 16];

	if (!*value)
		return;
	snprintf(name, sizeof(name), "%s%s", prefix, key);
	text_puts(out, *any ? "," : "{");
	text_json_string(out, slice_of(name));
	text_puts(out, ":");
	text_json_string(out, slice_of(value));
	*any = true;
}

/* The call's own tags as they are; what Tolltap knows of who made it under its prefix. */
static void put_tags(struct text *out, const struct call *call)
{
	const struct workload *w = call_payer(call);
	const struct key_name *key = key_names_find(key_names_in_use(), call->key_fingerprint);
	const struct {
		const char *name, *value;
	} facts[] = {
		{"user", w->user},
		{"comm", w->comm},
		{"unit", w->unit},
		{"namespace", w->namespace_},
		{"pod", w->pod},
		{"container", w->container},
		{"node", w->node},
		{"key_fingerprint", call->key_fingerprint},
		{"key", key ? key->name : ""},
		{"key_owner", key ? key->owner : ""},
	};
	bool any = false;

	for (uint32_t i = 0; i < call->tags.count; i++)
		put_tag(out, &any, "", call->tags.item[i].key, call->tags.item[i].value);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++)
		put_tag(out, &any, "tolltap/", facts[i].name, facts[i].value);
	put(out, any ? "}" : "{}");
}

/* ---- all --------------------------------------------------------------------------------- */

static const char *pricing_category(const struct call *call)
{
	bool priced = *call->cost.price_id && call->billing_mode == BILLING_METERED;

	return priced ? "Standard" : "Other";
}

void focus_put_facts(struct text *out, const struct call *call, bool cost_known, int meter)
{
	put_account(out, call);
	put(out, tag_of(call, "project"));
	put(out, call->provider);
	put(out, *call->billed_by ? call->billed_by : call->provider);
	put_pair(out, call->provider, " API", "");
	put_sku(out, call, meter, false);
	put_sku(out, call, meter, true);
	put_pair(out, call->host, "/", *call->model ? call->model : QUERY_NONE);
	put(out, *call->model ? call->model : QUERY_NONE);
	put_region(out, call);
	put(out, pricing_category(call));
	put_tags(out, call);
	put(out, basis_names[call->basis]);
	put(out, focus_cost_state(call, cost_known));
	put(out, unpriced_reason_names[call->cost.unpriced]);
	put(out, billing_mode_names[call->billing_mode]);
	put(out, call->batch ? "batch" : call->service_tier);
	put(out, call->operation);
	put(out, call->api);
	put(out, call->host);
	put(out, call->cost.prices_sha256);
}
