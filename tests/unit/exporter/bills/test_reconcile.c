/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each cause is planted alone and in every pair, with the amounts it has to come out with; what
 * nobody planted by a rule comes out as unexplained; and causes add up to the drift whatever the
 * sums are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/bills/reconcile.h"

#include <stdio.h>

#define MODEL "claude-sonnet-4-5"
#define DAY   20400
#define MAX   64

/* Dollars of a million units are so many picodollars of one. */
static bill_sum usd(int64_t microdollars)
{
	return (bill_sum)microdollars * 1000000;
}

struct books {
	struct recon_bill bill[MAX];
	size_t bills;
	struct recon_ledger sum[MAX];
	size_t sums;
	struct recon_day day;
};

static struct recon_key key_of(enum bill_class class, const char *tier)
{
	struct recon_key key = {
		.provider = "anthropic", .day = DAY, .model = MODEL, .class = class};

	snprintf(key.tier, sizeof(key.tier), "%s", tier);
	return key;
}

/* Units at so many millionths of a dollar for a million of them, that is picodollars each. */
static struct recon_bill *billed(struct books *b, enum bill_class class, int64_t units,
				 int64_t pusd)
{
	struct recon_bill *row = &b->bill[b->bills++];

	*row = (struct recon_bill){.key = key_of(class, BILL_STANDARD),
				   .has_quantity = true,
				   .quantity = units,
				   .has_amount = true,
				   .amount = (bill_sum)units * pusd,
				   .currency = BILL_USD};
	return row;
}

static struct recon_ledger *seen(struct books *b, enum bill_class class, int64_t units,
				 int64_t pusd)
{
	struct recon_ledger *row = &b->sum[b->sums++];

	*row = (struct recon_ledger){.key = key_of(class, BILL_STANDARD),
				     .quantity = units,
				     .cost_pusd = (bill_sum)units * pusd,
				     .calls = 10,
				     .list_pusd = -1};
	return row;
}

static const struct {
	enum bill_class class;
	int64_t units, pusd;
} usual[] = {
	{BILL_INPUT, 1000000, 3000000},
	{BILL_CACHE_READ, 2000000, 300000},
	{BILL_CACHE_WRITE_5M, 400000, 3750000},
	{BILL_OUTPUT, 300000, 15000000},
};

static void both_agree(struct books *b)
{
	*b = (struct books){
		.day = {.provider = "anthropic", .day = DAY, .money = true, .usage = true}};
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		billed(b, usual[i].class, usual[i].units, usual[i].pusd);
		seen(b, usual[i].class, usual[i].units, usual[i].pusd);
	}
}

static struct recon_bill *bill_of(struct books *b, enum bill_class class)
{
	for (size_t i = 0; i < b->bills; i++) {
		if (b->bill[i].key.class == class)
			return &b->bill[i];
	}
	return billed(b, class, 0, 0);
}

static struct recon_ledger *sum_of(struct books *b, enum bill_class class)
{
	for (size_t i = 0; i < b->sums; i++) {
		if (b->sum[i].key.class == class)
			return &b->sum[i];
	}
	return seen(b, class, 0, 0);
}

static struct recon_rows compare(struct books *b)
{
	struct recon_rows rows = {0};

	assert_int_equal(reconcile(b->bill, b->bills, b->sum, b->sums, &b->day, 1, &rows), 0);
	return rows;
}

/* The causes of all rows, after each row's were seen to add up. */
static void causes_of(struct books *b, bill_sum cause[RECON_CAUSES])
{
	struct recon_rows rows = compare(b);

	memset(cause, 0, RECON_CAUSES * sizeof(*cause));
	for (size_t i = 0; i < rows.count; i++) {
		const struct recon_row *row = &rows.row[i];
		bill_sum sum = 0;

		assert_true(row->has_drift);
		assert_true(row->drift == row->billed - row->ledger);
		for (int c = 0; c < RECON_CAUSES; c++) {
			sum += row->cause[c];
			cause[c] += row->cause[c];
		}
		assert_true(sum == row->drift);
	}
	recon_rows_free(&rows);
}

/* ---- plants: each changes the books and says what it must come out as ----------------------- */

/* Output is billed at 13.50 and not at 15. */
static bill_sum plant_price(struct books *b)
{
	struct recon_bill *output = bill_of(b, BILL_OUTPUT);

	output->amount = output->quantity * 13500000;
	return output->quantity * (13500000 - 15000000);
}

/* What the ledger has as five-minute writes was billed as one-hour writes, at 6. */
static bill_sum plant_class(struct books *b)
{
	struct recon_bill *five = bill_of(b, BILL_CACHE_WRITE_5M);
	bill_sum units = five->quantity;
	struct recon_bill *hour = bill_of(b, BILL_CACHE_WRITE_1H);

	five = bill_of(b, BILL_CACHE_WRITE_5M);
	five->quantity = five->amount = 0;
	hour->quantity = units;
	hour->amount = units * 6000000;
	return units * (6000000 - 3750000);
}

/* 70,000 tokens of spoken output that no ledger saw, at 20. */
static bill_sum plant_coverage(struct books *b)
{
	struct recon_bill *audio = bill_of(b, BILL_OUTPUT_AUDIO);

	audio->quantity += 70000;
	audio->amount += usd(1400000);
	return usd(1400000);
}

/* Two of ten calls were cut: of their output 20,000 tokens are known, 35,000 were billed. */
static bill_sum plant_estimated(struct books *b)
{
	struct recon_bill *output = bill_of(b, BILL_OUTPUT);
	bill_sum price = output->amount / output->quantity;

	for (size_t i = 0; i < b->sums; i++)
		b->sum[i].estimated_calls = 2;
	sum_of(b, BILL_OUTPUT)->estimated_quantity = 20000;
	sum_of(b, BILL_OUTPUT)->estimated_pusd = (bill_sum)20000 * 15000000;
	output->quantity += 15000;
	output->amount += 15000 * price;
	return (bill_sum)15000 * 15000000;
}

/* A lump that is no price of anything. */
static bill_sum plant_unknown(struct books *b)
{
	bill_of(b, BILL_CACHE_READ)->amount += 371234567891;
	return 371234567891;
}

/* In the order in which they are planted: the price is of all that was billed then. */
static const struct {
	enum recon_cause cause;
	bill_sum (*plant)(struct books *b);
} plants[] = {
	{CAUSE_CLASS, plant_class},	    {CAUSE_COVERAGE, plant_coverage},
	{CAUSE_ESTIMATED, plant_estimated}, {CAUSE_PRICE, plant_price},
	{CAUSE_UNEXPLAINED, plant_unknown},
};

static void check_planted(const bool planted[ARRAY_LEN(plants)])
{
	bill_sum expected[RECON_CAUSES] = {0}, found[RECON_CAUSES];
	struct books b;

	both_agree(&b);
	for (size_t i = 0; i < ARRAY_LEN(plants); i++) {
		if (planted[i])
			expected[plants[i].cause] += plants[i].plant(&b);
	}
	causes_of(&b, found);
	for (int c = 0; c < RECON_CAUSES; c++) {
		if (found[c] != expected[c])
			fail_msg("%s: %lld, expected %lld", recon_cause_names[c],
				 (long long)found[c], (long long)expected[c]);
	}
}

static void test_agreement(void **state)
{
	(void)state;
	check_planted((bool[ARRAY_LEN(plants)]){false});
}

static void test_each_cause_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plants); i++) {
		bool planted[ARRAY_LEN(plants)] = {false};

		planted[i] = true;
		check_planted(planted);
	}
}

static void test_all_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plants); i++) {
		for (size_t k = i + 1; k < ARRAY_LEN(plants); k++) {
			bool planted[ARRAY_LEN(plants)] = {false};

			planted[i] = planted[k] = true;
			check_planted(planted);
		}
	}
}

static void test_all_at_once(void **state)
{
	bool planted[ARRAY_LEN(plants)];

	(void)state;
	memset(planted, true, sizeof(planted));
	check_planted(planted);
}

/* ---- rules ------------------------------------------------------------------------------- */

/* Missing calls of a class that is seen, on either side. */
static void test_coverage_of_seen_classes(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct books b;

	(void)state;
	both_agree(&b);
	sum_of(&b, BILL_INPUT)->quantity -= 250000;
	sum_of(&b, BILL_INPUT)->cost_pusd -= (bill_sum)250000 * 3000000;
	causes_of(&b, cause);
	assert_true(cause[CAUSE_COVERAGE] == usd(750000));
	both_agree(&b);
	bill_of(&b, BILL_OUTPUT)->quantity -= 100000;
	bill_of(&b, BILL_OUTPUT)->amount -= usd(1500000);
	causes_of(&b, cause);
	assert_true(cause[CAUSE_COVERAGE] == -usd(1500000) && cause[CAUSE_CLASS] == 0);
}

/* Cached tokens counted as new ones, and calls missing beside: the least that can have moved. */
static void test_class_takes_the_least(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct books b;

	(void)state;
	both_agree(&b);
	bill_of(&b, BILL_INPUT)->quantity -= 300000;
	bill_of(&b, BILL_INPUT)->amount -= usd(900000);
	bill_of(&b, BILL_CACHE_READ)->quantity += 500000;
	bill_of(&b, BILL_CACHE_READ)->amount += usd(150000);
	causes_of(&b, cause);
	assert_true(cause[CAUSE_CLASS] == usd(90000 - 900000));
	assert_true(cause[CAUSE_COVERAGE] == usd(60000));
}

/* Input cannot have been counted as output. */
static void test_sides_do_not_mix(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct books b;

	(void)state;
	both_agree(&b);
	bill_of(&b, BILL_INPUT)->quantity -= 100000;
	bill_of(&b, BILL_INPUT)->amount -= usd(300000);
	bill_of(&b, BILL_OUTPUT)->quantity += 100000;
	bill_of(&b, BILL_OUTPUT)->amount += usd(1500000);
	causes_of(&b, cause);
	assert_true(cause[CAUSE_CLASS] == 0 && cause[CAUSE_COVERAGE] == usd(1200000));
}

/* Calls of unsure usage account for what sure ones had, and no more. */
static void test_estimates_are_bounded(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct books b;

	(void)state;
	both_agree(&b);
	for (size_t i = 0; i < b.sums; i++)
		b.sum[i].estimated_calls = 2; /* of 10: without any count of their own */
	bill_of(&b, BILL_OUTPUT)->quantity += 100000;
	bill_of(&b, BILL_OUTPUT)->amount += usd(1500000);
	causes_of(&b, cause);
	assert_true(cause[CAUSE_ESTIMATED] == usd(75000 * 15)); /* 300,000 / 8 * 2 */
	assert_true(cause[CAUSE_COVERAGE] == usd(25000 * 15));
}

static void test_states(void **state)
{
	struct recon_rows rows;
	struct books b;

	(void)state;
	both_agree(&b);
	b.sums = 0;
	bill_of(&b, BILL_OTHER)->amount = -usd(1000000);
	bill_of(&b, BILL_OTHER)->has_quantity = false;
	rows = compare(&b);
	assert_int_equal(rows.count, 5);
	for (size_t i = 0; i < rows.count; i++) {
		const struct recon_row *row = &rows.row[i];
		bool credit = row->key.class == BILL_OTHER;

		assert_int_equal(row->state, RECON_UNTRACKED);
		assert_true(row->cause[credit ? CAUSE_UNEXPLAINED : CAUSE_COVERAGE] == row->drift);
	}
	recon_rows_free(&rows);
	both_agree(&b);
	b.bills = 0;
	rows = compare(&b);
	assert_int_equal(rows.count, ARRAY_LEN(usual));
	assert_int_equal(rows.row[0].state, RECON_NOT_BILLED);
	assert_true(rows.row[0].cause[CAUSE_COVERAGE] == -usd(3000000));
	assert_true(rows.row[0].has_billed_quantity && rows.row[0].billed_quantity == 0);
	recon_rows_free(&rows);
	b.day.day++; /* a day that no bill is of */
	rows = compare(&b);
	assert_int_equal(rows.count, 0);
	recon_rows_free(&rows);
}

/* Counts without money are compared as counts; what has no price is no zero. */
static void test_counts_without_money(void **state)
{
	struct recon_rows rows;
	struct books b;

	(void)state;
	both_agree(&b);
	b.day.money = false;
	for (size_t i = 0; i < b.bills; i++)
		b.bill[i].has_amount = false;
	rows = compare(&b);
	assert_int_equal(rows.count, ARRAY_LEN(usual));
	for (size_t i = 0; i < rows.count; i++) {
		assert_int_equal(rows.row[i].state, RECON_NO_AMOUNT);
		assert_false(rows.row[i].has_drift);
		assert_true(rows.row[i].billed_quantity == rows.row[i].ledger_quantity);
	}
	recon_rows_free(&rows);
}

/* Euro and dollars stand in rows of their own, and only dollars meet the ledger's. */
static void test_currencies(void **state)
{
	struct recon_rows rows;
	struct recon_bill *euro;
	bill_sum drift = 0;
	size_t others = 0;
	struct books b;

	(void)state;
	both_agree(&b);
	for (int i = 0; i < 3; i++) {
		euro = billed(&b, i ? BILL_OUTPUT : BILL_INPUT, 0, 0);
		euro->has_quantity = false;
		euro->amount = usd(5000000);
		snprintf(euro->currency, sizeof(euro->currency), "%s", i == 1 ? "GBP" : "EUR");
	}
	rows = compare(&b);
	for (size_t i = 0; i < rows.count; i++) {
		if (!strcmp(rows.row[i].currency, BILL_USD)) {
			drift += rows.row[i].drift;
			continue;
		}
		others++;
		assert_int_equal(rows.row[i].state, RECON_OTHER_CURRENCY);
		assert_false(rows.row[i].has_drift);
		assert_true(rows.row[i].billed == usd(5000000) && rows.row[i].ledger == 0);
	}
	assert_int_equal(others, 3);
	assert_true(drift == 0);
	recon_rows_free(&rows);
	/* All of it in euro: the counts stand beside. */
	both_agree(&b);
	for (size_t i = 0; i < b.bills; i++)
		snprintf(b.bill[i].currency, sizeof(b.bill[i].currency), "EUR");
	rows = compare(&b);
	assert_int_equal(rows.count, ARRAY_LEN(usual));
	assert_true(rows.row[0].ledger_quantity == 1000000 && !rows.row[0].has_drift);
	recon_rows_free(&rows);
}

/* A tier of its own that nobody saw is coverage at its own price, and no price of the rest. */
static void test_tiers(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct recon_bill *batch;
	struct books b;

	(void)state;
	both_agree(&b);
	batch = billed(&b, BILL_OUTPUT, 1000000, 7500000);
	snprintf(batch->key.tier, sizeof(batch->key.tier), "batch");
	causes_of(&b, cause);
	assert_true(cause[CAUSE_COVERAGE] == usd(7500000) && cause[CAUSE_PRICE] == 0);
	/* A bill that tells no tiers is compared with all of them together. */
	both_agree(&b);
	for (size_t i = 0; i < b.bills; i++)
		b.bill[i].key.tier[0] = '\0';
	snprintf(b.sum[0].key.tier, sizeof(b.sum[0].key.tier), "priority");
	causes_of(&b, cause);
	for (int c = 0; c < RECON_CAUSES; c++)
		assert_true(cause[c] == 0);
}

static void test_bill_without_classes(void **state)
{
	struct recon_rows rows;
	struct books b;

	(void)state;
	both_agree(&b);
	b.bills = 0;
	billed(&b, BILL_ALL, 0, 0)->amount = usd(10600000);
	b.bill[0].has_quantity = false;
	rows = compare(&b); /* 3 + 0.6 + 1.5 + 4.5 = 9.6 */
	assert_int_equal(rows.count, 1);
	assert_true(rows.row[0].drift == usd(1000000));
	assert_true(rows.row[0].cause[CAUSE_UNEXPLAINED] == usd(1000000));
	assert_false(rows.row[0].has_billed_quantity || rows.row[0].has_ledger_quantity);
	recon_rows_free(&rows);
}

/* Without counts: a factor on all of it is a price, and so is what the ledger has none for. */
static void test_factors(void **state)
{
	static const struct {
		int64_t billed, slack, ledger;
		enum recon_cause cause;
	} rows[] = {
		{11000000000001, 0, 10000000000000, CAUSE_PRICE},	/* +10 % */
		{9270000000000, 0, 10000000000000, CAUSE_PRICE},	/* -7.3 % */
		{11000200000000, 0, 10000000000000, CAUSE_UNEXPLAINED}, /* +10.002 % */
		{10001230000000, 0, 10000000000000, CAUSE_UNEXPLAINED},
		{11000000000000, 5000000000, 10000000000000, CAUSE_UNEXPLAINED}, /* to the cent */
		{7000000000000, 0, 0, CAUSE_PRICE},				 /* unpriced */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bill_sum cause[RECON_CAUSES];
		struct books b;

		both_agree(&b);
		b.bills = 0;
		b.sums = 1;
		billed(&b, BILL_ALL, 0, 0)->amount = rows[i].billed;
		b.bill[0].has_quantity = false;
		b.bill[0].slack = rows[i].slack;
		b.sum[0].cost_pusd = rows[i].ledger;
		causes_of(&b, cause);
		if (cause[rows[i].cause] != (bill_sum)rows[i].billed - rows[i].ledger)
			fail_msg("row %zu", i);
	}
}

/* Units beside amounts count where no report does, and not on top of one that does. */
static void test_own_counts(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct books b;

	(void)state;
	for (int reported = 0; reported < 2; reported++) {
		both_agree(&b);
		for (size_t i = 0; i < b.bills; i++) {
			b.bill[i].has_own = true;
			b.bill[i].own = b.bill[i].quantity;
			b.bill[i].has_quantity = reported;
		}
		bill_of(&b, BILL_OUTPUT)->own += reported ? 777 : 40000;
		bill_of(&b, BILL_OUTPUT)->amount += reported ? 0 : usd(600000);
		causes_of(&b, cause);
		assert_true(cause[CAUSE_COVERAGE] == (reported ? 0 : usd(600000)));
		assert_true(cause[CAUSE_UNEXPLAINED] == 0 && cause[CAUSE_PRICE] == 0);
	}
}

/* Searches are billed on one line, whichever model asked for them. */
static void test_units_without_model(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct recon_bill *search;
	struct books b;

	(void)state;
	both_agree(&b);
	seen(&b, BILL_WEB_SEARCH, 7, 10000000000);
	search = billed(&b, BILL_WEB_SEARCH, 9, 10000000000);
	search->key.model[0] = search->key.tier[0] = '\0';
	causes_of(&b, cause);
	assert_true(cause[CAUSE_COVERAGE] == usd(20000) && cause[CAUSE_UNEXPLAINED] == 0);
}

/* Unpriced calls: the units agree, and the ledger has no price for them. */
static void test_unpriced_is_price(void **state)
{
	bill_sum cause[RECON_CAUSES];
	struct books b;

	(void)state;
	both_agree(&b);
	for (size_t i = 0; i < b.sums; i++)
		b.sum[i].cost_pusd = 0;
	causes_of(&b, cause);
	assert_true(cause[CAUSE_PRICE] == usd(9600000) && cause[CAUSE_COVERAGE] == 0);
}

/*
 * A bill to the cent: a lump on a line of some dollars is nobody's price, but for one in a hundred
 * that makes a whole dollar a million of it to the cent.
 */
static void test_lumps_on_rounded_bills(void **state)
{
	int taken = 0;

	(void)state;
	for (bill_sum cents = 100; cents < 2000; cents++) {
		bill_sum cause[RECON_CAUSES];
		struct recon_bill *output;
		struct books b;
		bill_sum drift;

		both_agree(&b);
		output = bill_of(&b, BILL_OUTPUT);
		output->quantity = sum_of(&b, BILL_OUTPUT)->quantity = 1234567;
		sum_of(&b, BILL_OUTPUT)->cost_pusd = (bill_sum)1234567 * 15000000;
		output->amount = usd(18520000) + usd(cents * 10000);
		output->slack = 5000000000;
		drift = output->amount - sum_of(&b, BILL_OUTPUT)->cost_pusd;
		causes_of(&b, cause);
		assert_true(cause[CAUSE_PRICE] + cause[CAUSE_UNEXPLAINED] == drift);
		taken += cause[CAUSE_PRICE] != 0;
	}
	assert_true(taken * 100 <= 1900);
}

static void test_is_price(void **state)
{
	static const struct {
		int64_t amount, slack, quantity;
		bool is;
	} rows[] = {
		{3703701000000, 0, 1234567, true},		  /* 3 USD a million */
		{4073701000000, 0, 1234567, false},		  /* and 0.37 USD */
		{4070000000000, 5000000000, 1234567, false},	  /* to the cent: anything */
		{37040000000000, 5000000000, 12345678, true},	  /* 3 USD a million, to the cent */
		{46300000000000, 5000000000, 12345678, false},	  /* 3.75: too many digits for it */
		{4629630000000000, 5000000000, 1234567890, true}, /* and not here */
		{4631630000000000, 5000000000, 1234567890, false}, /* and 2 USD */
		{4629629, 0, 1, false},				   /* seven digits */
		{1, 0, 10, false},
		{0, 0, 5, true},
		{-3, 0, 3, false},
		{3, 0, 0, false},
		{33333000000 * 3LL, 0, 3000000, true},
		{INT64_MAX, 0, 1234567, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (recon_is_price(rows[i].amount, rows[i].slack, rows[i].quantity) != rows[i].is)
			fail_msg("row %zu", i);
	}
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Amounts that nobody priced by the unit, 5 to 100 USD, with so many digits behind the point. */
static void test_chance_is_no_price(void **state)
{
	static const int64_t places[] = {10000000000, 100000000, 1000000, 10000, 1};
	const int rounds = 200000;
	uint64_t seed = 88172645463325252ULL;

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(places); p++) {
		int taken = 0;

		for (int i = 0; i < rounds; i++) {
			int64_t amount = 5000000000000 + (int64_t)(next(&seed) % 95000000000000);
			int64_t units = 1000 + (int64_t)(next(&seed) % 50000000);

			amount -= amount % places[p];
			taken += recon_is_price(amount, places[p] / 2, units);
		}
		print_message("digit of 10^-12 USD %lld: %d of %d\n", (long long)places[p], taken,
			      rounds);
		assert_true(taken <= rounds / 80);
	}
}

/* ---- whatever the sums are --------------------------------------------------------------- */

static int64_t any_amount(uint64_t *seed)
{
	int64_t v = (int64_t)(next(seed) >> 1) >> next(seed) % 63;

	return next(seed) % 4 ? v : -v;
}

static int64_t any_count(uint64_t *seed)
{
	return (int64_t)(next(seed) >> 1) >> next(seed) % 63;
}

static void any_books(struct books *b, uint64_t *seed)
{
	static const char *const tiers[] = {"standard", "batch", "standard", ""};

	*b = (struct books){
		.day = {.provider = "anthropic", .day = DAY, .money = true, .usage = true}};
	for (size_t n = next(seed) % 12; n; n--) {
		struct recon_bill *row =
			billed(b, (enum bill_class)(next(seed) % BILL_CLASSES), any_count(seed), 0);

		row->amount = any_amount(seed);
		row->has_amount = next(seed) % 4;
		row->has_quantity = next(seed) % 4;
		row->slack = any_count(seed) % 1000;
		snprintf(row->key.tier, sizeof(row->key.tier), "%s", tiers[next(seed) % 4]);
	}
	for (size_t n = next(seed) % 12; n; n--) {
		struct recon_ledger *row =
			seen(b, (enum bill_class)(next(seed) % BILL_OTHER), any_count(seed), 0);

		row->cost_pusd = any_count(seed);
		row->estimated_quantity = row->quantity / (1 + next(seed) % 3);
		row->estimated_calls = (int64_t)(next(seed) % 11);
		row->list_pusd = next(seed) % 2 ? -1 : any_count(seed);
		snprintf(row->key.tier, sizeof(row->key.tier), "%s", tiers[next(seed) % 3]);
	}
}

/* No amount of either side is lost or counted twice, and each row's causes add up. */
static void test_any_sums_add_up(void **state)
{
	uint64_t seed = 88172645463325252ULL;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		bill_sum cause[RECON_CAUSES], drift = 0, all = 0;
		struct books b;

		any_books(&b, &seed);
		for (size_t i = 0; i < b.bills; i++)
			drift += b.bill[i].has_amount ? b.bill[i].amount : 0;
		for (size_t i = 0; i < b.sums; i++)
			drift -= b.sum[i].cost_pusd;
		causes_of(&b, cause);
		for (int c = 0; c < RECON_CAUSES; c++)
			all += cause[c];
		assert_true(all == drift);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_each_cause_alone),
		cmocka_unit_test(test_all_pairs),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_coverage_of_seen_classes),
		cmocka_unit_test(test_class_takes_the_least),
		cmocka_unit_test(test_sides_do_not_mix),
		cmocka_unit_test(test_estimates_are_bounded),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_counts_without_money),
		cmocka_unit_test(test_currencies),
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_bill_without_classes),
		cmocka_unit_test(test_factors),
		cmocka_unit_test(test_own_counts),
		cmocka_unit_test(test_units_without_model),
		cmocka_unit_test(test_unpriced_is_price),
		cmocka_unit_test(test_is_price),
		cmocka_unit_test(test_chance_is_no_price),
		cmocka_unit_test(test_lumps_on_rounded_bills),
		cmocka_unit_test(test_any_sums_add_up),
	};

	return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
