/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Days to come from days past: a straight line with a weekly pattern, by least squares.
 *
 *	y(t) = level of the weekday + slope * t + error
 *
 * All in integers: the sums of least squares are exact, of amounts cut to 38 bits (a day of up to
 * 0.27 USD to the picodollar, any other to 11 digits). The spread of a sum of days to come assumes
 * errors that are independent, equally wide and normal, and counts both their own width and that of
 * the fit: half = t(df) * s * sqrt(m + x'(X'X)^-1 x), x being the sum of the days' rows. Pure.
 */
#ifndef TT_FORECAST_H
#define TT_FORECAST_H

#include "agent/base/money.h"

#define FORECAST_DAYS_MIN    8	 /* of which the cost is known */
#define FORECAST_WEEKDAY_MIN 2	 /* known days of each weekday, for a weekly pattern */
#define FORECAST_DAYS_MAX    366 /* of history */
#define FORECAST_WEEK	     7

enum forecast_level { FORECAST_80, FORECAST_95, FORECAST_LEVELS };

struct forecast_fit {
	int classes;	   /* FORECAST_WEEK, or 1 without a weekly pattern */
	int first_weekday; /* of day 0; 0 = Monday */
	unsigned shift;	   /* amounts below are in units of 2^shift picodollars */
	int64_t days;	   /* known ones */
	int64_t count[FORECAST_WEEK], t_sum[FORECAST_WEEK];
	pusd_sum y_sum[FORECAST_WEEK];
	pusd_sum lcm;		       /* of the counts */
	pusd_sum slope_num, slope_den; /* the slope; the latter is lcm times the squares of t */
	pusd_sum squares;	       /* of the residuals */
};

/*
 * Fits day 0 to days-1; known[t] false leaves a day out, since an unknown day is none of 0. Returns
 * 0, or -EINVAL: fewer than FORECAST_DAYS_MIN known days, or more than FORECAST_DAYS_MAX in all.
 */
int forecast_fit(struct forecast_fit *fit, const pusd_sum *daily, const bool *known, size_t days,
		 int first_weekday) TT_MUST_CHECK;

/* The line on day t, which may be below 0. */
pusd_sum forecast_day(const struct forecast_fit *fit, int64_t t);
/* Change from day to day. */
pusd_sum forecast_slope(const struct forecast_fit *fit);
/* Half of the range in which the sum of the days [first, first + count) lies. */
pusd_sum forecast_half(const struct forecast_fit *fit, enum forecast_level level, int64_t first,
		       int64_t count);

#endif
