/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter/promtext.h"

#include <stdio.h>

#define FIRST_BUCKET_US 10000

static const char *const type_names[] = {"counter", "gauge", "histogram"};
static const char *const units[] = {"seconds", "bytes", "usd"};

/* One bad byte in one label would make Prometheus refuse the whole scrape. */
static size_t put_label_char(struct text *labels, struct slice rest)
{
	size_t n = slice_utf8_length(rest);

	if (n == 0)
		text_puts(labels, "\xef\xbf\xbd");
	else if (*rest.ptr == '\n')
		text_puts(labels, "\\n");
	else if (*rest.ptr == '"' || *rest.ptr == '\\')
		text_printf(labels, "\\%c", *rest.ptr);
	else
		text_append(labels, rest.ptr, n);
	return n ? n : 1;
}

void promtext_label(struct text *labels, const char *name, const char *value)
{
	struct slice rest = slice_of(value);

	if (rest.len == 0)
		return;
	text_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
	while (rest.len) {
		size_t n = put_label_char(labels, rest);

		rest.ptr += n;
		rest.len -= n;
	}
	text_puts(labels, "\"");
}

static const char *unit_of(const char *name)
{
	struct slice s = slice_of(name);

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i]);

		if (slice_ends(s, slice_of(units[i])) && s.len > len &&
		    s.ptr[s.len - len - 1] == '_')
			return units[i];
	}
	return NULL;
}

/* OpenMetrics names a counter's family without _total, the older format with it. */
void promtext_family(struct text *out, const struct prom_family *family, bool openmetrics)
{
	bool total = family->type == PROM_COUNTER && !openmetrics;
	const char *suffix = total ? "_total" : "";
	const char *unit = openmetrics ? unit_of(family->name) : NULL;

	text_printf(out, "# HELP %s%s %s\n", family->name, suffix, family->help);
	text_printf(out, "# TYPE %s%s %s\n", family->name, suffix, type_names[family->type]);
	if (unit)
		text_printf(out, "# UNIT %s %s\n", family->name, unit);
}

static void put_sample(struct text *out, const struct prom_family *family, const char *labels,
		       const char *value)
{
	text_printf(out, "%s%s%s%s%s %s\n", family->name,
		    family->type == PROM_COUNTER ? "_total" : "", *labels ? "{" : "", labels,
		    *labels ? "}" : "", value);
}

void promtext_uint(struct text *out, const struct prom_family *family, const char *labels,
		   uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	put_sample(out, family, labels, digits);
}

void promtext_pico(struct text *out, const struct prom_family *family, const char *labels,
		   pusd_sum value)
{
	char digits[PUSD_TEXT_MAX];

	put_sample(out, family, labels, pusd_format(digits, value));
}

void prom_histogram_add(struct prom_histogram *h, int64_t us)
{
	int64_t bound_us = FIRST_BUCKET_US;
	int i = 0;

	for (; i < PROM_BUCKETS && us > bound_us; i++)
		bound_us *= 2;
	h->bucket[i]++;
	h->count++;
	h->sum_us += us;
}

void promtext_histogram(struct text *out, const struct prom_family *family, const char *labels,
			const struct prom_histogram *h)
{
	pusd_sum bound = (pusd_sum)FIRST_BUCKET_US * 1000000;
	const char *comma = *labels ? "," : "";
	const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
	char number[PUSD_TEXT_MAX];
	uint64_t below = 0;

	for (int i = 0; i < PROM_BUCKETS; i++, bound *= 2) {
		below += h->bucket[i];
		text_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", family->name, labels, comma,
			    pusd_format(number, bound), (unsigned long long)below);
	}
	text_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family->name, labels, comma,
		    (unsigned long long)h->count);
	text_printf(out, "%s_sum%s%s%s %s\n", family->name, open, labels, close,
		    pusd_format(number, h->sum_us * 1000000));
	text_printf(out, "%s_count%s%s%s %llu\n", family->name, open, labels, close,
		    (unsigned long long)h->count);
}

void promtext_end(struct text *out, bool openmetrics)
{
	if (openmetrics)
		text_puts(out, "# EOF\n");
}
