/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FOCUS 1.2 as CSV. The columns are those of the specification that a ledger can fill
 * (focus.finops.org/focus-specification/v1-2), by name, then Tolltap's own, which begin with x_.
 * Null is an empty field; money and quantities are exact decimals; times are UTC.
 */
#include "agent/cli/export.h"
#include "agent/cli/output.h"
#include "exporter/schema.h"

#include <errno.h>
#include <time.h>

struct focus_column {
	const char *name;
	void (*emit)(struct output *o, const struct focus_charge *c, size_t arg);
	size_t arg;
};

/* ---- cells ------------------------------------------------------------------------------- */

static void emit_null(struct output *o, const struct focus_charge *c, size_t arg)
{
	(void)c;
	(void)arg;
	output_null(o);
}

static void emit_zero(struct output *o, const struct focus_charge *c, size_t arg)
{
	(void)c;
	(void)arg;
	output_int(o, 0);
}

static void emit_fact(struct output *o, const struct focus_charge *c, size_t fact)
{
	output_text(o, c->fact[fact]);
}

static const char *const constants[] = {
	"USD", "Usage", "Usage-Based", "AI and Machine Learning", "Generative AI", "Model",
};
enum { CURRENCY, CATEGORY, FREQUENCY, SERVICE_CATEGORY, SERVICE_SUBCATEGORY, RESOURCE_TYPE };

static void emit_constant(struct output *o, const struct focus_charge *c, size_t which)
{
	(void)c;
	output_text(o, constants[which]);
}

/* ISO 8601 with Z, to the second. */
static void emit_time(struct output *o, int64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	char text[40];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	output_text(o, text);
}

/* The month of the charge, or that in which it was corrected: its first moment, or that behind it.
 */
static void emit_billing_period(struct output *o, const struct focus_charge *c, size_t end)
{
	int64_t at_us = c->corrected_us ? c->corrected_us : c->hour * SCHEMA_US_PER_HOUR;
	int64_t until_us = at_us, since_us = focus_month(at_us, &until_us);

	emit_time(o, end ? until_us : since_us);
}

static void emit_charge_period(struct output *o, const struct focus_charge *c, size_t end)
{
	emit_time(o, (c->hour + (int64_t)end) * SCHEMA_US_PER_HOUR);
}

static void emit_class(struct output *o, const struct focus_charge *c, size_t arg)
{
	(void)arg;
	output_text(o, c->corrected_us ? "Correction" : NULL);
}

static void emit_description(struct output *o, const struct focus_charge *c, size_t arg)
{
	char text[CALL_NAME_MAX + 256];
	bool unknown = !strcmp(c->fact[FOCUS_COST_STATE], "unknown");

	(void)arg;
	snprintf(text, sizeof(text), "%s%s: %s%s%s%s%s%s%s",
		 c->corrected_us ? "Correction of " : "", c->fact[FOCUS_MODEL],
		 meter_name(c->meter), *c->fact[FOCUS_SERVICE_TIER] ? ", " : "",
		 c->fact[FOCUS_SERVICE_TIER], *c->fact[FOCUS_SERVICE_TIER] ? " tier" : "",
		 unknown ? ", cost not known" : "", *c->fact[FOCUS_UNPRICED] ? ": " : "",
		 c->fact[FOCUS_UNPRICED]);
	output_text(o, text);
}

static void emit_decimal(struct output *o, pusd_sum pusd)
{
	char text[PUSD_TEXT_MAX];

	output_json(o, pusd_format(text, pusd));
}

static void emit_money(struct output *o, const struct focus_charge *c, size_t offset)
{
	emit_decimal(o, *(const pusd_sum *)((const char *)c + offset));
}

/* Units over a power of ten, which divides the 10^12 of pusd_format. */
static void emit_quantity(struct output *o, const struct focus_charge *c, size_t priced)
{
	int64_t per = priced ? meter_per(c->meter) : 1;

	if (c->has_units)
		emit_decimal(o, c->units * (PUSD_PER_USD / per));
	else
		output_null(o);
}

static void emit_unit(struct output *o, const struct focus_charge *c, size_t priced)
{
	int64_t per = priced ? meter_per(c->meter) : 1;
	char text[64];

	snprintf(text, sizeof(text), "%lld %s", (long long)per, meter_unit(c->meter));
	if (!c->has_units)
		output_null(o);
	else
		output_text(o, per > 1 ? text : meter_unit(c->meter));
}

/* Only where quantity x price is the cost, to the last digit: FOCUS asks for no less. */
static bool print_price(struct output *o, const struct focus_charge *c, struct unit_price price,
			pusd_sum cost)
{
	char text[96];

	if (!c->has_units || !unit_price_costs(price, c->meter, c->units, cost) ||
	    !unit_price_format(price, text, sizeof(text)))
		return false;
	output_json(o, text);
	return true;
}

static void emit_list_price(struct output *o, const struct focus_charge *c, size_t arg)
{
	(void)arg;
	if (!print_price(o, c, c->list_price, c->list))
		output_null(o);
}

/* What was agreed on may have changed since: then the charge is of the public price, or of none. */
static void emit_contracted_price(struct output *o, const struct focus_charge *c, size_t arg)
{
	(void)arg;
	if (!print_price(o, c, c->contracted_price, c->contracted) &&
	    !print_price(o, c, c->list_price, c->contracted))
		output_null(o);
}

static void emit_meter(struct output *o, const struct focus_charge *c, size_t arg)
{
	(void)arg;
	output_text(o, meter_name(c->meter));
}

/* ---- the table --------------------------------------------------------------------------- */

#define AT(field) offsetof(struct focus_charge, field)

static const struct focus_column columns[] = {
	{"BilledCost", emit_zero, 0},
	{"BillingAccountId", emit_fact, FOCUS_ACCOUNT},
	{"BillingAccountName", emit_null, 0},
	{"BillingCurrency", emit_constant, CURRENCY},
	{"BillingPeriodEnd", emit_billing_period, 1},
	{"BillingPeriodStart", emit_billing_period, 0},
	{"ChargeCategory", emit_constant, CATEGORY},
	{"ChargeClass", emit_class, 0},
	{"ChargeDescription", emit_description, 0},
	{"ChargeFrequency", emit_constant, FREQUENCY},
	{"ChargePeriodEnd", emit_charge_period, 1},
	{"ChargePeriodStart", emit_charge_period, 0},
	{"ConsumedQuantity", emit_quantity, false},
	{"ConsumedUnit", emit_unit, false},
	{"ContractedCost", emit_money, AT(contracted)},
	{"ContractedUnitPrice", emit_contracted_price, 0},
	{"EffectiveCost", emit_money, AT(effective)},
	{"InvoiceId", emit_null, 0},
	{"InvoiceIssuerName", emit_fact, FOCUS_ISSUER},
	{"ListCost", emit_money, AT(list)},
	{"ListUnitPrice", emit_list_price, 0},
	{"PricingCategory", emit_fact, FOCUS_PRICING_CATEGORY},
	{"PricingQuantity", emit_quantity, true},
	{"PricingUnit", emit_unit, true},
	{"ProviderName", emit_fact, FOCUS_PROVIDER},
	{"PublisherName", emit_fact, FOCUS_PROVIDER},
	{"RegionId", emit_fact, FOCUS_REGION},
	{"RegionName", emit_fact, FOCUS_REGION},
	{"ResourceId", emit_fact, FOCUS_RESOURCE},
	{"ResourceName", emit_fact, FOCUS_MODEL},
	{"ResourceType", emit_constant, RESOURCE_TYPE},
	{"ServiceCategory", emit_constant, SERVICE_CATEGORY},
	{"ServiceName", emit_fact, FOCUS_SERVICE},
	{"ServiceSubcategory", emit_constant, SERVICE_SUBCATEGORY},
	{"SkuId", emit_fact, FOCUS_SKU},
	{"SkuMeter", emit_meter, 0},
	{"SkuPriceId", emit_fact, FOCUS_SKU_PRICE},
	{"SubAccountId", emit_fact, FOCUS_SUB_ACCOUNT},
	{"SubAccountName", emit_fact, FOCUS_SUB_ACCOUNT},
	{"Tags", emit_fact, FOCUS_TAGS},
	{"x_Api", emit_fact, FOCUS_API},
	{"x_Basis", emit_fact, FOCUS_BASIS},
	{"x_BillingMode", emit_fact, FOCUS_BILLING_MODE},
	{"x_CostState", emit_fact, FOCUS_COST_STATE},
	{"x_Host", emit_fact, FOCUS_HOST},
	{"x_Operation", emit_fact, FOCUS_OPERATION},
	{"x_PricesSha256", emit_fact, FOCUS_PRICES},
	{"x_ServiceTier", emit_fact, FOCUS_SERVICE_TIER},
	{"x_UnpricedReason", emit_fact, FOCUS_UNPRICED},
};

/* ---- printing ---------------------------------------------------------------------------- */

struct print {
	struct export *e;
	struct output *o;
};

static int print_charge(void *user, const struct focus_charge *charge)
{
	struct print *p = user;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		columns[i].emit(p->o, charge, columns[i].arg);
	output_row(p->o);
	p->e->rows++;
	progress_show("exporting", (int64_t)p->e->rows, 0, "charges");
	return ferror(p->e->stream) ? -EPIPE : 0;
}

int export_focus(struct export *e, bool *query_failed)
{
	struct output_column heads[ARRAY_LEN(columns)];
	struct print print = {.e = e};
	struct focus *focus = NULL;
	int r, ended;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		heads[i] = (struct output_column){columns[i].name, OUTPUT_LEFT};
	r = output_new(&print.o, e->stream, OUTPUT_CSV, heads, ARRAY_LEN(columns));
	if (r)
		return r;
	r = focus_new(&focus, e->prices, print_charge, &print);
	if (r == 0)
		r = focus_run(focus, e->q, e->filter, &e->doubts, query_failed);
	focus_free(focus);
	ended = output_end(print.o);
	return r && r != -EPIPE ? r : ended;
}
