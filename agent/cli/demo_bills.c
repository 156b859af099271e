/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/demo_bills.h"

#include "agent/cli/demo_calls.h"

#include <time.h>

#define DAY_US	   86400000000LL
#define LINES_MAX  32	     /* a provider and model each */
#define MICRO_PUSD 1000000LL /* of one token at 1 USD per million of them */

static const char *const providers[] = {"openai", "anthropic"};

enum kind {
	PLANT_MORE,    /* so much a day that nobody metered */
	PLANT_PRICED,  /* the provider has a price where the table has none */
	PLANT_DEARER,  /* so many percent above the ledger */
	PLANT_MISSING, /* the days are not billed */
};

static const struct plant {
	const char *provider, *model;
	int from, to; /* days before the end */
	enum kind kind;
	int64_t amount;
	const char *what;
} plants[] = {
	{"openai", "gpt-5-mini-2025-08-07", 12, 11, PLANT_MORE, 25 * PUSD_PER_USD,
	 "a key in use on a host without Tolltap"},
	{"openai", "gpt-4.1-2025-04-14", 20, 17, PLANT_MORE, 12340000000000LL,
	 "a model that no metered host called"},
	{"openai", DEMO_UNPRICED_MODEL, DEMO_DAYS, 0, PLANT_PRICED, 0,
	 "a model that the price table lacks, at 2 and 8 USD"},
	{"anthropic", NULL, 5, 4, PLANT_MISSING, 0, "a day that was metered and not billed"},
	{"anthropic", "claude-sonnet-4-5-20250929", 10, 0, PLANT_DEARER, 10,
	 "a price 10 % above the table's"},
};

struct line {
	char provider[32];
	char model[CALL_NAME_MAX];
	struct {
		pusd_sum ledger;
		int64_t input, output; /* tokens of calls without a price */
	} day[DEMO_DAYS];
};

struct demo_bills {
	int64_t since_us;
	struct line line[LINES_MAX];
	size_t lines;
	pusd_sum planted[ARRAY_LEN(plants)];
};

/* ---- what was metered -------------------------------------------------------------------- */

static struct line *line_of(struct demo_bills *b, const char *provider, const char *model)
{
	struct line *line;

	for (size_t i = 0; i < b->lines; i++) {
		if (!strcmp(b->line[i].provider, provider) && !strcmp(b->line[i].model, model))
			return &b->line[i];
	}
	if (b->lines == LINES_MAX)
		return NULL;
	line = &b->line[b->lines++];
	snprintf(line->provider, sizeof(line->provider), "%s", provider);
	snprintf(line->model, sizeof(line->model), "%s", model);
	return line;
}

struct demo_bills *demo_bills_new(int64_t until_us)
{
	struct demo_bills *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->since_us = until_us - DEMO_DAYS * DAY_US;
	/* Models that are only billed have a line too. */
	for (size_t i = 0; i < ARRAY_LEN(plants); i++) {
		if (plants[i].model)
			(void)line_of(b, plants[i].provider, plants[i].model);
	}
	return b;
}

void demo_bills_free(struct demo_bills *b)
{
	free(b);
}

static bool is_billed(const struct call *call)
{
	if (call->billing_mode != BILLING_METERED || call->role == ROLE_SELF_HOSTED)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
		if (!strcmp(providers[i], call->provider))
			return true;
	}
	return false;
}

void demo_bills_add(struct demo_bills *b, const struct call *call)
{
	int64_t day = (call->started_at_us - b->since_us) / DAY_US;
	struct line *line = is_billed(call) ? line_of(b, call->provider, call->model) : NULL;

	if (!line || day < 0 || day >= DEMO_DAYS)
		return;
	if (call->cost.cost_pusd >= 0) {
		line->day[day].ledger += call->cost.cost_pusd;
	} else if (call->basis == BASIS_UNPRICED) {
		line->day[day].input += usage_input_total(&call->usage);
		line->day[day].output += usage_output_total(&call->usage);
	}
}

/* ---- what is billed ---------------------------------------------------------------------- */

const char *demo_bill_provider(size_t i)
{
	return i < ARRAY_LEN(providers) ? providers[i] : NULL;
}

static bool plant_holds(const struct plant *p, const struct line *line, int day)
{
	int left = DEMO_DAYS - day; /* days to the end, this one included */

	return left <= p->from && left > p->to && !strcmp(p->provider, line->provider) &&
	       (!p->model || !strcmp(p->model, line->model));
}

static pusd_sum difference(const struct plant *p, const struct line *line, int day, pusd_sum billed)
{
	switch (p->kind) {
	case PLANT_MORE:
		return p->amount;
	case PLANT_PRICED:
		return ((pusd_sum)line->day[day].input * 2 + (pusd_sum)line->day[day].output * 8) *
		       MICRO_PUSD;
	case PLANT_DEARER:
		return billed * p->amount / 100;
	case PLANT_MISSING:
		return -billed;
	}
	return 0;
}

static pusd_sum billed(struct demo_bills *b, const struct line *line, int day)
{
	pusd_sum amount = line->day[day].ledger;

	for (size_t i = 0; i < ARRAY_LEN(plants); i++) {
		pusd_sum more;

		if (!plant_holds(&plants[i], line, day))
			continue;
		more = difference(&plants[i], line, day, amount);
		b->planted[i] += more;
		amount += more;
	}
	return amount;
}

static void day_text(const struct demo_bills *b, int day, char dst[16])
{
	time_t at = (time_t)(b->since_us / 1000000 + (int64_t)day * 86400);
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(dst, 16, "%Y-%m-%d", &tm);
}

void demo_bill_write(struct demo_bills *b, const char *provider, FILE *out)
{
	char date[16], usd[PUSD_TEXT_MAX];

	fprintf(out, "date,provider,model,amount\r\n");
	for (int day = 0; day < DEMO_DAYS; day++) {
		day_text(b, day, date);
		for (size_t i = 0; i < b->lines; i++) {
			pusd_sum amount;

			if (strcmp(b->line[i].provider, provider) != 0)
				continue;
			amount = billed(b, &b->line[i], day);
			if (amount)
				fprintf(out, "%s,%s,%s,%s\r\n", date, provider, b->line[i].model,
					pusd_format(usd, amount));
		}
	}
}

bool demo_bill_planted(const struct demo_bills *b, size_t i, struct demo_planted *out)
{
	if (i >= ARRAY_LEN(plants))
		return false;
	*out = (struct demo_planted){
		.provider = plants[i].provider,
		.model = plants[i].model,
		.what = plants[i].what,
		.amount = b->planted[i],
	};
	day_text(b, DEMO_DAYS - plants[i].from, out->from);
	day_text(b, DEMO_DAYS - plants[i].to, out->to);
	return true;
}
