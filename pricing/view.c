/* SPDX-License-Identifier: Apache-2.0 */
/* The table as rows, for `tolltap prices`. */
#include "pricing/table.h"

#include <stdio.h>

struct walk {
	void (*each)(void *user, const struct price_view *view);
	void *user;
	size_t count;
};

static void view_set(struct walk *w, struct price_view *view, const struct price_set *set)
{
	for (int i = 0; i < PRICE_KINDS; i++) {
		if (!price_has(set, (enum price_kind)i))
			continue;
		view->kind = price_kinds[i].name;
		view->unit = price_kinds[i].unit;
		pusd_format(view->amount, set->pusd[i]);
		w->each(w->user, view);
		w->count++;
	}
}

static void view_sheet(struct walk *w, struct price_view *view, const struct sheet *sheet)
{
	view->above = 0;
	view_set(w, view, &sheet->base);
	for (uint32_t i = 0; i < sheet->above_count; i++) {
		view->above = sheet->above[i].tokens;
		view_set(w, view, &sheet->above[i].prices);
	}
	view->above = 0;
}

/* Factors have at most FACTOR_SCALE digits, so pUSD per that scale prints them exactly. */
static void view_factor(struct walk *w, struct price_view *view, const char *kind,
			struct factor factor)
{
	view->kind = kind;
	view->unit = "";
	pusd_format(view->amount, (pusd_sum)factor.num * PUSD_PER_USD / factor.den);
	w->each(w->user, view);
	w->count++;
}

static void view_period(struct walk *w, struct price_view *view, const struct period *p)
{
	view->from = p->from;
	view->to = p->to;
	view->source = p->source;
	view->checked = p->checked;
	view->tier = "";
	view_sheet(w, view, &p->sheet);
	for (uint32_t i = 0; i < p->tier_count; i++) {
		view->tier = p->tiers[i].name;
		if (p->tiers[i].own)
			view_sheet(w, view, p->tiers[i].own);
		else
			view_factor(w, view, "factor", p->tiers[i].factor);
	}
	for (uint32_t i = 0; i < p->multiplier_count; i++) {
		view->tier = p->multipliers[i].value;
		view_factor(w, view, "multiplier", p->multipliers[i].factor);
	}
}

size_t catalog_each_price(const struct catalog *c, const char *provider, const char *model,
			  void (*each)(void *user, const struct price_view *view), void *user)
{
	struct walk w = {each, user, 0};

	for (uint32_t i = 0; i < c->model_count; i++) {
		const struct model *m = &c->models[i];
		struct price_view view = {.provider = m->provider, .model = m->id};

		if ((provider && strcmp(provider, m->provider) != 0) ||
		    (model && strcmp(model, m->id) != 0))
			continue;
		for (uint32_t k = 0; k < m->period_count; k++)
			view_period(&w, &view, &m->periods[k]);
	}
	return w.count;
}

size_t catalog_each_model(const struct catalog *c, const char *name,
			  void (*each)(void *user, const char *provider, const char *id),
			  void *user)
{
	size_t count = 0;

	for (uint32_t i = 0; i < c->model_count; i++) {
		const struct model *m = &c->models[i];

		if (name && catalog_find(c, m->provider, name) != m)
			continue;
		each(user, m->provider, m->id);
		count++;
	}
	return count;
}
