/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/array.h"
#include "exporter/bills/sides.h"

#include <errno.h>
#include <stdio.h>

/* Rows of one project, class, tier and window: as fine as a price list goes. */
struct line {
	bool open;
	struct bill_row key; /* of its first row */
	bool has_quantity, has_own, has_amount;
	bill_sum quantity;
	bill_sum own; /* units that money rows tell beside their amounts */
	bill_sum amount, slack;
	char currency[BILL_CURRENCY_MAX];
};

/* A provider's day of an account, and what is held of it. */
struct held_day {
	char provider[32];
	char account[BILL_ID_MAX];
	int64_t day;
	unsigned reports; /* of bill_reports, by place: pulled for all of the scope */
	bool pulled_money;
};

struct loading {
	const struct recon_scope *scope;
	const struct catalog *catalog;
	struct billed_side side;
	struct held_day *held;
	size_t held_count, held_cap;
	struct line line;
};

/* ---- days -------------------------------------------------------------------------------- */

static struct recon_day *day_of(struct loading *l, const char *provider, int64_t day)
{
	struct billed_side *s = &l->side;

	/* Rows come in order: it is mostly the last one. */
	for (size_t i = s->days; i > 0; i--) {
		if (s->day[i - 1].day == day && !strcmp(s->day[i - 1].provider, provider))
			return &s->day[i - 1];
	}
	if (!array_room((void **)&s->day, &s->day_cap, s->days, sizeof(*s->day)))
		return NULL;
	s->day[s->days] = (struct recon_day){.day = day};
	snprintf(s->day[s->days].provider, sizeof(s->day[0].provider), "%s", provider);
	return &s->day[s->days++];
}

static struct held_day *held_of(struct loading *l, const char *provider, const char *account,
				int64_t day, bool make)
{
	for (size_t i = l->held_count; i > 0; i--) {
		struct held_day *h = &l->held[i - 1];

		if (h->day == day && !strcmp(h->provider, provider) && !strcmp(h->account, account))
			return h;
	}
	if (!make || !array_room((void **)&l->held, &l->held_cap, l->held_count, sizeof(*l->held)))
		return NULL;
	l->held[l->held_count] = (struct held_day){.day = day};
	snprintf(l->held[l->held_count].provider, sizeof(l->held[0].provider), "%s", provider);
	snprintf(l->held[l->held_count].account, sizeof(l->held[0].account), "%s", account);
	return &l->held[l->held_count++];
}

/* Asked for a key's part, a report that knows no keys says nothing. */
static bool report_serves(const struct recon_scope *scope, const struct bill_head *head)
{
	for (const struct bill_report *r = bill_reports; *scope->keys && r->name; r++) {
		if (!strcmp(r->provider, head->provider) && !strcmp(r->name, head->report))
			return r->has_keys;
	}
	return true;
}

static bool is_in_scope(const struct recon_scope *scope, const struct bill_head *head)
{
	return (!*scope->account || !strcmp(scope->account, head->account)) &&
	       report_serves(scope, head);
}

/* Its bit in held_day.reports. */
static unsigned report_bit(const struct bill_head *head)
{
	for (unsigned i = 0; bill_reports[i].name; i++) {
		if (!strcmp(bill_reports[i].provider, head->provider) &&
		    !strcmp(bill_reports[i].name, head->report))
			return 1u << i;
	}
	return 0;
}

static bool has_whole_scope(const struct recon_scope *scope, const struct bill_head *head)
{
	return bill_filter_covers(head->projects, scope->projects) &&
	       bill_filter_covers(head->keys, scope->keys);
}

/* "openai project=a,b key=c; anthropic project=d" */
static void note_filter(struct billed_side *side, const struct bill_head *head)
{
	char filter[2 * BILL_FILTER_MAX + 64];
	size_t used = strlen(side->filters), len;

	if (!*head->projects && !*head->keys)
		return;
	len = (size_t)snprintf(filter, sizeof(filter), "%s%s%s%s%s", head->provider,
			       *head->projects ? " project=" : "", head->projects,
			       *head->keys ? " key=" : "", head->keys);
	for (const char *at = side->filters; (at = strstr(at, filter)); at++) {
		if (!at[len] || at[len] == ';')
			return;
	}
	if (used + len + 2 < sizeof(side->filters) - 5)
		snprintf(side->filters + used, sizeof(side->filters) - used, "%s%s",
			 used ? "; " : "", filter);
	else if (used < 3 || strcmp(side->filters + used - 3, "...") != 0)
		snprintf(side->filters + used, sizeof(side->filters) - used, "%s...",
			 used ? "; " : "");
}

static int take_head(void *user, const struct bill_head *head, int64_t fetched_us)
{
	struct loading *l = user;
	int64_t from = bill_day(head->from_s > l->scope->from_s ? head->from_s : l->scope->from_s);
	int64_t to = bill_day(head->to_s < l->scope->to_s ? head->to_s : l->scope->to_s);

	if (!head->is_pull || !is_in_scope(l->scope, head))
		return 0;
	note_filter(&l->side, head);
	if (!has_whole_scope(l->scope, head))
		return 0;
	l->side.early += fetched_us / 1000000 < to * SECONDS_PER_DAY;
	for (int64_t day = from; day < to; day++) {
		struct recon_day *d = day_of(l, head->provider, day);
		struct held_day *h = held_of(l, head->provider, head->account, day, true);

		if (!d || !h)
			return -ENOMEM;
		d->money |= head->is_money;
		d->usage |= head->is_usage;
		h->reports |= report_bit(head);
		h->pulled_money |= head->is_money;
	}
	return 0;
}

/* A file has all days of a provider from its first to its last, also those without rows. */
static int take_span(void *user, const struct bill_head *head, const char *provider,
		     int64_t first_s, int64_t last_s)
{
	struct loading *l = user;
	int64_t from = bill_day(first_s > l->scope->from_s ? first_s : l->scope->from_s);
	int64_t to = bill_day(last_s < l->scope->to_s ? last_s : l->scope->to_s - 1);

	for (int64_t day = from; is_in_scope(l->scope, head) && day <= to; day++) {
		struct recon_day *d = day_of(l, provider, day);

		if (!d)
			return -ENOMEM;
		d->money = true;
	}
	return 0;
}

/* ---- lines ------------------------------------------------------------------------------- */

static int end_line(struct loading *l)
{
	struct line *line = &l->line;
	struct billed_side *s = &l->side;
	struct recon_bill *b;
	bill_sum counted = line->has_own ? line->own : line->quantity;

	if (!line->open)
		return 0;
	line->open = false;
	if (s->count == RECON_SUMS_MAX)
		return -E2BIG;
	if (!array_room((void **)&s->bill, &s->cap, s->count, sizeof(*s->bill)))
		return -ENOMEM;
	b = &s->bill[s->count++];
	*b = (struct recon_bill){.has_quantity = line->has_quantity,
				 .has_own = line->has_own,
				 .has_amount = line->has_amount,
				 .quantity = line->quantity,
				 .own = line->own,
				 .amount = line->amount,
				 .slack = line->slack};
	memcpy(b->key.provider, line->key.provider, sizeof(b->key.provider));
	b->key.day = bill_day(line->key.from_s);
	recon_model_copy(b->key.model, l->catalog, line->key.provider, line->key.model);
	memcpy(b->key.tier, line->key.tier, sizeof(b->key.tier));
	b->key.class = line->key.class;
	memcpy(b->currency, line->currency, sizeof(b->currency));
	if (line->has_amount && (line->has_quantity || line->has_own))
		b->price = recon_is_price(line->amount, line->slack, counted) ? PRICE_IS_ONE
									      : PRICE_IS_NONE;
	return 0;
}

static bool is_of_line(const struct line *line, const struct bill_row *row)
{
	const struct bill_row *k = &line->key;

	return line->open && k->class == row->class &&
	       bill_day(k->from_s) == bill_day(row->from_s) &&
	       !strcmp(k->provider, row->provider) && !strcmp(k->model, row->model) &&
	       !strcmp(k->tier, row->tier) && !strcmp(k->window, row->window) &&
	       !strcmp(k->project, row->project) &&
	       (!row->has_amount || !line->has_amount || !strcmp(line->currency, row->currency));
}

static void add_to_line(struct line *line, const struct bill_row *row)
{
	if (row->has_quantity && !row->has_amount) {
		line->has_quantity = true;
		line->quantity += row->quantity;
	} else if (row->has_quantity) {
		line->has_own = true;
		line->own += row->quantity;
	}
	if (row->has_amount) {
		line->has_amount = true;
		line->amount += row->amount;
		line->slack += row->slack;
		memcpy(line->currency, row->currency, sizeof(line->currency));
	}
}

/* Whether a row takes part. */
static int admit(struct loading *l, const struct bill_head *head, const struct bill_row *row,
		 bool *admitted)
{
	int64_t day = bill_day(row->from_s);
	struct held_day *h = held_of(l, row->provider, head->account, day, false);
	struct recon_day *d;

	*admitted = false;
	if (!is_in_scope(l->scope, head) || !bill_filter_has(l->scope->projects, row->project) ||
	    !bill_filter_has(l->scope->keys, row->key))
		return 0;
	if (head->is_pull) {
		*admitted = h && (h->reports & report_bit(head));
		l->side.parts += !*admitted;
		return 0;
	}
	*admitted = !(h && h->pulled_money);
	l->side.left_out += !*admitted;
	if (!*admitted || !row->has_quantity)
		return 0;
	d = day_of(l, row->provider, day);
	if (!d)
		return -ENOMEM;
	d->usage = true;
	return 0;
}

static int take_row(void *user, const struct bill_head *head, const struct bill_row *row)
{
	struct loading *l = user;
	bool admitted;
	int r = admit(l, head, row, &admitted);

	if (r || !admitted)
		return r;
	if (!is_of_line(&l->line, row)) {
		r = end_line(l);
		l->line = (struct line){.open = true, .key = *row};
	}
	add_to_line(&l->line, row);
	return r;
}

int billed_side_load(struct bill_store *store, const struct recon_scope *scope,
		     const struct catalog *catalog, struct billed_side *out)
{
	struct loading l = {.scope = scope, .catalog = catalog};
	int r = bill_store_heads(store, scope->from_s, scope->to_s, take_head, &l);

	if (r == 0)
		r = bill_store_spans(store, take_span, &l);
	if (r == 0)
		r = bill_store_rows(store, scope->from_s, scope->to_s, take_row, &l);
	if (r == 0)
		r = end_line(&l);
	free(l.held);
	if (r)
		billed_side_free(&l.side);
	else
		*out = l.side;
	return r;
}

void billed_side_free(struct billed_side *side)
{
	free(side->bill);
	free(side->day);
	*side = (struct billed_side){0};
}
