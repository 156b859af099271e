/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/hash.h"
#include "agent/cli/focus.h"

#include "agent/base/clock.h"
#include "agent/cli/focus_facts.h"
#include "exporter/periods.h"
#include "exporter/schema.h"

#include <errno.h>

struct row {
	struct focus_charge charge;
	bool in_table;
	UT_hash_handle hh;
	size_t key_len;
	char key[]; /* the facts, each ended by 0, then what else tells rows apart */
};

struct focus {
	const struct catalog *prices;
	int (*each)(void *user, const struct focus_charge *charge);
	void *user;
	struct row *rows; /* of the hour */
	int64_t hour;
	struct text key;
	struct query *q;
	const struct query_filter *filter;
	int64_t *summed; /* hours that are told by sums, from `next` on to come */
	size_t summed_count, next;
	struct charge_correction *corrections; /* by seq */
	size_t correction_count;
	struct focus_doubts *doubts;
};

int focus_new(struct focus **out, const struct catalog *prices,
	      int (*each)(void *user, const struct focus_charge *charge), void *user)
{
	struct focus *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->prices = prices;
	f->each = each;
	f->user = user;
	f->key = TEXT_INIT(FOCUS_TEXT_MAX);
	*out = f;
	return 0;
}

static void drop_rows(struct focus *f)
{
	struct row *row, *next;

	HASH_ITER (hh, f->rows, row, next) {
		HASH_DEL(f->rows, row);
		free(row);
	}
}

void focus_free(struct focus *f)
{
	if (!f)
		return;
	drop_rows(f);
	text_free(&f->key);
	free(f->summed);
	free(f->corrections);
	free(f);
}

int64_t focus_month(int64_t at_us, int64_t *until_us)
{
	char month[CLOCK_TEXT_MAX];
	int64_t since_us = 0, end_us = 0;

	clock_format_us(month, at_us);
	month[strlen("YYYY-MM")] = '\0';
	if (!period_month(month, &since_us, &end_us))
		return at_us; /* a year of more than four digits */
	if (until_us)
		*until_us = end_us;
	return since_us;
}

/* ---- rows -------------------------------------------------------------------------------- */

static int by_key(const struct row *a, const struct row *b)
{
	size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
	int order = memcmp(a->key, b->key, len);

	return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* Gives out the hour's charges, in an order that is the same each time. */
static int flush(struct focus *f)
{
	int r = 0;

	HASH_SORT(f->rows, by_key);
	for (struct row *row = f->rows; r == 0 && row; row = row->hh.next)
		r = f->each(f->user, &row->charge);
	drop_rows(f);
	return r;
}

static struct row *new_row(struct focus *f, const struct focus_charge *like)
{
	struct row *row = calloc(1, sizeof(*row) + f->key.len);
	const char *fact;

	if (!row)
		return NULL;
	memcpy(row->key, f->key.ptr, f->key.len);
	row->key_len = f->key.len;
	row->charge = *like;
	row->charge.hour = f->hour;
	fact = row->key;
	for (int i = 0; i < FOCUS_FACTS; i++) {
		row->charge.fact[i] = fact;
		fact += strlen(fact) + 1;
	}
	row->in_table = true;
	HASH_ADD_KEYPTR(hh, f->rows, row->key, row->key_len, row);
	if (row->in_table)
		return row;
	free(row);
	return NULL;
}

/* Adds to the row of these facts; `part` has no facts of its own. */
static int add(struct focus *f, const struct call *call, bool cost_known,
	       const struct focus_charge *part)
{
	struct row *row;

	if (HASH_COUNT(f->rows) >= FOCUS_ROWS_MAX) {
		int r = flush(f);

		if (r)
			return r;
	}
	f->key.len = 0;
	focus_put_facts(&f->key, call, cost_known, part->meter);
	text_append(&f->key, &part->meter, sizeof(part->meter));
	text_append(&f->key, &part->corrected_us, sizeof(part->corrected_us));
	text_append(&f->key, &part->list_price, sizeof(part->list_price));
	text_append(&f->key, &part->contracted_price, sizeof(part->contracted_price));
	if (f->key.failed)
		return -ENOMEM;
	HASH_FIND(hh, f->rows, f->key.ptr, f->key.len, row);
	if (!row)
		return new_row(f, part) ? 0 : -ENOMEM;
	row->charge.has_units |= part->has_units;
	row->charge.units += part->units;
	row->charge.list += part->list;
	row->charge.contracted += part->contracted;
	row->charge.effective += part->effective;
	return 0;
}

/* ---- one call, or many in a sum ------------------------------------------------------------ */

struct costs {
	pusd_sum list, cost;
	bool known;
};

/* Without a list price the list is what was paid; what a subscription covers was contracted at it.
 */
static struct focus_charge charge_of(const struct call *call, const struct meter_share *share)
{
	bool covered = call->billing_mode == BILLING_SUBSCRIPTION;

	return (struct focus_charge){
		.meter = share->meter,
		.units = share->units,
		.has_units = true,
		.list = share->list,
		.contracted = covered ? share->list : share->cost,
		.effective = share->cost,
		.list_price = share->list_price,
		.contracted_price = covered ? share->list_price : share->cost_price,
	};
}

/* Parts of a correction are charges of their own, and no part of the call's any more. */
static int add_correction(struct focus *f, const struct call *call, const struct costs *costs,
			  const struct meter_share *shares, int count,
			  const struct charge_correction *c, struct focus_charge *rest)
{
	pusd_sum list[METERS], cost[METERS];
	int r = 0;

	meter_split_like(shares, count, c->list_pusd, list);
	meter_split_like(shares, count, c->cost_pusd, cost);
	for (int i = 0; r == 0 && i < count; i++) {
		struct meter_share share = shares[i];
		struct focus_charge part;

		share.list = list[i];
		share.cost = cost[i];
		part = charge_of(call, &share);
		part.corrected_us = focus_month(c->at_us, NULL);
		part.has_units = c->late;
		part.units = c->late ? share.units : 0;
		rest[i].list -= part.list;
		rest[i].contracted -= part.contracted;
		rest[i].effective -= part.effective;
		if (c->late)
			rest[i].has_units = false;
		if (c->late || part.list || part.effective)
			r = add(f, call, costs->known, &part);
	}
	return r;
}

static int by_seq(const void *key, const void *item)
{
	int64_t seq = *(const int64_t *)key;
	const struct charge_correction *c = item;

	return (seq > c->seq) - (seq < c->seq);
}

/* The first of a call's corrections, or NULL. */
static const struct charge_correction *corrections_of(const struct focus *f, int64_t seq)
{
	const struct charge_correction *c =
		f->correction_count ? bsearch(&seq, f->corrections, f->correction_count,
					      sizeof(*f->corrections), by_seq)
				    : NULL;

	while (c && c > f->corrections && c[-1].seq == seq)
		c--;
	return c;
}

/* Every meter's charge, less what a correction of it is told as. */
static int add_call(struct focus *f, const struct call *call, int64_t calls, struct costs costs,
		    int64_t seq)
{
	struct meter_share shares[METERS];
	struct focus_charge part[METERS];
	const struct charge_correction *c = seq ? corrections_of(f, seq) : NULL;
	int count, r = 0;

	if (costs.list < 0 && call->billing_mode == BILLING_METERED)
		costs.list = costs.cost;
	count = meter_shares(f->prices, call, calls, costs.list, costs.cost, shares);
	for (int i = 0; i < count; i++)
		part[i] = charge_of(call, &shares[i]);
	for (; r == 0 && c && c < f->corrections + f->correction_count && c->seq == seq; c++)
		r = add_correction(f, call, &costs, shares, count, c, part);
	for (int i = 0; r == 0 && i < count; i++) {
		if (part[i].has_units || part[i].list || part[i].effective)
			r = add(f, call, costs.known, &part[i]);
	}
	if (!strcmp(focus_cost_state(call, costs.known), "unknown"))
		f->doubts->unknown += calls;
	else if (strcmp(focus_cost_state(call, costs.known), "exact") != 0)
		f->doubts->doubted += calls;
	return r;
}

/* ---- the hours --------------------------------------------------------------------------- */

static int take_sum(void *user, const struct charge_sum *sum)
{
	struct focus *f = user;
	const struct call *call = sum->call;
	bool known =
		call->basis != BASIS_UNPRICED && (call->basis != BASIS_ESTIMATED || sum->cost > 0);

	return add_call(f, call, sum->calls,
			(struct costs){known ? sum->list : -1, known ? sum->cost : -1, known}, 0);
}

/* Gives out what is there and goes on to an hour, by way of those that only sums know. */
static int move_to(struct focus *f, int64_t hour)
{
	int r = f->rows ? flush(f) : 0;

	while (r == 0 && f->next < f->summed_count && f->summed[f->next] <= hour) {
		if (f->hour != f->summed[f->next])
			r = flush(f);
		f->hour = f->summed[f->next++];
		if (r == 0)
			r = query_sums(f->q, f->filter, f->hour, take_sum, f);
	}
	if (r == 0 && f->hour != hour)
		r = flush(f);
	f->hour = hour;
	return r;
}

static bool hour_is_summed(const struct focus *f, int64_t hour)
{
	return f->next && f->summed[f->next - 1] == hour && query_sums_have_all(f->q);
}

static int take_event(void *user, const struct event *event)
{
	struct focus *f = user;
	const struct call *call = &event->call;
	int64_t hour = call->started_at_us / SCHEMA_US_PER_HOUR;
	bool known = call->cost.cost_pusd >= 0;
	int r = 0;

	if (call->collapsed_by != COLLAPSED_NOT)
		return 0;
	if (hour != f->hour)
		r = move_to(f, hour);
	if (r || hour_is_summed(f, hour))
		return r;
	return add_call(f, call, 1,
			(struct costs){call->cost.list_pusd, call->cost.cost_pusd, known},
			event->seq);
}

/* What spend refuses, as days of a zone that begin within hours of which there are sums only. */
static int check_filter(struct query *q, const struct query_filter *filter)
{
	struct spend *rows = NULL;
	size_t count = 0;
	int r = query_spend(q, filter, NULL, 0, &rows, &count);

	query_spend_free(rows, count);
	return r;
}

int focus_run(struct focus *f, struct query *q, const struct query_filter *filter,
	      struct focus_doubts *doubts, bool *query_failed)
{
	int r;

	*doubts = (struct focus_doubts){0};
	f->q = q;
	f->filter = filter;
	f->doubts = doubts;
	f->hour = -1;
	r = check_filter(q, filter);
	if (r == 0)
		r = query_summed_hours(q, filter, &f->summed, &f->summed_count);
	if (r == 0)
		r = query_corrections(q, filter, &f->corrections, &f->correction_count);
	*query_failed = r < 0;
	if (r)
		return r;
	r = query_events_by_time(q, filter, take_event, f);
	if (r == 0)
		r = move_to(f, INT64_MAX);
	*query_failed = r < 0 && *query_error(q);
	return r;
}
