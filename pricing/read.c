/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict readers of the price files' JSON: every key must be known and stand once, every amount is
 * decimal text, and the first error is one line that says the file and the place.
 */
#include "pricing/table.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int price_error(struct reader *r, const char *fmt, ...)
{
	int line = r->text && r->place[0] ? place_line(r->text, r->place) : 0;
	char where[32] = "";
	va_list args;
	int n;

	if (r->err_size == 0 || r->err[0])
		return -EINVAL;
	if (line)
		snprintf(where, sizeof(where), "line %d: ", line);
	n = snprintf(r->err, r->err_size, "%s: %s%s%s", r->file, where, r->place,
		     r->place[0] ? ": " : "");
	if (n >= 0 && (size_t)n < r->err_size) {
		va_start(args, fmt);
		vsnprintf(r->err + n, r->err_size - (size_t)n, fmt, args);
		va_end(args);
	}
	/* Names of the file stand in it, and it goes to a terminal. */
	slice_copy(r->err, r->err_size, slice_of(r->err));
	return -EINVAL;
}

int price_read_keys(struct reader *r, const cJSON *object, const char *const *allowed)
{
	const cJSON *item;
	uint64_t seen = 0;

	if (!cJSON_IsObject(object))
		return price_error(r, "an object is expected here");
	cJSON_ArrayForEach(item, object)
	{
		size_t i = 0;

		while (allowed[i] && strcmp(allowed[i], item->string) != 0)
			i++;
		if (!allowed[i])
			return price_error(r, "unknown key \"%s\"", item->string);
		if (seen >> i & 1)
			return price_error(r, "key \"%s\" stands twice", item->string);
		seen |= 1ull << i;
	}
	return 0;
}

int price_read_text(struct reader *r, const cJSON *object, const char *key, char *dst, size_t size,
		    bool required)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!item || cJSON_IsNull(item)) {
		if (required)
			return price_error(r, "\"%s\" is missing", key);
		dst[0] = '\0';
		return 0;
	}
	if (!cJSON_IsString(item) || !item->valuestring[0])
		return price_error(r, "\"%s\" must be a text that is not empty", key);
	if (strlen(item->valuestring) >= size)
		return price_error(r, "\"%s\" is longer than %zu bytes", key, size - 1);
	slice_copy(dst, size, slice_of(item->valuestring));
	return 0;
}

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

bool factor_parse(const char *text, struct factor *out)
{
	int64_t num, den = 1, common;

	if (!decimal_parse(slice_of(text), FACTOR_SCALE, &num) || num > 1000000000)
		return false;
	for (int i = 0; i < FACTOR_SCALE; i++)
		den *= 10;
	common = gcd(num, den);
	*out = (struct factor){num / common, den / common};
	return true;
}

int price_read_factor(struct reader *r, const cJSON *object, const char *key, struct factor *out)
{
	char text[PRICE_TEXT_MAX];
	int rc = price_read_text(r, object, key, text, sizeof(text), true);

	if (rc)
		return rc;
	if (!factor_parse(text, out))
		return price_error(r,
				   "\"%s\" is \"%s\"; write a decimal from 0 to 1000 as text, at "
				   "most %d digits behind the point",
				   key, text, FACTOR_SCALE);
	return 0;
}

/* Days since 1970-01-01 of a proleptic Gregorian date. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static bool number_at(const char *p, int digits, int *out)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		value = value * 10 + (p[i] - '0');
	}
	*out = value;
	return true;
}

bool date_parse(const char *text, int64_t *us)
{
	int year, month, day;

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' || !number_at(text, 4, &year) ||
	    !number_at(text + 5, 2, &month) || !number_at(text + 8, 2, &day) || year < 1970 ||
	    month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*us = days_of(year, month, day) * 86400 * 1000000;
	return true;
}

static int read_date(struct reader *r, const cJSON *json, const char *key, char *text, int64_t *us)
{
	int rc = price_read_text(r, json, key, text, PRICE_DATE_MAX, false);

	if (rc || !text[0])
		return rc;
	if (!date_parse(text, us))
		return price_error(r, "\"%s\" is \"%s\"; write a date as YYYY-MM-DD", key, text);
	return 0;
}

static bool clock_parse(const char *text, int *minutes)
{
	int hour, minute;

	if (strlen(text) != 5 || text[2] != ':' || !number_at(text, 2, &hour) ||
	    !number_at(text + 3, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*minutes = hour * 60 + minute;
	return true;
}

/* "daily": {"from": "16:30", "to": "00:30"}, UTC; absent = the whole day. */
static int read_daily(struct reader *r, const cJSON *json, struct period *out)
{
	static const char *const keys[] = {"from", "to", NULL};
	const cJSON *daily = cJSON_GetObjectItemCaseSensitive(json, "daily");
	char from[PRICE_DATE_MAX], to[PRICE_DATE_MAX];
	int rc;

	if (!daily)
		return 0;
	rc = price_read_keys(r, daily, keys);
	if (rc == 0)
		rc = price_read_text(r, daily, "from", from, sizeof(from), true);
	if (rc == 0)
		rc = price_read_text(r, daily, "to", to, sizeof(to), true);
	if (rc)
		return rc;
	if (!clock_parse(from, &out->daily_from_min) || !clock_parse(to, &out->daily_to_min) ||
	    out->daily_from_min == out->daily_to_min)
		return price_error(r, "\"daily\" needs two different times of day as HH:MM");
	return 0;
}

/* {"input": "2.5", ...}: dollars per unit of each kind. */
int price_read_prices(struct reader *r, const cJSON *json, struct price_set *out)
{
	const cJSON *item;

	if (!cJSON_IsObject(json))
		return price_error(r, "\"prices\" must be an object");
	cJSON_ArrayForEach(item, json)
	{
		enum price_kind kind;

		if (!price_kind_find(item->string, &kind))
			return price_error(r, "unknown unit \"%s\" in prices", item->string);
		if (price_has(out, kind))
			return price_error(r, "price \"%s\" stands twice", item->string);
		if (!cJSON_IsString(item))
			return price_error(r, "price \"%s\" must be decimal text in quotes",
					   item->string);
		if (!decimal_parse(slice_of(item->valuestring), 12, &out->pusd[kind]))
			return price_error(r,
					   "price \"%s\" is \"%s\"; write dollars per %s as a "
					   "decimal with at most 12 digits behind the point",
					   item->string, item->valuestring, price_kinds[kind].unit);
		if (lint_price(r, kind, out->pusd[kind]))
			return -EINVAL;
		out->has |= 1ull << kind;
	}
	return 0;
}

/* The one JSON number of a price file; through its text, so that 1.5 is refused, not cut. */
static bool read_threshold(const cJSON *json, int64_t *out)
{
	char *text = cJSON_IsNumber(json) ? cJSON_PrintUnformatted(json) : NULL;
	bool whole = text && decimal_parse(slice_of(text), 0, out) && *out > 0;

	cJSON_free(text);
	return whole;
}

static int read_context(struct reader *r, const cJSON *json, struct sheet *sheet)
{
	static const char *const keys[] = {"tokens", "inclusive", "prices", NULL};
	struct context_tier *tier = &sheet->above[sheet->above_count];
	int rc = price_read_keys(r, json, keys);

	if (rc)
		return rc;
	if (!read_threshold(cJSON_GetObjectItemCaseSensitive(json, "tokens"), &tier->tokens))
		return price_error(r, "\"tokens\" of a context tier must be a whole number");
	tier->inclusive = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "inclusive"));
	if (sheet->above_count && tier[-1].tokens >= tier->tokens)
		return price_error(r, "context tiers must rise");
	sheet->above_count++;
	return price_read_prices(r, cJSON_GetObjectItemCaseSensitive(json, "prices"),
				 &tier->prices);
}

static int read_sheet(struct reader *r, const cJSON *json, struct sheet *out)
{
	const cJSON *above = cJSON_GetObjectItemCaseSensitive(json, "above"), *item;
	int rc = price_read_prices(r, cJSON_GetObjectItemCaseSensitive(json, "prices"), &out->base);

	if (rc || !above)
		return rc;
	if (!cJSON_IsArray(above) || cJSON_GetArraySize(above) > PRICE_CONTEXT_TIERS_MAX)
		return price_error(r, "\"above\" must be a list of at most %d context tiers",
				   PRICE_CONTEXT_TIERS_MAX);
	cJSON_ArrayForEach(item, above)
	{
		rc = read_context(r, item, out);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_tier(struct reader *r, const cJSON *json, struct service_tier *out)
{
	static const char *const factor_keys[] = {"factor", NULL};
	static const char *const sheet_keys[] = {"prices", "above", NULL};
	bool own = cJSON_GetObjectItemCaseSensitive(json, "prices") != NULL;
	int rc = price_read_keys(r, json, own ? sheet_keys : factor_keys);

	if (rc)
		return rc;
	if (strlen(json->string) >= sizeof(out->name) || !json->string[0])
		return price_error(r, "service tier \"%.40s\" has no usable name", json->string);
	slice_copy(out->name, sizeof(out->name), slice_of(json->string));
	out->factor = FACTOR_ONE;
	if (!own)
		return price_read_factor(r, json, "factor", &out->factor);
	out->own = calloc(1, sizeof(*out->own));
	if (!out->own)
		return price_error(r, "out of memory");
	return read_sheet(r, json, out->own);
}

static int read_tiers(struct reader *r, const cJSON *json, struct period *out)
{
	const cJSON *tiers = cJSON_GetObjectItemCaseSensitive(json, "tiers"), *item;
	int n = cJSON_GetArraySize(tiers);

	if (!tiers)
		return 0;
	if (!cJSON_IsObject(tiers) || n > PRICE_TIERS_MAX)
		return price_error(r, "\"tiers\" must be an object of at most %d service tiers",
				   PRICE_TIERS_MAX);
	out->tiers = calloc((size_t)n + 1, sizeof(*out->tiers));
	if (!out->tiers)
		return price_error(r, "out of memory");
	cJSON_ArrayForEach(item, tiers)
	{
		int rc = read_tier(r, item, &out->tiers[out->tier_count++]);

		if (rc)
			return rc;
	}
	return 0;
}

static int read_multiplier(struct reader *r, const cJSON *json, struct multiplier *out)
{
	static const char *const keys[] = {"by", "value", "factor", "not_with", NULL};
	static const char *const names[MULTIPLIER_BYS] = {"inference_geo", "speed", "host"};
	char by[PRICE_TEXT_MAX];
	int rc = price_read_keys(r, json, keys);

	if (rc == 0)
		rc = price_read_text(r, json, "by", by, sizeof(by), true);
	if (rc == 0)
		rc = price_read_text(r, json, "value", out->value, sizeof(out->value), true);
	if (rc == 0)
		rc = price_read_text(r, json, "not_with", out->not_with, sizeof(out->not_with),
				     false);
	if (rc == 0)
		rc = price_read_factor(r, json, "factor", &out->factor);
	if (rc)
		return rc;
	for (int i = 0; i < MULTIPLIER_BYS; i++) {
		if (!strcmp(names[i], by)) {
			out->by = (enum multiplier_by)i;
			return 0;
		}
	}
	return price_error(r, "a multiplier by \"%s\" is unknown; use inference_geo, speed or host",
			   by);
}

static int read_multipliers(struct reader *r, const cJSON *json, struct period *out)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "multipliers"), *item;
	int n = cJSON_GetArraySize(list);

	if (!list)
		return 0;
	if (!cJSON_IsArray(list) || n > PRICE_MULTIPLIERS_MAX)
		return price_error(r, "\"multipliers\" must be a list of at most %d",
				   PRICE_MULTIPLIERS_MAX);
	out->multipliers = calloc((size_t)n + 1, sizeof(*out->multipliers));
	if (!out->multipliers)
		return price_error(r, "out of memory");
	cJSON_ArrayForEach(item, list)
	{
		int rc = read_multiplier(r, item, &out->multipliers[out->multiplier_count++]);

		if (rc)
			return rc;
	}
	return 0;
}

int price_read_validity(struct reader *r, const cJSON *json, struct period *out)
{
	int rc;

	out->from_us = INT64_MIN;
	out->to_us = INT64_MAX;
	rc = read_date(r, json, "from", out->from, &out->from_us);
	if (rc == 0)
		rc = read_date(r, json, "to", out->to, &out->to_us);
	if (rc == 0 && out->from_us >= out->to_us)
		rc = price_error(r, "the validity ends (%s) before it begins (%s)", out->to,
				 out->from);
	if (rc == 0)
		rc = read_daily(r, json, out);
	return rc;
}

int price_read_period(struct reader *r, const cJSON *json, struct period *out)
{
	int rc = price_read_validity(r, json, out);

	if (rc == 0)
		rc = read_sheet(r, json, &out->sheet);
	if (rc == 0)
		rc = read_tiers(r, json, out);
	if (rc == 0)
		rc = read_multipliers(r, json, out);
	if (rc == 0)
		rc = lint_period(r, out);
	if (rc == 0)
		rc = price_read_text(r, json, "source", out->source, sizeof(out->source), false);
	if (rc == 0)
		rc = price_read_text(r, json, "checked", out->checked, sizeof(out->checked), false);
	return rc;
}

void period_free(struct period *p)
{
	for (uint32_t i = 0; i < p->tier_count; i++)
		free(p->tiers[i].own);
	free(p->tiers);
	free(p->multipliers);
}
