/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no price table may say: slips of the unit, overlapping validity, holes in it, a longer
 * prompt that costs less.
 */
#include "pricing/table.h"

#include <stdio.h>

/* A price per token read as per million, or the reverse, is a million times off: out of bounds. */
int lint_price(struct reader *r, enum price_kind kind, int64_t pusd)
{
	const struct price_kind_row *row = &price_kinds[kind];
	char text[PUSD_TEXT_MAX];
	int64_t least;

	if (!decimal_parse(SLICE(PRICE_MIN_TEXT), 12, &least) || pusd == 0)
		return 0;
	if (pusd >= least && pusd <= row->max_usd * PUSD_PER_USD)
		return 0;
	return price_error(r, "price \"%s\" of %s USD is implausible; prices are per %s", row->name,
			   pusd_format(text, pusd), row->unit);
}

static bool daily_hits(const struct period *p, int minute)
{
	struct period whole = *p;

	whole.from_us = INT64_MIN;
	whole.to_us = INT64_MAX;
	return period_holds(&whole, (int64_t)minute * 60000000);
}

/* Two windows of the day share a minute if either holds where the other begins. */
static bool daily_overlap(const struct period *a, const struct period *b)
{
	if (a->daily_from_min == a->daily_to_min || b->daily_from_min == b->daily_to_min)
		return true;
	return daily_hits(a, b->daily_from_min) || daily_hits(b, a->daily_from_min);
}

bool periods_overlap(const struct period *a, const struct period *b)
{
	return a->from_us < b->to_us && b->from_us < a->to_us && daily_overlap(a, b);
}

/* A period that ends must be followed by one that begins then, unless it is the last. */
static bool has_gap_after(const struct model *model, const struct period *p)
{
	bool later = false;

	for (uint32_t i = 0; i < model->period_count; i++) {
		const struct period *next = &model->periods[i];

		if (next->from_us <= p->to_us && next->to_us > p->to_us)
			return false;
		later = later || next->from_us > p->to_us;
	}
	return later;
}

/* Costs rise with the prompt: a cheaper tier above a threshold is a slip of a row. */
static int lint_sheet(struct reader *r, const struct sheet *sheet)
{
	const struct price_set *below = &sheet->base;

	for (uint32_t i = 0; i < sheet->above_count; i++) {
		const struct context_tier *tier = &sheet->above[i];

		for (int kind = 0; kind < PRICE_KINDS; kind++) {
			if (price_has(below, (enum price_kind)kind) &&
			    price_has(&tier->prices, (enum price_kind)kind) &&
			    tier->prices.pusd[kind] < below->pusd[kind])
				return price_error(r,
						   "price \"%s\" above %lld tokens is less than "
						   "below; a longer prompt never costs less",
						   price_kinds[kind].name, (long long)tier->tokens);
		}
		below = &tier->prices;
	}
	return 0;
}

int lint_period(struct reader *r, const struct period *p)
{
	int rc = lint_sheet(r, &p->sheet);

	for (uint32_t i = 0; rc == 0 && i < p->tier_count; i++) {
		if (p->tiers[i].own)
			rc = lint_sheet(r, p->tiers[i].own);
	}
	return rc;
}

static int lint_model(struct reader *r, const struct model *model)
{
	for (uint32_t i = 0; i < model->period_count; i++) {
		for (uint32_t k = i + 1; k < model->period_count; k++) {
			if (periods_overlap(&model->periods[i], &model->periods[k]))
				return price_error(r, "periods %u and %u overlap", i, k);
		}
		if (has_gap_after(model, &model->periods[i]))
			return price_error(r, "no price is valid after %s", model->periods[i].to);
	}
	return 0;
}

int lint_models(struct reader *r, const struct catalog *c)
{
	for (uint32_t i = 0; i < c->model_count; i++) {
		snprintf(r->place, sizeof(r->place), "models[%u] (%s/%s)", i, c->models[i].provider,
			 c->models[i].id);
		if (lint_model(r, &c->models[i]))
			return -1;
	}
	r->place[0] = '\0';
	return 0;
}
