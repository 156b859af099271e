/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/reconcile.h"

#include <errno.h>
#include <stdio.h>

const char *const recon_cause_names[RECON_CAUSES] = {"price", "class", "coverage", "estimated",
						     "unexplained"};

const char *const recon_state_names[RECON_STATES] = {"both",	   "untracked", "not_covered",
						     "not_billed", "no_amount", "other_currency"};

#define UNITS_MAX    ((bill_sum)1 << 62) /* products of two counts stay below 2^127 */
#define MILLION	     1000000
#define FACTOR_STEPS 1000
#define PRICED_UNITS 1000000000 /* of which a price is */
#define PRICE_STEPS  100000	/* a price has at most five digits */
/*
 * What rounding may have taken is 1/CHANCE of a step of prices or of factors at most, to either
 * side: of arbitrary amounts one in a hundred is taken for one.
 */
#define CHANCE 200

/* ---- arithmetic -------------------------------------------------------------------------- */

static bill_sum clamp(bill_sum v)
{
	return v > UNITS_MAX ? UNITS_MAX : v < -UNITS_MAX ? -UNITS_MAX : v;
}

static bill_sum magnitude(bill_sum v)
{
	return v < 0 ? -v : v;
}

static bill_sum least(bill_sum a, bill_sum b)
{
	return a < b ? a : b;
}

/* units x num / den, to the nearest, halves away from zero; den > 0. */
static bill_sum times(bill_sum units, bill_sum num, bill_sum den)
{
	bill_sum whole = num / den, rest = num % den, part, cut;

	units = clamp(units);
	part = units * rest;
	cut = part % den;
	part /= den;
	if (2 * magnitude(cut) >= den)
		part += cut < 0 ? -1 : 1;
	return units * whole + part;
}

bool recon_is_price(bill_sum amount, bill_sum slack, bill_sum quantity)
{
	bill_sum price, step = 1;

	if (quantity <= 0 || amount < 0)
		return false;
	if (amount == 0)
		return true;
	/* The price of 10^9 units in 10^-12: small prices keep their digits. */
	price = times(PRICED_UNITS, amount, quantity);
	while (step <= price && (price / step >= PRICE_STEPS ||
				 times(quantity, step, PRICED_UNITS) < CHANCE * (slack + 1)))
		step *= 10;
	if (step > price)
		return false;
	price = (price + step / 2) / step * step;
	return magnitude(amount - times(quantity, price, PRICED_UNITS)) <= slack + 1;
}

/* ---- lists: sorted by all but what a rule makes one of -------------------------------------- */

static int compare_numbers(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_group(const struct recon_key *a, const struct recon_key *b)
{
	int order = strcmp(a->provider, b->provider);

	if (!order)
		order = compare_numbers(a->day, b->day);
	return order ? order : strcmp(a->model, b->model);
}

static int by_key(const struct recon_key *a, const struct recon_key *b)
{
	int order = by_group(a, b);

	if (!order)
		order = strcmp(a->tier, b->tier);
	return order ? order : compare_numbers(a->class, b->class);
}

static int bills_by_key(const void *a, const void *b)
{
	const struct recon_bill *x = a, *y = b;
	int order = by_key(&x->key, &y->key);

	return order ? order : strcmp(x->currency, y->currency);
}

static int sums_by_key(const void *a, const void *b)
{
	const struct recon_ledger *x = a, *y = b;

	return by_key(&x->key, &y->key);
}

/* Both lists, of which a group is a run of equal provider, day and model in each. */
struct lists {
	struct recon_bill *bill;
	size_t bills;
	struct recon_ledger *sum;
	size_t sums;
};

static void sort_lists(struct lists *l)
{
	if (l->bills)
		qsort(l->bill, l->bills, sizeof(*l->bill), bills_by_key);
	if (l->sums)
		qsort(l->sum, l->sums, sizeof(*l->sum), sums_by_key);
}

/* The next group of both lists, from *bill and *sum on, which move behind it. */
static bool next_group(const struct lists *all, size_t *bill, size_t *sum, struct lists *group)
{
	const struct recon_key *b = *bill < all->bills ? &all->bill[*bill].key : NULL;
	const struct recon_key *s = *sum < all->sums ? &all->sum[*sum].key : NULL;
	const struct recon_key *first = !s || (b && by_group(b, s) <= 0) ? b : s;

	if (!first)
		return false;
	*group = (struct lists){.bill = all->bill + *bill, .sum = all->sum + *sum};
	while (*bill < all->bills && !by_group(&all->bill[*bill].key, first)) {
		group->bills++;
		++*bill;
	}
	while (*sum < all->sums && !by_group(&all->sum[*sum].key, first)) {
		group->sums++;
		++*sum;
	}
	return true;
}

/* ---- where one side does not tell things apart ------------------------------------------- */

/* Bills have one line for all searches of a day, whatever model asked for them. */
static bool bills_unit_alone(const struct lists *l, const struct recon_key *key)
{
	for (size_t i = 0; i < l->bills; i++) {
		const struct recon_key *k = &l->bill[i].key;

		if (l->bill[i].has_amount && !k->model[0] && k->class == key->class &&
		    k->day == key->day && !strcmp(k->provider, key->provider))
			return true;
	}
	return false;
}

/* The bill lines without a model that are of a class with a count. */
static struct lists lone_units(const struct lists *all, struct recon_bill *scratch)
{
	struct lists l = {.bill = scratch};

	for (size_t i = 0; i < all->bills; i++) {
		const struct recon_bill *b = &all->bill[i];

		if (!b->key.model[0] && bill_side_of(b->key.class) == SIDE_UNITS &&
		    b->key.class < BILL_OTHER)
			l.bill[l.bills++] = *b;
	}
	return l;
}

static void forget_model(const struct lists *lone, struct recon_key *key)
{
	if (bill_side_of(key->class) != SIDE_UNITS || key->class >= BILL_OTHER ||
	    !bills_unit_alone(lone, key))
		return;
	key->model[0] = '\0';
	key->tier[0] = '\0';
}

static int merge_unit_models(struct lists *all)
{
	struct recon_bill *scratch = calloc(all->bills + 1, sizeof(*scratch));
	struct lists lone;

	if (!scratch)
		return -ENOMEM;
	lone = lone_units(all, scratch);
	for (size_t i = 0; lone.bills && i < all->bills; i++)
		forget_model(&lone, &all->bill[i].key);
	for (size_t i = 0; lone.bills && i < all->sums; i++)
		forget_model(&lone, &all->sum[i].key);
	free(scratch);
	return 0;
}

static void merge_tiers(struct lists *group)
{
	for (size_t i = 0; i < group->bills; i++)
		group->bill[i].key.tier[0] = '\0';
	for (size_t i = 0; i < group->sums; i++)
		group->sum[i].key.tier[0] = '\0';
}

/* Counts of several classes add up to nothing that has a price. */
static void merge_classes(struct lists *group)
{
	for (size_t i = 0; i < group->bills; i++) {
		struct recon_bill *b = &group->bill[i];

		if (b->key.class == BILL_OTHER)
			continue;
		b->key.class = BILL_ALL;
		b->has_quantity = b->has_own = false;
		b->price = PRICE_UNTRIED;
	}
	for (size_t i = 0; i < group->sums; i++)
		group->sum[i].key.class = BILL_ALL;
}

static void merge_group(struct lists *group)
{
	bool tiers = false, classes = false;

	for (size_t i = 0; i < group->bills; i++) {
		tiers |= !group->bill[i].key.tier[0];
		classes |= group->bill[i].key.class == BILL_ALL;
	}
	if (tiers)
		merge_tiers(group);
	if (classes)
		merge_classes(group);
}

static int make_comparable(struct lists *all)
{
	struct lists group;
	size_t bill = 0, sum = 0;
	int r = merge_unit_models(all);

	if (r)
		return r;
	sort_lists(all);
	while (next_group(all, &bill, &sum, &group))
		merge_group(&group);
	sort_lists(all);
	return 0;
}

/* ---- one model's day of one tier --------------------------------------------------------- */

struct cell {
	bool billed, seen, has_quantity, has_own, has_amount;
	bill_sum quantity, own, amount, slack;
	enum recon_price price;
	bill_sum seen_quantity, seen_pusd, estimated_quantity, estimated_pusd;
	int64_t list_pusd;
	int64_t calls, estimated_calls;
	/* Units that the bill has more of, by cause; together quantity - seen_quantity. */
	bill_sum moved[RECON_CAUSES];
};

struct comparison {
	const struct recon_key *key; /* of one of its sums; the class is none of it */
	const struct recon_day *day;
	char currency[BILL_CURRENCY_MAX]; /* of the amounts here */
	bool counted;			/* the bill counts units here: a class that it lacks is 0 */
	bool has_seen;			/* the ledger has calls here */
	int64_t calls, estimated_calls; /* the most that a class has */
	struct cell cell[BILL_CLASSES];
};

/* Joining two amounts: none is a price only if neither needs both counts to be one. */
static enum recon_price join_price(enum recon_price a, enum recon_price b)
{
	if (a == PRICE_IS_NONE || b == PRICE_IS_NONE)
		return PRICE_IS_NONE;
	return a == b ? a : PRICE_UNTRIED;
}

static void take_bill(struct comparison *c, const struct recon_bill *b)
{
	struct cell *cell = &c->cell[b->key.class];

	cell->billed = true;
	if (b->has_quantity) {
		cell->has_quantity = true;
		cell->quantity = clamp(cell->quantity + b->quantity);
	}
	if (b->has_own) {
		cell->has_own = true;
		cell->own = clamp(cell->own + b->own);
	}
	if (b->has_amount) {
		cell->price = cell->has_amount ? join_price(cell->price, b->price) : b->price;
		cell->has_amount = true;
		cell->amount += b->amount;
		cell->slack += b->slack;
	}
}

static void take_sum(struct comparison *c, const struct recon_ledger *s)
{
	struct cell *cell = &c->cell[s->key.class];

	cell->seen = true;
	cell->seen_quantity = clamp(cell->seen_quantity + s->quantity);
	cell->seen_pusd += s->cost_pusd;
	cell->estimated_quantity = clamp(cell->estimated_quantity + s->estimated_quantity);
	cell->estimated_pusd += s->estimated_pusd;
	cell->list_pusd = s->list_pusd;
	cell->calls += s->calls;
	cell->estimated_calls += s->estimated_calls;
	c->has_seen = true;
	if (cell->calls > c->calls) {
		c->calls = cell->calls;
		c->estimated_calls = cell->estimated_calls;
	}
}

static bool is_token(int class)
{
	return bill_side_of((enum bill_class) class) != SIDE_UNITS;
}

/* Counts of a usage report go before those beside amounts, and tokens are counted all or none. */
static void choose_counts(struct comparison *c)
{
	bool reported = false;

	for (int i = 0; i < BILL_OTHER; i++)
		reported |= is_token(i) && c->cell[i].has_quantity;
	for (int i = 0; i < BILL_OTHER; i++) {
		struct cell *cell = &c->cell[i];

		if (cell->has_own && !cell->has_quantity && !(is_token(i) && reported)) {
			cell->has_quantity = true;
			cell->quantity = cell->own;
		}
		c->counted |= is_token(i) && cell->has_quantity;
	}
}

/* Tokens are counted all or none; of other units the bill may count one and not the next. */
static bool is_counted(const struct comparison *c, enum bill_class class)
{
	const struct cell *cell = &c->cell[class];

	if (class >= BILL_OTHER)
		return false;
	return is_token(class) ? c->counted : cell->has_quantity || !cell->billed;
}

/* ---- units: estimated, then class, then coverage ----------------------------------------- */

/*
 * How much more the calls of unsure usage may have had than is recorded of them: as much again, or
 * what so many sure calls had on that day. With no sure call there is no bound.
 */
static bill_sum estimate_bound(const struct comparison *c, const struct cell *cell, bill_sum total,
			       bill_sum estimated)
{
	int64_t calls = cell->seen ? cell->calls : c->calls;
	int64_t unsure = cell->seen ? cell->estimated_calls : c->estimated_calls;
	bill_sum average;

	if (!unsure)
		return 0;
	if (calls <= unsure)
		return UNITS_MAX;
	average = times(total - estimated, unsure, calls - unsure);
	return average > estimated ? average : estimated;
}

static void take_estimated(const struct comparison *c, struct cell *cell, bill_sum *left)
{
	bill_sum more = estimate_bound(c, cell, cell->seen_quantity, cell->estimated_quantity);

	if (*left > 0)
		cell->moved[CAUSE_ESTIMATED] = least(*left, more);
	else
		cell->moved[CAUSE_ESTIMATED] = -least(-*left, cell->estimated_quantity);
	*left -= cell->moved[CAUSE_ESTIMATED];
}

/* Of `moved` units, what falls on those up to `until` of `total`. */
static bill_sum share(bill_sum moved, bill_sum until, bill_sum total)
{
	return total ? moved * until / total : 0;
}

/*
 * As many as are missing on one hand and too many on the other can have been counted in another
 * class of the side: the least of both moved, each class in proportion.
 */
static void take_classes(struct comparison *c, enum bill_side side, bill_sum left[BILL_CLASSES])
{
	bill_sum more = 0, less = 0, moved, more_until = 0, less_until = 0;

	for (int i = 0; i < BILL_OTHER; i++) {
		if (bill_side_of((enum bill_class)i) != side)
			continue;
		more += left[i] > 0 ? left[i] : 0;
		less += left[i] < 0 ? -left[i] : 0;
	}
	more = clamp(more);
	less = clamp(less);
	moved = least(more, less);
	for (int i = 0; i < BILL_OTHER; i++) {
		bill_sum *of = left[i] > 0 ? &more_until : &less_until;
		bill_sum total = left[i] > 0 ? more : less, before = *of, own;

		if (bill_side_of((enum bill_class)i) != side || !left[i])
			continue;
		*of = least(total, before + magnitude(left[i]));
		own = share(moved, *of, total) - share(moved, before, total);
		c->cell[i].moved[CAUSE_CLASS] = left[i] > 0 ? own : -own;
		left[i] -= c->cell[i].moved[CAUSE_CLASS];
	}
}

static void divide_units(struct comparison *c)
{
	bill_sum left[BILL_CLASSES] = {0};

	for (int i = 0; i < BILL_OTHER; i++) {
		if (!is_counted(c, (enum bill_class)i))
			continue;
		left[i] = c->cell[i].quantity - c->cell[i].seen_quantity;
		take_estimated(c, &c->cell[i], &left[i]);
	}
	take_classes(c, SIDE_INPUT, left);
	take_classes(c, SIDE_OUTPUT, left);
	for (int i = 0; i < BILL_OTHER; i++)
		c->cell[i].moved[CAUSE_COVERAGE] = left[i];
}

/* ---- money ------------------------------------------------------------------------------- */

/* The ledger's price of a unit as a fraction: its own sums, the catalogue's, else the bill's. */
static void unit_price(const struct cell *cell, bill_sum *num, bill_sum *den)
{
	*num = 0;
	*den = 1;
	if (cell->seen_quantity > 0) {
		*num = cell->seen_pusd;
		*den = cell->seen_quantity;
	} else if (cell->list_pusd >= 0 && cell->seen) {
		*num = cell->list_pusd;
		*den = MILLION;
	} else if (cell->quantity > 0 && cell->amount > 0) {
		*num = cell->amount;
		*den = cell->quantity;
	}
}

/* With counts: units at the ledger's price, and the rest is the bill's price, or nobody's. */
static void explain_counted(const struct cell *cell, struct recon_row *row)
{
	bill_sum num, den, rest = row->drift;
	bool priced;

	unit_price(cell, &num, &den);
	for (int i = 0; i < RECON_CAUSES; i++) {
		row->cause[i] = times(cell->moved[i], num, den);
		rest -= row->cause[i];
	}
	priced = cell->price == PRICE_IS_ONE ||
		 (cell->price == PRICE_UNTRIED &&
		  recon_is_price(cell->amount, cell->slack, cell->quantity));
	/* What rounding leaves is no price. */
	if (priced && cell->quantity > 0 && magnitude(rest) > cell->slack + RECON_CAUSES)
		row->cause[CAUSE_PRICE] = rest;
	else
		row->cause[CAUSE_UNEXPLAINED] = rest;
}

/*
 * Is the billed money the ledger's times a factor in steps of a thousandth (a discount, a margin)?
 * Only where an amount hardly is one by chance: rounded to a hundredth of such a step or finer.
 */
static bool is_factor(const struct cell *cell)
{
	bill_sum factor, ledger = cell->seen_pusd;

	if (ledger <= 0 || cell->amount <= 0 || ledger / FACTOR_STEPS < CHANCE * (cell->slack + 1))
		return false;
	factor = times(FACTOR_STEPS, cell->amount, ledger);
	return magnitude(cell->amount - times(factor, ledger, FACTOR_STEPS)) <= cell->slack + 1;
}

/* Money without counts: another price of all of it, what unsure calls may be off by, the rest. */
static void explain_money(const struct comparison *c, const struct cell *cell,
			  struct recon_row *row)
{
	bill_sum more =
		estimate_bound(c, cell, clamp(cell->seen_pusd), clamp(cell->estimated_pusd));
	bool unpriced = cell->seen_pusd == 0 && cell->seen_quantity > 0 && row->drift > 0;

	if (row->drift && (unpriced || is_factor(cell))) {
		row->cause[CAUSE_PRICE] = row->drift;
		return;
	}
	if (row->drift > 0)
		row->cause[CAUSE_ESTIMATED] = least(row->drift, more);
	else
		row->cause[CAUSE_ESTIMATED] = -least(-row->drift, cell->estimated_pusd);
	row->cause[CAUSE_UNEXPLAINED] = row->drift - row->cause[CAUSE_ESTIMATED];
}

static void explain(const struct comparison *c, const struct cell *cell, struct recon_row *row)
{
	/* A credit is of no call, and what a model's bill has beside its calls neither. */
	if (!c->has_seen)
		row->cause[row->drift > 0 ? CAUSE_COVERAGE : CAUSE_UNEXPLAINED] = row->drift;
	else if (row->state == RECON_NOT_BILLED)
		row->cause[CAUSE_COVERAGE] = row->drift;
	else if (is_counted(c, row->key.class))
		explain_counted(cell, row);
	else if (cell->seen)
		explain_money(c, cell, row);
	else
		row->cause[CAUSE_UNEXPLAINED] = row->drift;
}

static enum recon_state state_of(const struct comparison *c, bool billed)
{
	if (strcmp(c->currency, BILL_USD) != 0)
		return RECON_OTHER_CURRENCY;
	if (!c->day->money)
		return RECON_NO_AMOUNT;
	if (!c->has_seen)
		return RECON_UNTRACKED;
	return billed ? RECON_BOTH : RECON_NOT_BILLED;
}

/* ---- rows -------------------------------------------------------------------------------- */

static struct recon_row *add_row(struct recon_rows *rows)
{
	if (rows->count == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 64;
		struct recon_row *grown = reallocarray(rows->row, cap, sizeof(*grown));

		if (!grown)
			return NULL;
		rows->row = grown;
		rows->cap = cap;
	}
	memset(&rows->row[rows->count], 0, sizeof(*rows->row));
	return &rows->row[rows->count++];
}

static int emit_cell(const struct comparison *c, enum bill_class class, bool billed,
		     struct recon_rows *rows)
{
	const struct cell *cell = &c->cell[class];
	struct recon_row *row = add_row(rows);

	if (!row)
		return -ENOMEM;
	row->key = *c->key;
	row->key.class = class;
	memcpy(row->currency, c->currency, sizeof(row->currency));
	row->state = state_of(c, billed);
	row->has_billed_quantity =
		class < BILL_OTHER && (is_counted(c, class) || (c->day->usage && !billed));
	row->billed_quantity = cell->quantity;
	row->has_ledger_quantity = class < BILL_OTHER;
	row->ledger_quantity = cell->seen_quantity;
	row->billed = cell->amount;
	row->ledger = cell->seen_pusd;
	row->has_drift = row->state <= RECON_NOT_BILLED;
	if (!row->has_drift)
		return 0;
	row->drift = row->billed - row->ledger;
	explain(c, cell, row);
	return 0;
}

static int emit(struct comparison *c, struct recon_rows *rows)
{
	bool billed = false;
	int r = 0;

	for (int i = 0; i < BILL_CLASSES; i++)
		billed |= c->cell[i].billed;
	choose_counts(c);
	divide_units(c);
	for (int i = 0; r == 0 && i < BILL_CLASSES; i++) {
		const struct cell *cell = &c->cell[i];

		/* The ledger's side has every token class, for its price. */
		if (cell->billed || cell->seen_quantity || cell->seen_pusd)
			r = emit_cell(c, (enum bill_class)i, billed, rows);
	}
	return r;
}

/* ---- groups ------------------------------------------------------------------------------ */

static const struct recon_day *day_of(const struct recon_day *days, size_t count,
				      const struct recon_key *key)
{
	for (size_t i = 0; i < count; i++) {
		if (days[i].day == key->day && !strcmp(days[i].provider, key->provider))
			return &days[i];
	}
	return NULL;
}

/* What is counted in the group, and what the ledger has, stands beside dollars where there are. */
static const char *main_currency(const struct lists *group)
{
	const char *other = NULL;

	for (size_t i = 0; i < group->bills; i++) {
		if (!group->bill[i].has_amount)
			continue;
		if (!strcmp(group->bill[i].currency, BILL_USD))
			return BILL_USD;
		other = group->bill[i].currency;
	}
	return other ? other : BILL_USD;
}

static bool is_in(const struct recon_key *key, const char *tier)
{
	return !strcmp(key->tier, tier);
}

/* One tier and currency of a group. */
static int compare_part(const struct lists *group, const struct recon_day *day, const char *tier,
			const char *currency, bool is_main, struct recon_rows *rows)
{
	struct comparison c = {.day = day};

	snprintf(c.currency, sizeof(c.currency), "%s", currency);
	for (int i = 0; i < BILL_CLASSES; i++)
		c.cell[i].list_pusd = -1;
	for (size_t i = 0; i < group->bills; i++) {
		const struct recon_bill *b = &group->bill[i];
		const char *of = b->has_amount ? b->currency : is_main ? currency : "";

		if (is_in(&b->key, tier) && !strcmp(of, currency)) {
			c.key = &b->key;
			take_bill(&c, b);
		}
	}
	for (size_t i = 0; is_main && i < group->sums; i++) {
		if (is_in(&group->sum[i].key, tier)) {
			c.key = &group->sum[i].key;
			take_sum(&c, &group->sum[i]);
		}
	}
	return c.key ? emit(&c, rows) : 0;
}

/* The least currency behind `after` that a tier has amounts in, or NULL. */
static const char *next_currency(const struct lists *group, const char *tier, const char *after)
{
	const char *found = NULL;

	for (size_t i = 0; i < group->bills; i++) {
		const struct recon_bill *b = &group->bill[i];

		if (b->has_amount && is_in(&b->key, tier) && strcmp(b->currency, after) > 0 &&
		    (!found || strcmp(b->currency, found) < 0))
			found = b->currency;
	}
	return found;
}

/* Each currency of a tier, the main one first. */
static int compare_tier(const struct lists *group, const struct recon_day *day, const char *tier,
			struct recon_rows *rows)
{
	const char *first = main_currency(group), *other = "";
	int r = compare_part(group, day, tier, first, true, rows);

	while (r == 0 && (other = next_currency(group, tier, other))) {
		if (strcmp(other, first) != 0)
			r = compare_part(group, day, tier, other, false, rows);
	}
	return r;
}

/* The least tier behind `after` that either side has, or NULL. */
static const char *next_tier(const struct lists *group, const char *after)
{
	const char *found = NULL;

	for (size_t i = 0; i < group->bills + group->sums; i++) {
		const char *tier = i < group->bills ? group->bill[i].key.tier
						    : group->sum[i - group->bills].key.tier;

		if ((!after || strcmp(tier, after) > 0) && (!found || strcmp(tier, found) < 0))
			found = tier;
	}
	return found;
}

static int compare_group(const struct lists *group, const struct recon_day *day,
			 struct recon_rows *rows)
{
	const char *tier = NULL;
	int r = 0;

	while (r == 0 && (tier = next_tier(group, tier)))
		r = compare_tier(group, day, tier, rows);
	return r;
}

int reconcile(struct recon_bill *bills, size_t bill_count, struct recon_ledger *sums,
	      size_t sum_count, const struct recon_day *days, size_t day_count,
	      struct recon_rows *out)
{
	struct lists all = {bills, bill_count, sums, sum_count}, group;
	struct recon_rows rows = {0};
	size_t bill = 0, sum = 0;
	int r;

	if (bill_count > RECON_SUMS_MAX || sum_count > RECON_SUMS_MAX)
		return -E2BIG;
	r = make_comparable(&all);
	while (r == 0 && next_group(&all, &bill, &sum, &group)) {
		const struct recon_key *key = group.bills ? &group.bill->key : &group.sum->key;
		const struct recon_day *day = day_of(days, day_count, key);

		if (day)
			r = compare_group(&group, day, &rows);
	}
	if (r)
		recon_rows_free(&rows);
	else
		*out = rows;
	return r;
}

void recon_rows_free(struct recon_rows *rows)
{
	free(rows->row);
	*rows = (struct recon_rows){0};
}
