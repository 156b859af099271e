/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/standing.h"

#include "exporter/calendar.h"
#include "exporter/promtext.h"
#include "exporter/query.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>

enum { KEY_PROVIDER, KEY_BASIS, KEY_MODE, KEYS };

static const enum calendar_unit units[] = {CALENDAR_DAY, CALENDAR_MONTH};

struct sums {
	struct spend *rows;
	size_t count;
};

struct standing {
	pthread_mutex_t lock;
	struct sums of[ARRAY_LEN(units)]; /* under lock */
};

int standing_new(struct standing **out)
{
	struct standing *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	*out = s;
	return 0;
}

static void free_sums(struct sums *sums)
{
	query_spend_free(sums->rows, sums->count);
	*sums = (struct sums){0};
}

void standing_free(struct standing *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		free_sums(&s->of[i]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int sum(struct query *q, enum calendar_unit unit, int64_t now_us, struct sums *out)
{
	static const char *const names[KEYS] = {"provider", "basis", "billing_mode"};
	struct query_key keys[KEYS];
	struct query_filter filter = {0};
	struct calendar_span span;

	for (int i = 0; i < KEYS; i++) {
		if (!query_key_parse(slice_of(names[i]), &keys[i]))
			return -EINVAL;
	}
	calendar_span_at(unit, now_us, &span);
	filter.since_us = span.since_us;
	filter.until_us = span.until_us;
	return query_spend(q, &filter, keys, KEYS, &out->rows, &out->count);
}

int standing_refresh(struct standing *s, sqlite3 *db, int64_t now_us)
{
	struct sums fresh[ARRAY_LEN(units)] = {0};
	struct query *q;
	int r = query_borrow(&q, db);

	if (r)
		return SQLITE_NOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(units); i++) {
		r = sum(q, units[i], now_us, &fresh[i]);
		if (r == -ENOTSUP) /* its first calls are gone: no figure is better than a part */
			r = 0;
	}
	query_close(q);
	if (r == 0) {
		pthread_mutex_lock(&s->lock);
		for (size_t i = 0; i < ARRAY_LEN(units); i++) {
			struct sums old = s->of[i];

			s->of[i] = fresh[i];
			fresh[i] = old;
		}
		pthread_mutex_unlock(&s->lock);
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		free_sums(&fresh[i]);
	return r == 0 ? SQLITE_OK : SQLITE_ERROR;
}

static const struct prom_family family = {
	"tolltap_ledger_cost_usd", PROM_GAUGE,
	"Cost of the day or month so far as the ledger has it now, reprices and late calls in it."};

static void put_row(struct text *out, const char *period, const struct spend *row)
{
	struct text labels = TEXT_INIT(PROMTEXT_LABELS_MAX);

	promtext_label(&labels, "period", period);
	promtext_label(&labels, "provider",
		       row->group[KEY_PROVIDER] ? row->group[KEY_PROVIDER] : "");
	promtext_label(&labels, "basis", row->group[KEY_BASIS] ? row->group[KEY_BASIS] : "");
	promtext_label(&labels, "billing_mode", row->group[KEY_MODE] ? row->group[KEY_MODE] : "");
	promtext_pico(out, &family, text_cstr(&labels) ? labels.ptr : "", row->cost);
	text_free(&labels);
}

/* What does not fit is told as one series, with its money; the dearest stand first. */
static void put_sums(struct text *out, const char *period, const struct sums *sums)
{
	struct spend rest = {.group = {"overflow", "overflow", "overflow"}};

	for (size_t i = 0; i < sums->count; i++) {
		if (i < STANDING_SERIES_MAX)
			put_row(out, period, &sums->rows[i]);
		else
			spend_add(&rest, &sums->rows[i]);
	}
	if (sums->count > STANDING_SERIES_MAX)
		put_row(out, period, &rest);
}

void standing_put(struct standing *s, struct text *out, bool openmetrics)
{
	promtext_family(out, &family, openmetrics);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		put_sums(out, calendar_unit_names[units[i]], &s->of[i]);
	pthread_mutex_unlock(&s->lock);
}
