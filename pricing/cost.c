/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of a call. Every term is units x price, exact, over one common denominator; multipliers
 * are fractions; the sum is rounded to a picodollar once, half to even, at the end. The context
 * tier is chosen once from the whole prompt and reprices the whole request.
 */
#include "pricing/table.h"

#include <stdio.h>

/* All that selects a unit price for one call. */
struct rate {
	const struct price_set *base;
	const struct context_tier *context; /* NULL: below the first threshold */
	const struct price_set *fees;	    /* of the standard sheet */
	const struct price_set *provider_fees;
	struct factor tokens; /* service tier and multipliers: tokens only */
};

/* num / (PRICE_DENOMINATOR * factor denominators), in picodollars. */
struct amount {
	__int128 tokens;
	__int128 fees;
	struct price_terms *terms; /* NULL, or what the sum is made of */
};

static bool factor_times(struct factor *f, struct factor by)
{
	return !__builtin_mul_overflow(f->num, by.num, &f->num) &&
	       !__builtin_mul_overflow(f->den, by.den, &f->den);
}

/* --- unit prices ------------------------------------------------------------------------- */

static bool token_price(const struct rate *rate, enum price_kind kind, int64_t *pusd)
{
	for (;;) {
		enum price_kind next = price_kinds[kind].fallback;

		if (rate->context && price_has(&rate->context->prices, kind)) {
			*pusd = rate->context->prices.pusd[kind];
			return true;
		}
		if (price_has(rate->base, kind)) {
			*pusd = rate->base->pusd[kind];
			return true;
		}
		if (next == kind)
			return false;
		kind = next;
	}
}

static bool fee_price(const struct rate *rate, enum price_kind kind, int64_t *pusd)
{
	const struct price_set *sets[] = {rate->fees, rate->provider_fees};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		if (sets[i] && price_has(sets[i], kind)) {
			*pusd = sets[i]->pusd[kind];
			return true;
		}
	}
	return false;
}

static enum unpriced_reason add_term(__int128 *sum, enum price_kind kind, int64_t units,
				     int64_t pusd)
{
	__int128 term;

	if (__builtin_mul_overflow((__int128)units, (__int128)pusd, &term) ||
	    __builtin_mul_overflow(term, (__int128)(PRICE_DENOMINATOR / price_kinds[kind].per),
				   &term) ||
	    __builtin_add_overflow(*sum, term, sum))
		return UNPRICED_OVERFLOW;
	return UNPRICED_NOT;
}

static void note_term(const struct amount *amount, int meter, enum price_kind kind, int64_t units,
		      int64_t pusd)
{
	struct price_terms *terms = amount->terms;

	if (terms && terms->count < METERS)
		terms->term[terms->count++] = (struct price_term){meter, kind, units, pusd};
}

/* Audio told in seconds and in tokens (Mistral) is billed once: by the second where that has a
 * price.
 */
static bool audio_by_second(const struct rate *rate, const struct usage *usage)
{
	int64_t pusd;

	return usage->tool_units[TOOL_AUDIO_SECONDS] > 0 &&
	       fee_price(rate, PRICE_AUDIO_INPUT, &pusd);
}

static bool audio_by_token(const struct rate *rate, const struct usage *usage)
{
	int64_t pusd;

	return usage->tokens[TOKEN_INPUT_AUDIO] > 0 && !audio_by_second(rate, usage) &&
	       token_price(rate, PRICE_INPUT_AUDIO, &pusd);
}

/* A call that is billed by its wall time, and whose tokens cost nothing: they need no price. */
static bool paid_by_time(const struct price_set *set)
{
	for (int i = 0; i < PRICE_KINDS; i++) {
		if (price_kinds[i].token && price_has(set, (enum price_kind)i) && set->pusd[i] > 0)
			return false;
	}
	return price_has(set, PRICE_DURATION);
}

static enum unpriced_reason add_tokens(const struct rate *rate, const struct usage *usage,
				       struct amount *amount)
{
	if (paid_by_time(rate->base))
		return UNPRICED_NOT;
	for (int i = 0; i < TOKEN_KINDS; i++) {
		enum unpriced_reason reason;
		int64_t pusd;

		if (usage->tokens[i] <= 0 ||
		    (i == TOKEN_INPUT_AUDIO && audio_by_second(rate, usage)))
			continue;
		if (!token_price(rate, price_of_token[i], &pusd))
			return UNPRICED_UNIT_MISSING;
		note_term(amount, i, price_of_token[i], usage->tokens[i], pusd);
		reason = add_term(&amount->tokens, price_of_token[i], usage->tokens[i], pusd);
		if (reason != UNPRICED_NOT)
			return reason;
	}
	return UNPRICED_NOT;
}

/* A fee that every call has when it has a price; no price is no fee. */
static enum unpriced_reason add_if_priced(const struct rate *rate, int meter, enum price_kind kind,
					  int64_t units, struct amount *amount)
{
	int64_t pusd;

	if (units <= 0 || !fee_price(rate, kind, &pusd))
		return UNPRICED_NOT;
	note_term(amount, meter, kind, units, pusd);
	return add_term(&amount->fees, kind, units, pusd);
}

static enum unpriced_reason add_fees(const struct rate *rate, const struct call *call,
				     struct amount *amount)
{
	enum unpriced_reason reason;
	int64_t pusd;

	for (int i = 0; i < TOOL_UNITS; i++) {
		if (call->usage.tool_units[i] <= 0 ||
		    (i == TOOL_AUDIO_SECONDS && audio_by_token(rate, &call->usage)))
			continue;
		if (!fee_price(rate, price_of_tool[i], &pusd))
			return UNPRICED_UNIT_MISSING;
		note_term(amount, METER_TOOLS + i, price_of_tool[i], call->usage.tool_units[i],
			  pusd);
		reason = add_term(&amount->fees, price_of_tool[i], call->usage.tool_units[i], pusd);
		if (reason != UNPRICED_NOT)
			return reason;
	}
	reason = add_if_priced(rate, METER_REQUEST, PRICE_REQUEST, 1, amount);
	if (reason != UNPRICED_NOT)
		return reason;
	return add_if_priced(rate, METER_DURATION, PRICE_DURATION, call->duration_us, amount);
}

/* (tokens x token factor + fees) x factor, to the nearest picodollar, ties to even. */
static enum unpriced_reason settle(const struct amount *amount, struct factor tokens,
				   struct factor all, int64_t *pusd)
{
	__int128 sum, fees, den = PRICE_DENOMINATOR, quotient, rest;

	if (__builtin_mul_overflow(amount->tokens, (__int128)tokens.num, &sum) ||
	    __builtin_mul_overflow(amount->fees, (__int128)tokens.den, &fees) ||
	    __builtin_add_overflow(sum, fees, &sum) ||
	    __builtin_mul_overflow(sum, (__int128)all.num, &sum) ||
	    __builtin_mul_overflow(den, (__int128)tokens.den, &den) ||
	    __builtin_mul_overflow(den, (__int128)all.den, &den))
		return UNPRICED_OVERFLOW;
	quotient = sum / den;
	rest = sum % den;
	if (rest > den - rest || (rest == den - rest && (quotient & 1)))
		quotient++;
	if (quotient > INT64_MAX)
		return UNPRICED_OVERFLOW;
	*pusd = (int64_t)quotient;
	return UNPRICED_NOT;
}

/* --- selection --------------------------------------------------------------------------- */

static const struct context_tier *context_of(const struct sheet *sheet, int64_t prompt)
{
	const struct context_tier *found = NULL;

	for (uint32_t i = 0; i < sheet->above_count; i++) {
		const struct context_tier *t = &sheet->above[i];

		if (prompt > t->tokens || (t->inclusive && prompt == t->tokens))
			found = t;
	}
	return found;
}

/* Names of tiers that every provider bills at its standard price. */
static bool tier_is_standard(const struct provider_facts *facts, const char *name)
{
	static const char *const standard[] = {"", "default", "standard", "auto", "on_demand"};

	for (size_t i = 0; i < ARRAY_LEN(standard); i++) {
		if (!strcmp(name, standard[i]))
			return true;
	}
	for (uint32_t i = 0; facts && i < facts->standard_count; i++) {
		if (!strcmp(name, facts->standard_tiers[i]))
			return true;
	}
	return false;
}

static const char *tier_name(const struct provider_facts *facts, const struct call *call)
{
	if (call->batch)
		return "batch";
	for (uint32_t i = 0; facts && i < facts->tier_name_count; i++) {
		if (!strcmp(call->service_tier, facts->tier_from[i]))
			return facts->tier_to[i];
	}
	return call->service_tier;
}

static const struct service_tier *tier_find(const struct period *period, const char *name)
{
	for (uint32_t i = 0; i < period->tier_count; i++) {
		if (!strcmp(period->tiers[i].name, name))
			return &period->tiers[i];
	}
	return NULL;
}

static bool multiplier_applies(const struct multiplier *m, const struct call *call,
			       const char *tier)
{
	if (m->not_with[0] && !strcmp(m->not_with, tier))
		return false;
	switch (m->by) {
	case BY_INFERENCE_GEO:
		return !strcasecmp(call->inference_geo, m->value);
	case BY_SPEED:
		return !strcasecmp(call->speed, m->value);
	case BY_HOST:
		return host_is(call->host, m->value);
	case MULTIPLIER_BYS:
		break;
	}
	return false;
}

static void id_append(char *id, size_t size, const char *text)
{
	size_t used = strlen(id);

	snprintf(id + used, size - used, "+%s", text);
}

static bool apply_multipliers(const struct period *period, const struct call *call,
			      const char *tier, struct factor *factor, char *id, size_t id_size)
{
	for (uint32_t i = 0; i < period->multiplier_count; i++) {
		const struct multiplier *m = &period->multipliers[i];

		if (!multiplier_applies(m, call, tier))
			continue;
		if (!factor_times(factor, m->factor))
			return false;
		id_append(id, id_size, m->value);
	}
	return true;
}

/* Fills the rate for a call and appends to id what was selected. */
static enum unpriced_reason rate_select(const struct period *period,
					const struct provider_facts *facts, const struct call *call,
					struct rate *rate, char *id, size_t id_size)
{
	const char *name = tier_name(facts, call);
	const struct service_tier *tier = tier_find(period, name);
	const struct sheet *sheet = tier && tier->own ? tier->own : &period->sheet;
	char text[32];

	if (!tier && !tier_is_standard(facts, name))
		return UNPRICED_UNIT_MISSING;
	rate->base = &sheet->base;
	rate->context = call->summed ? NULL : context_of(sheet, usage_input_total(&call->usage));
	rate->fees = &period->sheet.base;
	rate->provider_fees = facts ? &facts->fees : NULL;
	rate->tokens = tier ? tier->factor : FACTOR_ONE;
	if (tier)
		id_append(id, id_size, name);
	if (rate->context) {
		snprintf(text, sizeof(text), "above_%lld", (long long)rate->context->tokens);
		id_append(id, id_size, text);
	}
	if (!apply_multipliers(period, call, name, &rate->tokens, id, id_size))
		return UNPRICED_OVERFLOW;
	return UNPRICED_NOT;
}

/* All terms of the call's usage under one period, and what they are multiplied by. */
static enum unpriced_reason add_all(const struct catalog *c, const struct call *call,
				    const char *provider, const struct period *period,
				    struct rate *rate, struct amount *amount, char *id,
				    size_t id_size)
{
	enum unpriced_reason reason =
		rate_select(period, catalog_provider(c, provider), call, rate, id, id_size);

	if (reason == UNPRICED_NOT)
		reason = add_tokens(rate, &call->usage, amount);
	if (reason == UNPRICED_NOT)
		reason = add_fees(rate, call, amount);
	return reason;
}

/* The price of the call's usage under one period. id already holds "provider/model@from". */
static enum unpriced_reason price_under(const struct catalog *c, const struct call *call,
					const char *provider, const struct period *period,
					struct factor factor, int64_t *pusd, char *id,
					size_t id_size)
{
	struct amount amount = {0};
	enum unpriced_reason reason;
	struct rate rate;

	reason = add_all(c, call, provider, period, &rate, &amount, id, id_size);
	if (reason == UNPRICED_NOT)
		reason = settle(&amount, rate.tokens, factor, pusd);
	return reason;
}

/* --- one call ---------------------------------------------------------------------------- */

static enum unpriced_reason public_price(const struct catalog *c, const struct call *call,
					 const struct model *model, struct factor factor,
					 int64_t *pusd, char *id, size_t id_size)
{
	const struct period *period;

	if (!model)
		return UNPRICED_UNKNOWN_MODEL;
	period = period_at(model, call->started_at_us);
	if (!period)
		return UNPRICED_NO_PRICE_AT_TIME;
	/* An id that does not fit is cut: a name of that length is its own model anyway. */
	snprintf(id, id_size, "%.31s/%.79s@%.10s", model->provider, model->id,
		 period->from[0] ? period->from : "initial");
	return price_under(c, call, model->provider, period, factor, pusd, id, id_size);
}

/* Prices of a contract or of an own model; the public price stays the list price where one is. */
static enum unpriced_reason override_price(const struct catalog *c, const struct call *call,
					   const struct override *o, const struct model *model,
					   struct cost *cost)
{
	enum unpriced_reason reason;
	char id[CALL_NAME_MAX];

	snprintf(cost->price_id, sizeof(cost->price_id), "%s", o->place);
	if (!call->usage.known && !paid_by_time(&o->period.sheet.base))
		return UNPRICED_NOT;
	reason = price_under(c, call, call->provider, &o->period, FACTOR_ONE, &cost->cost_pusd,
			     cost->price_id, sizeof(cost->price_id));
	if (reason != UNPRICED_NOT)
		return reason;
	if (call->role == ROLE_SELF_HOSTED ||
	    public_price(c, call, model, FACTOR_ONE, &cost->list_pusd, id, sizeof(id)))
		cost->list_pusd = cost->cost_pusd;
	return UNPRICED_NOT;
}

static enum unpriced_reason discounted_price(const struct catalog *c, const struct call *call,
					     const struct override *o, const struct model *model,
					     struct cost *cost)
{
	char id[CALL_NAME_MAX];
	enum unpriced_reason reason;

	if (!call->usage.known)
		return UNPRICED_NOT;
	reason = public_price(c, call, model, FACTOR_ONE, &cost->list_pusd, cost->price_id,
			      sizeof(cost->price_id));
	cost->cost_pusd = cost->list_pusd;
	if (reason != UNPRICED_NOT || !o)
		return reason;
	id_append(cost->price_id, sizeof(cost->price_id), o->place);
	return public_price(c, call, model, o->factor, &cost->cost_pusd, id, sizeof(id));
}

static enum unpriced_reason price_usage(const struct catalog *c, const struct call *call,
					struct cost *cost)
{
	const struct model *model = catalog_find_call(c, call);
	const struct override *o = override_find(c, call, model);

	if (call->role == ROLE_UNKNOWN)
		return UNPRICED_HOST_ROLE_UNKNOWN;
	if (o && o->has_prices)
		return override_price(c, call, o, model, cost);
	if (call->role == ROLE_SELF_HOSTED) {
		cost->list_pusd = cost->cost_pusd = 0;
		snprintf(cost->price_id, sizeof(cost->price_id), "self_hosted");
		return UNPRICED_NOT;
	}
	return discounted_price(c, call, o, model, cost);
}

/* The provider's own figure is what it bills, where the table says so or the dialect did. */
static bool wire_cost_rules(const struct catalog *c, const struct call *call)
{
	const struct provider_facts *facts = catalog_provider(c, call->provider);

	if (call->usage.provider_cost_pusd < 0 || call->role == ROLE_UNKNOWN ||
	    call->role == ROLE_SELF_HOSTED)
		return false;
	return call->basis == BASIS_PROVIDER_REPORTED || (facts && facts->cost_on_wire);
}

/*
 * What a call that was priced before stood on, so that it can be priced again: how its usage came
 * to be known is still there when no price was found, or when its sum was too long for a tier.
 */
static enum basis basis_before(const struct call *call)
{
	if (call->basis == BASIS_PARTIAL && call->summed && call->outcome == OUTCOME_OK &&
	    call->usage_missing == MISSING_NOT)
		return BASIS_REPORTED_USAGE;
	if (call->basis != BASIS_UNPRICED)
		return call->basis;
	if (*call->estimated_by)
		return BASIS_ESTIMATED;
	return call->usage_missing != MISSING_NOT || call->outcome == OUTCOME_ABORTED ||
			       call->outcome == OUTCOME_UNKNOWN
		       ? BASIS_PARTIAL
		       : BASIS_REPORTED_USAGE;
}

/* What the basis is once a price was found. */
static enum basis priced_basis(const struct call *call, bool from_wire)
{
	if (call->basis == BASIS_PARTIAL)
		return BASIS_PARTIAL;
	if (from_wire)
		return BASIS_PROVIDER_REPORTED;
	return call->basis == BASIS_PROVIDER_REPORTED ? BASIS_REPORTED_USAGE : call->basis;
}

static void settle_basis(struct call *call, bool from_wire, enum unpriced_reason reason)
{
	struct cost *cost = &call->cost;

	if (reason != UNPRICED_NOT) {
		cost->list_pusd = cost->cost_pusd = -1;
		cost->price_id[0] = '\0';
	}
	if (from_wire)
		cost->cost_pusd = call->usage.provider_cost_pusd;
	if (from_wire || reason == UNPRICED_NOT) {
		call->basis = priced_basis(call, from_wire);
		return;
	}
	cost->unpriced = reason;
	if (call->usage.known)
		call->basis = BASIS_UNPRICED;
}

/* A sum of requests, of which one at least may have been long enough for a dearer tier. */
static bool context_unknown(const struct catalog *c, const struct call *call)
{
	const struct model *model = call->summed ? catalog_find_call(c, call) : NULL;
	const struct period *period = model ? period_at(model, call->started_at_us) : NULL;

	return period && context_of(&period->sheet, usage_input_total(&call->usage));
}

/* What caching saved: the same call with all its cached input as plain input, less what it cost. */
static int64_t cache_savings(const struct catalog *c, const struct call *call)
{
	static const enum token_kind cached[] = {TOKEN_INPUT_CACHE_READ, TOKEN_INPUT_CACHE_WRITE_5M,
						 TOKEN_INPUT_CACHE_WRITE_1H};
	struct cost cost = {.list_pusd = -1, .cost_pusd = -1};
	struct call plain;
	int64_t moved = 0;

	for (size_t i = 0; i < ARRAY_LEN(cached); i++)
		moved |= call->usage.tokens[cached[i]];
	if (!moved || !call->usage.known)
		return 0;
	plain = *call;
	for (size_t i = 0; i < ARRAY_LEN(cached); i++) {
		if (__builtin_add_overflow(plain.usage.tokens[TOKEN_INPUT_UNCACHED],
					   plain.usage.tokens[cached[i]],
					   &plain.usage.tokens[TOKEN_INPUT_UNCACHED]))
			return 0;
		plain.usage.tokens[cached[i]] = 0;
	}
	if (price_usage(c, &plain, &cost) != UNPRICED_NOT)
		return 0;
	return cost.cost_pusd - call->cost.cost_pusd;
}

void price_call(const struct catalog *c, struct call *call)
{
	struct cost *cost = &call->cost;
	enum unpriced_reason reason;

	*cost = (struct cost){.list_pusd = -1, .cost_pusd = -1};
	slice_copy(cost->prices_sha256, sizeof(cost->prices_sha256), slice_of(c->sha256));
	if (call->basis == BASIS_NOT_BILLED) {
		cost->list_pusd = cost->cost_pusd = 0;
		return;
	}
	call->basis = basis_before(call);
	reason = price_usage(c, call, cost);
	if (reason == UNPRICED_NOT)
		cost->cache_savings_pusd = cache_savings(c, call);
	settle_basis(call, wire_cost_rules(c, call), reason);
	if (call->basis == BASIS_REPORTED_USAGE && context_unknown(c, call))
		call->basis = BASIS_PARTIAL;
	if (call->billing_mode == BILLING_SUBSCRIPTION || !call->billable)
		cost->cost_pusd = cost->cache_savings_pusd = 0;
}

/* --- what a cost is made of -------------------------------------------------------------- */

static bool terms_under(const struct catalog *c, const struct call *call, const char *provider,
			const struct period *period, struct price_terms *terms)
{
	struct amount amount = {.terms = terms};
	char id[CALL_NAME_MAX] = "";
	struct rate rate;

	terms->count = 0;
	if (!period || add_all(c, call, provider, period, &rate, &amount, id, sizeof(id))) {
		terms->count = 0;
		return false;
	}
	terms->tokens = rate.tokens;
	terms->all = FACTOR_ONE;
	return true;
}

void price_terms(const struct catalog *c, const struct call *call, struct price_terms *list,
		 struct price_terms *cost)
{
	const struct model *model = catalog_find_call(c, call);
	const struct override *o = override_find(c, call, model);
	const struct period *period = model ? period_at(model, call->started_at_us) : NULL;
	const char *provider = model ? model->provider : "";
	bool own = o && o->has_prices, self_hosted = call->role == ROLE_SELF_HOSTED;

	list->count = cost->count = 0;
	if (own && !terms_under(c, call, call->provider, &o->period, cost))
		cost->count = 0;
	if (!self_hosted && !terms_under(c, call, provider, period, list))
		list->count = 0;
	if (own && list->count == 0)
		*list = *cost;
	if (own || self_hosted)
		return;
	*cost = *list;
	if (o)
		cost->all = o->factor;
}
