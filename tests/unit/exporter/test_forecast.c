/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporter/forecast.h"

#include <errno.h>
#include <math.h>

static uint64_t seed = 88172645463325252ull;

static double uniform(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (double)(seed >> 11) / 9007199254740992.0;
}

/* Box and Muller's. */
static double normal(void)
{
	double u = 1 - uniform();

	return sqrt(-2 * log(u)) * cos(2 * M_PI * uniform());
}

static bool all_known[FORECAST_DAYS_MAX];

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_known); i++)
		all_known[i] = true;
	return 0;
}

static const pusd_sum pattern[FORECAST_WEEK] = {500, 520, 480, 510, 450, 90, 60};

/* A line and a week without noise come back to the unit; so do days that are left out. */
static void test_exact(void **state)
{
	static const pusd_sum slopes[] = {0, 7, -3};
	bool holes[FORECAST_DAYS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(holes); i++)
		holes[i] = i % 11 != 3;
	for (size_t s = 0; s < ARRAY_LEN(slopes); s++) {
		for (size_t days = 15; days <= FORECAST_DAYS_MAX; days += 13) {
			pusd_sum y[FORECAST_DAYS_MAX];
			struct forecast_fit fit;

			for (size_t t = 0; t < days; t++)
				y[t] = pattern[(3 + t) % 7] + slopes[s] * (pusd_sum)t;
			assert_int_equal(forecast_fit(&fit, y, all_known, days, 3), 0);
			assert_int_equal(fit.classes, FORECAST_WEEK);
			assert_true(forecast_slope(&fit) == slopes[s]);
			assert_true(forecast_half(&fit, FORECAST_95, (int64_t)days, 31) == 0);
			for (size_t t = days; t < days + 31; t++)
				assert_true(forecast_day(&fit, (int64_t)t) ==
					    pattern[(3 + t) % 7] + slopes[s] * (pusd_sum)t);
			if (days < 28)
				continue;
			for (size_t t = 0; t < days; t++)
				y[t] = holes[t] ? y[t] : 999999999;
			assert_int_equal(forecast_fit(&fit, y, holes, days, 3), 0);
			assert_true(forecast_slope(&fit) == slopes[s]);
			assert_true(forecast_day(&fit, (int64_t)days) ==
				    pattern[(3 + days) % 7] + slopes[s] * (pusd_sum)days);
		}
	}
}

/* ---- the oracle: the normal equations, solved by elimination -------------------------------- */

#define SIZE (FORECAST_WEEK + 1)

struct oracle {
	int size; /* levels and the slope */
	int first_weekday, classes;
	long double inverse[SIZE][SIZE];
	long double beta[SIZE];
	long double variance;
};

static void row_of(const struct oracle *o, int64_t t, long double x[SIZE])
{
	memset(x, 0, SIZE * sizeof(*x));
	x[(o->first_weekday + t) % o->classes] = 1;
	x[o->classes] = t;
}

static void invert(int n, long double a[SIZE][SIZE], long double inverse[SIZE][SIZE])
{
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < n; k++)
			inverse[i][k] = i == k;
	}
	for (int i = 0; i < n; i++) {
		int pivot = i;

		for (int k = i; k < n; k++)
			pivot = fabsl(a[k][i]) > fabsl(a[pivot][i]) ? k : pivot;
		for (int k = 0; k < n; k++) {
			long double swap = a[i][k];

			a[i][k] = a[pivot][k];
			a[pivot][k] = swap;
			swap = inverse[i][k];
			inverse[i][k] = inverse[pivot][k];
			inverse[pivot][k] = swap;
		}
		for (int r = 0; r < n; r++) {
			long double factor = r == i ? 0 : a[r][i] / a[i][i];

			for (int k = 0; k < n; k++) {
				a[r][k] -= factor * a[i][k];
				inverse[r][k] -= factor * inverse[i][k];
			}
		}
		for (int k = 0; k < n; k++)
			inverse[i][k] /= a[i][i];
		for (int k = n - 1; k >= 0; k--)
			a[i][k] /= a[i][i];
	}
}

static void oracle_fit(struct oracle *o, const pusd_sum *y, const bool *known, size_t days)
{
	long double a[SIZE][SIZE] = {0}, b[SIZE] = {0}, x[SIZE], count = 0;

	o->size = o->classes + 1;
	for (size_t t = 0; t < days; t++) {
		row_of(o, (int64_t)t, x);
		for (int i = 0; known[t] && i < o->size; i++) {
			b[i] += x[i] * y[t];
			for (int k = 0; k < o->size; k++)
				a[i][k] += x[i] * x[k];
		}
	}
	invert(o->size, a, o->inverse);
	for (int i = 0; i < o->size; i++) {
		o->beta[i] = 0;
		for (int k = 0; k < o->size; k++)
			o->beta[i] += o->inverse[i][k] * b[k];
	}
	o->variance = 0;
	for (size_t t = 0; t < days; t++) {
		long double residual = y[t];

		row_of(o, (int64_t)t, x);
		for (int i = 0; i < o->size; i++)
			residual -= x[i] * o->beta[i];
		if (known[t]) {
			o->variance += residual * residual;
			count++;
		}
	}
	o->variance /= count - o->size;
}

static long double oracle_half(const struct oracle *o, int64_t first, int64_t count)
{
	long double sum[SIZE] = {0}, x[SIZE], factor = count;

	for (int64_t t = first; t < first + count; t++) {
		row_of(o, t, x);
		for (int i = 0; i < o->size; i++)
			sum[i] += x[i];
	}
	for (int i = 0; i < o->size; i++) {
		for (int k = 0; k < o->size; k++)
			factor += sum[i] * o->inverse[i][k] * sum[k];
	}
	return sqrtl(o->variance * factor);
}

/* Random days of any size, some unknown: the integers agree with the oracle. */
static void test_against_normal_equations(void **state)
{
	(void)state;
	for (int round = 0; round < 500; round++) {
		size_t days = 8 + (size_t)(uniform() * 359);
		long double scale = powl(10, 3 + (int)(uniform() * 18));
		bool known[FORECAST_DAYS_MAX];
		pusd_sum y[FORECAST_DAYS_MAX];
		struct forecast_fit fit;
		struct oracle oracle;
		int64_t first = (int64_t)days, ahead = 1 + (int64_t)(uniform() * 31);
		long double size, half;
		int r;

		for (size_t t = 0; t < days; t++) {
			known[t] = round % 2 || uniform() > 0.1;
			y[t] = (pusd_sum)(scale * (1 + uniform()));
		}
		r = forecast_fit(&fit, y, known, days, round % 7);
		if (r) /* too many were left out */
			continue;
		oracle.classes = fit.classes;
		oracle.first_weekday = round % 7;
		oracle_fit(&oracle, y, known, days);
		size = scale * 1e-6L + 1;
		assert_true(fabsl(forecast_slope(&fit) - oracle.beta[oracle.classes]) < size);
		for (int64_t t = first; t < first + ahead; t++) {
			long double expected =
				oracle.beta[(oracle.first_weekday + t) % oracle.classes] +
				oracle.beta[oracle.classes] * t;

			assert_true(fabsl(forecast_day(&fit, t) - expected) < size);
		}
		half = oracle_half(&oracle, first, ahead);
		for (int level = 0; level < FORECAST_LEVELS; level++) {
			long double ratio = forecast_half(&fit, level, first, ahead) / half;

			/* Student's t of the degrees of freedom */
			assert_true(level == FORECAST_80 ? ratio > 1.281 && ratio < 1.441
							 : ratio > 1.959 && ratio < 2.448);
		}
	}
}

/* Of months made with known noise, as many lie in the ranges as are said to. */
static void test_coverage(void **state)
{
	static const struct {
		size_t days;
		int64_t ahead;
	} cases[] = {{28, 14}, {8, 5}, {14, 30}, {90, 31}};
	int rounds = 4000;

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		size_t days = cases[c].days;
		int within[FORECAST_LEVELS] = {0};

		for (int round = 0; round < rounds; round++) {
			pusd_sum y[FORECAST_DAYS_MAX + 31], ahead = 0, expected = 0;
			size_t end = days + (size_t)cases[c].ahead;
			struct forecast_fit fit;

			for (size_t t = 0; t < end; t++) {
				/* without a weekly pattern there must be none to find */
				pusd_sum level = days < 14 ? 500 : pattern[t % 7];

				y[t] = (level * 1000000 + (pusd_sum)t * 3000000 +
					(pusd_sum)(normal() * 4e7)) *
				       1000;
			}
			assert_int_equal(forecast_fit(&fit, y, all_known, days, 0), 0);
			for (size_t t = days; t < end; t++) {
				ahead += y[t];
				expected += forecast_day(&fit, (int64_t)t);
			}
			for (int level = 0; level < FORECAST_LEVELS; level++) {
				pusd_sum half =
					forecast_half(&fit, level, (int64_t)days, cases[c].ahead);

				within[level] +=
					ahead >= expected - half && ahead <= expected + half;
			}
		}
		print_message(
			"%zu days, %lld ahead: %.1f%% in the 80%% range, %.1f%% in the 95%%\n",
			days, (long long)cases[c].ahead, 100.0 * within[0] / rounds,
			100.0 * within[1] / rounds);
		/* 3.5 standard errors of 4000 rounds */
		assert_true(fabs(100.0 * within[FORECAST_80] / rounds - 80) < 2.3);
		assert_true(fabs(100.0 * within[FORECAST_95] / rounds - 95) < 1.3);
	}
}

static void test_bounds(void **state)
{
	pusd_sum y[FORECAST_DAYS_MAX + 1], widest = ((pusd_sum)1 << 100);
	bool few[FORECAST_DAYS_MAX] = {0};
	struct forecast_fit fit;

	(void)state;
	for (size_t t = 0; t <= FORECAST_DAYS_MAX; t++)
		y[t] = t % 2 ? widest : 0;
	assert_int_equal(forecast_fit(&fit, y, all_known, 7, 0), -EINVAL);
	assert_int_equal(forecast_fit(&fit, y, all_known, FORECAST_DAYS_MAX + 1, 0), -EINVAL);
	for (size_t t = 0; t < 7; t++)
		few[t * 7] = true;
	assert_int_equal(forecast_fit(&fit, y, few, FORECAST_DAYS_MAX, 0), -EINVAL);
	few[49] = true; /* eight Mondays: no pattern of a week */
	assert_int_equal(forecast_fit(&fit, y, few, FORECAST_DAYS_MAX, 0), 0);
	assert_int_equal(fit.classes, 1);
	assert_int_equal(forecast_fit(&fit, y, all_known, 13, 0), 0);
	assert_int_equal(fit.classes, 1);
	assert_int_equal(forecast_fit(&fit, y, all_known, 14, 0), 0);
	assert_int_equal(fit.classes, FORECAST_WEEK);
	/* amounts far beyond money's: nothing wraps */
	assert_int_equal(forecast_fit(&fit, y, all_known, FORECAST_DAYS_MAX, 0), 0);
	assert_true(forecast_day(&fit, FORECAST_DAYS_MAX) > widest / 3);
	assert_true(forecast_day(&fit, FORECAST_DAYS_MAX) < widest / 3 * 2);
	assert_true(forecast_half(&fit, FORECAST_95, FORECAST_DAYS_MAX, 1) > widest / 2);
	assert_true(forecast_half(&fit, FORECAST_95, FORECAST_DAYS_MAX, 1) < widest * 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_against_normal_equations),
		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
