/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/forecast.h"

#include <errno.h>

/* So wide may amounts be that no product below leaves 128 bits, of FORECAST_DAYS_MAX days. */
#define AMOUNT_BITS 38

static int class_of(const struct forecast_fit *fit, int64_t t)
{
	return (int)((fit->first_weekday + t) % fit->classes);
}

static pusd_sum gcd(pusd_sum a, pusd_sum b)
{
	while (b) {
		pusd_sum rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static pusd_sum cut(const struct forecast_fit *fit, pusd_sum amount)
{
	return pusd_divide(amount, (pusd_sum)1 << fit->shift);
}

static unsigned shift_for(const pusd_sum *daily, const bool *known, size_t days)
{
	pusd_sum widest = 0;
	unsigned shift = 0;

	for (size_t t = 0; t < days; t++) {
		pusd_sum amount = daily[t] < 0 ? -daily[t] : daily[t];

		if (known[t] && amount > widest)
			widest = amount;
	}
	while (widest >> shift >= (pusd_sum)1 << AMOUNT_BITS)
		shift++;
	return shift;
}

/* A weekly pattern needs every weekday often enough. */
static int classes_for(const bool *known, size_t days)
{
	int count[FORECAST_WEEK] = {0};

	for (size_t t = 0; t < days; t++)
		count[t % FORECAST_WEEK] += known[t];
	for (int i = 0; i < FORECAST_WEEK; i++) {
		if (count[i] < FORECAST_WEEKDAY_MIN)
			return 1;
	}
	return FORECAST_WEEK;
}

static void sum_classes(struct forecast_fit *fit, const pusd_sum *daily, const bool *known,
			size_t days)
{
	for (size_t t = 0; t < days; t++) {
		int class = class_of(fit, (int64_t)t);

		if (!known[t])
			continue;
		fit->count[class]++;
		fit->t_sum[class] += (int64_t)t;
		fit->y_sum[class] += cut(fit, daily[t]);
	}
	fit->lcm = 1;
	for (int i = 0; i < fit->classes; i++)
		fit->lcm = fit->lcm / gcd(fit->lcm, fit->count[i]) * fit->count[i];
}

/* Within the classes: sums of (t - mean t)(y - mean y) and (t - mean t)^2, both times lcm. */
static void find_slope(struct forecast_fit *fit, const pusd_sum *daily, const bool *known,
		       size_t days)
{
	pusd_sum ty = 0, tt = 0;

	for (size_t t = 0; t < days; t++) {
		if (!known[t])
			continue;
		ty += (pusd_sum)t * cut(fit, daily[t]);
		tt += (pusd_sum)(t * t);
	}
	fit->slope_num = fit->lcm * ty;
	fit->slope_den = fit->lcm * tt;
	for (int i = 0; i < fit->classes; i++) {
		pusd_sum scale = fit->lcm / fit->count[i];

		fit->slope_num -= scale * fit->t_sum[i] * fit->y_sum[i];
		fit->slope_den -= scale * fit->t_sum[i] * fit->t_sum[i];
	}
}

/* mean y + slope * (t - mean t), in the units of the fit */
static pusd_sum line_at(const struct forecast_fit *fit, int64_t t)
{
	int class = class_of(fit, t);
	pusd_sum count = fit->count[class];

	return pusd_divide(fit->y_sum[class] * fit->slope_den +
				   fit->slope_num * (count * t - fit->t_sum[class]),
			   count * fit->slope_den);
}

int forecast_fit(struct forecast_fit *fit, const pusd_sum *daily, const bool *known, size_t days,
		 int first_weekday)
{
	int64_t count = 0;

	if (days > FORECAST_DAYS_MAX)
		return -EINVAL;
	for (size_t t = 0; t < days; t++)
		count += known[t];
	if (count < FORECAST_DAYS_MIN)
		return -EINVAL;
	*fit = (struct forecast_fit){
		.classes = classes_for(known, days),
		.first_weekday = first_weekday,
		.shift = shift_for(daily, known, days),
		.days = count,
	};
	sum_classes(fit, daily, known, days);
	find_slope(fit, daily, known, days);
	for (size_t t = 0; t < days; t++) {
		pusd_sum residual = known[t] ? cut(fit, daily[t]) - line_at(fit, (int64_t)t) : 0;

		fit->squares += residual * residual;
	}
	return 0;
}

pusd_sum forecast_day(const struct forecast_fit *fit, int64_t t)
{
	return line_at(fit, t) * ((pusd_sum)1 << fit->shift);
}

pusd_sum forecast_slope(const struct forecast_fit *fit)
{
	return pusd_divide(fit->slope_num, fit->slope_den) * ((pusd_sum)1 << fit->shift);
}

/* ---- the spread -------------------------------------------------------------------------- */

/* Thousandths of Student's t, two-sided, by degrees of freedom; between rows the one above. */
static const struct {
	int64_t freedom;
	int64_t t[FORECAST_LEVELS];
} quantiles[] = {
	{1, {3078, 12706}},  {2, {1886, 4303}},	 {3, {1638, 3182}},  {4, {1533, 2776}},
	{5, {1476, 2571}},   {6, {1440, 2447}},	 {7, {1415, 2365}},  {8, {1397, 2306}},
	{9, {1383, 2262}},   {10, {1372, 2228}}, {11, {1363, 2201}}, {12, {1356, 2179}},
	{13, {1350, 2160}},  {14, {1345, 2145}}, {15, {1341, 2131}}, {16, {1337, 2120}},
	{17, {1333, 2110}},  {18, {1330, 2101}}, {19, {1328, 2093}}, {20, {1325, 2086}},
	{21, {1323, 2080}},  {22, {1321, 2074}}, {23, {1319, 2069}}, {24, {1318, 2064}},
	{25, {1316, 2060}},  {26, {1315, 2056}}, {27, {1314, 2052}}, {28, {1313, 2048}},
	{29, {1311, 2045}},  {30, {1310, 2042}}, {40, {1303, 2021}}, {60, {1296, 2000}},
	{120, {1289, 1980}},
};

static int64_t quantile(int64_t freedom, enum forecast_level level)
{
	int64_t found = quantiles[0].t[level];

	for (size_t i = 0; i < ARRAY_LEN(quantiles) && quantiles[i].freedom <= freedom; i++)
		found = quantiles[i].t[level];
	return found;
}

static pusd_sum square_root(pusd_sum value)
{
	pusd_sum root = 0;

	for (int bit = 62; bit >= 0; bit--) {
		pusd_sum next = root + ((pusd_sum)1 << bit);

		if (next * next <= value)
			root = next;
	}
	return root;
}

#define MILLION 1000000

/* Millionths of m + x'(X'X)^-1 x: the days' own errors, the weekdays' levels, the slope. */
static pusd_sum variance_factor(const struct forecast_fit *fit, int64_t first, int64_t count)
{
	pusd_sum factor = (pusd_sum)count * MILLION, lever = 0;
	int64_t days[FORECAST_WEEK] = {0};

	for (int64_t t = first; t < first + count; t++) {
		days[class_of(fit, t)]++;
		lever += fit->lcm * t;
	}
	for (int i = 0; i < fit->classes; i++) {
		factor += (pusd_sum)days[i] * days[i] * MILLION / fit->count[i];
		lever -= fit->lcm / fit->count[i] * days[i] * fit->t_sum[i];
	}
	/* lever is lcm times its size, slope_den lcm times the squares of t */
	return factor + lever * lever * 1000 / fit->lcm * 1000 / fit->slope_den;
}

pusd_sum forecast_half(const struct forecast_fit *fit, enum forecast_level level, int64_t first,
		       int64_t count)
{
	int64_t freedom = fit->days - fit->classes - 1;
	pusd_sum variance = fit->squares / freedom * variance_factor(fit, first, count);

	/* a root of millionths is thousandths, and so is the quantile */
	return pusd_divide(square_root(variance) * quantile(freedom, level), MILLION) *
	       ((pusd_sum)1 << fit->shift);
}
