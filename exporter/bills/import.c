/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/bills/import.h"

#include "agent/base/timestamp.h"
#include "exporter/bills/csv.h"

#include <errno.h>
#include <stdio.h>

/* What a row is read from. The first of a column's names that the header has is taken. */
enum column {
	COL_START,
	COL_END,
	COL_COST,
	COL_CURRENCY,
	COL_PROVIDER,
	COL_MODEL,
	COL_SKU,
	COL_RESOURCE,
	COL_METER,
	COL_DESCRIPTION,
	COL_CATEGORY,
	COL_SERVICE,
	COL_QUANTITY,
	COL_UNIT,
	COL_PROJECT,
	COL_KEY,
	COL_TIER,
	COLUMNS
};

#define NAMES_MAX 3
static const char *const focus_names[COLUMNS][NAMES_MAX] = {
	[COL_START] = {"ChargePeriodStart"},
	[COL_END] = {"ChargePeriodEnd"},
	[COL_COST] = {"BilledCost"},
	[COL_CURRENCY] = {"BillingCurrency"},
	[COL_PROVIDER] = {"ProviderName", "ServiceProviderName", "PublisherName"},
	[COL_MODEL] = {"x_Model"},
	[COL_SKU] = {"SkuId"},
	[COL_RESOURCE] = {"ResourceName", "ResourceId"},
	[COL_METER] = {"SkuMeter"},
	[COL_DESCRIPTION] = {"ChargeDescription"},
	[COL_CATEGORY] = {"ChargeCategory"},
	[COL_SERVICE] = {"ServiceCategory"},
	[COL_QUANTITY] = {"ConsumedQuantity"},
	[COL_UNIT] = {"ConsumedUnit"},
	[COL_PROJECT] = {"SubAccountId"},
	[COL_KEY] = {"x_KeyId"},
	[COL_TIER] = {"x_ServiceTier"},
};

static const char *const plain_names[COLUMNS][NAMES_MAX] = {
	[COL_START] = {"date", "day"}, [COL_COST] = {"amount", "cost"},
	[COL_CURRENCY] = {"currency"}, [COL_PROVIDER] = {"provider"},
	[COL_MODEL] = {"model"},
};

struct import {
	struct csv csv;
	struct csv_record record;
	int at[COLUMNS]; /* place in a record; -1 = the file has no such column */
	size_t columns;
	char currency[BILL_CURRENCY_MAX]; /* of the header; "" = each row says it */
	int decimals;			  /* most that any amount has */
	struct bill_file file;
	char *err;
	size_t err_size;
};

static int bad(struct import *in, const char *what, struct slice value)
{
	char shown[48];

	(void)slice_copy(shown, sizeof(shown), value);
	snprintf(in->err, in->err_size, "line %lld: %s%s%s%s", (long long)in->record.line, what,
		 value.ptr ? " '" : "", value.ptr ? shown : "", value.ptr ? "'" : "");
	return -EBADMSG;
}

static int bad_file(struct import *in, const char *what)
{
	return bad(in, what, (struct slice){NULL, 0});
}

/* ---- the header -------------------------------------------------------------------------- */

static int find_column(const struct import *in, const char *const names[NAMES_MAX])
{
	for (int n = 0; n < NAMES_MAX && names[n]; n++) {
		for (size_t i = 0; i < in->record.count; i++) {
			if (slice_ieq(slice_trim(in->record.field[i]), slice_of(names[n])))
				return (int)i;
		}
	}
	return -1;
}

/* "amount_eur", "amount (EUR)", "amount EUR": a column of amounts that names its currency. */
static int find_amount_of(struct import *in)
{
	for (size_t i = 0; i < in->record.count; i++) {
		struct slice name = slice_trim(in->record.field[i]);

		if (name.len < 10 || strncasecmp(name.ptr, "amount", 6) != 0)
			continue;
		if (name.ptr[name.len - 1] == ')')
			name.len--;
		if (strchr(" _(", name.ptr[name.len - 4]) &&
		    bill_currency_copy(in->currency, (struct slice){name.ptr + name.len - 3, 3}))
			return (int)i;
	}
	return -1;
}

static int read_header(struct import *in)
{
	const char *const(*names)[NAMES_MAX] = focus_names;
	int r = csv_next(&in->csv, &in->record);

	if (r < 0)
		return bad_file(in, in->csv.error);
	if (r == 0) {
		snprintf(in->err, in->err_size, "the file is empty");
		return -EBADMSG;
	}
	in->columns = in->record.count;
	in->file.is_focus = find_column(in, focus_names[COL_COST]) >= 0;
	if (!in->file.is_focus)
		names = plain_names;
	for (int i = 0; i < COLUMNS; i++)
		in->at[i] = find_column(in, names[i]);
	if (!in->file.is_focus && in->at[COL_COST] < 0)
		in->at[COL_COST] = find_amount_of(in);
	for (int i = COL_START; i <= COL_PROVIDER; i++) {
		bool may_lack = i == COL_END || (i == COL_CURRENCY && !in->file.is_focus);

		if (in->at[i] < 0 && !may_lack)
			return bad(in,
				   in->file.is_focus
					   ? "the header lacks the FOCUS column"
					   : "neither FOCUS (BilledCost, ...) nor "
					     "date,provider,model,amount: the header lacks",
				   slice_of(names[i][0]));
	}
	if (!in->file.is_focus && in->at[COL_MODEL] < 0)
		return bad(in, "the header lacks", SLICE("model"));
	if (!in->file.is_focus && in->at[COL_CURRENCY] < 0 && !in->currency[0])
		snprintf(in->currency, sizeof(in->currency), BILL_USD);
	return 0;
}

/* ---- a row ------------------------------------------------------------------------------- */

static struct slice cell(const struct import *in, enum column column)
{
	static const struct slice none = {"", 0};

	if (in->at[column] < 0)
		return none;
	return slice_trim(in->record.field[in->at[column]]);
}

/* RFC 3339, the same with a space for the T and without a zone (UTC), or a day. */
static bool parse_time(struct slice text, int64_t *unix_s)
{
	char copy[48];
	int64_t us;
	size_t n;

	if (text.len < 10 || text.len > 30 || text.ptr[4] != '-')
		return false;
	n = (size_t)snprintf(copy, sizeof(copy), "%.*s%s", SLICE_FMT(text),
			     text.len == 10 ? "T00:00:00" : "");
	if (copy[10] == ' ')
		copy[10] = 'T';
	if (!strchr("Zz", copy[n - 1]) && !strpbrk(copy + 11, "+-"))
		snprintf(copy + n, sizeof(copy) - n, "Z");
	if (!timestamp_parse(slice_of(copy), &us))
		return false;
	*unix_s = us / 1000000;
	return true;
}

static int read_times(struct import *in, struct bill_row *row)
{
	struct slice start = cell(in, COL_START), end = cell(in, COL_END);

	if (!parse_time(start, &row->from_s))
		return bad(in, "no date", start);
	row->to_s = row->from_s + SECONDS_PER_DAY;
	if (end.len && !parse_time(end, &row->to_s))
		return bad(in, "no date", end);
	if (row->to_s <= row->from_s)
		return bad(in, "a charge period that ends before it begins", end);
	if (!in->file.from_s || row->from_s < in->file.from_s)
		in->file.from_s = row->from_s;
	if (row->to_s > in->file.to_s)
		in->file.to_s = row->to_s;
	return 0;
}

static int read_amount(struct import *in, struct bill_row *row)
{
	struct slice amount = cell(in, COL_COST), currency = cell(in, COL_CURRENCY);
	int decimals = 0;

	if (!bill_money_parse(amount, 12, &row->amount, &decimals))
		return bad(in, "no amount", amount);
	row->has_amount = true;
	if (decimals > in->decimals)
		in->decimals = decimals;
	if (in->currency[0] && in->at[COL_CURRENCY] < 0)
		snprintf(row->currency, sizeof(row->currency), "%s", in->currency);
	else if (!bill_currency_copy(row->currency, currency))
		return bad(in, "no currency (three letters)", currency);
	return 0;
}

/* "1K Tokens", "1000 tokens", "1M Tokens", "Million Tokens", "tokens": units of one, as 10^n. */
static int unit_scale(struct slice unit)
{
	static const struct {
		const char *start;
		int scale;
	} rows[] = {{"1000000 ", 6}, {"1m ", 6}, {"million ", 6},
		    {"1000 ", 3},    {"1k ", 3}, {"thousand ", 3}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].start);

		if (unit.len > len && !strncasecmp(unit.ptr, rows[i].start, len))
			return rows[i].scale;
	}
	return 0;
}

static int read_quantity(struct import *in, struct bill_row *row)
{
	struct slice quantity = cell(in, COL_QUANTITY);
	int64_t probe;

	if (!quantity.len)
		return 0;
	if (!bill_money_parse(quantity, 0, &probe, NULL))
		return bad(in, "no quantity", quantity);
	/* Hours, bytes and parts of a token are no counts of ours. */
	if (row->class == BILL_OTHER || row->class == BILL_ALL)
		return 0;
	row->has_quantity = decimal_parse(quantity, unit_scale(cell(in, COL_UNIT)), &row->quantity);
	in->file.has_usage |= row->has_quantity;
	return 0;
}

/* The first of the columns that says something. */
static struct slice first_of(const struct import *in, const enum column *columns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (cell(in, columns[i]).len)
			return cell(in, columns[i]);
	}
	return SLICE("");
}

static void read_focus_names(struct import *in, struct bill_row *row)
{
	static const enum column models[] = {COL_MODEL, COL_RESOURCE, COL_SKU};
	static const enum column meters[] = {COL_METER, COL_DESCRIPTION, COL_SKU};
	struct slice meter = first_of(in, meters, ARRAY_LEN(meters));
	struct slice category = cell(in, COL_CATEGORY);

	(void)slice_copy(row->model, sizeof(row->model), first_of(in, models, ARRAY_LEN(models)));
	(void)slice_copy(row->item, sizeof(row->item), meter);
	(void)slice_copy(row->project, sizeof(row->project), cell(in, COL_PROJECT));
	(void)slice_copy(row->key, sizeof(row->key), cell(in, COL_KEY));
	bill_tier_copy(row->tier, cell(in, COL_TIER));
	row->class = bill_class_of_words(meter);
	/* Taxes, credits and purchases are of no call, nor is what is billed by the month. */
	if ((category.len && !slice_ieq(category, SLICE("Usage"))) ||
	    row->to_s - row->from_s > SECONDS_PER_DAY)
		row->class = BILL_OTHER;
}

/* A cloud's bill has more than models in it. */
static bool is_other_service(const struct import *in)
{
	struct slice service = cell(in, COL_SERVICE);

	return service.len && !slice_ieq(service, SLICE("AI and Machine Learning"));
}

static int read_row(struct import *in)
{
	struct bill_row *row;
	int r;

	if (in->record.count != in->columns)
		return bad_file(in, in->record.count < in->columns ? "fewer fields than the header"
								   : "more fields than the header");
	if (in->file.is_focus && is_other_service(in)) {
		in->file.left_out++;
		return 0;
	}
	row = bill_rows_add(&in->file.rows);
	if (!row)
		return bad_file(in, "no memory, or more than 500000 rows: split the file");
	bill_provider_copy(row->provider, cell(in, COL_PROVIDER));
	if (!row->provider[0])
		return bad_file(in, "no provider");
	r = read_times(in, row);
	if (r == 0)
		r = read_amount(in, row);
	if (r)
		return r;
	if (in->file.is_focus) {
		read_focus_names(in, row);
		return read_quantity(in, row);
	}
	(void)slice_copy(row->model, sizeof(row->model), cell(in, COL_MODEL));
	row->class = BILL_ALL;
	return 0;
}

/* ---- a file ------------------------------------------------------------------------------ */

/* Amounts were rounded to the digits that the file shows at most. */
static void set_slack(struct bill_file *file, int decimals)
{
	for (size_t i = 0; i < file->rows.count; i++)
		file->rows.row[i].slack = bill_slack(decimals);
}

static int read_file(struct import *in)
{
	int r = read_header(in);

	while (r == 0) {
		int more = csv_next(&in->csv, &in->record);

		if (more == 0)
			break;
		if (more < 0) {
			in->record.line = in->csv.line;
			r = bad_file(in, in->csv.error);
		} else {
			r = read_row(in);
		}
	}
	if (r == 0 && !in->file.rows.count) {
		snprintf(in->err, in->err_size, "the file has no rows%s",
			 in->file.left_out ? " of AI services" : "");
		r = -EBADMSG;
	}
	set_slack(&in->file, in->decimals);
	return r;
}

int bill_file_read(char *bytes, size_t len, struct bill_file *out, char *err, size_t err_size)
{
	struct import *in = calloc(1, sizeof(*in));
	int r;

	if (!in) {
		snprintf(err, err_size, "no memory");
		return -ENOMEM;
	}
	csv_begin(&in->csv, bytes, len);
	in->err = err;
	in->err_size = err_size;
	in->record.line = 1;
	r = read_file(in);
	if (r)
		bill_file_free(&in->file);
	else
		*out = in->file;
	free(in);
	return r;
}

void bill_file_free(struct bill_file *file)
{
	bill_rows_free(&file->rows);
}
