/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/sides.h"

#include "agent/base/key_names.h"

#include <errno.h>
#include <stdio.h>

/*
 * The facts that select a price, those that say how sure the usage is, and, last, the one that is
 * asked for only where a part of the keys is compared.
 */
enum { BY_DAY, BY_PROVIDER, BY_MODEL, BY_TIER, BY_PRICE, BY_BASIS, BY_ROLE, BY_KEY, BYS };

static const char *const facts[BYS] = {"day",	   "provider", "model",	    "service_tier",
				       "price_id", "basis",    "host_role", "key_fingerprint"};
_Static_assert(BYS <= QUERY_KEYS_MAX, "one query answers");

#define PROBE_UNITS 1000 /* whose cost tells a price without rounding it away */

void recon_model_copy(char dst[CALL_NAME_MAX], const struct catalog *catalog, const char *provider,
		      const char *model)
{
	struct call *call = catalog && *model ? calloc(1, sizeof(*call)) : NULL;
	const char *id = NULL;

	if (call) {
		(void)slice_copy(call->provider, sizeof(call->provider), slice_of(provider));
		(void)slice_copy(call->model, sizeof(call->model), slice_of(model));
		call->role = ROLE_DIRECT;
		id = catalog_model_id(catalog, call);
	}
	(void)slice_copy(dst, CALL_NAME_MAX, slice_of(id ? id : model));
	free(call);
}

/* ---- what a class costs in a group ------------------------------------------------------- */

struct probe {
	const struct catalog *catalog;
	struct call call; /* of the group's price, without usage */
	int64_t prompt;	  /* tokens that put it into the group's context tier */
};

static int64_t priced(struct probe *p)
{
	struct call call = p->call;

	call.usage.tokens[TOKEN_INPUT_UNCACHED] += p->prompt;
	price_call(p->catalog, &call);
	return call.cost.list_pusd;
}

/* PROBE_UNITS of one kind in picodollars, or -1 when the table has no price. */
static int64_t probe_count(struct probe *p, int64_t *count)
{
	int64_t without = 0, with;

	if (p->prompt)
		without = priced(p);
	*count += PROBE_UNITS;
	with = priced(p);
	*count -= PROBE_UNITS;
	return without < 0 || with < without ? -1 : with - without;
}

static void set_up_probe(struct probe *p, const struct spend *s, int64_t day)
{
	const char *id = s->group[BY_PRICE] ? s->group[BY_PRICE] : "";
	const char *above = strstr(id, "+above_");
	long long tokens = 0;

	memset(&p->call, 0, sizeof(p->call));
	p->prompt = 0;
	if (above && sscanf(above, "+above_%lld", &tokens) == 1 && tokens < INT32_MAX)
		p->prompt = tokens + 1;
	p->call.role = ROLE_DIRECT;
	p->call.basis = BASIS_REPORTED_USAGE;
	p->call.billable = true;
	p->call.usage.known = true;
	p->call.usage.provider_cost_pusd = -1;
	p->call.batch = strstr(id, "+batch") != NULL;
	p->call.started_at_us = (day * SECONDS_PER_DAY + SECONDS_PER_DAY / 2) * 1000000;
	(void)slice_copy(p->call.provider, sizeof(p->call.provider),
			 slice_of(s->group[BY_PROVIDER] ? s->group[BY_PROVIDER] : ""));
	(void)slice_copy(p->call.model, sizeof(p->call.model),
			 slice_of(s->group[BY_MODEL] ? s->group[BY_MODEL] : ""));
	(void)slice_copy(p->call.service_tier, sizeof(p->call.service_tier),
			 slice_of(s->group[BY_TIER] ? s->group[BY_TIER] : ""));
}

/* ---- a group's classes ------------------------------------------------------------------- */

struct split {
	bill_sum units[BILL_CLASSES];
	bill_sum weight[BILL_CLASSES]; /* units at their price */
	int64_t list[BILL_CLASSES];    /* PROBE_UNITS of it, or -1 */
};

static void add_kind(struct split *split, enum bill_class class, int64_t units, int64_t price)
{
	split->units[class] += units;
	if (units > 0 && price > 0)
		split->weight[class] += (bill_sum)units * price;
	if (price >= 0)
		split->list[class] = price;
}

static void split_units(const struct catalog *catalog, const struct spend *s, int64_t day,
			struct split *split)
{
	struct probe *p = catalog ? malloc(sizeof(*p)) : NULL;

	memset(split, 0, sizeof(*split));
	for (int i = 0; i < BILL_CLASSES; i++)
		split->list[i] = -1;
	if (p) {
		p->catalog = catalog;
		set_up_probe(p, s, day);
	}
	for (int i = 0; i < TOKEN_KINDS; i++)
		add_kind(split, bill_class_of_token[i], s->tokens[i],
			 p ? probe_count(p, &p->call.usage.tokens[i]) : -1);
	for (int i = 0; i < TOOL_UNITS; i++) {
		if (s->tool_units[i] > 0)
			add_kind(split, bill_class_of_tool[i], s->tool_units[i],
				 p ? probe_count(p, &p->call.usage.tool_units[i]) : -1);
	}
	free(p);
}

/* Weights that leave room for a product with any sum of money; by units when none has a price. */
static bill_sum scale_weights(struct split *split)
{
	bill_sum total = 0;

	for (int i = 0; i < BILL_CLASSES; i++)
		total += split->weight[i];
	for (int i = 0; total == 0 && i < BILL_CLASSES; i++)
		split->weight[i] = split->units[i];
	for (;;) {
		total = 0;
		for (int i = 0; i < BILL_CLASSES; i++)
			total += split->weight[i];
		if (total < (bill_sum)1 << 62)
			return total;
		for (int i = 0; i < BILL_CLASSES; i++)
			split->weight[i] >>= 1;
	}
}

/* What of the cost falls on the classes whose weights come to `until`, to the nearest. */
static bill_sum cost_until(bill_sum cost, bill_sum until, bill_sum total)
{
	bill_sum whole = cost / total, rest = cost % total;

	return whole * until + (rest * until + total / 2) / total;
}

/* ---- sums -------------------------------------------------------------------------------- */

static struct recon_ledger *add_sum(struct ledger_side *side)
{
	if (side->count == side->cap) {
		size_t cap = side->cap ? side->cap * 2 : 64;
		struct recon_ledger *grown;

		if (side->cap > 2 * RECON_SUMS_MAX)
			return NULL;
		grown = reallocarray(side->sum, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		side->sum = grown;
		side->cap = cap;
	}
	side->sum[side->count] = (struct recon_ledger){.list_pusd = -1};
	return &side->sum[side->count++];
}

static bool is_unsure(const struct spend *s)
{
	return s->calls_by_basis[BASIS_ESTIMATED] + s->calls_by_basis[BASIS_PARTIAL] > 0;
}

static void fill_key(const struct spend *s, const struct catalog *catalog, int64_t day,
		     struct recon_key *key)
{
	const char *id = s->group[BY_PRICE] ? s->group[BY_PRICE] : "";

	memset(key, 0, sizeof(*key));
	key->day = day;
	(void)slice_copy(key->provider, sizeof(key->provider),
			 slice_of(s->group[BY_PROVIDER] ? s->group[BY_PROVIDER] : ""));
	recon_model_copy(key->model, catalog, key->provider,
			 s->group[BY_MODEL] ? s->group[BY_MODEL] : "");
	bill_tier_copy(key->tier, slice_of(strstr(id, "+batch") ? "batch"
					   : s->group[BY_TIER]	? s->group[BY_TIER]
								: BILL_STANDARD));
}

/* Token classes without units stand there too, for their price in the catalogue. */
static int take_group(const struct spend *s, const struct catalog *catalog, int64_t day,
		      struct ledger_side *side)
{
	bill_sum total, until = 0, given = 0;
	struct recon_key key;
	struct split split;

	split_units(catalog, s, day, &split);
	total = scale_weights(&split);
	fill_key(s, catalog, day, &key);
	for (int i = 0; i < BILL_CLASSES; i++) {
		bool is_token = bill_side_of((enum bill_class)i) != SIDE_UNITS;
		/* A cost without any unit (a fee for the request) is of no class. */
		bool rest = i == BILL_OTHER && total == 0 && s->cost;
		struct recon_ledger *sum;

		if (!split.units[i] && !is_token && !rest)
			continue;
		sum = add_sum(side);
		if (!sum)
			return -ENOMEM;
		sum->key = key;
		sum->key.class = (enum bill_class)i;
		sum->quantity = split.units[i];
		until += split.weight[i];
		sum->cost_pusd = rest	 ? s->cost
				 : total ? cost_until(s->cost, until, total) - given
					 : 0;
		given += sum->cost_pusd;
		sum->calls = s->calls;
		sum->list_pusd = split.list[i] >= 0 && split.list[i] <= INT64_MAX / PROBE_UNITS
					 ? split.list[i] * (1000000 / PROBE_UNITS)
					 : -1;
		if (is_unsure(s)) {
			sum->estimated_quantity = sum->quantity;
			sum->estimated_pusd = sum->cost_pusd;
			sum->estimated_calls = s->calls;
		}
	}
	return 0;
}

static int compare_sums(const void *a, const void *b)
{
	return memcmp(&((const struct recon_ledger *)a)->key,
		      &((const struct recon_ledger *)b)->key, sizeof(struct recon_key));
}

/* Groups that differ in price or basis only are one sum. */
static int merge_sums(struct ledger_side *side)
{
	size_t kept = 0;

	if (side->count)
		qsort(side->sum, side->count, sizeof(*side->sum), compare_sums);
	for (size_t i = 0; i < side->count; i++) {
		struct recon_ledger *last = &side->sum[kept ? kept - 1 : 0], *s = &side->sum[i];

		if (!kept || compare_sums(last, s) != 0) {
			side->sum[kept++] = *s;
			continue;
		}
		last->quantity += s->quantity;
		last->cost_pusd += s->cost_pusd;
		last->estimated_quantity += s->estimated_quantity;
		last->estimated_pusd += s->estimated_pusd;
		last->calls += s->calls;
		last->estimated_calls += s->estimated_calls;
		if (last->list_pusd < 0)
			last->list_pusd = s->list_pusd;
	}
	side->count = kept;
	return kept > RECON_SUMS_MAX ? -E2BIG : 0;
}

static bool is_foreign(const struct spend *s)
{
	const char *role = s->group[BY_ROLE];

	return !role || !strcmp(role, host_role_names[ROLE_SELF_HOSTED]) ||
	       !strcmp(role, host_role_names[ROLE_UNKNOWN]);
}

/* ---- the scope's keys -------------------------------------------------------------------- */

static bool is_named(const char *key_id, size_t len)
{
	const struct key_names *names = key_names_in_use();

	for (size_t i = 0; names && i < names->count; i++) {
		if (slice_eq(slice_of(names->row[i].key_id), (struct slice){key_id, len}))
			return true;
	}
	return false;
}

/* Calls of one key that is not named would be missing: it is all of them or none. */
static bool are_named(const char *keys)
{
	if (!*keys)
		return false;
	while (*keys) {
		size_t len = strcspn(keys, ",");

		if (len && !is_named(keys, len))
			return false;
		keys += len + (keys[len] == ',');
	}
	return true;
}

static bool is_of_keys(const struct spend *s, const char *keys)
{
	const char *fingerprint = s->group[BY_KEY] ? s->group[BY_KEY] : "";
	const struct key_name *name = key_names_find(key_names_in_use(), fingerprint);

	return name && name->key_id[0] && bill_filter_has(keys, name->key_id);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static int take_rows(const struct spend *rows, size_t count, const struct recon_scope *scope,
		     const struct catalog *catalog, struct ledger_side *side)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		int64_t at_us;

		/* A refused call is of no bill. */
		if (rows[i].calls_by_basis[BASIS_NOT_BILLED] || !rows[i].group[BY_DAY] ||
		    !query_time_parse(rows[i].group[BY_DAY], 0, &at_us))
			continue;
		if (side->by_keys && !is_of_keys(&rows[i], scope->keys))
			continue;
		if (is_foreign(&rows[i])) {
			side->foreign_calls += rows[i].calls;
			continue;
		}
		side->calls += rows[i].calls;
		r = take_group(&rows[i], catalog, bill_day(at_us / 1000000), side);
	}
	return r ? r : merge_sums(side);
}

int ledger_side_load(struct query *q, const struct recon_scope *scope,
		     const struct query_filter *filter, const struct catalog *catalog,
		     struct ledger_side *out)
{
	struct query_filter mine = *filter;
	struct query_key keys[BYS];
	struct ledger_side side = {.by_keys = are_named(scope->keys)};
	struct spend *rows;
	size_t count;
	int r = 0;

	for (int i = 0; i < BYS; i++) {
		if (!query_key_parse(slice_of(facts[i]), &keys[i]))
			return -EINVAL;
	}
	mine.since_us = scope->from_s * 1000000;
	mine.until_us = scope->to_s * 1000000;
	r = query_filter_where(&mine, "billing_mode=metered"); /* no subscription is on a bill */
	if (r)
		return r;
	r = query_spend(q, &mine, keys, side.by_keys ? BYS : BY_KEY, &rows, &count);
	if (r)
		return r;
	r = take_rows(rows, count, scope, catalog, &side);
	query_spend_free(rows, count);
	if (r)
		ledger_side_free(&side);
	else
		*out = side;
	return r;
}

void ledger_side_free(struct ledger_side *side)
{
	free(side->sum);
	*side = (struct ledger_side){0};
}
